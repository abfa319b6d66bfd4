/** Hangs the browser half into ComfyUI. Without it all nodes work alike. */

import { app } from "../../../scripts/app.js";
import { isOurs, LOAD_NODE } from "./canvas.js";
import { Lines } from "./line.js";
import { Messenger } from "./messenger.js";
import { Panel } from "./panel.js";
import { tendPlayer } from "./player.js";
import { on } from "./server.js";
import { loadWords } from "./words.js";

const TAB = "apimallvideo.jobs";
const FRESH_WIDTH_PX = 340;
const ROWS_PX = 90;

const panel = new Panel({ count: showCount, changed: () => lines.forget(), close: togglePanel });
const lines = new Lines(openPanel);
const messenger = new Messenger(openPanel);

/** ComfyUI's keeper of side bar tabs; older front ends have its verbs on the manager itself. */
function tabs() {
	const manager = app.extensionManager;
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
 * ComfyUI takes name and tooltip from `locales/`, in English as well; here they only say that there are such.
 * @param {string} id
 * @param {object} kind
 */
function setting(id, kind) {
	return /** @type {any} */ ({
		id: `apimallvideo.${id}`,
		name: id,
		tooltip: id,
		category: ["API Mall Video", ...id.split(".")],
		...kind,
	});
}

/** @type {Opener} */
function openPanel(job) {
	if (!panel.isOpen) togglePanel();
	if (job) panel.show(job);
}

function togglePanel() {
	app.extensionManager.command.execute(`Workspace.ToggleSidebarTab.${TAB}`);
}

// At once, not in `setup`: after a reload a run that goes on is spoken of before that.
on("apimallvideo.node", async (told) => {
	await loadWords();
	lines.hear(told);
	messenger.told(told);
});
on("apimallvideo.jobs", async ({ job, unfinished, awaited }) => {
	await loadWords();
	showCount(unfinished);
	lines.moved(job);
	messenger.moved(job, awaited || panel.isOpen);
});

app.registerExtension({
	name: "apimallvideo.panel",
	settings: [
		...[
			"Nodes.ShowEstimate",
			"Clips.Workflow",
			"Messages.Paying",
			"Messages.Failed",
			"Messages.Stopped",
			"Messages.Arrived",
		].map((id) => setting(id, { type: "boolean", defaultValue: true })),
		...["Limits.DailyCredits", "Limits.PromptCredits"].map((id) =>
			setting(id, { type: "number", attrs: { min: 0, step: 10 }, defaultValue: 0 }),
		),
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
		on("apimallvideo.queued", ({ nodes }) => lines.name(nodes));
		// That may come a moment after the answer.
		on("promptQueued", (queued) => setTimeout(() => messenger.queued(lines.queued(queued?.batchCount ?? 1)), 100));
		on("status", (status) => {
			lines.waiting = status?.exec_info.queue_remaining ?? 0;
		});
		on("reconnected", () => lines.forget());
		on("apimallvideo.account", () => {
			lines.forget();
			panel.account?.refresh(true);
		});
		setInterval(() => lines.tick(), 500);
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
		if (!isOurs(node)) return;
		tendPlayer(node);
		const prompt = node.widgets?.find(({ name }) => name === "prompt");
		// Room to write in, that a player does not take; a node of a workflow gets its own size back after this.
		if (prompt) Object.assign(prompt.options, { getMinHeight: () => ROWS_PX });
		node.setSize?.([Math.max(node.size[0], FRESH_WIDTH_PX), node.computeSize()[1]]);
	},
});
