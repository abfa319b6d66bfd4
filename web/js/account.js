// @ts-check
/** The account corner: key, balance, rehearsal. The key goes in and never comes out. */

import { h, icon } from "./look.js";
import { ask } from "./server.js";
import { number, t } from "./words.js";

/** A little more than the 30 s that `nodes/panel/routes.py` keeps a balance for. */
const BALANCE_MS = 31_000;

/**
 * @typedef {object} Account
 * @property {string | null} problem
 * @property {"environment" | "file" | "none"} key_source
 * @property {string | null} masked_key
 * @property {boolean} rehearsal
 * @property {"environment" | "panel" | "default"} rehearsal_source
 * @property {string} host
 */

export class AccountCorner {
  /** @param {(account: Account, changed: boolean) => void} tell called with the account when it is known or changed */
  constructor(tell) {
    this.tell = tell;
    /** @type {boolean | undefined} */
    this.open = undefined;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.later = undefined;
    this.balance = h("span", { class: "sum" }, "\u2026");
    this.element = h("section", { class: "account", "aria-label": t("account.title") });
  }

  async refresh(changed = false) {
    this.#show(await ask("account"), changed);
  }

  async refreshBalance() {
    const { credits, problem } = await ask("balance").catch((refused) => ({ credits: null, problem: refused.message }));
    this.balance.textContent = credits === null ? "\u2013" : number(credits);
    this.balance.title = problem ?? "";
    this.element.querySelector(".balance-problem")?.replaceChildren(problem ?? "");
  }

  /** Credits have moved: ask again as soon as the server would ask the gateway again. */
  refreshBalanceSoon() {
    this.later ??= setTimeout(() => {
      this.later = undefined;
      this.refreshBalance();
    }, BALANCE_MS);
  }

  /** Ask nothing more. */
  end() {
    clearTimeout(this.later);
    this.later = undefined;
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
      h(
        "div",
        { class: "top" },
        ...(ready && !account.problem ? this.#sum() : [h("b", {}, t("account.no_key"))]),
        this.#opener(),
      ),
      h("p", { class: "small quiet" }, this.#line(account)),
      h("p", { class: "small problem balance-problem" }, account.problem ?? ""),
      h("div", { class: "more", hidden: !this.open }, this.#rehearsal(account), this.#key(account)),
    );
    this.tell(account, changed);
    if (ready && !account.problem) this.refreshBalance();
  }

  #sum() {
    return [
      this.balance,
      h("span", { class: "quiet small" }, t(this.account?.rehearsal ? "account.play_credits" : "account.credits")),
    ];
  }

  #opener() {
    const toggle = () => {
      this.open = !this.open;
      if (this.account) this.#show(this.account, false);
      /** @type {HTMLElement | null} */ (this.element.querySelector(".top button"))?.focus();
    };
    return h(
      "button",
      {
        type: "button",
        class: "plain tool",
        title: t("account.settings"),
        "aria-label": t("account.settings"),
        "aria-expanded": String(Boolean(this.open)),
        click: toggle,
      },
      icon("tune"),
    );
  }

  /** @param {Account} account */
  #line(account) {
    if (account.problem) return "";
    if (account.rehearsal) return t("account.rehearsing");
    if (account.key_source === "none") return t("account.how");
    return t(`account.key_from.${account.key_source}`, { key: account.masked_key ?? "", host: account.host });
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
      "label",
      { class: "switch" },
      box,
      h("span", {}, t("account.rehearsal")),
      h("span", { class: "small quiet" }, t(fixed ? "account.rehearsal.fixed" : "account.rehearsal.about")),
    );
  }

  /** @param {Account} account */
  #key(account) {
    if (account.rehearsal) return null;
    if (account.key_source === "environment") return h("p", { class: "small quiet" }, t("account.key.fixed"));
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
      {},
      h("form", { submit: save }, field, h("button", { class: "main" }, t("account.key.save"))),
      h("p", { class: "small quiet" }, t("account.key.about")),
    );
  }

  /**
   * @param {string} path
   * @param {unknown} body
   */
  async #write(path, body) {
    try {
      this.#show(await ask(path, body), true);
    } catch (refused) {
      await this.refresh();
      this.element.querySelector(".balance-problem")?.replaceChildren(/** @type {Error} */ (refused).message);
    }
  }
}
