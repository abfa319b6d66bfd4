/** The sidebar panel: account, sums, and all jobs, newest first, live by what the server pushes. */

import { AccountCorner } from "./account.js";
import { addNode, giveKeyboardBack, NODE_OF_TYPE } from "./canvas.js";
import { Card } from "./card.js";
import { h, icon, keepKeys, loadLook, press, shadowOf, tool } from "./look.js";
import { ask, on } from "./server.js";
import { loadWords, number, t } from "./words.js";

const SUMS_PAUSE_MS = 1500;
const TYPED_MS = 300;
const AGAIN_MS = 3000;
const TILES = "apimallvideo.tiles";
/** Jobs may have changed without a word about it: a prompt ended, the server came back. */
const DOUBTS = ["execution_error", "execution_interrupted", "execution_success", "reconnected"];
const MOST_JOBS_AT_ONCE = 100;
/** Each has a player; those of the light table and the one that is skimmed come to it. */
const MOST_OPEN = 4;

const FILTERS = ["all", "unfinished", "uncertain", "failed", "starred"];

export class Panel {
	/** @type {Map<number, Job>} */
	jobs = new Map();
	/** @type {Map<string, Card>} by what takes have in common */
	cards = new Map();
	/** @type {Card[]} */
	open = [];
	only = "all";
	/** @type {Record<string, string>} text, type and day, as far as they matter */
	searched = {};
	/** @type {number | null} */
	nextBefore = null;
	clockOffset = 0;
	ready = false;
	request = 0;
	/** @type {number | null} */
	asked = null;
	/** @type {(() => void)[]} */
	endings = [];

