/** The account corner: balance and sums; opened, key, rehearsal, limit. The key goes in and never comes out. */

import { Elsewhere } from "./elsewhere.js";
import { Ledger } from "./ledger.js";
import { h, icon, press } from "./look.js";
import { ask, EXPORT_ADDRESS } from "./server.js";
import { number, t } from "./words.js";

/** A little more than the 30 s that the server keeps a balance for. */
const BALANCE_MS = 31_000;

export class AccountCorner {
	/**
	 * @param {(account: Account, changed: boolean) => void} tell called with the account when it is known or changed
	 * @param {(ready: boolean) => void} told called when it is known whether jobs can be made
	 */
	constructor(tell, told) {
		this.tell = tell;
		this.told = told;
		this.works = true;
		this.ledger = new Ledger();
		this.balance = h("span.sum", "\u2026");
		this.top = h("div.top");
		this.settings = h("div.settings");
		this.notes = h("div");
		this.verdict = h("p.small", { role: "status" });
		this.elsewhere = new Elsewhere(() => this.account && this.#show(this.account, false));
		this.details = h(
			"details",
			h("summary", this.top, this.ledger.element),
			this.settings,
			this.ledger.limit,
			h("a.small", { href: EXPORT_ADDRESS, download: "apimall-jobs.csv" }, t("jobs.csv")),
		);
		this.element = h("section.account", { "aria-label": t("account.title") }, this.details, this.notes);
	}

	async refresh(changed = false) {
		this.#show(await ask("account"), changed);
	}

	async refreshBalance() {
		const { account } = this;
		const told = await ask("balance").catch(({ message }) => ({ credits: null, problem: message, key: "unknown" }));
		// Of another account it is none of this one's.
		if (account === this.account) this.#showBalance(told);
	}

	/** @param {Balance} told */
	#showBalance({ credits, problem, key }) {
		this.balance.textContent = credits === null ? "\u2013" : number(credits);
		this.balance.title = problem ?? "";
		this.#complain(problem ?? "");
		if (key === "wrong") this.details.open = true;
		this.told(key === "right");
	}

