// @ts-check
/** The sidebar panel: account, sums, and all jobs, newest first, live by what the server pushes. */

import { AccountCorner } from "./account.js";
import { addNode, giveKeyboardBack, NODE_OF_TYPE } from "./canvas.js";
import { Card } from "./card.js";
import { Ledger } from "./ledger.js";
import { h, icon, keepKeys, loadLook, shadowOf, tool } from "./look.js";
import { ask, EXPORT_ADDRESS, onDoubt, onJob } from "./server.js";
import { loadWords, number, t } from "./words.js";

const FILTERS = /** @type {const} */ (["all", "unfinished", "uncertain", "failed"]);
const SUMS_PAUSE_MS = 1500;
const TYPED_MS = 300;

/** @type {Record<typeof FILTERS[number], (job: Job) => boolean>} */
const FITS = {
	all: () => true,
	unfinished: (job) => job.unfinished,
	uncertain: (job) => job.unfinished && job.charge === "uncertain",
	failed: (job) => ["failed", "rejected", "expired"].includes(job.state),
};

export class Panel {
	/** @param {{ count: (unfinished: number) => void, changed: () => void }} tell */
	constructor(tell) {
		this.tell = tell;
		/** @type {Map<number, Job>} */
		this.jobs = new Map();
		/** @type {Map<string, Card>} by what takes have in common */
		this.cards = new Map();
		/** @type {Map<string, Learned>} */
		this.learned = new Map();
		/** @type {typeof FILTERS[number]} */
		this.only = "all";
		this.text = "";
		/** @type {number | null} */
		this.nextBefore = null;
		this.clockOffset = 0;
		this.ready = false;
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
		keepKeys(root);
		root.addEventListener("click", (event) => afterClick(/** @type {PointerEvent} */ (event)));
		await Promise.all([loadWords(), loadLook()]);
		root.append(this.#frame());
		const clock = setInterval(() => this.#tick(), 1000);
		this.endings = [
			onJob((told) => this.#hear(told)),
			onDoubt(() => this.refresh()),
			() => clearInterval(clock),
			() => clearTimeout(this.sumsTimer),
			() => this.account?.end(),
		];
		await Promise.all([this.account?.refresh().catch((refused) => this.#complain(refused)), this.refresh()]);
	}

	get isOpen() {
		return this.endings.length > 0;
	}

	/**
	 * Shows a job as if it had been clicked, now or when the panel is there.
	 * @param {number} id
	 */
	show(id) {
		this.wanted = id;
		this.#showWanted();
	}

	#showWanted() {
		const job = this.wanted === undefined ? undefined : this.jobs.get(this.wanted);
		if (!job) return;
		this.wanted = undefined;
		this.cards.get(job.series)?.show(job.id);
	}

	destroy() {
		for (const end of this.endings.splice(0)) end();
		this.cards.clear();
		this.jobs.clear();
	}

	#frame() {
		this.mark = h("span.rehearsal-mark", { hidden: true, title: t("rehearsal.tip") }, t("rehearsal.mark"));
		this.account = new AccountCorner(
			(account, changed) => this.#accountIs(account, changed),
			(ready) => this.#readyIs(ready),
		);
		this.ledger = new Ledger();
		this.list = h("ol.jobs", { "aria-label": t("jobs.title") });
		this.rest = h("div");
		this.older = h("div.older", { hidden: true }, h("button", { click: () => this.#more() }, t("jobs.older")));
		this.spoken = h("div.unseen", { role: "status" });
		this.unfinished = h("span.count", { hidden: true });
		this.body = h(
			"div.panel",
			h("header", h("h2", "API Mall"), this.mark),
			h(
				"div.scroll",
				this.account.element,
				h(
					"div.sums",
					this.ledger.sums,
					h(
						"a.button.plain.tool",
						{ href: EXPORT_ADDRESS, download: "apimall-jobs.csv", title: t("jobs.csv"), "aria-label": t("jobs.csv") },
						icon("fetch"),
					),
				),
				this.ledger.days,
				this.#filters(),
				this.#search(),
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
			"fieldset.filters",
			h("legend.unseen", t("filter.title")),
			...FILTERS.map((only) =>
				h(
					"label",
					h("input.unseen", { type: "radio", name: "only", checked: only === this.only, change: () => choose(only) }),
					t(`filter.${only}`),
					only === "unfinished" && this.unfinished,
				),
			),
		);
	}

	#query() {
		return new URLSearchParams({ only: this.only, text: this.text });
	}

	/** Finds jobs by their words, and shows them as a list or as large tiles. */
	#search() {
		const find = () => {
			clearTimeout(this.finding);
			this.finding = setTimeout(() => {
				this.text = field.value.trim();
				this.refresh();
			}, TYPED_MS);
		};
		const field = h("input", { type: "search", placeholder: t("search"), "aria-label": t("search"), input: find });
		const tiles = tool(t("gallery"), "film", {
			"aria-pressed": "false",
			click: () => tiles.setAttribute("aria-pressed", String(this.list?.classList.toggle("gallery"))),
		});
		return h("div.search", field, tiles);
	}

	/**
	 * @param {Account} account
	 * @param {boolean} changed
	 */
	#accountIs(account, changed) {
		if (this.mark) this.mark.hidden = !account.rehearsal;
		this.body?.classList.toggle("rehearsing", account.rehearsal);
		if (changed) {
			this.refresh();
			this.tell.changed();
		}
	}

	/** @param {boolean} ready the gateway takes the key, or the rehearsal is on */
	#readyIs(ready) {
		if (ready === this.ready) return;
		this.ready = ready;
		this.#arrange();
	}

	/** Reads the first page and the sums anew. */
	async refresh() {
		const request = ++this.request;
		try {
			const page = await ask(`jobs?${this.#query()}`);
			if (request !== this.request) return;
			this.jobs.clear();
			this.#take(page);
			this.#refreshSums();
		} catch (refused) {
			if (request === this.request) this.#complain(refused);
		}
	}

	async #more() {
		const request = this.request;
		const page = await ask(`jobs?${this.#query()}&before=${this.nextBefore}`).catch((refused) =>
			this.#complain(refused),
		);
		if (page && request === this.request) this.#take(page);
	}

	/** @param {{ jobs: Job[], next_before: number | null, unfinished: number, now: number }} page */
	#take(page) {
		this.clockOffset = page.now - Date.now() / 1000;
		this.nextBefore = page.next_before;
		for (const job of page.jobs) this.jobs.set(job.id, job);
		this.#count(page.unfinished);
		this.#arrange();
	}

	/** @param {{ job: Job, unfinished: number }} told */
	#hear({ job: moved, unfinished }) {
		// Where users are kept apart, what is pushed to all of them holds no prompt: it is read by who may read it.
		const job = moved.prompt === null ? { ...moved, prompt: this.jobs.get(moved.id)?.prompt ?? "" } : moved;
		if (moved.prompt === null && !job.prompt) this.refresh();
		this.#count(unfinished);
		this.#refreshSums();
		this.account?.refreshBalanceSoon();
		const inReach = this.nextBefore === null || job.id >= this.nextBefore;
		if (!FITS[this.only](job)) this.jobs.delete(job.id);
		else if ((inReach && !this.text) || this.jobs.has(job.id)) this.jobs.set(job.id, job);
		if (!job.unfinished) {
			this.spoken?.replaceChildren(`${t(`state.${job.state}`)}: ${job.prompt.slice(0, 80)}`);
			this.learned.clear();
		}
		this.#arrange();
	}

	/** Puts takes on their cards and the cards in order, moving only what is out of place: a playing clip plays on. */
	#arrange() {
		/** @type {Map<string, Job[]>} */
		const series = new Map();
		for (const job of [...this.jobs.values()].sort((one, other) => other.id - one.id)) {
			series.set(job.series, [...(series.get(job.series) ?? []), job]);
		}
		const ordered = [...series].map(([name, jobs]) => {
			const card =
				this.cards.get(name) ??
				new Card(
					() => Date.now() / 1000 + this.clockOffset,
					(job) => this.#learn(job),
					async (path, body) => this.account?.act(path, body),
				);
			this.cards.set(name, card);
			card.update(jobs);
			return card;
		});
		for (const name of this.cards.keys()) if (!series.has(name)) this.cards.delete(name);
		const wanted = new Set(ordered.map((card) => card.element));
		for (const child of [...(this.list?.children ?? [])]) {
			if (!wanted.has(/** @type {HTMLLIElement} */ (child))) child.remove();
		}
		ordered.forEach((card, place) => {
			const there = this.list?.children[place];
			if (there !== card.element) this.list?.insertBefore(card.element, there ?? null);
		});
		this.#showWanted();
		if (this.older) this.older.hidden = this.nextBefore === null;
		this.rest?.replaceChildren(
			...(ordered.length ? [] : [this.only === "all" && !this.text ? this.#lesson() : this.#nothing()]),
		);
	}

	/**
	 * What jobs like this one took, from those that are listed: asked of nobody.
	 * @param {Job} job
	 */
	#learn(job) {
		const kind = kindOf(job);
		const known = this.learned.get(kind);
		if (known) return known;
		const like = [...this.jobs.values()].filter((other) => other.file && kindOf(other) === kind);
		const learned = {
			credits: middle(like.flatMap((job) => job.credits_used ?? [])),
			seconds: middle(like.flatMap((job) => job.seconds ?? [])),
		};
		this.learned.set(kind, learned);
		return learned;
	}

	#nothing() {
		return h("div.empty", h("p.quiet", t(this.text ? "search.nothing" : `empty.${this.only}`)));
	}

