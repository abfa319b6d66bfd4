/** ComfyUI's own player on our nodes: it goes with what it played, and the node is never higher than it needs. */

import { app } from "../../../scripts/app.js";
import { also, LOAD_NODE, linkedInputs, placeOf, rootGraph } from "./canvas.js";

/** @param {any} node */
function playerOf(node) {
	return node.widgets.find((/** @type {any} */ { name }) => name === "video-preview");
}

/** @param {any} node */
export function removePlayer(node) {
	const player = playerOf(node);
	if (player) node.removeWidget(player);
	node.videoContainer = undefined;
	delete app.nodeOutputs[node.graph === rootGraph() ? node.id : placeOf(node)];
}

/** @param {any} node of ours */
export function tendPlayer(node) {
	const [file, url] = node.widgets;
	const isLoad = node.comfyClass === LOAD_NODE;
	const hasNothing = () => isLoad && !file.value && !url.value && !linkedInputs(node).has("video");
	let before = 0;
	also(node, "onDrawBackground", () => {
		const player = playerOf(node);
		// One that was long in loading may come when it is not wanted any more.
		if (player && hasNothing()) removePlayer(node);
		const needed = playerOf(node)?.computeLayoutSize(node).minHeight ?? 0;
		if (needed === before) return;
		// ComfyUI lets a node only grow, and older pages draw its frame as it was before that.
		const [width, height] = node.size;
		if (needed < before) node.setSize([width, Math.max(node.computeSize()[1], height - before + needed)]);
		before = needed;
		node.graph.setDirtyCanvas(true, true);
	});
	if (!isLoad) return;
	also(file, "callback", () => hasNothing() && removePlayer(node));
	// Without a link the file counts again.
	also(node, "onConnectionsChange", (_kind, slot, isConnected) => {
		if (!isConnected && node.inputs[slot]?.name === "video") file.callback(file.value);
	});
}
