/** What we ask of ComfyUI's canvas, by calls that every supported front end has and none complains about. */

import { app } from "../../../scripts/app.js";
import { notice } from "./notices.js";
import { t } from "./words.js";

/** @type {Record<string, string>} The node that makes each type of job. */
export const NODE_OF_TYPE = {
	"text-to-video": "APIMall_TextToVideo",
	"image-to-video": "APIMall_ImageToVideo",
	"video-to-video": "APIMall_VideoToVideo",
};
/** @type {Record<string, string>} */
export const TYPE_OF_NODE = Object.fromEntries(Object.entries(NODE_OF_TYPE).map(([type, node]) => [node, type]));
export const POLL_NODE = "APIMall_PollResult";
export const LOAD_NODE = "APIMall_LoadVideo";

const GAP_PX = 40;
const TITLE_PX = 32;
const PLAYER_PX = 200;
const SIDE_BAR = ".side-bar-panel";

/** @param {{ comfyClass?: string }} node */
export function isOurs(node) {
	return isPaid(node) || node.comfyClass === POLL_NODE || node.comfyClass === LOAD_NODE;
}

/** @param {{ comfyClass?: string }} node */
export function isPaid(node) {
	return (node.comfyClass ?? "") in TYPE_OF_NODE;
}

/**
 * The node of ours that a node is, or that is in it: rather one that pays.
 * @param {any} node
 * @returns {AnyNode | undefined}
 */
export function oursIn(node) {
	if (isOurs(node)) return node;
	const ours = (node.subgraph?.nodes ?? []).map(oursIn).filter(Boolean);
	return ours.find(isPaid) ?? ours[0];
}

/**
 * Has something done before whatever `owner` does when this is called.
 * @param {any} owner
 * @param {string} name
 * @param {(...given: any[]) => void} act
 */
export function also(owner, name, act) {
	const own = owner[name];
	owner[name] = (/** @type {any[]} */ ...given) => {
		act(...given);
		return own?.apply(owner, given);
	};
}

/** The workflow that is open; older front ends know it under its former name only. */
export function rootGraph() {
	return app.rootGraph ?? app.graph;
}

/**
 * The node that the server means by an id, which leads through subgraphs: `12:5`; before it those that it is in.
 * @param {string} id
 */
export function nodesAt(id) {
	/** @type {any} */
	let graph = rootGraph();
	return id.split(":").map((part) => {
		const node = graph?.nodes?.find((/** @type {AnyNode} */ each) => String(each.id) === part);
		graph = node?.subgraph;
		return node;
	});
}

/**
 * Where a node is, over all workflows; "" while it is nowhere.
 * @param {AnyNode} node
 */
export function placeOf(node) {
	return node.graph ? `${node.graph.id}:${node.id}` : "";
}

/**
 * The inputs of a node that something is linked to, by the names of their widgets where they have one.
 * @param {AnyNode} node
 */
export function linkedInputs(node) {
	const inputs = node.inputs ?? [];
	// Newer front ends warn of `link`; older ones have nothing else.
	const isLinked = (/** @type {any} */ input, /** @type {number} */ slot) =>
		typeof node.isInputConnected === "function" ? node.isInputConnected(slot) : input.link != null;
	return new Set(inputs.filter(isLinked).map((input) => input.widget?.name ?? input.name));
}

/**
 * Adds a node with these widget values where there is room, and selects it; nothing when ComfyUI does not know it.
 * @param {string} name
 * @param {Record<string, unknown>} [values]
 * @param {[number, number]} [at] in the canvas's own measure; else what is seen of it decides
 * @param {[number, number]} [wish] there or near there, where nothing lies
 * @returns {AnyNode | undefined}
 */
export function addNode(name, values = {}, at, wish) {
	const node = LiteGraph.createNode(name);
	const graph = app.canvas?.graph ?? rootGraph();
	if (!node || !graph) {
		notice("error", t("toast.no_node"));
		return undefined;
	}
	const [left = 0, top = 0, width = 800, height = 600] = app.canvas.ds?.visible_area ?? [];
	// The player that is to come must not grow over what lies below.
	if (values.file) node.setSize([node.size[0], node.size[1] + PLAYER_PX]);
	const [x, y] = node.size;
	node.pos =
		at ?? freePlace(graph.nodes ?? [], node.size, wish ?? [left + (width - x) / 2 + aside(), top + (height - y) / 2]);
	graph.add(node);
	for (const widget of node.widgets ?? []) {
		if (!(widget.name in values)) continue;
		widget.value = /** @type {any} */ (values[widget.name]);
		widget.callback?.(widget.value, app.canvas, node);
	}
	if (!at) {
		app.canvas.centerOnNode(node);
		app.canvas.ds.offset[0] += aside();
	}
	app.canvas.deselectAll();
	app.canvas.selectNode(node);
	graph.setDirtyCanvas(true, true);
	giveKeyboardBack();
	return node;
}

/** How far the middle of what is seen of the canvas is from its own, in its own measure: an open side bar lies over it. */
function aside() {
	const { left, right } = app.canvas.canvas.getBoundingClientRect();
	const bar = document.querySelector(SIDE_BAR)?.getBoundingClientRect();
	const hidden = bar?.width ? (bar.left + bar.right < left + right ? bar.right - left : bar.left - right) : 0;
	return hidden / 2 / app.canvas.ds.scale;
}

/**
 * Where a node of this size lies over no other: there, or the nearest place straight beside or below it.
 * @param {any[]} others
 * @param {any} size
 * @param {[number, number]} there
 * @returns {[number, number]}
 */
function freePlace(others, [width, height], [x, y]) {
	const isFree = (/** @type {number} */ left, /** @type {number} */ top) =>
		others.every(
			({ pos, size }) =>
				left + width + GAP_PX <= pos[0] ||
				left >= pos[0] + size[0] + GAP_PX ||
				top + height + GAP_PX + TITLE_PX <= pos[1] ||
				top >= pos[1] + size[1] + GAP_PX + TITLE_PX,
		);
	for (let away = 0; ; away += GAP_PX) {
		if (isFree(x + away, y)) return [x + away, y];
		if (isFree(x, y + away)) return [x, y + away];
	}
}

/** From now on keys mean the canvas, as if it had been clicked. */
export function giveKeyboardBack() {
	app.canvas?.canvas?.focus({ preventScroll: true });
}

/**
 * Adds a node to the right of `source` and links the two.
 * @param {AnyNode} source
 * @param {string} output its name
 * @param {string} name
 * @param {string} input its name
 * @param {Record<string, unknown>} values
 */
export function linkNew(source, output, name, input, values) {
	const node = addNode(name, values, undefined, [source.pos[0] + source.size[0] + GAP_PX, source.pos[1]]);
	if (!node) return;
	source.connect(source.findOutputSlot(output), node, input);
	// Both in the middle.
	app.canvas.ds.offset[0] += (source.size[0] + GAP_PX) / 2;
}

/**
 * Where on the canvas a pointer is, in the canvas's own measure; nothing when it is elsewhere.
 * @param {MouseEvent} event
 * @returns {[number, number] | undefined}
 */
export function canvasPoint({ clientX, clientY }) {
	const element = app.canvas?.canvas;
	const over = document.elementFromPoint(clientX, clientY);
	if (!element || !over?.closest("#graph-canvas, [data-node-id], .dom-widget")) return undefined;
	const { left, top } = element.getBoundingClientRect();
	const { scale, offset } = app.canvas.ds;
	return [(clientX - left) / scale - offset[0], (clientY - top) / scale - offset[1]];
}
