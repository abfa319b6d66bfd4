/** More takes of a job: the same node, queued again with other numbers, as its user could by hand. */

import { api } from "../../../scripts/api.js";
import { app } from "../../../scripts/app.js";
import { addNode, NODE_OF_TYPE, rootGraph } from "./canvas.js";
import { armed, h, tool } from "./look.js";
import { notice, tried } from "./notices.js";
import { ask } from "./server.js";
import { number, t } from "./words.js";

const COUNTS = [1, 3, 5];
/** The last take that was queued of each series: one that waits is in no list yet. @type {Map<string, number>} */
const queued = new Map();
const SETTINGS = /** @type {const} */ (["prompt", "model", "duration", "resolution"]);

/**
 * A favourite's star, to be given or taken away.
 * @param {Job} job
 * @param {Pick<Keeper, "changed">} keeper
 */
export function star({ id, starred }, keeper) {
	const mark = () => tried(ask(`jobs/${id}/star`, { on: !starred }).then(({ job }) => keeper.changed(job)));
	return tool(t("verb.star"), "star", { "data-verb": "star", "aria-pressed": String(starred), click: mark });
}

/**
 * Buttons that make more takes; the first press of one asks, the second pays.
 * @param {Job} job
 * @param {Job[]} takes those there are
 */
export function moreTakes(job, takes) {
	const price = job.credits_used;
	const buttons = COUNTS.map((count) =>
		armed(
			`+${count}`,
			price ? t("takes.price", { count, credits: number(count * price) }) : t("takes.sure", { count }),
			() => tried(queueTakes(job, takes, count)),
			{ "data-verb": `more-${count}` },
		),
	);
	return h("div.more-takes", h("span.quiet.small", t("takes.title")), ...buttons);
}

/**
 * All are made at the same time: the node waits for the last one only, whose number it keeps and whose clip it plays.
 * @param {Job} job
 * @param {Job[]} takes
 * @param {number} count
 */
async function queueTakes(job, takes, count) {
	const node = nodeOf(job) ?? (await newNode(job));
	// In a subgraph that is open it has another id than its own.
	if (node?.graph !== rootGraph()) return;
	const { prompt, model, duration, resolution, series } = job;
	const before = Math.max(queued.get(series) ?? 0, ...takes.map(({ take }) => take));
	const last = before + count;
	queued.set(series, last);
	// From what is there now: what is written or opened while they go out is another matter.
	const { output, workflow } = await app.graphToPrompt();
	const id = String(node.id);
	const number = node.widgets?.find(({ name }) => name === "take");
	if (number) number.value = last;
	for (let take = before + 1; take <= last; take += 1) {
		const inputs = { ...output[id]?.inputs, prompt, model, duration, resolution, take, _take_of: job.id };
		if (take < last) inputs.wait = false;
		const whole = { workflow, output: { ...output, [id]: { ...output[id], inputs } } };
		await api.queuePrompt(0, whole, { partialExecutionTargets: [id] });
	}
	api.dispatchEvent(new CustomEvent("promptQueued", { detail: { number: 0, batchCount: 1 } }));
}

/** @param {Job} job the node on the canvas that has its settings */
function nodeOf(job) {
	const nodes = /** @type {AnyNode[]} */ (rootGraph().nodes);
	return nodes.find(({ comfyClass, mode, widgets }) => {
		const values = Object.fromEntries((widgets ?? []).map(({ name, value }) => [name, value]));
		return comfyClass === NODE_OF_TYPE[job.type] && mode === 0 && SETTINGS.every((name) => values[name] === job[name]);
	});
}

/**
 * A node with the settings of a job; nothing when pictures or a video have to be linked first.
 * @param {Job} job
 */
export async function newNode(job) {
	const { addresses, uploads } = await ask(`jobs/${job.id}`);
	const media = { image_urls: addresses.join("\n"), video_url: addresses[0] ?? "", file: "" };
	const node = addNode(NODE_OF_TYPE[job.type] ?? "", { ...job, ...media });
	if (!node || !uploads) return node;
	notice("info", t("toast.link_again"), t("toast.link_again.detail"));
	return undefined;
}
