/** The account corner: key, balance, rehearsal. The key goes in and never comes out. */

import { Elsewhere } from "./elsewhere.js";
import { h, tool } from "./look.js";
import { ask } from "./server.js";
import { number, t } from "./words.js";

/** A little more than the 30 s that the server keeps a balance for. */
const BALANCE_MS = 31_000;

const KEYS_PAGE = "https://www.apimall.ai/api-keys";

export class AccountCorner {
	/**
	 * @param {(account: Account, changed: boolean) => void} tell called with the account when it is known or changed
	 * @param {(ready: boolean) => void} told called when it is known whether jobs can be made
	 */
	constructor(tell, told) {
		this.tell = tell;
		this.told = told;
		this.ready = false;
		/** @type {boolean | undefined} */
		this.open = undefined;
		/** @type {ReturnType<typeof setTimeout> | undefined} */
		this.later = undefined;
		this.balance = h("span.sum", "\u2026");
		this.elsewhere = new Elsewhere(() => this.account && this.#show(this.account, false));
		this.element = h("section.account", { "aria-label": t("account.title") });
	}

	async refresh(changed = false) {
		this.#show(await ask("account"), changed);
	}

	async refreshBalance() {
		const told = await ask("balance").catch((refused) => ({ credits: null, problem: refused.message, key: "unknown" }));
		this.#showBalance(told);
	}

	/** @param {Balance} told */
	#showBalance({ credits, problem, key }) {
		this.balance.textContent = credits === null ? "\u2013" : number(credits);
		this.balance.title = problem ?? "";
		this.#complain(problem ?? "");
		this.ready = key === "right";
		if (key === "wrong" && !this.open) this.#toggle();
		this.told(this.ready);
	}

	/** @param {string} problem */
	#complain(problem) {
		this.element.querySelector(".balance-problem")?.replaceChildren(problem);
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
		this.open ??= !ready || Boolean(account.problem);
		this.account = account;
		this.element.replaceChildren(
			h("div.top", ...(ready && !account.problem ? this.#sum() : [h("b", t("account.no_key"))]), this.#opener()),
			h("p.small.quiet", this.#line(account)),
			h("p.small.verdict", { role: "status" }),
			h("p.small.quiet", { hidden: !account.shared }, t("account.shared")),
			h("p.small.problem.balance-problem", account.problem ?? ""),
			...(account.others ?? []).map((other) => this.#question(other)),
			h("div.more", { hidden: !this.open }, ...this.#settings(account)),
		);
		this.tell(account, changed);
		if (!ready || account.problem) this.told(false);
		else if (!changed || account.rehearsal) this.refreshBalance();
	}

	#sum() {
		return [
			this.balance,
			h("span.quiet.small", t(this.account?.rehearsal ? "account.play_credits" : "account.credits")),
		];
	}

	#toggle() {
		this.open = !this.open;
		const more = /** @type {HTMLElement | null} */ (this.element.querySelector(".more"));
		if (more) more.hidden = !this.open;
		this.element.querySelector(".top button")?.setAttribute("aria-expanded", String(this.open));
	}

	#opener() {
		const given = { "aria-expanded": String(Boolean(this.open)), click: () => this.#toggle() };
		return tool(t("account.settings"), "tune", given);
	}

	/** @param {Other} other */
	#question({ account, jobs, unfinished }) {
		const answer = (/** @type {boolean} */ same, /** @type {string} */ words) =>
			h("button", { click: () => this.#write("account/same", { other: account, same }) }, words);
		return h(
			"div.asking.small",
			{ role: "group" },
			h("b", t("account.same")),
			h("p", t("account.same.about", { jobs: number(jobs), unfinished: number(unfinished) })),
			h("div.verbs", answer(true, t("account.same.yes")), answer(false, t("account.same.no"))),
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
		if (account.writable) return [this.#rehearsal(account), this.#key(account)];
		const fixed = account.rehearsal_source === "environment" && account.key_source === "environment";
		if (fixed) return [this.#rehearsal(account), this.#key(account)];
		return [this.elsewhere.element, ...(this.elsewhere.printed ? [this.#rehearsal(account), this.#key(account)] : [])];
	}

	/** @param {Account} account */
	#rehearsal(account) {
		const fixed = account.rehearsal_source === "environment";
		const box = h("input", {
			type: "checkbox",
			role: "switch",
			disabled: fixed,
			change: () => this.#write("rehearsal", { on: box.checked }),
		});
		box.checked = account.rehearsal;
		return h(
			"label.switch",
			box,
			h("span", t("account.rehearsal")),
			h("span.small.quiet", t(fixed ? "account.rehearsal.fixed" : "account.rehearsal.about")),
		);
	}

	/** @param {Account} account */
	#key(account) {
		if (account.rehearsal) return null;
		if (account.key_source === "environment") return h("p.small.quiet", t("account.key.fixed"));
		const whence = h("a", { href: KEYS_PAGE, target: "_blank", rel: "noreferrer" }, t("account.key.whence"));
		const field = h("input", {
			type: "password",
			autocomplete: "off",
			spellcheck: "false",
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
		try {
			const account = await this.act(path, body);
			this.#show(account, true);
			if (account.balance) this.#showVerdict(account.balance);
		} catch (refused) {
			await this.refresh();
			this.#complain(/** @type {Error} */ (refused).message);
		}
	}

	/** @param {Balance} told the gateway was asked for a new key */
	#showVerdict(told) {
		this.#showBalance(told);
		this.element.querySelector(".verdict")?.replaceChildren(t(`account.key.${told.key}`));
	}
}
