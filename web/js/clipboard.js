// @ts-check

import { h } from "./look.js";
import { notice } from "./notices.js";
import { t } from "./words.js";

/**
 * Copies a text and says so. Pages that came over plain http from another machine have no clipboard of their own:
 * there a selection within `near` does the same.
 * @param {string} text
 * @param {HTMLElement} near
 */
export async function copy(text, near) {
	const done = await navigator.clipboard?.writeText(text).then(
		() => true,
		() => false,
	);
	if (done || copySelection(text, near)) notice("success", t("toast.copied"));
	else notice("warn", t("toast.not_copied"), text);
}

/**
 * @param {string} text
 * @param {HTMLElement} near
 */
function copySelection(text, near) {
	const field = h("textarea.unseen", { readonly: true, tabindex: -1 });
	field.value = text;
	near.append(field);
	field.select();
	const done = document.execCommand("copy");
	field.remove();
	return done;
}
