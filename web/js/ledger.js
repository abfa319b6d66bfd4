/** Money at a glance: the sums, thirty days of bars, and the day's limit as a line that can be moved. */

import { app } from "../../../scripts/app.js";
import { h } from "./look.js";
import { ask } from "./server.js";
import { number, t } from "./words.js";

/** Read by the server before a job is sent. */
export const DAILY_CREDITS = "apimallvideo.Limits.DailyCredits";
const DAY_MS = 86_400_000;

export class Ledger {
	constructor() {
		this.sums = h("dl.totals", { "aria-label": t("totals.title") });
		this.bars = h("div.bars", { hidden: true });
		this.limit = h("input", { type: "number", min: 0, step: 10, change: () => this.#setLimit() });
		this.days = h("div", { hidden: true }, this.bars, h("label.limit.small.quiet", t("totals.limit"), this.limit));
	}

	async refresh() {
		const { today, month, days } = await ask(`totals?minutes_east=${-new Date().getTimezoneOffset()}`);
		const shown = [
			["totals.today", today.credits],
			["totals.month", month.credits],
			["totals.refunded", month.refunded],
		];
		this.sums.replaceChildren(
			...shown.map(([key, credits]) => h("div", h("dd", number(Number(credits))), h("dt", t(String(key))))),
		);
		this.known = days;
		this.#draw();
	}

	#draw() {
		/** @type {Day[]} */
		const days = this.known ?? [];
		const limit = Number(app.extensionManager?.setting?.get(DAILY_CREDITS) ?? 0);
		const most = Math.max(1, limit, ...days.map(({ credits, refunded }) => credits + refunded));
		this.days.hidden = this.bars.hidden = !days.some(
			({ credits, refunded, uncertain }) => credits + refunded + uncertain,
		);
		this.limit.value = String(limit);
		const part = (/** @type {string} */ kind, /** @type {number} */ value) => {
			const bar = h("i", { class: kind });
			bar.style.height = `${(100 * value) / most}%`;
			return bar;
		};
		this.bars.replaceChildren(
			...days.map((day, place) => {
				const date = new Date(Date.now() - (days.length - 1 - place) * DAY_MS).toLocaleDateString();
				const values = { date, used: number(day.credits), refunded: number(day.refunded), uncertain: day.uncertain };
				const words = t("totals.day", values);
				const parts = [part("refunded", day.refunded), part("spent", day.credits)];
				return h(
					"span",
					{ title: words, role: "img", "aria-label": words, class: day.uncertain ? "uncertain" : "" },
					...parts,
				);
			}),
		);
		if (!limit) return;
		const line = h("b", { title: t("totals.limit") });
		line.style.bottom = `${(100 * limit) / most}%`;
		this.bars.append(line);
	}

	async #setLimit() {
		await app.extensionManager.setting.set(DAILY_CREDITS, Math.max(0, Number(this.limit.value) || 0));
		this.#draw();
	}
}
