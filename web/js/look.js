/** How everything of ours looks, and the few pieces it is built from. Text is always set as text, never as markup. */

import { t } from "./words.js";

const ARMED_MS = 6000;
const sheet = new CSSStyleSheet();
/** @type {Promise<void> | undefined} */
let loading;

/** Fetches the style sheet, once; roots that are there already take it on. */
export function loadLook() {
	loading ??= fetch(new URL("../css/look.css", import.meta.url))
		.then((answer) => (answer.ok ? answer.text() : ""))
		.then((text) => sheet.replaceSync(text));
	return loading;
}

const CIRCLE = "M8 1.8a6.2 6.2 0 1 0 0 12.4a6.2 6.2 0 1 0 0-12.4";
/** @type {Record<string, string>} Outlines in a square of 16. */
const SHAPES = {
	play: "M5 3l8 5-8 5z",
	pause: "M5 3v10M11 3v10",
	clock: `${CIRCLE}M8 4.6V8l2.4 1.6`,
	question: `${CIRCLE}M6.2 6.2a1.9 1.9 0 1 1 2.6 1.8c-.6.2-.8.6-.8 1.2M8 11.4v.1`,
	cross: `${CIRCLE}M5.8 5.8l4.4 4.4M10.2 5.8l-4.4 4.4`,
	fetch: "M8 2v8M4.8 7 8 10.2 11.2 7M2.5 13.5h11",
	tune: "M2.5 5h4M10.5 5h3M2.5 11h3M9.5 11h4M8.5 3a2 2 0 1 0 0 4a2 2 0 1 0 0-4M7.5 9a2 2 0 1 0 0 4a2 2 0 1 0 0-4",
	star: "M8 1.8l1.9 3.9 4.3.6-3.1 3 .7 4.3L8 11.6l-3.8 2 .7-4.3-3.1-3 4.3-.6z",
	film: "M2 3.5h12v9H2zM5 3.5v9M11 3.5v9M2 8h3M11 8h3",
};

/**
 * A shadow root with our look in it; nothing of it reaches the page around.
 * @param {HTMLElement} host
 */
export function shadowOf(host) {
	const root = host.attachShadow({ mode: "open" });
	root.adoptedStyleSheets = [sheet];
	loadLook();
	return root;
}

/**
 * Keys that are meant for a field or a button inside stay inside; all others are ComfyUI's shortcuts, which look at
 * the element an event seems to come from, and that is not the field.
 * @param {ShadowRoot} root
 */
export function keepKeys(root) {
	const isKept = (/** @type {Event} */ event) => {
		const target = /** @type {HTMLElement} */ (event.composedPath()[0]);
		if (target.closest?.("dialog") || target.matches?.("textarea, input:not([type=radio], [type=checkbox])"))
			return true;
		const { key, ctrlKey, metaKey } = /** @type {KeyboardEvent} */ (event);
		return !ctrlKey && !metaKey && /^(Enter| |Tab|Arrow.*|Home|End|Page.*)$/.test(key ?? "");
	};
	for (const name of ["keydown", "keyup", "keypress", "copy", "cut", "paste"]) {
		root.addEventListener(name, (event) => {
			if (isKept(event)) event.stopPropagation();
		});
	}
}

/**
 * An element: `h("p.small", "words")`. Of what is given, a function is a listener, `true` an attribute without a value;
 * null and false are left out.
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag | `${Tag}.${string}`} kind a tag, and classes
 * @param {Given | Child} [given] may be left out
 * @param {...Child} children
 */
export function h(kind, given, ...children) {
	const [tag = "", ...classes] = kind.split(".");
	const element = document.createElement(/** @type {Tag} */ (tag));
	element.classList.add(...classes);
	if (element instanceof HTMLButtonElement) element.type = "button";
	if (!given || typeof given !== "object" || given instanceof Node) children.unshift(given);
	else
		for (const [name, value] of Object.entries(given)) {
			if (typeof value === "function") element.addEventListener(name, value);
			else if (value === true) element.setAttribute(name, "");
			else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, String(value));
		}
	for (const child of children) if (child) element.append(child);
	return element;
}

/** @param {string} name one of SHAPES */
export function icon(name) {
	const space = "http://www.w3.org/2000/svg";
	const svg = document.createElementNS(space, "svg");
	const path = document.createElementNS(space, "path");
	svg.setAttribute("viewBox", "0 0 16 16");
	svg.setAttribute("aria-hidden", "true");
	path.setAttribute("d", SHAPES[name] ?? "");
	svg.append(path);
	return svg;
}

/**
 * A button that says what `key` says.
 * @param {string} key
 * @param {() => void} act
 * @param {Given} [given]
 */
export function press(key, act, given) {
	return h("button", { ...given, click: act }, t(key));
}

/**
 * A button that is a picture.
 * @param {string} title
 * @param {string} shape
 * @param {Given} given
 */
export function tool(title, shape, given) {
	return h("button.plain.tool", { title, ...given }, icon(shape));
}

/**
 * A button whose first press asks, and whose second acts.
 * @param {string} label
 * @param {string} question
 * @param {() => void} act
 * @param {Given} given
 */
export function armed(label, question, act, given) {
	const calm = () => {
		button.classList.remove("armed");
		button.textContent = label;
	};
	const press = () => {
		const sure = button.classList.contains("armed");
		calm();
		if (sure) return act();
		button.classList.add("armed");
		button.textContent = question;
		setTimeout(calm, ARMED_MS);
	};
	const button = h("button", { ...given, click: press }, label);
	return button;
}

/** @param {number} fraction */
export function bar(fraction) {
	return h("div.bar", h("i", { style: `width: ${100 * Math.min(1, Math.max(0, fraction))}%` }));
}

/** @param {[key: string, value: unknown][]} rows what has no value is left out */
export function ids(...rows) {
	const known = rows.filter(([, value]) => value);
	return known.length > 0 && h("dl.ids", ...known.flatMap(([key, value]) => [h("dt", t(key)), h("dd", String(value))]));
}
