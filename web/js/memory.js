/** The last word on each node, kept in this browser over reloads and tabs: never in a workflow, never in a prompt. */

const KEY = "apimallvideo.lastWords";
const MOST_NODES = 300;

export class Memory {
	/** @type {Map<string, LastWord>} */
	words = new Map(read());
	timer = 0;

	/** @param {string} place */
	get(place) {
		return this.words.get(place);
	}

	/**
	 * Keeps what was told of a node, with the widget values that it is true for.
	 * @param {string} place
	 * @param {Told} told
	 * @param {Record<string, unknown>} values
	 * @param {string} [given] the server's sign of all that it was given, by links too
	 */
	keep(place, told, values, given) {
		const before = this.words.get(place);
		const same = (before?.told ?? []).filter((each) => each.prompt_id === told.prompt_id && each.job && told.job);
		const others = same.filter((each) => each.job?.id !== told.job?.id);
		this.words.delete(place);
		this.words.set(place, { values, told: [...others, told], given: given ?? before?.given });
		if (this.words.size > MOST_NODES) this.words.delete(String(this.words.keys().next().value));
		this.save();
	}

	/** @param {Job} job it has moved: whatever node spoke of it speaks of it as it is now */
	moved(job) {
		for (const told of [...this.words.values()].flatMap((word) => word.told)) {
			if (told.job?.id === job.id) told.job = { ...job, prompt: job.prompt ?? told.job.prompt };
		}
		this.save();
	}

	/** Many words come a second; they are written down when it is quiet for a moment, and before the page goes. */
	save() {
		this.timer ||= setTimeout(() => {
			this.timer = 0;
			try {
				localStorage.setItem(KEY, JSON.stringify([...this.words]));
			} catch {
				// Without storage, the words end with the page.
			}
		}, 200);
	}
}

/** @returns {[string, LastWord][]} */
function read() {
	try {
		const kept = JSON.parse(localStorage.getItem(KEY) ?? "[]");
		return Array.isArray(kept) ? kept.filter(([place, word]) => typeof place === "string" && word?.told?.length) : [];
	} catch {
		return [];
	}
}
