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

const ICONS = new URL("../icons.svg", import.meta.url);

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
		const target = event.composedPath()[0];
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

/** @param {string} name of a symbol in `icons.svg` */
export function icon(name) {
	const space = "http://www.w3.org/2000/svg";
	const svg = document.createElementNS(space, "svg");
	const use = document.createElementNS(space, "use");
	svg.setAttribute("aria-hidden", "true");
	use.setAttribute("href", `${ICONS}#${name}`);
	svg.append(use);
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
 * @param {() => unknown} act
 * @param {Given} given
 */
export function armed(label, question, act, given) {
	const calm = () => {
		button.classList.remove("armed");
		button.textContent = label;
	};
	const press = async () => {
		const sure = button.classList.contains("armed");
		calm();
		if (sure) {
			button.disabled = true;
			await act();
			button.disabled = false;
			return;
		}
		button.classList.add("armed");
		button.textContent = question;
		setTimeout(calm, ARMED_MS);
	};
	const button = h("button", { "aria-live": "polite", ...given, click: press }, label);
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