	#lesson() {
		const add = () => addNode(NODE_OF_TYPE["text-to-video"] ?? "");
		const steps = [this.ready ? "empty.step.ready" : "empty.step.key", "empty.step.node", "empty.step.queue"];
		return h(
			"div.empty",
			icon("film"),
			h("p", h("b", t("empty.all"))),
			h("ol", ...steps.map((key) => h("li", { class: key === "empty.step.ready" && "done" }, h("span", t(key))))),
			h("button.main", { click: add }, t("empty.add")),
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
			() => this.ledger?.refresh().catch((refused) => this.#complain(refused)),
			this.ledger?.sums.hasChildNodes() ? SUMS_PAUSE_MS : 0,
		);
	}

	#tick() {
		for (const card of this.cards.values()) if (card.job.state === "running") card.tick();
	}

	/** @param {unknown} refused */
	#complain(refused) {
		const words = refused instanceof Error ? refused.message : String(refused);
		this.rest?.replaceChildren(h("div.empty", h("p.problem", { role: "alert" }, words)));
	}
}

/** @param {Job} job what its price and its time are learned from */
function kindOf({ type, model, duration, resolution }) {
	return [type, model, duration, resolution].join("\n");
}

/** @param {number[]} values */
function middle(values) {
	const sorted = [...values].sort((one, other) => one - other);
	return sorted[Math.floor(sorted.length / 2)] ?? null;
}

/**
 * After the mouse has pressed something, keys mean the canvas again; who came by keyboard, or is to write, stays.
 * @param {PointerEvent} event
 */
function afterClick(event) {
	const target = /** @type {Element} */ (event.composedPath()[0]);
	const root = /** @type {ShadowRoot} */ (event.currentTarget);
	const staying = target.closest("input:not([type=radio], [type=checkbox]), textarea, select, video, summary, dialog");
	if (event.detail > 0 && !staying && !root.querySelector("dialog[open]")) giveKeyboardBack();
}
