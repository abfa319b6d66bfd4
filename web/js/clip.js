/** A finished clip as a thing: to be played, skimmed, and dragged onto the canvas. */

import { app } from "../../../scripts/app.js";
import { addNode, canvasPoint, LOAD_NODE } from "./canvas.js";
import { h } from "./look.js";
import { clipAddress } from "./server.js";
import { t } from "./words.js";

const HOVER_MS = 150;

/**
 * A Load Video with the clip of a job.
 * @param {Job} job
 * @param {[number, number]} [at]
 */
export function loadNode(job, at) {
	return addNode(LOAD_NODE, { file: `apimall/${job.file} [output]` }, at);
}

/**
 * Opens the workflow that a clip was made with, as if its file were let go over the canvas.
 * @param {string} file
 */
export async function openWorkflow(file) {
	const answer = await fetch(clipAddress(file));
	await app.handleFile(new File([await answer.blob()], file, { type: "video/mp4" }));
}

/**
 * @param {string} file
 * @param {Given} given
 */
export function video(file, given) {
	const src = clipAddress(file);
	const lost = async () => {
		const answer = await fetch(src, { method: "HEAD" }).catch(() => null);
		// While ComfyUI does not answer, nothing is known of the file.
		if (answer?.status === 404) element.replaceWith(h("p.small.quiet", t("card.file_gone")));
	};
	const element = h("video", { preload: "metadata", playsinline: true, error: lost, ...given, src });
	return element;
}

/**
 * Takes a player away; left alone, the browser would go on loading what it plays.
 * @param {HTMLVideoElement} element
 */
export function release(element) {
	element.removeAttribute("src");
	element.load();
	element.remove();
}

/**
 * While the pointer is over `frame`, its place is a place in the clip. No more than one clip is loaded for this.
 * @param {HTMLElement} frame
 * @param {string} file
 */
function scrubbed(frame, file) {
	/** @type {HTMLVideoElement | undefined} */
	let shown;
	let waiting = 0;
	const seek = (/** @type {PointerEvent} */ event) => {
		const { left, width } = frame.getBoundingClientRect();
		const part = Math.min(1, Math.max(0, (event.clientX - left) / width));
		if (shown && shown.duration > 0 && !shown.seeking) shown.currentTime = part * shown.duration;
	};
	const leave = () => {
		clearTimeout(waiting);
		if (shown) release(shown);
		shown = undefined;
	};
	frame.addEventListener("pointerenter", (event) => {
		if (event.pointerType === "touch") return;
		waiting = setTimeout(() => {
			shown = video(file, { muted: true, tabindex: -1, "aria-hidden": "true", class: "scrub", error: null });
			shown.addEventListener("loadedmetadata", () => seek(event));
			frame.append(shown);
		}, HOVER_MS);
	});
	frame.addEventListener("pointermove", seek);
	frame.addEventListener("pointerleave", leave);
}

/**
 * Skimmed by the pointer; let go over the canvas, a Load Video with the clip is put there.
 * @param {HTMLElement} handle
 * @param {Job} job
 */
export function handy(handle, job) {
	scrubbed(handle, String(job.file));
	handle.draggable = true;
	handle.addEventListener("dragstart", (event) => {
		// A kind of its own, or ComfyUI would take the clip for a file that holds a workflow.
		event.dataTransfer?.setData("application/x-apimallvideo", String(job.id));
	});
	handle.addEventListener("dragend", (event) => {
		const point = canvasPoint(event);
		if (point) loadNode(job, point);
	});
}
