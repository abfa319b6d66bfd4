// @ts-check
/** The dialog that answers: what happened, was I charged, what now. */

import { copy } from "./clipboard.js";
import { h } from "./look.js";
import { ask } from "./server.js";
import { knows, number, t } from "./words.js";

/**
 * @param {number} jobId
 * @param {HTMLElement} near an element of the panel: the dialog shares its look
 */
export async function showTrouble(jobId, near) {
  const { trouble, report, job } = await ask(`jobs/${jobId}`);
  if (!trouble) return;
  const close = () => dialog.close();
  const dialog = h(
    "dialog",
    { "aria-labelledby": "apimall-trouble", close: () => dialog.remove() },
    h(
      "div",
      { class: "sheet" },
      h("h2", { id: "apimall-trouble" }, titleOf(trouble.kind)),
      part("trouble.what", trouble.what),
      part("trouble.charged", charged(trouble)),
      part("trouble.now", advice(trouble)),
      ids(trouble),
      h("details", {}, h("summary", {}, t("trouble.report")), h("pre", { tabindex: 0 }, report)),
      h(
        "footer",
        {},
        job.task_id && h("button", { type: "button", click: () => copy(job.task_id, dialog) }, t("verb.copy")),
        h("button", { type: "button", click: () => copy(report, dialog) }, t("trouble.copy")),
        h("button", { type: "button", class: "main", autofocus: true, click: close }, t("trouble.close")),
      ),
    ),
  );
  near.closest(".panel")?.append(dialog);
  dialog.showModal();
}

/** @param {string} kind */
function titleOf(kind) {
  const key = `error.${kind}`;
  return t(knows(key) ? key : "error.APIMallError");
}

/** @param {{ kind: string, advice: string }} trouble */
function advice({ kind, advice: own }) {
  const key = `advice.${kind}`;
  return knows(key) ? t(key) : own;
}

/** @param {{ charge: string, credits_used: number | null, credits_refunded: number | null }} trouble */
function charged({ charge, credits_used, credits_refunded }) {
  const stated = credits_used !== null || !knows(`charge.${charge}.unstated`);
  return t(stated ? `charge.${charge}` : `charge.${charge}.unstated`, {
    used: number(credits_used ?? 0),
    refunded: number(credits_refunded ?? 0),
  });
}

/**
 * @param {string} key
 * @param {string} text
 */
function part(key, text) {
  return text ? h("section", {}, h("h3", {}, t(key)), h("p", {}, text)) : null;
}

/** @param {Record<string, string | number | null>} trouble */
function ids(trouble) {
  const named = [
    ["card.task", trouble.task_id],
    ["trouble.request", trouble.request_id],
    ["trouble.provider_request", trouble.provider_request_id],
    ["trouble.http", trouble.http_status],
    ["trouble.code", trouble.code],
  ].filter(([, value]) => value);
  if (!named.length) return null;
  const rows = named.flatMap(([label, value]) => [h("dt", {}, t(String(label))), h("dd", {}, String(value))]);
  return h("dl", { class: "ids" }, ...rows);
}
