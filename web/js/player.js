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
	/** @type {any} */
	let clip;
	let high = 0;
	also(node, "onDrawBackground", () => {
		// One that was long in loading may come when it is not wanted any more.
		if (playerOf(node) && hasNothing()) removePlayer(node);
		const player = playerOf(node);
		const shown = player?.element.querySelector("video");
		if (shown === clip) return;
		clip = shown;
		const [width, height] = node.size;
		const before = high;
		high = clip ? (width * clip.videoHeight) / clip.videoWidth : 0;
		// ComfyUI's player is for good as high as its first clip needs, and a node only grows.
		if (player) player.computeLayoutSize = () => ({ minHeight: high, minWidth: 1 });
		if (high < before) node.setSize([width, Math.max(node.computeSize()[1], height - before + high)]);
		// Older pages draw its frame as it was before that.
		node.graph.setDirtyCanvas(true, true);
	});
	if (!isLoad) return;
	also(file, "callback", () => hasNothing() && removePlayer(node));
	// Without a link the file counts again.
	also(node, "onConnectionsChange", (_kind, slot, isConnected) => {
		if (!isConnected && node.inputs[slot]?.name === "video") file.callback(file.value);
	});
}
