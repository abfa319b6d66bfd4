/** From what is known of a node to the two rows of its line. */

import { knows, number, span, t } from "./words.js";

const DOT = " \u00b7 ";
/** Ends of a wait, not of a job: changed inputs would pay a second time. */
export const GENTLE = new Set(["Detached", "StillRunning", "NotDownloaded"]);

/** @param {(string | null | undefined | false)[]} parts */
export function joined(...parts) {
	return parts.filter(Boolean).join(DOT);
}

/** @param {string} kind the class of an error */
export function titleOf(kind) {
	const key = `error.${kind}`;
	return t(knows(key) ? key : "error.APIMallError");
}

/** @type {(of: Trouble, part: "what" | "advice") => string} */
export const partOf = (of, part) => inWords(of.said?.[part] ?? of[part]);

/**
 * @param {Said} said a sentence of the server, or a value in one
 * @returns {string}
 */
function inWords(said) {
	if (typeof said !== "object") return String(said);
	if (Array.isArray(said)) return said.map(inWords).join(", ");
	const values = Object.entries(said.values).map(([name, value]) => [name, inWords(value)]);
	return t(`remark.${said.key}`, Object.fromEntries(values));
}

/**
 * What a job cost so far, in a few words.
 * @param {Charged} of
 */
export function cost({ charge, credits_used, credits_refunded }) {
	if (!["running", "charged", "refunded"].includes(charge)) return t(`cost.${charge}`);
	if (credits_used === null && !credits_refunded) return t("cost.unstated");
	const values = { used: credits_used === null ? "?" : number(credits_used), refunded: number(credits_refunded ?? 0) };
	if (charge !== "refunded") return t("cost.used", values);
	return t(credits_refunded ? "cost.refunded" : "cost.no_refund", values);
}

/** @param {Trouble} trouble */
export const chargeOf = (trouble) => (trouble.said?.charge ? inWords(trouble.said.charge) : cost(trouble));

/**
 * Before a run: the price, or that there is none.
 * @param {Standing | undefined} standing
 * @param {boolean} paid does such a node ever pay?
 * @returns {Saying}
 */
export function estimated(standing, paid) {
	if (!paid) return { head: t("line.costs_nothing") };
	if (!standing) return { head: "" };
	const { rehearsal } = standing;
	if (!standing.ready) return { tone: "warn", head: t("account.no_key"), note: t("line.no_key"), setUp: true };
	if (standing.standing !== "new") {
		return {
			tone: standing.standing === "ended" ? "warn" : "good",
			head: t(`estimate.${standing.standing}`),
			note: t(`estimate.${standing.standing}.note`),
			rehearsal,
		};
	}
	const { runs, credits, seconds } = standing;
	if (!runs || (credits === null && seconds === null)) {
		return { head: t("estimate.none"), note: t("estimate.none.note"), rehearsal };
	}
	return {
		head: joined(
			credits !== null && t("estimate.credits", { credits: number(credits) }),
			seconds !== null && t("estimate.time", { time: span(seconds) }),
		),
		note: runs === 1 ? t("estimate.run") : t("estimate.runs", { runs }),
		rehearsal,
	};
}

/**
 * A run, or the several jobs of one.
 * @param {Told[]} told
 * @param {number} now seconds since the epoch
 * @returns {Saying}
 */
export function ofRun(told, now) {
	const last = /** @type {Told} */ (told.at(-1));
	const rehearsal = Boolean(last.job) && last.rehearsal;
	if (told.length === 1) return { ...ofJob(last, now), rehearsal, remarks: last.remarks.map(inWords) };
	const failed = told.filter(({ trouble, job }) => trouble && !job?.file);
	const done = told.filter(({ job }) => job?.file);
	const credits = told.reduce((sum, { job }) => sum + (job?.credits_used ?? 0) - (job?.credits_refunded ?? 0), 0);
	const all = told.length;
	const note = t("cost.used", { used: number(credits) });
	if (failed.length) {
		const [first] = failed;
		return {
			tone: "bad",
			head: t("line.some_failed", { failed: failed.length, all }),
			rehearsal,
			note: joined(note, titleOf(first?.trouble?.kind ?? "")),
			trouble: first?.trouble ?? undefined,
			job: first?.job?.id,
		};
	}
	const whole = done.length === all;
	return {
		tone: whole ? "good" : "busy",
		head: t("line.some_done", { done: done.length, all }),
		rehearsal,
		note,
		fraction: whole ? null : done.length / all,
	};
}

