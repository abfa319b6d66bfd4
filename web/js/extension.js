// @ts-check
/** Hangs the browser half into ComfyUI. Without it all nodes work alike. */

import { app } from "../../../scripts/app.js";
import { isOurs } from "./canvas.js";
import { Lines } from "./line.js";
import { Messenger } from "./messenger.js";
import { Panel } from "./panel.js";
import { on, onJob, onTold } from "./server.js";
import { loadWords } from "./words.js";

const TAB = "apimallvideo.jobs";
/** Read by the server before a job is sent. */
const DAILY_CREDITS = "apimallvideo.Budget.DailyCredits";
const LIMIT = { type: /** @type {const} */ ("number"), attrs: { min: 0, step: 10 }, defaultValue: 0 };
const FRESH_WIDTH_PX = 340;
const FRESH_ROWS_PX = 40;

const lines = new Lines(openPanel);
const panel = new Panel({ count: showCount, changed: () => lines.forget() });
const messenger = new Messenger({ open: openPanel, show: (job) => panel.show(job) });

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

/** @param {string[]} of */
function toggle([id = "", name = "", tooltip]) {
	const type = /** @type {const} */ ("boolean");
	const category = ["API Mall Video", ...id.split(".")];
	return { id: `apimallvideo.${id}`, name, tooltip, category, type, defaultValue: true };
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
			[
				"Nodes.ShowEstimate",
				"Show price, state and result on the node",
				"A line on each node of this pack. It is not saved with the workflow.",
			],
			["Clips.Workflow", "Write the workflow into clips", "Dropped on the canvas, a clip opens it. Uploads hold none."],
			["Messages.Paying", "Say what a prompt will newly pay", "When it is queued, from what such jobs cost before."],
			["Messages.Failed", "Say when a job failed", "With what it cost and what to do now."],
			[
				"Messages.Stopped",
				"Say what becomes of a job after an interrupt",
				"A job that was sent goes on and is paid for.",
			],
			[
				"Messages.Arrived",
				"Say when a clip came that nobody waited for",
				"It is in the panel, and was paid for already.",
			],
		].map(toggle),
		{
			...LIMIT,
			id: DAILY_CREDITS,
			name: "Most credits a day (0: no limit)",
			tooltip: "A job that would pass this is refused before it is sent. Days end at midnight of the ComfyUI machine.",
			category: ["API Mall Video", "Budget", "Credits"],
		},
		{
			...LIMIT,
			id: "apimallvideo.Budget.PromptCredits",
			name: "Most new credits a prompt (0: no limit)",
			tooltip: "Above it, or while a price is not known, a prompt pays nothing.",
			category: ["API Mall Video", "Budget", "Prompt"],
		},
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
		on("promptQueued", () => messenger.queued(lines.paying()));
		setInterval(() => lines.tick(), 1000);
	},
	nodeCreated(node) {
		if (!isOurs(node)) return;
		if (app.extensionManager?.setting?.get("apimallvideo.Nodes.ShowEstimate") !== false) lines.add(node);
		const prompt = node.widgets?.find(({ name }) => name === "prompt");
		// Room to write in; a node of a workflow gets its own size back after this.
		if (prompt) node.setSize?.([Math.max(node.size[0], FRESH_WIDTH_PX), node.computeSize()[1] + FRESH_ROWS_PX]);
	},
	afterConfigureGraph() {
		lines.settle();
	},
});
