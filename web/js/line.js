/**
 * The line on each node of ours, and on a subgraph with one: what it would cost, how it stands, how it ended. It is never
 * part of a workflow or a prompt, and always of the same height, so that nothing under it moves.
 */

import {
	also,
	isPaid,
	linkedInputs,
	NODE_OF_TYPE,
	nodesAt,
	oursIn,
	placeOf,
	rootGraph,
	TYPE_OF_NODE,
} from "./canvas.js";
import { bar, h, keepKeys, press, shadowOf } from "./look.js";
import { Memory } from "./memory.js";
import { removePlayer } from "./player.js";
import { estimated, ofRun } from "./saying.js";
import { ask, clientId } from "./server.js";
import { showTrouble } from "./trouble.js";
import { loadWords, t } from "./words.js";

const SETTLED_MS = 500;
const MARGIN_PX = 5;
/** With the margins; `look.css` has the height between them. */
const WIDGET_PX = 54;
const WIDGET = "apimallvideo_state";
const WORTH_ASKING = /** @type {const} */ (["prompt", "model", "duration", "resolution", "take"]);
const ENDS = ["done", "failed", "stopped", "loaded"];

/** @param {Told} told does its run go on? */
function isLive({ phase }) {
	return !ENDS.includes(phase);
}

/** The lines of all nodes; what the server said is kept until a job moves or the account changes. */
export class Lines {
	memory = new Memory();
	/** @type {Set<Line>} */
	all = new Set();
	/** @type {Map<string, Promise<Standing>>} */
	answers = new Map();
	/** Prompts in ComfyUI's queue. */
	waiting = 0;
	/** @type {Map<Line, [string | Line, Price] | undefined>} those that prompts of now run, and what they would newly pay */
	named = new Map();

	/** @param {Opener} open */
	constructor(open) {
		this.open = open;
	}

	/** @param {AnyNode} plain */
	add(plain) {
		const node = /** @type {GraphNode} */ (plain);
		const about = oursIn(node);
		if (!about || typeof node.addDOMWidget !== "function") return;
		const line = new Line(node, about, this);
		this.all.add(line);
		also(node, "onRemoved", () => {
			clearTimeout(line.timer);
			this.all.delete(line);
		});
	}

	/**
	 * The server speaks of a node in the workflow `workflow`; null is one that no browser queued.
	 * @param {Told & { node: string, workflow: string | null }} told
	 */
	hear({ node: id, workflow, ...told }) {
		const here = !workflow || workflow === String(rootGraph()?.id);
		const nodes = here ? nodesAt(id) : [];
		const node = nodes.at(-1);
		this.memory.keep(node ? placeOf(node) : `${workflow}:${id}`, told, settingsOf(told));
		// What it plays is of a run before.
		if (node && told.phase === "failed") removePlayer(node);
		for (const line of this.#of(nodes)) line.hear(told);
	}

	/** @param {Job} job it has moved */
	moved(job) {
		this.memory.moved(job);
		this.forget();
	}

	/** What was true may not be so any more. */
	forget() {
		this.answers.clear();
		for (const line of this.all) line.settle(true);
	}

	/** @param {AnyNode[]} nodes */
	#of(nodes) {
		return [...this.all].filter(({ node }) => nodes.includes(node));
	}

	/** @param {Record<string, string>} signs of all that nodes are given, which a prompt runs if it is taken */
	name(signs) {
		for (const [id, given] of Object.entries(signs)) {
			for (const line of this.#of(nodesAt(id))) line.name(given);
		}
	}

	/**
	 * The prompts of those nodes were taken. Gives what they newly pay, as far as that is known; equal nodes make one.
	 * @param {number} runs of each
	 */
	queued(runs) {
		const lines = [...this.named.keys()];
		// A subgraph knows the values of the node in it.
		const within = new Set(lines.map(({ closed, about }) => closed && about));
		const prices = new Map([...this.named].flatMap(([{ node }, price]) => (price && !within.has(node) ? [price] : [])));
		for (const line of lines) line.queue(runs);
		this.named.clear();
		return [...prices.values()];
	}

	/** A moment has passed. */
	tick() {
		for (const line of this.all) line.tick(this.waiting > 0);
	}

	/** @param {Record<string, unknown>} question */
	ask(question) {
		const key = JSON.stringify(question);
		/** @type {Promise<Standing>} */
		const answer = this.answers.get(key) ?? ask("standing", { ...question, client: clientId() });
		this.answers.set(key, answer);
		answer.catch(() => this.answers.delete(key));
		return answer;
	}
}

/**
 * The widget values that a job was made with.
 * @param {Told} told
 * @returns {Record<string, unknown>}
 */
function settingsOf({ job }) {
	return Object.fromEntries(job?.type ? WORTH_ASKING.map((name) => [name, job[name]]) : []);
}

/** @param {AnyNode} node what is written in its widgets */
function valuesOf(node) {
	const linked = linkedInputs(node);
	// Not our line, nor ComfyUI's text.
	const known = (node.widgets ?? []).filter(
		({ name, serialize, value }) => name && serialize !== false && !linked.has(name) && typeof value !== "object",
	);
	return Object.fromEntries(known.map(({ name, value }) => [name, value]));
}

class Line {
	asked = "";
	said = "";
	runs = 1;
	begun = false;
	given = "";
	/** The values that it was queued with and did not begin with yet. @type {Set<string>} */
	queued = new Set();
	/** @type {Standing | undefined} */
	standing;

