/** Hangs the browser half into ComfyUI. Without it all nodes work alike. */

import { app } from "../../../scripts/app.js";
import { isOurs, LOAD_NODE, playerLeavesWithFile } from "./canvas.js";
import { Lines } from "./line.js";
import { Messenger } from "./messenger.js";
import { Panel } from "./panel.js";
import { on, onJob, onTold } from "./server.js";
import { loadWords } from "./words.js";

const TAB = "apimallvideo.jobs";
const FRESH_WIDTH_PX = 340;
const ROWS_PX = 90;

const panel = new Panel({ count: showCount, changed: () => lines.forget() });
const door = { open: openPanel, show: (/** @type {number} */ job) => panel.show(job) };
const lines = new Lines(door);
const messenger = new Messenger(door);

/** ComfyUI's keeper of side bar tabs; older front ends have its verbs on the manager itself. */
function tabs() {
	const manager = /** @type {any} */ (app.extensionManager);
	return manager?.sidebarTab?.registerSidebarTab ? manager.sidebarTab : manager;
}

/** @param {number} unfinished on the tab's icon, which redraws itself when its tab is changed */
function showCount(unfinished) {
	const keeper = tabs();
	/** @type {any[]} */
	const known = keeper?.sidebarTabs ?? keeper?.getSidebarTabs?.() ?? [];
	const tab = known.find(({ id }) => id === TAB);
	if (tab) tab.iconBadge = () => (unfinished ? String(unfinished) : null);
}

/**
 * ComfyUI takes name and tooltip from `locales/`, in English as well; here a tooltip only says that there is one.
 * @param {object} kind
 * @param {string[]} of
 */
function setting(kind, [id = "", name = ""]) {
	return /** @type {any} */ ({
		id: `apimallvideo.${id}`,
		name,
		tooltip: name,
		category: ["API Mall Video", ...id.split(".")],
		...kind,
	});
}

function openPanel() {
	if (!panel.isOpen) app.extensionManager.command.execute(`Workspace.ToggleSidebarTab.${TAB}`);
}

// At once, and not when ComfyUI calls `setup`: after a reload a run that goes on is spoken of before that.
onTold(async (told) => {
	await loadWords();
	lines.hear(told);
	messenger.told(told);
});
onJob(async ({ job, unfinished, awaited }) => {
	await loadWords();
	showCount(unfinished);
	lines.moved(job);
	messenger.moved(job, awaited);
});

app.registerExtension({
	name: "apimallvideo.panel",
	settings: [
		...[
			["Nodes.ShowEstimate", "Show price, state and result on the node"],
			["Clips.Workflow", "Write the workflow into clips"],
			["Messages.Paying", "Say what a prompt will newly pay"],
			["Messages.Failed", "Say when a job failed"],
			["Messages.Stopped", "Say what becomes of a job after an interrupt"],
			["Messages.Arrived", "Say when a clip came that nobody waited for"],
		].map((of) => setting({ type: "boolean", defaultValue: true }, of)),
		...[
			["Limits.DailyCredits", "Most credits a day (0: no limit)"],
			["Limits.PromptCredits", "Most new credits a prompt (0: no limit)"],
		].map((of) => setting({ type: "number", attrs: { min: 0, step: 10 }, defaultValue: 0 }, of)),
	],
	setup() {
		tabs()?.registerSidebarTab?.({
			id: TAB,
			title: "API Mall",
			tooltip: "API Mall",
			icon: "pi pi-video",
			iconBadge: () => null,
			type: "custom",
			render: (/** @type {HTMLElement} */ host) => panel.render(host),
			destroy: () => panel.destroy(),
		});
		on("promptQueueing", () => messenger.queueing(lines.paying()));
		on("promptQueued", (queued) => {
			messenger.queued(lines.paying());
			lines.queued(queued?.batchCount ?? 1);
		});
		setInterval(() => lines.tick(), 1000);
	},
	beforeConfigureGraph({ nodes, definitions }) {
		const graphs = /** @type {any[]} */ ([{ nodes }, ...(definitions?.subgraphs ?? [])]);
		for (const { type, widgets_values: values } of graphs.flatMap((each) => each.nodes)) {
			if (type !== LOAD_NODE || !Array.isArray(values)) continue;
			// Old workflows: "(none)", which a player would ask for, and the button's word where fps is now.
			if (values[0] === "(none)") values[0] = "";
			if (values.length > 6 && typeof values[6] !== "number") values.splice(6, 1);
		}
	},
	nodeCreated(node) {
		if (app.extensionManager?.setting?.get("apimallvideo.Nodes.ShowEstimate") !== false) lines.add(node);
		if (node.comfyClass === LOAD_NODE) playerLeavesWithFile(node);
		if (!isOurs(node)) return;
		const prompt = node.widgets?.find(({ name }) => name === "prompt");
		// Room to write in, that a player does not take; a node of a workflow gets its own size back after this.
		if (!prompt) return;
		Object.assign(prompt.options, { getMinHeight: () => ROWS_PX });
		node.setSize?.([Math.max(node.size[0], FRESH_WIDTH_PX), node.computeSize()[1]]);
	},
	afterConfigureGraph() {
		lines.settle();
	},
});
