/** Money at a glance: thirty days of bars, the day's limit as a line in them that can be moved, and the sums. */

import { app } from "../../../scripts/app.js";
import { h } from "./look.js";
import { ask } from "./server.js";
import { number, t } from "./words.js";

/** Read by the server before a job is sent. */
const DAILY_CREDITS = "apimallvideo.Limits.DailyCredits";

export class Ledger {
	constructor() {
		this.sums = h("div.totals");
		this.bars = h("div.bars");
		this.element = h("div", { role: "group", "aria-label": t("totals.title") }, this.bars, this.sums);
		this.field = h("input", { type: "number", min: 0, step: 10, change: () => this.#setLimit() });
		this.limit = h("label.limit.small.quiet", t("totals.limit"), this.field);
		/** @type {Day[]} */
		this.days = [];
	}

	async refresh() {
		const { today, week, month, days } = await ask(`totals?minutes_east=${-new Date().getTimezoneOffset()}`);
		const shown = { today: today.credits, week: week.credits, month: month.credits, refunded: month.refunded };
		this.sums.replaceChildren(
			...Object.entries(shown).map(([key, credits]) => h("span", h("b", number(credits)), ` ${t(`totals.${key}`)}`)),
		);
		this.days = days;
		this.#draw();
	}

	#draw() {
		const { days } = this;
		const limit = Number(app.extensionManager?.setting?.get(DAILY_CREDITS) ?? 0);
		const most = Math.max(1, limit, ...days.map(({ credits, refunded }) => credits + refunded));
		this.bars.hidden = !days.some(({ credits, refunded, uncertain }) => credits + refunded + uncertain);
		this.field.value = String(limit);
		const part = (/** @type {string} */ kind, /** @type {number} */ value) =>
			h("i", { class: kind, style: `height: ${(100 * value) / most}%` });
		this.bars.replaceChildren(
			h("small.quiet", t("totals.days", { days: days.length })),
			...days.map((day) => {
				const date = new Date(1000 * day.begins).toLocaleDateString();
				const values = { date, used: number(day.credits), refunded: number(day.refunded), uncertain: day.uncertain };
				const words = t("totals.day", values);
				return h(
					"span",
					{ title: words, role: "img", class: day.uncertain && "uncertain" },
					part("refunded", day.refunded),
					part("spent", day.credits),
				);
			}),
		);
		if (limit) this.bars.append(h("b", { title: t("totals.limit"), style: `bottom: ${(100 * limit) / most}%` }));
	}

	async #setLimit() {
		await app.extensionManager.setting.set(DAILY_CREDITS, Math.max(0, Number(this.field.value) || 0));
		this.#draw();
	}
}
