import { notice } from "./notices.js";
import { t } from "./words.js";

/**
 * Copies a text and says so.
 * @param {string} text
 */
export async function copy(text) {
	const give = (/** @type {ClipboardEvent} */ event) => {
		event.clipboardData?.setData("text/plain", text);
		event.preventDefault();
		event.stopImmediatePropagation();
	};
	const written = await navigator.clipboard?.writeText(text).then(
		() => true,
		() => false,
	);
	// Pages that came over plain http from another machine have no clipboard of their own.
	addEventListener("copy", give, true);
	const done = written || document.execCommand("copy");
	removeEventListener("copy", give, true);
	if (done) notice("success", t("toast.copied"));
	else notice("warn", t("toast.not_copied"), text);
}
