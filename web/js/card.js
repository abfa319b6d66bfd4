// @ts-check
/** One job in the list: what was asked for, how it stands, what it cost, and what can be done with it. */

import { addNode, NODE_OF_TYPE, POLL_NODE, toast } from "./canvas.js";
import { copy } from "./clipboard.js";
import { h, icon } from "./look.js";
import { ask, clipAddress } from "./server.js";
import { showTrouble } from "./trouble.js";
import { moment, number, span, t } from "./words.js";

/**
 * @typedef {object} Job as `nodes/panel/cards.py` describes it
 * @property {number} id
 * @property {string} model
 * @property {string} type
 * @property {string} prompt
 * @property {string} duration
 * @property {string} resolution
 * @property {number} take
 * @property {string} state
 * @property {string} charge
 * @property {number | null} credits_used
 * @property {number | null} credits_refunded
 * @property {string | null} task_id
 * @property {string | null} file
 * @property {number | null} seconds
 * @property {number} created_at
 * @property {number | null} accepted_at
 * @property {boolean} unfinished
 * @property {string | null} error
 */

/** @type {Record<string, [tone: string, shape: string]>} */
const FACES = {
  intended: ["", "clock"],
  sent: ["warn", "question"],
  running: ["busy", "clock"],
  completed: ["busy", "fetch"],
  delivered: ["good", "play"],
  failed: ["bad", "cross"],
  rejected: ["bad", "cross"],
  stalled: ["warn", "question"],
};

/** @param {Job} job */
function face(job) {
  return job.unfinished && job.error && job.state !== "sent" ? "stalled" : job.state;
}

/**
 * What a job cost so far, in a few words.
 * @param {Job} job
 */
export function cost(job) {
  const used = job.credits_used === null ? null : number(job.credits_used);
  if (job.charge === "running" || job.charge === "charged") {
    return used === null ? t("cost.unstated") : t("cost.used", { used });
  }
  if (job.charge === "refunded") {
    return t("cost.refunded", { refunded: number(job.credits_refunded ?? 0), used: used ?? "?" });
  }
  return t(`cost.${job.charge}`);
}

export class Card {
  /**
   * @param {Job} job
   * @param {() => number} now seconds since the epoch by the server's clock
   */
  constructor(job, now) {
    this.job = job;
    this.now = now;
    this.open = false;
    this.element = h("li", { class: "job" });
    this.#draw();
  }

  /**
   * Shows the job as it is now; what is open stays open, and the focus where it was.
   * @param {Job} job
   */
  update(job) {
    this.job = job;
    this.#redraw();
  }

  /** The seconds of a running job go on. */
  tick() {
    const clock = this.element.querySelector(".running-time");
    if (clock) clock.textContent = this.#time();
  }

