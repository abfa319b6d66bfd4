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
	const copied = () => notice("success", t("toast.copied"));
	if (navigator.clipboard) {
		const refused = await navigator.clipboard.writeText(text).catch((problem) => problem);
		if (!refused) return copied();
	}
	const field = h("textarea.unseen", { readonly: true, tabindex: -1 });
	field.value = text;
	near.append(field);
	field.select();
	const done = document.execCommand("copy");
	field.remove();
	if (done) copied();
	else notice("warn", t("toast.not_copied"), text);
}