	/** @param {{ count: (unfinished: number) => void, changed: () => void, close: () => void }} tell */
	constructor(tell) {
		this.tell = tell;
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
		root.addEventListener("click", afterClick);
		await Promise.all([loadWords(), loadLook()]);
		root.append(this.#frame());
		const clock = setInterval(() => this.#tick(), 1000);
		const near = new IntersectionObserver(([seen]) => seen?.isIntersecting && this.#more(), { rootMargin: "900px" });
		if (this.older) near.observe(this.older);
		this.endings = [
			on("apimallvideo.jobs", (told) => this.#hear(told)),
			...DOUBTS.map((name) => on(name, () => this.refresh(false))),
			on("reconnected", () => setTimeout(() => this.refresh(false), AGAIN_MS)),
			on("apimallvideo.star", ({ id, starred }) => {
				const job = this.jobs.get(id);
				if (job) this.changed({ ...job, starred });
				else this.refresh(false);
			}),
			() => clearInterval(clock),
			() => near.disconnect(),
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
		for (const card of this.cards.values()) card.close();
		this.cards.clear();
		this.jobs.clear();
	}

	#frame() {
		this.mark = h("span.rehearsal-mark", { hidden: true, title: t("rehearsal.tip") }, t("rehearsal.mark"));
		this.account = new AccountCorner(
			(account, changed) => this.#accountIs(account, changed),
			(ready) => {
				this.ready = ready;
				this.#arrange();
			},
		);
		this.list = h("ol.jobs", { "aria-label": t("jobs.title") });
		this.rest = h("div", h("div.empty", "\u2026"));
		this.older = h(
			"div.older",
			{ hidden: true },
			press("jobs.older", () => this.#more()),
		);
		this.spoken = h("div.unseen", { role: "status" });
		this.unfinished = h("span.count", { hidden: true });
		this.body = h(
			"div.panel",
			h(
				"header",
				h("h2", "API Mall"),
				this.mark,
				tool(t("trouble.close"), "cross", { click: () => this.tell.close() }),
			),
			h("div.scroll", this.account.element, this.#filters(), this.#search(), this.list, this.rest, this.older),
			this.spoken,
		);
		return this.body;
	}

	#filters() {
		return h(
			"fieldset.filters",
			h("legend.unseen", t("filter.title")),
			...FILTERS.map((only) =>
				h(
					"label",
					{ title: t(`filter.${only}`) },
					h("input.unseen", {
						type: "radio",
						name: "only",
						"aria-label": t(`filter.${only}`),
						checked: only === this.only,
						change: () => {
							this.only = only;
							this.refresh();
						},
					}),
					only === "starred" ? icon("star") : t(`filter.${only}`),
					only === "unfinished" && this.unfinished,
				),
			),
		);
	}

	#query() {
		return new URLSearchParams({ only: this.only, ...this.searched });
	}

	/** Finds jobs by their words, type and day, and shows them as a list or as large tiles. */
	#search() {
		const find = () => {
			clearTimeout(this.finding);
			this.finding = setTimeout(() => {
				const since = day.value && String(new Date(`${day.value}T00:00`).getTime() / 1000);
				const all = { text: field.value.trim(), type: type.value, day: since };
				this.searched = Object.fromEntries(Object.entries(all).filter(([, value]) => value));
				this.refresh();
			}, TYPED_MS);
		};
		const field = h("input", { type: "search", placeholder: t("search"), input: find });
		const day = h("input", { type: "date", title: t("filter.day"), change: find });
		const type = h(
			"select",
			{ "aria-label": t("filter.type"), change: find },
			h("option", { value: "" }, t("filter.type")),
			...Object.keys(NODE_OF_TYPE).map((value) => h("option", { value }, t(`type.${value}`))),
		);
		const tiles = tool(t("gallery"), "film", {
			"aria-pressed": "false",
			click: () => {
				const on = String(this.list?.classList.toggle("gallery"));
				tiles.setAttribute("aria-pressed", on);
				localStorage.setItem(TILES, on);
			},
		});
		if (localStorage.getItem(TILES) === "true") tiles.click();
		return h("div.search", field, tiles, type, day);
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

	/**
	 * Reads the first page and the sums anew.
	 * @param {boolean} [otherwise] something else is asked for; else what was read beyond that page stays
	 */
	async refresh(otherwise = true) {
		const request = ++this.request;
		try {
			const page = await ask(`jobs?${this.#query()}`);
			if (request !== this.request) return;
			const beyond = [...this.jobs.values()].filter(({ id }) => !otherwise && id < (page.next_before ?? 0));
			this.jobs = new Map(beyond.map((job) => [job.id, job]));
			this.#take(page, beyond.length ? this.nextBefore : page.next_before);
			this.#refreshSums();
		} catch (refused) {
			if (request === this.request) this.#complain(/** @type {Error} */ (refused));
		}
	}

	async #more() {
		const { request, nextBefore } = this;
		if (nextBefore === null || this.asked === nextBefore) return;
		this.asked = nextBefore;
		const page = await ask(`jobs?${this.#query()}&before=${nextBefore}&limit=${MOST_JOBS_AT_ONCE}`).catch((refused) =>
			this.#complain(refused),
		);
		this.asked = null;
		if (page && request === this.request) this.#take(page, page.next_before);
	}

	/**
	 * @param {{ jobs: Job[], unfinished: number, now: number }} page
	 * @param {number | null} nextBefore where it goes on
	 */
	#take(page, nextBefore) {
		this.clockOffset = page.now - Date.now() / 1000;
		this.nextBefore = nextBefore;
		for (const job of page.jobs) this.jobs.set(job.id, job);
		this.#count(page.unfinished);
		this.#arrange();
	}

	/** @param {{ job: Job, unfinished: number, credits?: number, rehearsal: boolean }} told of whichever account */
	#hear({ job: moved, unfinished, credits, rehearsal }) {
		if (rehearsal !== this.account?.account?.rehearsal) return;
		// Where users are kept apart, what is pushed to all of them holds no prompt: it is read by who may read it.
		const job = moved.prompt === null ? { ...moved, prompt: this.jobs.get(moved.id)?.prompt ?? "" } : moved;
		if (moved.prompt === null && !job.prompt) this.refresh();
		this.#count(unfinished);
		this.#refreshSums();
		this.account?.credited(credits);
		this.#keep(job);
		if (!job.unfinished) {
			this.spoken?.replaceChildren(`${t(`state.${job.state}`)}: ${job.prompt.slice(0, 80)}`);
		}
		this.#arrange();
	}

	/** @param {Job} job */
	#keep(job) {
		const inReach = this.nextBefore === null || job.id >= this.nextBefore;
		const isSearching = this.only !== "all" || this.#isSearching();
		const known = this.jobs.get(job.id);
		if (known || (inReach && !isSearching)) this.jobs.set(job.id, { ...known, ...job });
		// What is among what is asked for is known to the server alone.
		if (isSearching) this.refresh(false);
	}

