// @ts-check
/** Puts nodes on the canvas, where the user is looking. */

import { app } from "../../../scripts/app.js";

/** @type {Record<string, string>} The node that makes each type of job. */
export const NODE_OF_TYPE = {
  "text-to-video": "APIMall_TextToVideo",
  "image-to-video": "APIMall_ImageToVideo",
  "video-to-video": "APIMall_VideoToVideo",
};
export const POLL_NODE = "APIMall_PollResult";

/**
 * Adds a node with these widget values and selects it. False when this ComfyUI does not know the node.
 * @param {string} name
 * @param {Record<string, unknown>} values
 */
export function addNode(name, values = {}) {
  const node = LiteGraph.createNode(name);
  const graph = app.canvas?.graph ?? app.graph;
  if (!node || !graph) return false;
  const [left = 0, top = 0, width = 800, height = 600] = app.canvas.ds?.visible_area ?? [];
  let [x, y] = [left + (width - node.size[0]) / 2, top + (height - node.size[1]) / 2];
  const taken = graph.nodes ?? [];
  while (taken.some((other) => Math.abs(other.pos[0] - x) < 20 && Math.abs(other.pos[1] - y) < 20)) {
    x += 32;
    y += 32;
  }
  node.pos = [x, y];
  graph.add(node);
  for (const widget of node.widgets ?? []) {
    if (!(widget.name in values)) continue;
    widget.value = /** @type {any} */ (values[widget.name]);
    widget.callback?.(widget.value, app.canvas, node);
  }
  app.canvas.selectNode?.(node);
  graph.setDirtyCanvas?.(true, true);
  return true;
}

/**
 * A word in ComfyUI's own corner for such words.
 * @param {"success" | "info" | "warn" | "error"} severity
 * @param {string} summary
 * @param {string} [detail]
 */
export function toast(severity, summary, detail) {
  app.extensionManager?.toast?.add({ severity, summary, detail, life: severity === "error" ? 8000 : 4000 });
}
