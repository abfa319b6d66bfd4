/** How each state of a job looks in the panel: its tone, picture and word. */

import { t } from "./words.js";

/** @type {Record<string, string>} tone and picture */
const LOOKS = {
	unsent: "warn cross",
	sent: "warn question",
	running: "busy clock",
	completed: "busy fetch",
	delivered: "good play",
	failed: "bad cross",
	rejected: "bad cross",
	expired: "bad cross",
	closed: " cross",
	stalled: "warn question",
};

/** @param {Job} job */
export function stateOf({ state, parked }) {
	const shown = (parked && { intended: "unsent", running: "stalled", completed: "stalled" }[state]) || state;
	const [tone = "", shape = ""] = (LOOKS[shown] ?? " clock").split(" ");
	return { tone, shape, word: t(`state.${shown}`) };
}
