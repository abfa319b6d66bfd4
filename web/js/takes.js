// @ts-check
/** More takes of a job: the same node, queued again with other numbers, as its user could by hand. */

import { addNode, NODE_OF_TYPE, nodesOf, queue } from "./canvas.js";
import { h } from "./look.js";
import { notice } from "./notices.js";
import { ask } from "./server.js";
import { number, t } from "./words.js";

const COUNTS = [1, 3, 5];
const ARMED_MS = 6000;
const SETTINGS = /** @type {const} */ (["prompt", "model", "duration", "resolution"]);

/** @typedef {import("./card.js").Job} Job */

/**
 * Buttons that make more takes; the first press of one asks, the second pays.
 * @param {Job} job
 * @param {Job[]} takes those there are
 * @param {number | null} price of one, as far as is known
 */
export function moreTakes(job, takes, price) {
	const buttons = COUNTS.map((count) => {
		const label = `+${count}`;
		const button = h(
			"button",
			{ "data-verb": `more-${count}`, "aria-label": t("takes.more", { count }), click: () => press() },
			label,
		);
		const calm = () => {
			button.classList.remove("armed");
			button.textContent = label;
		};
		const press = async () => {
			if (!button.classList.contains("armed")) {
				button.classList.add("armed");
				setTimeout(calm, ARMED_MS);
				button.textContent =
					price === null ? t("takes.sure", { count }) : t("takes.price", { count, credits: number(count * price) });
				return;
			}
			calm();
			await queueTakes(job, takes, count);
		};
		return button;
	});
	return h("div", { class: "more-takes" }, h("span", { class: "quiet small" }, t("takes.title")), ...buttons);
}

/**
 * @param {Job} job
 * @param {Job[]} takes
 * @param {number} count
 */
async function queueTakes(job, takes, count) {
	const node = nodeOf(job) ?? (await newNode(job));
	const widget = node?.widgets?.find(({ name }) => name === "take");
	if (!node || !widget) return;
	const before = widget.value;
	const first = 1 + Math.max(...takes.map(({ take }) => take));
	for (let take = first; take < first + count; take += 1) {
		widget.value = take;
		await queue(node);
	}
	widget.value = before;
}

/** @param {Job} job the node on the canvas that has its settings */
function nodeOf(job) {
	return nodesOf(NODE_OF_TYPE[job.type] ?? "").find((node) =>
		SETTINGS.every((name) => node.widgets?.find((widget) => widget.name === name)?.value === job[name]),
	);
}

/** @param {Job} job nothing when pictures or a video have to be linked first */
async function newNode(job) {
	const { addresses, uploads } = await ask(`jobs/${job.id}`);
	const settings = Object.fromEntries(SETTINGS.map((name) => [name, job[name]]));
	const values = { ...settings, take: job.take, image_urls: addresses.join("\n"), video_url: addresses[0] ?? "" };
	const node = addNode(NODE_OF_TYPE[job.type] ?? "", values);
	if (!uploads) return node;
	notice("info", t("toast.link_again"), t("takes.link_first"));
	return undefined;
}
