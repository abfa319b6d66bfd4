/** A browser that is not where ComfyUI runs: what to set there, and a one-time code that lets it set things from here. */

import { h, press } from "./look.js";
import { ask } from "./server.js";
import { number, t } from "./words.js";

/** As `nodes/panel/guards.py` reads them. */
const CODE_HEADER = "X-APIMall-Code";
const PLAIN_HTTP_HEADER = "X-APIMall-Plain-HTTP";

/** What is typed here can be read on the way. */
const IS_PLAIN = location.protocol !== "https:";

export class Elsewhere {
	/** @param {() => void} changed called when a code may be typed from now on */
	constructor(changed) {
		this.changed = changed;
		this.printed = false;
		this.code = h("input", {
			type: "text",
			autocomplete: "off",
			maxlength: "20",
			placeholder: t("elsewhere.code"),
		});
		this.known = h("input", { type: "checkbox" });
		this.told = h("p.small.quiet", { role: "status" });
		this.element = h(
			"div.elsewhere",
			h("p.small", t("elsewhere.about")),
			press("elsewhere.print", () => this.#print()),
			this.told,
		);
	}

	/** The headers that show the code; empty while none is typed. */
	get headers() {
		/** @type {Record<string, string>} */
		const shown = this.code.value.trim() ? { [CODE_HEADER]: this.code.value.trim() } : {};
		return this.known.checked ? { ...shown, [PLAIN_HTTP_HEADER]: "known" } : shown;
	}

	/** The code was spent. */
	clear() {
		this.code.value = "";
		this.known.checked = false;
	}

	async #print() {
		try {
			const { seconds } = await ask("code", {});
			this.told.replaceChildren(t("elsewhere.printed", { minutes: number(Math.ceil(seconds / 60)) }));
		} catch (refused) {
			this.told.replaceChildren(/** @type {Error} */ (refused).message);
			return;
		}
		if (!this.printed) {
			this.printed = true;
			this.element.append(this.code, IS_PLAIN ? h("label.plain-http.small", this.known, t("elsewhere.plain")) : "");
			this.changed();
		}
		this.code.focus();
	}
}
