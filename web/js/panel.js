// @ts-check
/** The sidebar panel: account, sums, and all jobs, newest first. Live by what the server pushes; it asks nothing twice. */

import { AccountCorner } from "./account.js";
import { addNode, NODE_OF_TYPE, toast } from "./canvas.js";
import { Card } from "./card.js";
import { h, icon, shadowOf } from "./look.js";
import { ask, exportAddress, onDoubt, onJob } from "./server.js";
import { loadWords, number, t } from "./words.js";

const FILTERS = /** @type {const} */ (["all", "unfinished", "uncertain", "failed"]);
const SUMS_PAUSE_MS = 1500;

/** @typedef {import("./card.js").Job} Job */

/** @type {Record<typeof FILTERS[number], (job: Job) => boolean>} */
const FITS = {
  all: () => true,
  unfinished: (job) => job.unfinished,
  uncertain: (job) => job.unfinished && job.charge === "uncertain",
  failed: (job) => job.state === "failed" || job.state === "rejected",
};

export class Panel {
  /** @param {{ count: (unfinished: number) => void, changed: () => void }} tell */
  constructor(tell) {
    this.tell = tell;
    /** @type {Map<number, Card>} */
    this.cards = new Map();
    /** @type {typeof FILTERS[number]} */
    this.only = "all";
    /** @type {number | null} */
    this.nextBefore = null;
    this.clockOffset = 0;
    this.request = 0;
    /** @type {(() => void)[]} */
    this.endings = [];
  }

