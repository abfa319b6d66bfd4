/** What is worth a word when nobody looks at the node or the panel. Each kind can be switched off in the settings. */

import { app } from "../../../scripts/app.js";
import { notice } from "./notices.js";
import { chargeOf, GENTLE, partOf, titleOf } from "./saying.js";
import { loadWords, number, t } from "./words.js";

/** @type {Record<string, string>} The setting of each end that is not the good one. */
const ENDS = { failed: "Failed", stopped: "Stopped" };
const BEGINNING_LENGTH = 60;

/** @param {string} kind */
function wanted(kind) {
	return app.extensionManager?.setting?.get(`apimallvideo.Messages.${kind}`) !== false;
}

export class Messenger {
	/** @param {Opener} open */
	constructor(open) {
		this.open = open;
		/** @type {Set<string>} */
		this.said = new Set();
	}

	/** @param {Told & { node: string }} told the end of a run, said once */
	told({ phase, trouble, job, prompt_id, node }) {
		if (!trouble || !(phase in ENDS) || !wanted(ENDS[phase] ?? "")) return;
		const which = `${prompt_id} ${job?.id ?? node} ${phase}`;
		if (this.said.has(which)) return;
		this.said.add(which);
		const show = job ? this.#shower(job.id) : undefined;
		const charge = chargeOf(trouble);
		if (phase === "failed") {
			const goesOn = GENTLE.has(trouble.kind);
			const advice = goesOn ? t("message.same_again") : partOf(trouble, "advice");
			const text = `${partOf(trouble, "what")} ${charge} ${advice}`;
			notice(goesOn ? "warn" : "error", titleOf(trouble.kind), text, show);
		} else if (trouble.charge === "not_sent") notice("info", t("line.unsent"), charge, show);
		else notice("info", t("message.stopped"), t("message.arrives"), show);
	}

	/**
	 * @param {Job} job
	 * @param {boolean} seen awaited by a node, somewhere, or in the open panel
	 */
	moved(job, seen) {
		if (!job.file || seen || !wanted("Arrived")) return;
		const which = `${job.id} arrived`;
		if (this.said.has(which)) return;
		this.said.add(which);
		const beginning = (job.prompt ?? "").trim().slice(0, BEGINNING_LENGTH);
		notice("success", t("message.arrived"), beginning || t("card.foreign"), this.#shower(job.id));
	}

	/** @param {Price[]} prices of the clips that what was queued will newly pay */
	async queued(prices) {
		if (!prices.length || !wanted("Paying")) return;
		await loadWords();
		const known = prices.flatMap(({ credits }) => credits ?? []);
		const sum = number(known.reduce((total, each) => total + each, 0));
		const clips = t(prices.length === 1 ? "message.new_clip" : "message.new_clips", { clips: prices.length });
		const about =
			known.length === prices.length ? "message.about" : known.length ? "message.at_least" : "message.unknown";
		const mark = prices.some(({ rehearsal }) => rehearsal) ? `${t("rehearsal.mark")} \u00b7 ` : "";
		notice("info", mark + clips, t(about, { credits: sum }));
	}

	/** @param {number} job */
	#shower(job) {
		return { label: t("message.show"), onClick: () => this.open(job) };
	}
}
