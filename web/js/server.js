/** What the panel asks of its own server. */

import { api } from "../../../scripts/api.js";
import { t } from "./words.js";

/**
 * What the server answers; throws its own words when that is a no.
 * @param {string} path under /apimall/
 * @param {unknown} [body] makes it a POST of JSON
 * @param {Record<string, string>} [shown] headers that show who asks
 */
export async function ask(path, body, shown = {}) {
	const headers = { "Content-Type": "application/json", ...shown };
	const answer = await api
		.fetchApi(
			`/apimall/${path}`,
			body === undefined ? { cache: "no-store" } : { method: "POST", headers, body: JSON.stringify(body) },
		)
		.catch(() => {
			throw new Error(t("server.away"));
		});
	const told = await answer.json().catch(() => ({}));
	if (!answer.ok) throw new Error(told.problem ?? `HTTP ${answer.status}`);
	return told;
}

/** What ComfyUI calls this browser. */
export function clientId() {
	return api.clientId ?? "";
}

/**
 * The address of a finished clip on this server.
 * @param {string} file
 */
export function clipAddress(file) {
	return api.apiURL(`/view?${new URLSearchParams({ filename: file, subfolder: "apimall", type: "output" })}`);
}

/**
 * The address of the small picture that stands for the clip of a job.
 * @param {number} job
 */
export function posterAddress(job) {
	return api.apiURL(`/apimall/posters/${job}`);
}

export const EXPORT_ADDRESS = api.apiURL("/apimall/jobs.csv");

/**
 * Calls `listener` with what an event of ours, or of ComfyUI's, brings; gives what ends that.
 * @param {string} name
 * @param {(detail: any) => void} listener
 */
export function on(name, listener) {
	const heard = (/** @type {any} */ event) => listener(event.detail);
	api.addEventListener(name, heard);
	return () => api.removeEventListener(name, heard);
}