/**
 * @param {Told} told
 * @param {number} now
 * @returns {Saying}
 */
function ofJob(told, now) {
	const { phase, job } = told;
	if (phase === "loaded") return ofClip(told);
	if (job?.state === "closed") return { head: t("state.closed"), note: cost(job) };
	// The job may have gone on after the run: what became of it is the last word.
	if (job?.file && told.trouble?.kind !== "NotDecoded") return done(job, told);
	const trouble = endOf(job) ?? told.trouble;
	if (!trouble) return live(told, now);
	const saying = { trouble, job: job?.id, note: cost(trouble) };
	if (phase === "stopped") {
		if (trouble.charge === "not_sent") return { ...saying, head: t("line.unsent") };
		return { ...saying, tone: "warn", head: t("line.stopped"), note: joined(cost(trouble), t("line.to_panel")) };
	}
	return { ...saying, tone: GENTLE.has(trouble.kind) ? "warn" : "bad", head: titleOf(trouble.kind) };
}

/**
 * The end of a job that failed, so far as its row tells without being asked; the dialog asks for the rest.
 * @param {Job | null} job
 */
function endOf(job) {
	if (!job?.error || job.unfinished) return null;
	const { error: kind, charge, credits_used, credits_refunded } = job;
	return { kind, what: "", advice: "", charge, credits_used, credits_refunded };
}

/**
 * @param {Job} job
 * @param {Told} told
 * @returns {Saying}
 */
function done(job, { phase, fetched }) {
	// Was it here already?
	const before = phase === "done" && !fetched;
	const took = !before && job.seconds !== null && span(job.seconds);
	const head = before ? t("estimate.paid") : joined(t("state.delivered"), cost(job), took);
	const unseen = phase === "stopped" || phase === "failed";
	return { tone: "good", head, note: t(unseen ? "line.unseen" : "estimate.paid.note") };
}

/**
 * @param {Told} told
 * @param {number} now
 * @returns {Saying}
 */
function live({ phase, job, fraction, running, limit }, now) {
	// A node that does not wait hears no more of its job; the job itself is known to be further.
	if (phase === "submitting" && job?.accepted_at) phase = "pending";
	const percent =
		fraction !== null && phase !== "pending" && t("line.percent", { percent: Math.round(100 * fraction) });
	const places = phase === "waiting" && limit !== null && t("line.places", { running: running ?? 0, limit });
	const time = job?.accepted_at ? t("card.for", { time: span(now - job.accepted_at) }) : "";
	const paid = job && job.charge !== "not_sent" && cost(job);
	return {
		tone: "busy",
		head: joined(t(`phase.${phase}`), percent, places),
		note: joined(paid, time),
		fraction: phase === "pending" || phase === "processing" || phase === "downloading" ? fraction : null,
	};
}

/**
 * @param {Told} told
 * @returns {Saying}
 */
function ofClip({ clip }) {
	if (!clip) return estimated(undefined, false);
	const { frames, fps, width, height, seconds, sound } = clip;
	return {
		tone: "good",
		head: joined(t("line.frames", { frames: number(frames) }), t("line.fps", { fps: number(fps) })),
		note: joined(
			`${width}\u00d7${height}`,
			t("time.s", { s: number(seconds) }),
			t(sound ? "line.sound" : "line.silent"),
		),
	};
}
