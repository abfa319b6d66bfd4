/** More takes of a job: the same node, queued again with other numbers, as its user could by hand. */

import { addNode, NODE_OF_TYPE, nodesOf, queue } from "./canvas.js";
import { armed, h, tool } from "./look.js";
import { notice, tried } from "./notices.js";
import { ask } from "./server.js";
import { number, t } from "./words.js";

const COUNTS = [1, 3, 5];
/** One after the other, for they may set the same widgets. */
let making = Promise.resolve();
/**
 * A favourite's star, to be given or taken away.
 * @param {Job} job
 * @param {Pick<Keeper, "changed">} keeper
 */
export function star({ id, starred }, keeper) {
	const mark = () => tried(ask(`jobs/${id}/star`, { on: !starred }).then(({ job }) => keeper.changed(job)));
	return tool(t("verb.star"), "star", { "data-verb": "star", "aria-pressed": String(starred), click: mark });
}

const SETTINGS = /** @type {const} */ (["prompt", "model", "duration", "resolution"]);

/**
 * Buttons that make more takes; the first press of one asks, the second pays.
 * @param {Job} job
 * @param {Job[]} takes those there are
 */
export function moreTakes(job, takes) {
	const price = job.about?.credits;
	const buttons = COUNTS.map((count) =>
		armed(
			`+${count}`,
			price ? t("takes.price", { count, credits: number(count * price) }) : t("takes.sure", { count }),
			() => {
				making = making.then(() => tried(queueTakes(job, takes, count)));
			},
			{ "data-verb": `more-${count}`, "aria-label": t("takes.more", { count }) },
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
	const [number, wait] = ["take", "wait"].map((name) => node?.widgets?.find((widget) => widget.name === name));
	if (!node || !number || !wait) return;
	const waits = wait.value;
	const last = Math.max(...takes.map(({ take }) => take)) + count;
	for (let take = last - count + 1; take <= last; take += 1) {
		number.value = take;
		wait.value = waits && take === last;
		await queue(node);
	}
	wait.value = waits;
}

/** @param {Job} job the node on the canvas that has its settings */
function nodeOf(job) {
	return nodesOf(NODE_OF_TYPE[job.type] ?? "").find((node) =>
		SETTINGS.every((name) => node.widgets?.find((widget) => widget.name === name)?.value === job[name]),
	);
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
