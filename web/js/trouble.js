/** The dialog that answers: what happened, was I charged, what now. */

import { copy } from "./clipboard.js";
import { h, ids, press } from "./look.js";
import { chargeOf, partOf, titleOf } from "./saying.js";
import { ask } from "./server.js";
import { t } from "./words.js";

/**
 * @param {number} jobId 0: there is no job, only what `known` says
 * @param {HTMLElement} near an element of ours: the dialog shares its look
 * @param {Trouble} [known] what was told of it already
 */
export async function showTrouble(jobId, near, known) {
	const found = jobId ? await ask(`jobs/${jobId}`).catch(() => ({})) : {};
	const { report, job } = found;
	const trouble = found.trouble ?? known;
	if (!trouble) return;
	const close = () => dialog.close();
	const dialog = h(
		"dialog",
		{ "aria-labelledby": "apimall-trouble", close: () => dialog.remove() },
		h(
			"div.sheet",
			h("h2", { id: "apimall-trouble" }, titleOf(trouble.kind)),
			part("trouble.what", partOf(trouble, "what")),
			part("trouble.charged", chargeOf(trouble)),
			part("trouble.now", partOf(trouble, "advice")),
			ids(
				["card.task", trouble.task_id],
				["trouble.request", trouble.request_id],
				["trouble.provider_request", trouble.provider_request_id],
				["trouble.http", trouble.http_status],
				["trouble.code", trouble.code],
			),
			report && h("details", h("summary", t("trouble.report")), h("pre", { tabindex: 0 }, report)),
			h(
				"footer",
				job?.task_id && press("verb.copy", () => copy(job.task_id)),
				report && press("trouble.copy", () => copy(report)),
				press("trouble.close", close, { class: "main", autofocus: true }),
			),
		),
	);
	near.getRootNode().appendChild(dialog);
	dialog.showModal();
}

/**
 * @param {string} key
 * @param {string} text
 */
function part(key, text) {
	return text ? h("section", h("h3", t(key)), h("p", text)) : null;
}
