/** The takes of one thing in the list: what was asked for, how each stands, what it cost, what can be done with it. */

import { addNode, linkNew, NODE_OF_TYPE, POLL_NODE } from "./canvas.js";
import { handy, loadNode, openWorkflow, release, video } from "./clip.js";
import { copy } from "./clipboard.js";
import { compare } from "./compare.js";
import { armed, bar, h, icon, ids, press } from "./look.js";
import { tried } from "./notices.js";
import { cost } from "./saying.js";
import { clipAddress, posterAddress } from "./server.js";
import { stateOf } from "./states.js";
import { moreTakes, newNode, star } from "./takes.js";
import { showTrouble } from "./trouble.js";
import { moment, span, t } from "./words.js";

export class Card {
	open = false;
	more = h("details");
	/** @type {Job[]} newest first */
	jobs = [];
	/** @type {number | undefined} */
	chosen;
	/** @type {HTMLElement | null} */
	player = null;

	/** @param {Keeper} keeper */
	constructor(keeper) {
		this.keeper = keeper;
		this.element = h("li.job");
	}

	/** The take that is looked at: the one chosen, or a favourite, or the newest. */
	get job() {
		const chosen = this.jobs.find(({ id }) => id === this.chosen) ?? this.jobs.find(({ starred }) => starred);
		return /** @type {Job} */ (chosen ?? this.jobs[0]);
	}

	/**
	 * Shows the takes as they are now; what is open stays open, and the focus where it was.
	 * @param {Job[]} jobs newest first
	 */
	update(jobs) {
		if (JSON.stringify(jobs) === JSON.stringify(this.jobs)) return;
		this.jobs = jobs;
		this.#redraw();
	}

	/** The seconds of a running job go on. */
	tick() {
		this.element.querySelector(".running-time")?.replaceChildren(this.#time());
		this.element.querySelector(".bar")?.replaceWith(this.#bar() ?? "");
	}

	/**
	 * Opens a take where it can be seen.
	 * @param {number} id
	 */
	show(id) {
		this.chosen = id;
		if (this.open) this.#redraw();
		else this.#toggle();
		this.element.scrollIntoView({ block: "nearest" });
	}

	/** Is looked at no more. */
	close() {
		if (this.open) this.#toggle();
	}

	#redraw() {
		const root = this.element.getRootNode();
		let focused = this.element.contains(root.activeElement) ? root.activeElement?.getAttribute("data-verb") : null;
		if (focused === "play" && this.open) focused = "open";
		this.#draw();
		if (focused) this.element.querySelector(`[data-verb="${focused}"]`)?.focus();
	}

	#toggle() {
		this.open = !this.open;
		this.#redraw();
		if (this.open) this.keeper.opened(this);
	}

	#draw() {
		const { job } = this;
		const { tone, shape } = stateOf(job);
		this.element.className = `job ${tone} ${this.open ? "open" : ""}`;
		const player = this.#player();
		// A player that leaves the page for a moment would stand still.
		for (const child of [...this.element.children]) if (child !== player) child.remove();
		this.element.prepend(
			h(
				"div.row",
				this.open && job.file ? null : this.#thumb(shape),
				this.#facts(),
				job.file && star(job, this.keeper),
			),
			this.jobs.length > 1 ? this.#strip() : "",
		);
		if (player?.parentNode !== this.element) this.element.append(player ?? "");
		this.element.append(this.open ? this.#inside() : "");
	}