	/**
	 * @param {GraphNode} node
	 * @param {AnyNode} about the node itself, or one in it
	 * @param {Lines} lines
	 */
	constructor(node, about, lines) {
		this.node = node;
		this.about = about;
		this.closed = node !== about;
		this.paid = isPaid(about);
		this.lines = lines;
		this.element = document.createElement("div");
		this.element.dataset.apimallLine = "";
		this.body = h("div.line");
		const root = shadowOf(this.element);
		keepKeys(root);
		root.append(this.body);
		const options = {
			serialize: false,
			hideOnZoom: true,
			margin: MARGIN_PX,
			getMinHeight: () => WIDGET_PX,
			getMaxHeight: () => WIDGET_PX,
			// As soon as it is seen; else the next tick does.
			onDraw: () => this.settle(),
		};
		this.widget = node.addDOMWidget(WIDGET, WIDGET, this.element, options);
		this.widget.serialize = false;
	}

	/** Looks again when the values have stopped changing, and only if they did. */
	settle(anew = false) {
		const values = JSON.stringify(this.values());
		const changed = values !== this.asked;
		// A node made for a preview is never on a canvas.
		if (!this.node.graph || (!changed && !anew)) return;
		this.asked = values;
		if (changed) {
			this.standing = undefined;
			this.show();
		}
		clearTimeout(this.timer);
		this.timer = setTimeout(
			() => this.#ask().catch(({ message }) => this.#say({ tone: "warn", head: message })),
			SETTLED_MS,
		);
	}

	/** The widget values; those that come over a link are not known. */
	values() {
		return { ...valuesOf(this.about), ...(this.closed && valuesOf(this.node)) };
	}

	/** @param {Told} told of this node */
	hear(told) {
		this.lines.memory.keep(placeOf(this.node), told, this.valuesOf(told), this.given);
		if (this.#lastWord()) {
			this.begun = true;
			this.queued.delete(this.asked);
		}
		this.show();
	}

	/** @param {string} given a sign of all that a prompt gives it, by links too */
	name(given) {
		const before = this.lines.memory.get(placeOf(this.node))?.given === given;
		// Given all of that before, it has nothing to do.
		this.begun = Boolean(before && this.#lastWord()?.some(({ trouble }) => !trouble));
		this.given = given;
		this.lines.named.set(this, this.price());
	}

	/** @param {number} runs */
	queue(runs) {
		this.runs = runs;
		this.settle();
		if (!this.begun) this.queued.add(this.asked);
		this.show();
	}

	/**
	 * The values that `told` is true for: those of its job, where it has one that this node made.
	 * @param {Told} told
	 */
	valuesOf(told) {
		return this.paid ? { ...this.values(), ...settingsOf(told) } : this.values();
	}

	/** What is remembered of this node, if it was said of the values it has now. */
	#lastWord() {
		const word = this.lines.memory.get(placeOf(this.node));
		// That a key is missing is asked anew: the rehearsal may be on by now.
		const last = word?.told.at(-1);
		if (!word || last?.trouble?.kind === "KeyMissing") return undefined;
		// What was played is not paid, nor the other way round.
		if (last?.job && this.standing && last.rehearsal !== this.standing.rehearsal) return undefined;
		const values = this.values();
		const differs = Object.entries(word.values).some(
			([name, value]) => name in values && name !== "wait" && values[name] !== value,
		);
		return differs ? undefined : word.told;
	}

