/** More takes of a job: the same node, queued again with other numbers, as its user could by hand. */

import { addNode, NODE_OF_TYPE, nodesOf, queue } from "./canvas.js";
import { armed, h } from "./look.js";
import { notice } from "./notices.js";
import { ask } from "./server.js";
import { number, t } from "./words.js";

const COUNTS = [1, 3, 5];
const SETTINGS = /** @type {const} */ (["prompt", "model", "duration", "resolution"]);

/**
 * Buttons that make more takes; the first press of one asks, the second pays.
 * @param {Job} job
 * @param {Job[]} takes those there are
 * @param {number | null} price of one, as far as is known
 */
export function moreTakes(job, takes, price) {
	const buttons = COUNTS.map((count) =>
		armed(
			`+${count}`,
			price === null ? t("takes.sure", { count }) : t("takes.price", { count, credits: number(count * price) }),
			() => queueTakes(job, takes, count),
			{ "data-verb": `more-${count}`, "aria-label": t("takes.more", { count }) },
		),
	);
	return h("div.more-takes", h("span.quiet.small", t("takes.title")), ...buttons);
}

/**
 * The node keeps the last number, whose clip it plays.
 * @param {Job} job
 * @param {Job[]} takes
 * @param {number} count
 */
async function queueTakes(job, takes, count) {
	const node = nodeOf(job) ?? (await newNode(job, "takes.link_first"));
	const widget = node?.widgets?.find(({ name }) => name === "take");
	if (!node || !widget) return;
	const first = 1 + Math.max(...takes.map(({ take }) => take));
	for (let take = first; take < first + count; take += 1) {
		widget.value = take;
		await queue(node);
	}
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
 * @param {string} detail the key of what is said then
 */
export async function newNode(job, detail) {
	const { addresses, uploads } = await ask(`jobs/${job.id}`);
	const media = { image_urls: addresses.join("\n"), video_url: addresses[0] ?? "", file: "" };
	const node = addNode(NODE_OF_TYPE[job.type] ?? "", { ...job, ...media });
	if (!node || !uploads) return node;
	notice("info", t("toast.link_again"), t(detail));
	return undefined;
}