	/** Of the take that is open; the same one as long as that is so, and it plays on whatever else changes. */
	#player() {
		const { file, id, prompt } = this.job;
		const shown = this.open && file ? String(id) : undefined;
		if (this.player?.dataset.job === shown) return this.player;
		const before = this.player?.querySelector("video");
		if (before) release(before);
		this.player = null;
		if (!shown) return null;
		const clip = video(String(file), { controls: true, loop: true, poster: posterAddress(id), "aria-label": prompt });
		this.player = h("div.player", { "data-job": shown }, clip);
		return this.player;
	}

	/** @param {string} shape */
	#thumb(shape) {
		const { job } = this;
		if (!job.file) return h("div.thumb", icon(shape), this.#bar());
		const button = h(
			"button.thumb",
			{ "data-verb": "play", "aria-label": t("card.play"), click: () => this.#toggle() },
			poster(job),
			h("span.play", icon("play")),
		);
		handy(button, job);
		return button;
	}

	/** How far a running job would be if it took as long as such jobs did before; never whole. */
	#bar() {
		const usual = this.job.usual_seconds;
		return usual && this.#passed ? bar(Math.min(0.95, this.#passed / usual)) : null;
	}

	/** Seconds since the gateway took it, while it runs. */
	get #passed() {
		const { state, accepted_at } = this.job;
		return state === "running" && accepted_at !== null ? this.keeper.now() - accepted_at : 0;
	}

	#facts() {
		const { job } = this;
		const title = h(
			"button.title",
			{ "data-verb": "open", "aria-expanded": String(this.open), click: () => this.#toggle() },
			h("span.prompt", job.prompt.trim() || t(job.type ? "card.no_prompt" : "card.foreign")),
		);
		return h(
			"div.facts",
			title,
			h("p.state", h("b", stateOf(job).word), h("span.quiet", cost(job)), h("span.quiet.running-time", this.#time())),
			h("p.kind", this.#kind()),
			this.open ? null : this.#verbs(false),
		);
	}

	#kind() {
		const { job } = this;
		const parts = job.type ? [t(`type.${job.type}`), t("time.s", { s: job.duration }), job.resolution] : [];
		if (job.take) parts.push(t("card.take", { take: job.take }));
		if (job.machine) parts.push(job.machine);
		return [...parts, moment(job.created_at)].join(" \u00b7 ");
	}

	#time() {
		const { seconds, usual_seconds: usual } = this.job;
		if (seconds !== null) return t("card.took", { time: span(seconds) });
		const passed = this.#passed;
		const values = { time: span(passed), about: span(usual ?? 0) };
		return !passed ? "" : t(!usual ? "card.for" : passed > 2 * usual ? "card.longer" : "card.of", values);
	}

	/** The takes side by side, oldest first. */
	#strip() {
		const takes = [...this.jobs].reverse();
		const buttons = takes.map((job) => {
			const { tone, shape, word } = stateOf(job);
			const same = takes.filter(({ take }) => take === job.take);
			const which = same.length > 1 ? `${job.take} (${1 + same.indexOf(job)})` : String(job.take);
			const name = `${t("card.take", { take: which })}: ${word}, ${moment(job.created_at)}`;
			const button = h(
				"button",
				{
					class: `take ${tone}`,
					"data-verb": `take-${job.id}`,
					"aria-pressed": String(job === this.job),
					"aria-label": name,
					title: name,
					click: () => {
						this.chosen = job.id;
						this.#redraw();
					},
				},
				job.file ? poster(job) : icon(shape),
				h("span.number", which, job.starred && icon("star")),
			);
			if (job.file) handy(button, job);
			return button;
		});
		return h("div.strip", { role: "group", "aria-label": t("card.takes") }, ...buttons, this.#comparing());
	}

	#comparing() {
		const made = this.jobs.filter(({ file }) => file);
		if (made.length < 2) return null;
		const chosen = [this.job, ...made].filter((job, place, all) => job.file && all.indexOf(job) === place);
		return this.#verb("compare", () => compare(chosen, this.element, this.keeper));
	}

	/** @param {boolean} all else only what somebody has to see to */
	#verbs(all) {
		const { job } = this;
		const made = all && job.file;
		const collect = job.task_id && this.#verb("collect", () => addNode(POLL_NODE, { task_id: job.task_id }));
		if (all)
			this.more.replaceChildren(
				h("summary", t("verb.more")),
				h(
					"div.verbs",
					job.type in NODE_OF_TYPE && this.#verb("use", () => newNode(job)),
					made && this.#verb("workflow", () => openWorkflow(made)),
					// Whatever goes on comes by itself; of what failed nothing comes.
					!job.parked && !job.unfinished && (made || !job.error) && collect,
					job.task_id && this.#verb("copy", () => copy(String(job.task_id))),
				),
			);
		return h(
			"div.verbs",
			job.error && this.#verb("error", () => showTrouble(job.id, this.element)),
			job.parked && collect,
			made && this.#verb("continue", () => this.#continue()),
			made && this.#verb("load", () => loadNode(job)),
			made &&
				h("a.button", { href: clipAddress(made), download: made, title: t("verb.download.tip") }, t("verb.download")),
			all && this.more,
		);
	}

	/**
	 * @param {string} name
	 * @param {() => unknown} act
	 */
	#verb(name, act) {
		return press(`verb.${name}`, () => tried(act()), { "data-verb": name, title: t(`verb.${name}.tip`) });
	}

	#inside() {
		const { job } = this;
		return h(
			"div.inside",
			this.#verbs(true),
			job.type in NODE_OF_TYPE && !job.parked && this.#asking(),
			job.parked && job.state === "sent" && this.#answer(),
			// On a row of its own, so that its question begins where it was pressed.
			job.parked && job.state !== "completed" && h("div", this.#close()),
			ids(["card.task", job.task_id], ["card.model", job.model], ["card.file", job.file]),
		);
	}

	/** What has been asked stays until it is answered. */
	#asking() {
		if (!this.asking?.querySelector(".armed")) this.asking = moreTakes(this.job, this.jobs);
		return this.asking;
	}

	#close() {
		const given = { "data-verb": "close", title: t("verb.close.tip") };
		return armed(t("verb.close"), t("verb.close.sure"), () => this.#settle("close", {}), given);
	}

	#answer() {
		const field = h("input", { type: "text", "aria-label": t("card.task"), placeholder: "vid_\u2026" });
		const answer = (/** @type {SubmitEvent} */ event) => {
			event.preventDefault();
			this.#settle("answer", { task_id: field.value });
		};
		const button = h("button", { type: "submit", title: t("verb.answer.tip") }, t("verb.answer"));
		return h("form.search", { submit: answer }, field, button);
	}

	/**
	 * @param {string} verb
	 * @param {unknown} body
	 */
	#settle(verb, body) {
		tried(this.keeper.act(`jobs/${this.job.id}/${verb}`, body));
	}

	#continue() {
		const { job } = this;
		const source = loadNode(job);
		const { model, duration, resolution } = job;
		if (source) linkNew(source, "last_frame", "APIMall_ImageToVideo", "image", { model, duration, resolution });
	}
}

/** @param {Job} job */
function poster(job) {
	const image = h("img", {
		src: posterAddress(job.id),
		alt: "",
		loading: "lazy",
		decoding: "async",
		draggable: "false",
	});
	image.addEventListener("error", () => image.replaceWith(icon("film")));
	return image;
}