	/** @param {string} problem */
	#complain(problem) {
		this.notes.querySelector(".problem")?.replaceChildren(problem);
	}

	/**
	 * Credits have moved: shows what is left, if a reply told it, and asks as soon as the server would ask again.
	 * @param {number} [left]
	 */
	credited(left) {
		if (left !== undefined) this.#showBalance({ credits: left, problem: null, key: "right" });
		this.end();
		this.later = setTimeout(() => this.refreshBalance(), BALANCE_MS);
	}

	/** Ask nothing more. */
	end() {
		clearTimeout(this.later);
	}

	/**
	 * @param {Account} account
	 * @param {boolean} changed
	 */
	#show(account, changed) {
		const ready = account.rehearsal || account.key_source !== "none";
		const works = ready && !account.problem;
		// Open until jobs can be made.
		if (works !== this.works) this.details.open = !works;
		this.works = works;
		this.account = account;
		this.top.replaceChildren(
			works ? this.balance : h("b", t("account.no_key")),
			works ? h("span.quiet.small", t(account.rehearsal ? "account.play_credits" : "account.credits")) : "",
			h("span.tool", { title: t("account.settings") }, icon("tune")),
		);
		this.settings.replaceChildren(h("p.small.quiet", this.#line(account)), ...this.#settings(account));
		this.notes.replaceChildren(
			this.verdict,
			account.shared ? h("p.small.quiet", t("account.shared")) : "",
			h("p.small.problem", account.problem ?? ""),
			account.left_behind
				? this.#question("account.move", { jobs: number(account.left_behind) }, "journal", (take) => ({ take }))
				: "",
			...(account.others ?? []).map(({ account: other, jobs, unfinished }) => {
				const told = { jobs: number(jobs), unfinished: number(unfinished) };
				return this.#question("account.same", told, "account/same", (same) => ({ other, same }));
			}),
		);
		this.tell(account, changed);
		if (!works) this.told(false);
		else if (!account.balance) this.refreshBalance();
	}

	/**
	 * @param {string} what the word that asks
	 * @param {Record<string, string>} told
	 * @param {string} path
	 * @param {(yes: boolean) => unknown} body
	 */
	#question(what, told, path, body) {
		const answer = (/** @type {boolean} */ yes, /** @type {string} */ word) =>
			press(`${what}.${word}`, () => this.#write(path, body(yes)));
		return h(
			"div.asking.small",
			{ role: "group" },
			h("b", t(what)),
			h("p", t(`${what}.about`, told)),
			h("div.verbs", answer(true, "yes"), answer(false, "no")),
		);
	}

	/** @param {Account} account */
	#line(account) {
		if (account.problem) return "";
		if (account.rehearsal) return t("account.rehearsing");
		if (account.key_source === "none") return account.writable ? t("account.how") : "";
		return t(`account.key_from.${account.key_source}`, { key: account.masked_key ?? "", host: account.host });
	}

	/**
	 * What can be set from here; elsewhere that is said first, and no field is shown before a code was asked for.
	 * @param {Account} account
	 */
	#settings(account) {
		const fixed = account.rehearsal_source === "environment" && account.key_source === "environment";
		const here = account.writable || fixed;
		const fields = here || this.elsewhere.printed ? [this.#rehearsal(account), this.#key(account)] : [];
		return here ? fields : [this.elsewhere.element, ...fields];
	}

	/** @param {Account} account */
	#rehearsal(account) {
		const fixed = account.rehearsal_source === "environment";
		const box = h("input", {
			type: "checkbox",
			role: "switch",
			disabled: fixed,
			checked: account.rehearsal,
			change: () => this.#write("rehearsal", { on: box.checked }),
		});
		return h(
			"label.switch",
			box,
			h("span", t("account.rehearsal")),
			h("span.small.quiet", t(fixed ? "account.rehearsal.fixed" : "account.rehearsal.about")),
		);
	}

	/** @param {Account} account */
	#key(account) {
		if (account.rehearsal) return "";
		if (account.key_source === "environment") return h("p.small.quiet", t("account.key.fixed"));
		const whence = h(
			"a",
			{ href: "https://www.apimall.ai/api-keys", target: "_blank", rel: "noreferrer" },
			t("account.key.whence"),
		);
		const field = h("input", {
			type: "password",
			autocomplete: "off",
			"aria-label": t("account.key.new"),
			placeholder: t(account.key_source === "file" ? "account.key.replace" : "account.key.new"),
		});
		const save = (/** @type {SubmitEvent} */ event) => {
			event.preventDefault();
			const key = field.value;
			field.value = "";
			if (key.trim()) this.#write("key", { key });
		};
		return h(
			"div",
			h("form", { submit: save }, field, h("button.main", { type: "submit" }, t("account.key.save"))),
			h("p.small.quiet", t("account.key.about")),
			h("p.small", whence),
		);
	}

	/**
	 * Has something done that not everybody may have done.
	 * @param {string} path
	 * @param {unknown} body
	 */
	async act(path, body) {
		const told = await ask(path, body, this.elsewhere.headers);
		this.elsewhere.clear();
		return told;
	}

	/**
	 * @param {string} path
	 * @param {unknown} body
	 */
	async #write(path, body) {
		this.verdict.replaceChildren();
		try {
			const account = await this.act(path, body);
			this.#show(account, true);
			// The gateway was asked for a new key.
			if (account.balance) {
				this.#showBalance(account.balance);
				this.verdict.replaceChildren(t(`account.key.${account.balance.key}`));
			}
		} catch (refused) {
			await this.refresh();
			this.#complain(/** @type {Error} */ (refused).message);
		}
	}
}
