// @ts-check
/** Hangs the browser half into ComfyUI: a sidebar tab and a line on the paid nodes. Without it all nodes work alike. */

import { app } from "../../../scripts/app.js";
import { Estimates, isPaid } from "./estimate.js";
import { Panel } from "./panel.js";
import { onJob } from "./server.js";

const TAB = "apimallvideo.jobs";
const SHOW_ESTIMATE = "apimallvideo.Nodes.ShowEstimate";
/** Read by `nodes/comfyui/host.py` before a job is sent. */
const DAILY_CREDITS = "apimallvideo.Budget.DailyCredits";

const estimates = new Estimates();
const panel = new Panel({ count: showCount, changed: () => estimates.forget() });

/** @param {number} unfinished on the tab's icon; the tab as ComfyUI keeps it redraws itself when it is changed. */
function showCount(unfinished) {
  const tab = app.extensionManager.getSidebarTabs?.().find(({ id }) => id === TAB);
  if (tab) tab.iconBadge = unfinished ? String(unfinished) : "";
}

app.registerExtension({
  name: "apimallvideo.panel",
  settings: [
    {
      id: SHOW_ESTIMATE,
      name: "Show what a job took before, on the node",
      tooltip: "One line on each paid node, from your own finished jobs. It is not saved with the workflow.",
      category: ["API Mall Video", "Nodes", "Estimate"],
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
    app.extensionManager?.registerSidebarTab?.({
      id: TAB,
      title: "API Mall",
      tooltip: "API Mall",
      icon: "pi pi-video",
      iconBadge: "",
      type: "custom",
      render: (host) => panel.render(host),
      destroy: () => panel.destroy(),
    });
    onJob(({ unfinished }) => {
      showCount(unfinished);
      estimates.forget();
    });
  },
  nodeCreated(node) {
    if (isPaid(node) && app.extensionManager?.setting?.get(SHOW_ESTIMATE) !== false) estimates.add(node);
  },
  afterConfigureGraph() {
    estimates.settle();
  },
});