	/** Says what is known without asking. */
	show() {
		const told = this.#lastWord();
		if (told && !this.queued.has(this.asked)) {
			const saying = ofRun(told, Date.now() / 1000);
			// What links bring may be another thing by now.
			if (this.paid && saying.tone === "good" && linkedInputs(this.about).size) saying.note = t("line.same_inputs");
			this.#say(this.#withTakes(saying, told.at(-1)?.job));
		}
		// While one types, the old answer stays in grey.
		else if (this.standing || !this.paid) this.#say(this.#withQueue(estimated(this.standing, this.paid)));
		else this.body.classList.add("stale");
	}

	/**
	 * @param {Saying} saying
	 * @returns {Saying}
	 */
	#withQueue(saying) {
		if (this.queued.has(this.asked)) return { ...saying, tone: "busy", head: t("phase.queued"), note: saying.head };
		return this.queued.size ? { ...saying, note: t("line.others_queued") } : saying;
	}

	/**
	 * Run several times at once, one take is one job: perhaps more takes were meant.
	 * @param {Saying} saying
	 * @param {Job | null} [job]
	 */
	#withTakes(saying, job) {
		if (this.runs < 2 || saying.trouble || !job?.type || !("take" in this.values())) return saying;
		return { ...saying, note: t("line.one_job", { runs: this.runs }), takesOf: job.id };
	}

	/** @param {boolean} isQueue is anything in ComfyUI's queue? */
	tick(isQueue) {
		// Values set by a program call nothing back, nor do those of a subgraph.
		this.settle();
		const ended = !isQueue && this.queued.size;
		if (ended) this.queued.clear();
		if (ended || this.#lastWord()?.some(isLive)) this.show();
	}

	async #ask() {
		await loadWords();
		if (this.widget) this.widget.label = t("line.title");
		const question = this.#question();
		if (question) {
			const standing = await this.lines.ask(question);
			this.standing = standing;
			if (standing.job) this.lines.memory.moved(standing.job);
		}
		this.show();
	}

	/** All in one question; none for what costs nothing, unless its job was not done. */
	#question() {
		const live = this.#lastWord()?.find((told) => told.job && (this.paid || isLive(told)))?.job?.id;
		const type = TYPE_OF_NODE[this.about.comfyClass ?? ""];
		const values = this.values();
		const given = Object.fromEntries(WORTH_ASKING.flatMap((name) => (name in values ? [[name, values[name]]] : [])));
		if (!type) return live && { job: live };
		return { ...given, type, ...(live && { job: live }) };
	}

	/**
	 * What queueing would newly cost, under what makes it one job with another node; nothing where it would not pay.
	 * @returns {[string | Line, Price] | undefined}
	 */
	price() {
		const { standing } = this;
		if (!this.paid || this.begun || standing?.standing !== "new" || !standing.ready) return undefined;
		const price = { credits: standing.credits, rehearsal: standing.rehearsal };
		return [this.about.comfyClass === NODE_OF_TYPE["text-to-video"] ? this.asked : this, price];
	}

	/** @param {Saying} saying */
	#say(saying) {
		this.body.classList.remove("stale");
		const key = JSON.stringify(saying);
		if (key === this.said) return;
		this.said = key;
		const { tone, head, note, fraction, rehearsal, trouble, job, setUp, takesOf } = saying;
		const full = [head, note, ...(saying.remarks ?? [])].filter(Boolean).join("\n");
		// No front end plays on a subgraph what a node in it has made.
		const clip = this.closed ? this.#lastWord()?.findLast(({ job }) => job?.file)?.job?.id : 0;
		const shown = takesOf || clip;
		const open = () => {
			if (trouble) showTrouble(job ?? 0, this.body, trouble);
			else this.lines.open(shown);
		};
		const label = trouble ? "line.details" : setUp ? "line.set_up" : takesOf ? "takes.title" : clip && "message.show";
		const button = label && press(label, open);
		this.body.className = `line ${tone ?? ""}`;
		this.body.replaceChildren(
			h(
				"div.words",
				{ title: full },
				h("p.head", rehearsal && h("span.rehearsal-mark", t("rehearsal.mark")), h("b", head)),
				h("p.note", note),
			),
			button || "",
			typeof fraction === "number" ? bar(fraction) : "",
		);
		// What fits leaves the pointer to the canvas; the rest needs it for its full text.
		requestAnimationFrame(() => {
			const rows = [...this.body.querySelectorAll("p")];
			this.body.classList.toggle(
				"long",
				Boolean(saying.remarks?.length) || rows.some((row) => row.scrollWidth > row.clientWidth),
			);
		});
	}
}
