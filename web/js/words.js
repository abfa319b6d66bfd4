/** The panel's words in the language of ComfyUI. One catalogue each: `web/words/<language>.json`. */

import { app } from "../../../scripts/app.js";

/** @type {Record<string, string>} */
let words = {};
let language = "en";
/** @type {Promise<void> | undefined} */
let loading;

/** Fetches the catalogue, once; it is small and comes from this pack's own folder. */
export function loadWords() {
	loading ??= load();
	return loading;
}

async function load() {
	const chosen = String(app.extensionManager?.setting?.get("Comfy.Locale") ?? "en");
	language = ["zh", "ja"].find((known) => chosen.split("-")[0] === known) ?? "en";
	const answer = await fetch(new URL(`../words/${language}.json`, import.meta.url));
	words = answer.ok ? await answer.json() : {};
}

/**
 * The words under `key`, `{name}` replaced by the value of that name.
 * @param {string} key
 * @param {Record<string, string | number>} [values]
 */
export function t(key, values = {}) {
	return (words[key] ?? key).replace(/\{(\w+)\}/g, (whole, name) => String(values[name] ?? whole));
}

/** @param {string} key */
export function knows(key) {
	return key in words;
}

/** @param {number} value */
export function number(value) {
	return new Intl.NumberFormat(language, { maximumFractionDigits: 2 }).format(value);
}

/** @param {number} seconds */
export function span(seconds) {
	const whole = Math.max(0, Math.round(seconds));
	if (whole < 60) return t("time.s", { s: whole });
	const minutes = Math.floor(whole / 60);
	if (minutes < 60) return t("time.m", { m: minutes, s: whole % 60 });
	return t("time.h", { h: Math.floor(minutes / 60), m: minutes % 60 });
}

/** @param {number} epochSeconds today only the time, else the day as well */
export function moment(epochSeconds) {
	const then = new Date(epochSeconds * 1000);
	const today = then.toDateString() === new Date().toDateString();
	/** @type {Intl.DateTimeFormatOptions} */
	const time = { hour: "2-digit", minute: "2-digit" };
	return then.toLocaleString(language, today ? time : { ...time, day: "numeric", month: "short" });
}
