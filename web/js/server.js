// @ts-check
/** What the panel asks of its own server. */

import { api } from "../../../scripts/api.js";

/** The server's answer was a no; the message is its own words. */
export class Refused extends Error {}

/**
 * @param {string} path under /apimall/
 * @param {unknown} [body] makes it a POST of JSON
 * @returns {Promise<any>}
 */
export async function ask(path, body) {
  const headers = { "Content-Type": "application/json" };
  const answer = await api.fetchApi(
    `/apimall/${path}`,
    body === undefined ? { cache: "no-store" } : { method: "POST", headers, body: JSON.stringify(body) },
  );
  const told = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Refused(told.problem ?? `HTTP ${answer.status}`);
  return told;
}

/**
 * The address of a finished clip on this server.
 * @param {string} file
 */
export function clipAddress(file) {
  return api.apiURL(`/view?${new URLSearchParams({ filename: file, subfolder: "apimall", type: "output" })}`);
}

/** The address of the export. */
export function exportAddress() {
  return api.apiURL("/apimall/jobs.csv");
}

/**
 * Calls `listener` with each job that the server says has changed; gives what ends that.
 * @param {(told: { job: import("./card.js").Job, unfinished: number }) => void} listener
 */
export function onJob(listener) {
  const heard = (/** @type {any} */ event) => listener(event.detail);
  // The types know only ComfyUI's own events; any name a server sends may be listened to.
  const events = /** @type {EventTarget} */ (/** @type {unknown} */ (api));
  events.addEventListener("apimallvideo.jobs", heard);
  return () => events.removeEventListener("apimallvideo.jobs", heard);
}

/**
 * Calls `listener` when jobs may have changed without a word about it: a prompt ended, the server came back.
 * @param {() => void} listener
 */
export function onDoubt(listener) {
  const names = /** @type {const} */ (["execution_error", "execution_interrupted", "execution_success", "reconnected"]);
  for (const name of names) api.addEventListener(name, listener);
  return () => {
    for (const name of names) api.removeEventListener(name, listener);
  };
}
