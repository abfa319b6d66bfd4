// @ts-check
/** Hangs the browser half into ComfyUI: a sidebar tab, a line on each node, a few words. Without it all nodes work alike. */

import { app } from "../../../scripts/app.js";
import { isOurs } from "./canvas.js";
import { Lines } from "./line.js";
import { Messenger } from "./messenger.js";
import { Panel } from "./panel.js";
import { onJob, onQueued, onQueueing, onTold } from "./server.js";
import { loadWords } from "./words.js";

const TAB = "apimallvideo.jobs";
const SHOW_LINE = "apimallvideo.Nodes.ShowEstimate";
/** Read by the server before a job is sent. */
const DAILY_CREDITS = "apimallvideo.Budget.DailyCredits";
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

/** @param {number} unfinished on the tab's icon; the tab as ComfyUI keeps it redraws itself when it is changed. */
function showCount(unfinished) {
  const keeper = tabs();
  /** @type {any[]} */
  const known = keeper?.sidebarTabs ?? keeper?.getSidebarTabs?.() ?? [];
  const tab = known.find(({ id }) => id === TAB);
  if (tab) tab.iconBadge = () => (unfinished ? String(unfinished) : null);
}

function openPanel() {
  if (!panel.isOpen) app.extensionManager.command.execute(`Workspace.ToggleSidebarTab.${TAB}`);
}

app.registerExtension({
  name: "apimallvideo.panel",
  settings: [
    {
      id: SHOW_LINE,
      name: "Show price, state and result on the node",
      tooltip: "A line on each node of this pack. It is not saved with the workflow.",
      category: ["API Mall Video", "Nodes", "Line"],
      type: "boolean",
      defaultValue: true,
    },
    {
      id: "apimallvideo.Messages.Paying",
      name: "Say what a prompt will newly pay",
      tooltip: "When it is queued, from what such jobs cost before.",
      category: ["API Mall Video", "Messages", "Paying"],
      type: "boolean",
      defaultValue: true,
    },
    {
      id: "apimallvideo.Messages.Failed",
      name: "Say when a job failed",
      tooltip: "With what it cost and what to do now.",
      category: ["API Mall Video", "Messages", "Failed"],
      type: "boolean",
      defaultValue: true,
    },
    {
      id: "apimallvideo.Messages.Stopped",
      name: "Say what becomes of a job after an interrupt",
      tooltip: "A job that was sent goes on and is paid for.",
      category: ["API Mall Video", "Messages", "Stopped"],
      type: "boolean",
      defaultValue: true,
    },
    {
      id: "apimallvideo.Messages.Arrived",
      name: "Say when a clip came that nobody waited for",
      tooltip: "It is in the panel, and was paid for already.",
      category: ["API Mall Video", "Messages", "Arrived"],
      type: "boolean",
      defaultValue: true,
    },
    {
      id: DAILY_CREDITS,
      name: "Most credits a day (0: no limit)",
      tooltip: "A job that would pass this is refused before it is sent. Days end at midnight of the ComfyUI machine.",
      category: ["API Mall Video", "Budget", "Credits"],
      type: "number",
      attrs: { min: 0, step: 10 },
      defaultValue: 0,
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
    onQueueing(() => messenger.queueing(lines.paying()));
    onQueued(() => messenger.queued(lines.paying()));
    setInterval(() => lines.tick(), 1000);
  },
  nodeCreated(node) {
    if (!isOurs(node)) return;
    if (app.extensionManager?.setting?.get(SHOW_LINE) !== false) lines.add(node);
    const prompt = node.widgets?.find(({ name }) => name === "prompt");
    // Room to write in; a node of a workflow gets its own size back after this.
    if (prompt) node.setSize?.([Math.max(node.size[0], FRESH_WIDTH_PX), node.computeSize()[1] + FRESH_ROWS_PX]);
  },
  afterConfigureGraph() {
    lines.settle();
  },
});