  /**
   * Draws into ComfyUI's element; called again for the same one, it does nothing.
   * @param {HTMLElement} host
   */
  async render(host) {
    if (host.shadowRoot) return;
    host.style.height = "100%";
    const root = shadowOf(host);
    // ComfyUI's shortcuts look at the element an event seems to come from, which is not the field inside.
    for (const name of ["keydown", "keyup", "keypress", "copy", "cut", "paste"]) {
      root.addEventListener(name, (event) => event.stopPropagation());
    }
    await loadWords();
    root.append(this.#frame());
    this.endings = [onJob((told) => this.#hear(told)), onDoubt(() => this.refresh())];
    const clock = setInterval(() => this.#tick(), 1000);
    this.endings.push(
      () => clearInterval(clock),
      () => clearTimeout(this.sumsTimer),
      () => this.account?.end(),
    );
    await Promise.all([this.account?.refresh().catch((refused) => this.#complain(refused)), this.refresh()]);
  }

  destroy() {
    for (const end of this.endings.splice(0)) end();
    this.cards.clear();
  }

  #frame() {
    this.mark = h("span", { class: "rehearsal-mark", hidden: true, title: t("rehearsal.tip") }, t("rehearsal.mark"));
    this.account = new AccountCorner((account, changed) => this.#accountIs(account, changed));
    this.sums = h("dl", { class: "totals", "aria-label": t("totals.title") });
    this.list = h("ol", { class: "jobs", "aria-label": t("jobs.title") });
    this.rest = h("div");
    this.older = h(
      "div",
      { class: "older", hidden: true },
      h("button", { type: "button", click: () => this.#more() }, t("jobs.older")),
    );
    this.spoken = h("div", { class: "unseen", role: "status" });
    this.unfinished = h("span", { class: "count", hidden: true });
    this.body = h(
      "div",
      { class: "panel" },
      h("header", {}, h("h2", {}, "API Mall"), this.mark),
      h(
        "div",
        { class: "scroll" },
        this.account.element,
        h(
          "div",
          { class: "sums" },
          this.sums,
          h(
            "a",
            {
              class: "button plain tool",
              href: exportAddress(),
              download: "apimall-jobs.csv",
              title: t("jobs.csv"),
              "aria-label": t("jobs.csv"),
            },
            icon("fetch"),
          ),
        ),
        this.#filters(),
        this.list,
        this.rest,
        this.older,
      ),
      this.spoken,
    );
    return this.body;
  }

  #filters() {
    const choose = (/** @type {typeof FILTERS[number]} */ only) => {
      this.only = only;
      this.refresh();
    };
    return h(
      "fieldset",
      { class: "filters" },
      h("legend", { class: "unseen" }, t("filter.title")),
      ...FILTERS.map((only) =>
        h(
          "label",
          {},
          h("input", {
            class: "unseen",
            type: "radio",
            name: "only",
            checked: only === this.only,
            change: () => choose(only),
          }),
          t(`filter.${only}`),
          only === "unfinished" && this.unfinished,
        ),
      ),
    );
  }

  /**
   * @param {import("./account.js").Account} account
   * @param {boolean} changed
   */
  #accountIs(account, changed) {
    if (this.mark) this.mark.hidden = !account.rehearsal;
    this.body?.classList.toggle("rehearsing", account.rehearsal);
    this.ready = account.rehearsal || account.key_source !== "none";
    if (changed) {
      this.refresh();
      this.tell.changed();
    }
  }

  /** Reads the first page and the sums anew. */
  async refresh() {
    const request = ++this.request;
    try {
      const page = await ask(`jobs?only=${this.only}`);
      if (request !== this.request) return;
      const known = this.cards;
      this.cards = new Map();
      this.#take(page, known);
      this.#refreshSums();
    } catch (refused) {
      if (request === this.request) this.#complain(refused);
    }
  }

  async #more() {
    const request = this.request;
    const page = await ask(`jobs?only=${this.only}&before=${this.nextBefore}`).catch((refused) =>
      this.#complain(refused),
    );
    if (page && request === this.request) this.#take(page);
  }

  /**
   * @param {{ jobs: Job[], next_before: number | null, unfinished: number, now: number }} page
   * @param {Map<number, Card>} [known] cards that may be kept, with what is open in them
   */
  #take(page, known = new Map()) {
    this.clockOffset = page.now - Date.now() / 1000;
    this.nextBefore = page.next_before;
    for (const job of page.jobs) {
      const card = known.get(job.id) ?? new Card(job, () => Date.now() / 1000 + this.clockOffset);
      if (JSON.stringify(card.job) !== JSON.stringify(job)) card.update(job);
      this.cards.set(job.id, card);
    }
    this.#count(page.unfinished);
    this.#arrange();
  }

  /** @param {{ job: Job, unfinished: number }} told */
  #hear({ job, unfinished }) {
    this.#count(unfinished);
    this.#refreshSums();
    this.account?.refreshBalanceSoon();
    const card = this.cards.get(job.id);
    const inReach = this.nextBefore === null || job.id >= this.nextBefore;
    if (!FITS[this.only](job)) this.cards.delete(job.id);
    else if (card) card.update(job);
    else if (inReach) this.cards.set(job.id, new Card(job, () => Date.now() / 1000 + this.clockOffset));
    if (job.state === "delivered" || FITS.failed(job)) {
      this.spoken?.replaceChildren(`${t(`state.${job.state}`)}: ${job.prompt.slice(0, 80)}`);
    }
    this.#arrange();
  }

  /** Puts the cards in order, moving only what is out of place, so that a playing clip plays on. */
  #arrange() {
    const ordered = [...this.cards.values()].sort((one, other) => other.job.id - one.job.id);
    const wanted = new Set(ordered.map((card) => card.element));
    for (const child of [...(this.list?.children ?? [])]) {
      if (!wanted.has(/** @type {HTMLLIElement} */ (child))) child.remove();
    }
    ordered.forEach((card, place) => {
      const there = this.list?.children[place];
      if (there !== card.element) this.list?.insertBefore(card.element, there ?? null);
    });
    if (this.older) this.older.hidden = this.nextBefore === null;
    this.rest?.replaceChildren(...(ordered.length ? [] : [this.only === "all" ? this.#lesson() : this.#nothing()]));
  }

  #nothing() {
    return h("div", { class: "empty" }, h("p", { class: "quiet" }, t(`empty.${this.only}`)));
  }

  #lesson() {
    const add = () => {
      if (!addNode(NODE_OF_TYPE["text-to-video"] ?? "")) toast("error", t("toast.no_node"));
    };
    const steps = [this.ready ? "empty.step.ready" : "empty.step.key", "empty.step.node", "empty.step.queue"];
    return h(
      "div",
      { class: "empty" },
      icon("film"),
      h("p", {}, h("b", {}, t("empty.all"))),
      h(
        "ol",
        {},
        ...steps.map((key) => h("li", { class: key === "empty.step.ready" && "done" }, h("span", {}, t(key)))),
      ),
      h("button", { type: "button", class: "main", click: add }, t("empty.add")),
    );
  }

  /** @param {number} unfinished */
  #count(unfinished) {
    if (this.unfinished) {
      this.unfinished.textContent = number(unfinished);
      this.unfinished.hidden = unfinished === 0;
    }
    this.tell.count(unfinished);
  }

  /** Several jobs often move at once: the sums are read when it is quiet again. */
  #refreshSums() {
    clearTimeout(this.sumsTimer);
    this.sumsTimer = setTimeout(
      () => this.#showSums().catch((refused) => this.#complain(refused)),
      this.sums?.hasChildNodes() ? SUMS_PAUSE_MS : 0,
    );
  }

  async #showSums() {
    const { today, month } = await ask(`totals?minutes_east=${-new Date().getTimezoneOffset()}`);
    const shown = [
      ["totals.today", today.credits],
      ["totals.month", month.credits],
      ["totals.refunded", month.refunded],
    ];
    this.sums?.replaceChildren(
      ...shown.map(([key, credits]) => h("div", {}, h("dd", {}, number(Number(credits))), h("dt", {}, t(String(key))))),
    );
  }

  #tick() {
    for (const card of this.cards.values()) if (card.job.state === "running") card.tick();
  }

  /** @param {unknown} refused */
  #complain(refused) {
    const words = refused instanceof Error ? refused.message : String(refused);
    this.rest?.replaceChildren(h("div", { class: "empty" }, h("p", { class: "problem", role: "alert" }, words)));
  }
}
