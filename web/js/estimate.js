// @ts-check
/** One quiet line on each paid node: what such a job took before. It is never part of a workflow or a prompt. */

import { NODE_OF_TYPE } from "./canvas.js";
import { ask } from "./server.js";
import { loadWords, number, span, t } from "./words.js";

const SETTLED_MS = 500;
const LINE_PX = 20;
const MARGIN_PX = 5;
const WIDGET_PX = LINE_PX + 2 * MARGIN_PX;
const WIDGET = "apimallvideo_estimate";

/** @type {Record<string, string>} */
const TYPE_OF_NODE = Object.fromEntries(Object.entries(NODE_OF_TYPE).map(([type, node]) => [node, type]));

/**
 * @typedef {import("@comfyorg/comfyui-frontend-types").ComfyExtension} ComfyExtension
 * @typedef {Parameters<NonNullable<ComfyExtension["nodeCreated"]>>[0]} AnyNode
 * @typedef {AnyNode & HoldsElements} GraphNode
 * @typedef {{ runs: number, credits: number | null, seconds: number | null, rehearsal: boolean }} Told
 */

/** @param {{ comfyClass?: string }} node */
export function isPaid(node) {
  return (node.comfyClass ?? "") in TYPE_OF_NODE;
}

/** The lines of all paid nodes; what the server said is kept until a job moves or the account changes. */
export class Estimates {
  constructor() {
    /** @type {Set<Line>} */
    this.lines = new Set();
    /** @type {Map<string, Promise<any>>} */
    this.answers = new Map();
  }

  /** @param {AnyNode} plain a paid one */
  add(plain) {
    const node = /** @type {GraphNode} */ (plain);
    if (typeof node.addDOMWidget !== "function") return;
    const line = new Line(node, (path, body) => this.#ask(path, body));
    this.lines.add(line);
    const removed = node.onRemoved;
    node.onRemoved = function (...given) {
      line.end();
      return removed?.apply(this, given);
    };
    line.ended = () => this.lines.delete(line);
  }

  /** What was true may not be so any more. */
  forget() {
    this.answers.clear();
    for (const line of this.lines) line.settle(true);
  }

  /** The nodes have got their values. */
  settle() {
    for (const line of this.lines) line.settle();
  }

  /**
   * @param {string} path
   * @param {unknown} [body]
   */
  #ask(path, body) {
    const question = `${path} ${JSON.stringify(body)}`;
    const answer = this.answers.get(question) ?? ask(path, body);
    this.answers.set(question, answer);
    return answer;
  }
}

class Line {
  /**
   * @param {GraphNode} node
   * @param {(path: string, body?: unknown) => Promise<any>} asked
   */
  constructor(node, asked) {
    this.node = node;
    this.asked = asked;
    this.shown = "";
    this.ended = () => {};
    this.element = document.createElement("div");
    this.element.dataset.apimallEstimate = "";
    Object.assign(this.element.style, {
      overflow: "hidden",
      textOverflow: "ellipsis",
      whiteSpace: "nowrap",
      font: `12px/${LINE_PX}px Inter, system-ui, sans-serif`,
      color: "var(--descrip-text, #999)",
      textAlign: "center",
      pointerEvents: "none",
      maxHeight: `${LINE_PX}px`,
    });
    this.#hang();
    this.settle();
  }

  #hang() {
    const options = {
      serialize: false,
      hideOnZoom: true,
      margin: MARGIN_PX,
      getMinHeight: () => WIDGET_PX,
      getMaxHeight: () => WIDGET_PX,
      getHeight: () => WIDGET_PX,
      getValue: () => "",
      setValue: () => {},
      // Values set by a program call nothing back; the next drawing sees them.
      onDraw: () => this.settle(),
    };
    const widget = this.node.addDOMWidget(WIDGET, WIDGET, this.element, options);
    widget.serialize = false;
    for (const own of this.node.widgets ?? []) {
      if (own === widget || !own.name) continue;
      const before = own.callback;
      own.callback = (/** @type {any[]} */ ...given) => {
        this.settle();
        return /** @type {any} */ (before)?.apply(own, given);
      };
    }
  }

  end() {
    clearTimeout(this.timer);
    this.ended();
  }

  /** Asks when the values have stopped changing, and only if they did. */
  settle(anew = false) {
    const values = JSON.stringify(this.#values());
    if (values === this.shown && !anew) return;
    this.shown = values;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.#show().catch(() => this.#say("")), SETTLED_MS);
  }

  /** The widget values that matter; those that come over a link are not known here and are left out. */
  #values() {
    const linked = new Set(
      (this.node.inputs ?? []).filter((input) => input.link != null).map((input) => input.widget?.name ?? input.name),
    );
    /** @type {Record<string, any>} */
    const values = {};
    for (const { name, value } of this.node.widgets ?? []) {
      if (["prompt", "model", "duration", "resolution", "take"].includes(name) && !linked.has(name))
        values[name] = value;
    }
    return values;
  }

  async #show() {
    // A node that was made for a preview never gets onto a canvas: it is not worth a question.
    if (!this.node.graph) {
      this.shown = "";
      return;
    }
    const { prompt, model, duration, resolution, take } = this.#values();
    const type = TYPE_OF_NODE[this.node.comfyClass ?? ""] ?? "";
    if (!model || !duration || !resolution) return this.#say("");
    await loadWords();
    const told = /** @type {Told} */ (
      await this.asked(`estimate?${new URLSearchParams({ type, model, duration, resolution })}`)
    );
    const textOnly = type === "text-to-video" && typeof prompt === "string" && Number.isInteger(take) && prompt.trim();
    const standing = textOnly
      ? (await this.asked("standing", { model, prompt, duration, resolution, take })).standing
      : "new";
    this.#say(standing === "new" ? guess(told) : t(`estimate.${standing}`), told.rehearsal);
  }

  /**
   * @param {string} words
   * @param {boolean} [rehearsal]
   */
  #say(words, rehearsal = false) {
    this.element.textContent = rehearsal && words ? `${t("rehearsal.mark")} \u00b7 ${words}` : words;
    this.element.title = words ? t("estimate.tip") : "";
  }
}

/** @param {Told} told */
function guess({ runs, credits, seconds }) {
  if (!runs || (credits === null && seconds === null)) return t("estimate.none");
  const parts = [
    credits === null ? "" : t("estimate.credits", { credits: number(credits) }),
    seconds === null ? "" : t("estimate.time", { time: span(seconds) }),
  ];
  const source = runs === 1 ? t("estimate.run") : t("estimate.runs", { runs });
  return t("estimate.line", { about: parts.filter(Boolean).join(" \u00b7 "), source });
}