  #redraw() {
    const root = /** @type {ShadowRoot} */ (this.element.getRootNode());
    let focused = this.element.contains(root.activeElement) ? root.activeElement?.getAttribute("data-verb") : null;
    if (focused === "play" && this.open) focused = "open";
    this.#draw();
    if (focused) /** @type {HTMLElement | null} */ (this.element.querySelector(`[data-verb="${focused}"]`))?.focus();
  }

  #toggle() {
    this.open = !this.open;
    this.#redraw();
  }

  #draw() {
    const { job } = this;
    const [tone, shape] = FACES[face(job)] ?? ["", "clock"];
    this.element.className = `job ${tone} ${this.open ? "open" : ""}`;
    this.element.replaceChildren(
      h("div", { class: "row" }, this.open && job.file ? null : this.#thumb(shape), this.#facts()),
      ...(this.open ? [this.#inside()] : []),
    );
  }

  /** @param {string} shape */
  #thumb(shape) {
    const { file } = this.job;
    if (!file) return h("div", { class: "thumb" }, icon(shape));
    // The first picture serves as a poster; nothing more is loaded before somebody wants to see the clip.
    const poster = h("video", { preload: "metadata", muted: true, tabindex: -1, "aria-hidden": "true" });
    poster.src = `${clipAddress(file)}#t=0.1`;
    const button = h(
      "button",
      {
        class: "thumb",
        type: "button",
        "data-verb": "play",
        "aria-label": t("card.play"),
        click: () => this.#toggle(),
      },
      poster,
      h("span", { class: "play" }, icon("play")),
    );
    poster.addEventListener("error", () => button.replaceChildren(icon("film")));
    return button;
  }

  #facts() {
    const { job } = this;
    const title = h(
      "button",
      {
        class: "title",
        type: "button",
        "data-verb": "open",
        "aria-expanded": String(this.open),
        click: () => this.#toggle(),
      },
      h("span", { class: "prompt" }, job.prompt.trim() || t(job.type ? "card.no_prompt" : "card.foreign")),
    );
    return h(
      "div",
      { class: "facts" },
      title,
      h(
        "p",
        { class: "state" },
        h("b", {}, t(`state.${face(job)}`)),
        h("span", { class: "quiet" }, cost(job)),
        h("span", { class: "quiet running-time" }, this.#time()),
      ),
      h("p", { class: "kind" }, this.#kind()),
      this.open ? null : this.#verbs(false),
    );
  }

  #kind() {
    const { job } = this;
    const parts = job.type ? [t(`type.${job.type}`), t("time.s", { s: job.duration }), job.resolution] : [];
    if (job.take) parts.push(t("card.take", { take: job.take }));
    return [...parts, moment(job.created_at)].join(" \u00b7 ");
  }

  #time() {
    const { job } = this;
    if (job.seconds !== null) return t("card.took", { time: span(job.seconds) });
    if (job.state !== "running" || job.accepted_at === null) return "";
    return t("card.for", { time: span(this.now() - job.accepted_at) });
  }

  /** @param {boolean} all else only what is most likely wanted */
  #verbs(all) {
    const { job } = this;
    const ended = !job.unfinished;
    const verbs = [
      job.task_id && (all || !ended) && this.#verb("collect", () => this.#collect()),
      all && job.type in NODE_OF_TYPE && this.#verb("use", () => this.#useSettings()),
      all && job.task_id && this.#verb("copy", () => copy(String(job.task_id), this.element)),
      job.error && this.#verb("error", () => showTrouble(job.id, this.element)),
    ];
    return verbs.some(Boolean) ? h("div", { class: "verbs" }, ...verbs) : null;
  }

  /**
   * @param {string} name
   * @param {() => void} act
   */
  #verb(name, act) {
    return h(
      "button",
      { type: "button", "data-verb": name, title: t(`verb.${name}.tip`), click: act },
      t(`verb.${name}`),
    );
  }

  #inside() {
    const { job } = this;
    const player = job.file ? h("video", { controls: true, loop: true, preload: "metadata" }) : null;
    const gone = h("p", { class: "small quiet", hidden: true }, t("card.file_gone"));
    if (player && job.file) {
      player.src = clipAddress(job.file);
      player.setAttribute("aria-label", job.prompt);
      player.addEventListener("error", () => {
        player.hidden = true;
        gone.hidden = false;
      });
    }
    const ids = [
      ["card.task", job.task_id],
      ["card.model", job.model],
      ["card.file", job.file],
    ];
    return h(
      "div",
      { class: "inside" },
      player,
      gone,
      h(
        "dl",
        { class: "ids" },
        ...ids.flatMap(([label, value]) => (value ? [h("dt", {}, t(String(label))), h("dd", {}, value)] : [])),
      ),
      this.#verbs(true),
    );
  }

  #collect() {
    if (!addNode(POLL_NODE, { task_id: this.job.task_id })) toast("error", t("toast.no_node"));
  }

  async #useSettings() {
    const { job } = this;
    const { addresses, uploads } = await ask(`jobs/${job.id}`);
    /** @type {Record<string, unknown>} */
    const values = { image_urls: addresses.join("\n"), video_url: addresses[0] ?? "" };
    for (const name of /** @type {const} */ (["prompt", "model", "duration", "resolution", "take"])) {
      values[name] = job[name];
    }
    if (!addNode(NODE_OF_TYPE[job.type] ?? "", values)) toast("error", t("toast.no_node"));
    else if (uploads) toast("info", t("toast.link_again"), t("toast.link_again.detail"));
  }
}
