/** Words in ComfyUI's own corner: all that is seen of us in its App mode. */

import { app } from "../../../scripts/app.js";

const SHORT_MS = 4000;
const LONG_MS = 12_000;

// Older front ends have their own box about an error in that corner: ours comes below it.
const sheet = new CSSStyleSheet();
sheet.replaceSync(".apimallvideo-low { margin-top: 150px }");
document.adoptedStyleSheets.push(sheet);

/**
 * Says what hinders it.
 * @param {unknown} work
 */
export async function tried(work) {
	try {
		await work;
	} catch (refused) {
		notice("error", /** @type {Error} */ (refused).message);
	}
}

/**
 * @param {Severity} severity
 * @param {string} summary
 * @param {string} [detail]
 * @param {{ label: string, onClick: () => void }} [action] a button, where the front end has such
 */
export function notice(severity, summary, detail, action) {
	const corner = app.extensionManager?.toast;
	const life = severity === "error" || severity === "warn" || action ? LONG_MS : SHORT_MS;
	const kind = severity === "warn" ? "warning" : severity;
	if (action && typeof corner?.[kind] === "function") {
		corner[kind](summary, { description: detail, duration: life, action });
	} else corner?.add({ severity, summary, detail, life, styleClass: life === LONG_MS && "apimallvideo-low" });
}