	// What its cards ask of it

	/** Seconds since the epoch by the server's clock. */
	now() {
		return Date.now() / 1000 + this.clockOffset;
	}

	/**
	 * @param {string} path
	 * @param {unknown} body
	 */
	async act(path, body) {
		return this.account?.act(path, body);
	}

	/** @param {Job} job */
	changed(job) {
		this.#keep(job);
		this.#arrange();
		// A page that is on its way may be of before.
		this.refresh(false);
	}

	/** @param {Card} card closes the one that was opened first, if too many are open */
	opened(card) {
		this.open = [...this.open.filter((other) => other.open && other !== card), card];
		if (this.open.length > MOST_OPEN) this.open[0]?.close();
	}

	/** Puts takes on their cards and the cards in order, moving only what is out of place: a playing clip plays on. */
	#arrange() {
		/** @type {Map<string, Job[]>} */
		const series = new Map();
		for (const job of [...this.jobs.values()].sort((one, other) => other.id - one.id)) {
			series.set(job.series, [...(series.get(job.series) ?? []), job]);
		}
		const ordered = [...series].map(([name, jobs]) => {
			const card = this.cards.get(name) ?? new Card(this);
			this.cards.set(name, card);
			card.update(jobs);
			return card;
		});
		for (const [name, card] of this.cards) {
			if (series.has(name)) continue;
			card.close();
			this.cards.delete(name);
		}
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
			...(ordered.length ? [] : [this.only === "all" && !this.#isSearching() ? this.#lesson() : this.#nothing()]),
		);
	}

	#isSearching() {
		return Object.keys(this.searched).length > 0;
	}

	#nothing() {
		return h("div.empty", h("p.quiet", t(this.#isSearching() ? "search.nothing" : `empty.${this.only}`)));
	}

	#lesson() {
		const add = () => addNode(NODE_OF_TYPE["text-to-video"] ?? "");
		const steps = [this.ready ? "empty.step.ready" : "empty.step.key", "empty.step.node", "empty.step.queue"];
		return h(
			"div.empty",
			icon("film"),
			h("p", h("b", t("empty.all"))),
			h("ol", ...steps.map((key) => h("li", { class: key === "empty.step.ready" && "done" }, h("span", t(key))))),
			press("empty.add", add, { class: "main" }),
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
			() => this.account?.ledger.refresh().catch((refused) => this.#complain(refused)),
			this.account?.ledger.sums.hasChildNodes() ? SUMS_PAUSE_MS : 0,
		);
	}

	#tick() {
		for (const card of this.cards.values()) if (card.job.state === "running") card.tick();
	}

	/** @param {Error} refused */
	#complain({ message }) {
		this.rest?.replaceChildren(h("div.empty", h("p.problem", { role: "alert" }, message)));
	}
}

/**
 * After the mouse has pressed something, keys mean the canvas again; who came by keyboard, or is to write, stays.
 * @param {any} event
 */
function afterClick(event) {
	const [target] = event.composedPath();
	const staying = target.closest("input:not([type=radio], [type=checkbox]), textarea, select, video, dialog");
	if (event.detail > 0 && !staying && !target.getRootNode().querySelector("dialog[open]")) giveKeyboardBack();
}
