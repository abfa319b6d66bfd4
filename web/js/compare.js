/** Up to four takes side by side, on one clock. */

import { loadNode, release, video } from "./clip.js";
import { h, icon, press } from "./look.js";
import { cost } from "./saying.js";
import { ask, clipAddress } from "./server.js";
import { star } from "./takes.js";
import { t } from "./words.js";

/** Seconds that two clips may be apart before one is set right. */
const APART_SECONDS = 0.06;
const USUAL_RATE = 24;
const MOST_TILES = 4;

/**
 * @param {Job[]} jobs with their files; the first of them are shown first
 * @param {HTMLElement} near an element of the panel: the dialog shares its look
 * @param {Keeper} keeper
 */
export function compare(jobs, near, keeper) {
	const table = new LightTable(jobs, keeper);
	near.getRootNode().appendChild(table.dialog);
	table.dialog.showModal();
}

class LightTable {
	/**
	 * @param {Job[]} made
	 * @param {Keeper} keeper
	 */
	constructor(made, keeper) {
		this.made = made;
		this.keeper = keeper;
		this.rate = USUAL_RATE;
		const jobs = made.slice(0, MOST_TILES);
		this.videos = jobs.map(({ file }) =>
			video(String(file), { muted: true, loop: true, preload: "auto", tabindex: -1 }),
		);
		for (const each of this.videos) each.muted = true;
		this.clock = h("input", {
			type: "range",
			class: "clock",
			min: 0,
			max: 1000,
			value: 0,
			"aria-label": t("compare.clock"),
			input: () => this.#seek((this.#length() * Number(this.clock.value)) / 1000),
		});
		this.playing = h("button.main", { click: () => this.#toggle() }, icon("play"), t("compare.play"));
		this.tiles = h("div", { class: `tiles of-${jobs.length}` }, ...jobs.map((job, place) => this.#tile(job, place)));
		const close = () => this.dialog.close();
		this.dialog = h(
			"dialog.compare",
			{ "aria-label": t("compare.title"), close: () => this.#end(), keydown: (event) => this.#key(event) },
			this.tiles,
			h(
				"footer",
				this.playing,
				press("compare.back", () => this.#step(-1)),
				press("compare.forth", () => this.#step(1)),
				this.clock,
				this.#wiping(),
				press("trouble.close", close),
			),
		);
		this.frame = requestAnimationFrame(() => this.#tick());
	}

	/**
	 * @param {Job} job
	 * @param {number} place
	 */
	#tile(job, place) {
		const facts = h("span");
		/** @param {Job} now it, or another take in its place */
		const be = async (now) => {
			job = this.made[takes.selectedIndex] = now;
			facts.replaceChildren(cost(job), star(job, { changed: marked }));
			// All follow the first, and step by its pictures.
			if (!place) this.rate = (await ask(`jobs/${job.id}`)).fps ?? USUAL_RATE;
		};
		const marked = (/** @type {Job} */ now) => {
			be(now);
			this.keeper.changed(now);
		};
		const choose = () => {
			const [first] = this.videos;
			const [at, isPlaying] = [first?.currentTime ?? 0, !first?.paused];
			be(/** @type {Job} */ (this.made[takes.selectedIndex]));
			clip.addEventListener("loadedmetadata", () => this.#seek(at), { once: true });
			clip.src = clipAddress(String(job.file));
			if (isPlaying) clip.play().catch(() => {});
		};
		const clip = /** @type {HTMLVideoElement} */ (this.videos[place]);
		const takes = h(
			"select",
			{ "aria-label": t("compare.which"), change: choose },
			...this.made.map(({ take }) => h("option", t("card.take", { take }))),
		);
		takes.selectedIndex = place;
		be(job);
		const use = () => {
			this.dialog.close();
			loadNode(job);
		};
		const hear = () => {
			for (const each of this.videos) each.muted = each !== clip || !sound.checked;
			for (const box of this.tiles.querySelectorAll("input")) if (box !== sound) box.checked = false;
		};
		const sound = h("input", { type: "checkbox", change: hear });
		return h(
			"figure",
			clip,
			h(
				"figcaption",
				takes,
				facts,
				h("label", sound, t("compare.sound")),
				press("verb.load", use, { title: t("verb.load.tip") }),
			),
		);
	}

	#wiping() {
		const wipe = h("input", {
			type: "range",
			min: 0,
			max: 100,
			value: 50,
			hidden: true,
			"aria-label": t("compare.wipe"),
			input: () => this.tiles.style.setProperty("--wipe", `${wipe.value}%`),
		});
		const toggle = () => {
			wipe.hidden = !this.tiles.classList.toggle("wiped");
		};
		return h("span.wiping", press("compare.wipe", toggle), wipe);
	}

	#length() {
		return Math.max(0, ...this.videos.map(({ duration }) => duration || 0));
	}

	#toggle() {
		const [first] = this.videos;
		const play = Boolean(first?.paused);
		for (const each of this.videos) {
			if (play) each.play().catch(() => {});
			else each.pause();
		}
		this.playing.replaceChildren(icon(play ? "pause" : "play"), t(play ? "compare.pause" : "compare.play"));
		if (!play) this.#seek(first?.currentTime ?? 0);
	}

	/** @param {number} seconds */
	#seek(seconds) {
		for (const each of this.videos) each.currentTime = Math.min(seconds, each.duration || 0);
	}

	/** @param {number} frames */
	#step(frames) {
		const [first] = this.videos;
		if (first && !first.paused) this.#toggle();
		// Into the middle of a picture, where rounding does not reach its neighbours.
		const shown = Math.floor((first?.currentTime ?? 0) * this.rate + 0.01);
		this.#seek((Math.max(0, shown + frames) + 0.5) / this.rate);
	}

	/** All follow the first. */
	#tick() {
		this.frame = requestAnimationFrame(() => this.#tick());
		const [first, ...others] = this.videos;
		if (!first?.duration) return;
		for (const other of others) {
			const apart = Math.abs(other.currentTime - first.currentTime);
			if (!first.paused && apart > APART_SECONDS && !other.seeking) other.currentTime = first.currentTime;
		}
		this.clock.value = String((1000 * first.currentTime) / this.#length());
	}

	/** @param {KeyboardEvent} event */
	#key(event) {
		const [target] = event.composedPath();
		if (target.matches("input[type=range], select")) return;
		if (event.key === "ArrowLeft") this.#step(-1);
		else if (event.key === "ArrowRight") this.#step(1);
		else if (event.key === " " && !target.matches("button, input")) this.#toggle();
		else return;
		event.preventDefault();
	}

	#end() {
		cancelAnimationFrame(this.frame);
		for (const each of this.videos) release(each);
		this.dialog.remove();
	}
}
