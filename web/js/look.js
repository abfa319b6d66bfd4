// @ts-check
/** How the panel looks, and the few pieces it is built from. Text is always set as text, never as markup. */

const SHEET = `
:host { display: block; height: 100%; }
* { box-sizing: border-box; }
.panel {
  --ink: var(--fg-color, #ddd);
  --quiet: color-mix(in srgb, var(--ink) 66%, var(--ground));
  --ground: var(--comfy-menu-bg, #2b2b2b);
  --raised: color-mix(in srgb, var(--ink) 6%, var(--ground));
  --raised-more: color-mix(in srgb, var(--ink) 12%, var(--ground));
  --line: color-mix(in srgb, var(--ink) 16%, var(--ground));
  --accent: color-mix(in oklab, #2f8cf0 76%, var(--ink));
  --good: color-mix(in oklab, #23a26a 68%, var(--ink));
  --busy: color-mix(in oklab, #2f8cf0 68%, var(--ink));
  --warn: color-mix(in oklab, #d98a00 68%, var(--ink));
  --bad: color-mix(in oklab, #e0483e 68%, var(--ink));
  display: flex; flex-direction: column; height: 100%; min-width: 0; container-type: inline-size;
  color: var(--ink); background: var(--ground);
  font: 13px/1.45 var(--font-inter, Inter, system-ui), "PingFang SC", "Hiragino Sans", "Noto Sans CJK SC", sans-serif;
  font-variant-numeric: tabular-nums;
}
h2, h3, p, dl, dd, ol, fieldset { margin: 0; padding: 0; border: 0; }
h2 { font-size: 14px; font-weight: 600; }
h3 { font-size: 11px; font-weight: 600; color: var(--quiet); }
ol { list-style: none; }
button, input, a.button { font: inherit; color: inherit; }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
[hidden] { display: none !important; }
.unseen { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
.quiet { color: var(--quiet); }
.small { font-size: 12px; }
svg { width: 1em; height: 1em; fill: none; stroke: currentColor; stroke-width: 1.6; stroke-linecap: round;
  stroke-linejoin: round; flex: none; }

header { display: flex; align-items: center; gap: 8px; padding: 14px 14px 10px; min-height: 48px; }
header h2 { flex: 1; }
.rehearsal-mark { padding: 2px 8px; border-radius: 4px; background: #f4b63f; color: #261a00; font-size: 11px;
  font-weight: 700; letter-spacing: .08em; }
.rehearsing header { border-bottom: 4px solid;
  border-image: repeating-linear-gradient(135deg, #f4b63f 0 8px, transparent 8px 16px) 4; }
.scroll { flex: 1; min-height: 0; overflow-y: auto; padding: 10px 14px 24px; scrollbar-width: thin; }

button, a.button { display: inline-flex; align-items: center; gap: 5px; min-height: 26px; padding: 2px 9px;
  border: 1px solid transparent; border-radius: 6px; background: var(--raised-more); text-decoration: none;
  cursor: pointer; font-size: 12px; }
button:hover, a.button:hover { background: color-mix(in srgb, var(--ink) 20%, var(--ground)); }
button:disabled { opacity: .5; cursor: default; }
button.plain, a.button.plain { background: none; color: var(--quiet); padding-inline: 6px; }
button.plain:hover, a.button.plain:hover { color: var(--ink); background: var(--raised); }
button.main { background: #1f6fd0; color: #fff; font-weight: 600; }
button.main:hover { background: #1a5fb4; }

.account { border-radius: 10px; background: var(--raised); padding: 10px 12px; }
.account .top { display: flex; align-items: baseline; gap: 6px; }
.account .sum { font-size: 20px; font-weight: 600; letter-spacing: -.01em; }
.account .top button { margin-left: auto; align-self: center; }
.account .top .small { white-space: nowrap; }
.tool { width: 28px; justify-content: center; font-size: 16px; flex: none; }
.account .more { display: grid; grid-template-columns: minmax(0, 1fr); gap: 12px; margin-top: 10px; padding-top: 12px; border-top: 1px solid var(--line); }
.account form { display: flex; gap: 6px; margin-top: 6px; }
input[type="password"] { flex: 1; min-width: 0; min-height: 28px; padding: 2px 8px; border-radius: 6px;
  border: 1px solid color-mix(in srgb, var(--ink) 30%, var(--ground)); background: var(--ground); color: var(--ink); }
input::placeholder { color: var(--quiet); opacity: 1; }
.switch { display: grid; grid-template-columns: 34px 1fr; gap: 2px 10px; cursor: pointer; }
.switch input { appearance: none; width: 34px; height: 20px; margin: 0; border-radius: 10px; cursor: inherit;
  background: color-mix(in srgb, var(--ink) 34%, var(--ground)); position: relative; transition: background .15s; }
.switch input::after { content: ""; position: absolute; inset: 2px auto 2px 2px; width: 16px; border-radius: 50%;
  background: #fff; transition: translate .15s; }
.switch input:checked { background: #f4b63f; }
.switch input:checked::after { translate: 14px 0; }
.switch input:disabled { opacity: .5; cursor: default; }
.switch .small { grid-column: 2; }
.account form + p { margin-top: 6px; }
.problem { color: var(--bad); overflow-wrap: anywhere; }
.problem:empty { display: none; }
.account > .problem { margin-top: 8px; }

.totals { display: flex; gap: 4px 24px; flex-wrap: wrap; }
.sums { display: flex; align-items: center; padding: 14px 6px 12px 12px; }
.sums a { margin-left: auto; }
.totals dd { font-size: 15px; font-weight: 600; }
.totals dt { font-size: 11px; color: var(--quiet); }

.filters { display: flex; flex-wrap: wrap; gap: 2px; min-width: 0; padding-bottom: 10px; }
.filters label { display: inline-flex; align-items: center; gap: 4px; padding: 3px 8px; border-radius: 13px; font-size: 12px;
  color: var(--quiet); cursor: pointer; }
.filters label:hover { background: var(--raised); }
.filters label:has(:checked) { background: var(--raised-more); color: var(--ink); font-weight: 600; }
.filters label:has(:focus-visible) { outline: 2px solid var(--accent); }
.count { padding: 0 6px; border-radius: 9px; background: #1f6fd0; color: #fff; font-size: 11px; font-weight: 600; }

.jobs { display: grid; gap: 6px; }
.job { border-radius: 10px; background: var(--raised); overflow: hidden; }
.job .row { display: grid; grid-template-columns: 104px minmax(0, 1fr); gap: 10px; padding: 8px; }
.thumb { position: relative; display: grid; place-items: center; width: 104px; aspect-ratio: 16 / 9; padding: 0;
  border: 0; border-radius: 6px; overflow: hidden; background: var(--raised-more); color: var(--quiet);
  font-size: 20px; }
.thumb video { position: absolute; inset: 0; width: 100%; height: 100%; object-fit: cover; background: #000; }
.thumb .play { position: relative; display: grid; place-items: center; width: 26px; height: 26px; border-radius: 50%;
  background: rgb(0 0 0 / .55); color: #fff; font-size: 13px; }
.thumb .play svg { fill: currentColor; stroke: none; }
button.thumb:hover .play { background: rgb(0 0 0 / .8); }
.job .facts { min-width: 0; display: grid; gap: 2px; align-content: start; }
.prompt { display: -webkit-box; -webkit-box-orient: vertical; -webkit-line-clamp: 2; overflow: hidden;
  overflow-wrap: anywhere; }
.job .row > .facts:only-child { grid-column: 1 / -1; }
.open .prompt { -webkit-line-clamp: unset; white-space: pre-wrap; }
.state { display: flex; flex-wrap: wrap; gap: 0 6px; font-size: 12px; }
.state b { font-weight: 600; }
.good b { color: var(--good); } .busy b { color: var(--busy); } .warn b { color: var(--warn); } .bad b { color: var(--bad); }
.busy .thumb { color: var(--busy); } .warn .thumb { color: var(--warn); } .bad .thumb { color: var(--bad); }
.kind { font-size: 11px; color: var(--quiet); }
.title, .title:hover { all: unset; cursor: pointer; display: block; }
.title:hover .prompt { text-decoration: underline; text-decoration-color: var(--quiet); text-underline-offset: 3px; }
.title:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; border-radius: 3px; }
.verbs { display: flex; flex-wrap: wrap; gap: 6px; margin-top: 5px; }
.inside { padding: 0 8px 10px; display: grid; gap: 8px; }
.inside video { width: 100%; max-height: 60vh; border-radius: 6px; background: #000; display: block; }
.ids { display: grid; grid-template-columns: auto minmax(0, 1fr); gap: 2px 10px; font-size: 11px; }
.ids dt { color: var(--quiet); }
.ids dd { overflow-wrap: anywhere; user-select: text; }
.older { display: flex; justify-content: center; padding-top: 12px; }

.empty { padding: 26px 10px; display: grid; gap: 12px; justify-items: center; text-align: center; }
.empty > svg { font-size: 40px; stroke-width: 1; color: var(--quiet); }
.empty ol { display: grid; gap: 8px; text-align: left; counter-reset: step; max-width: 300px; }
.empty li { display: grid; grid-template-columns: 22px 1fr; gap: 8px; color: var(--quiet); font-size: 12px;
  counter-increment: step; }
.empty li::before { content: counter(step); display: grid; place-items: center; width: 20px; height: 20px;
  border-radius: 50%; background: var(--raised-more); color: var(--ink); font-size: 11px; font-weight: 600; }
.empty li.done::before { content: "\\2713"; background: var(--good); color: var(--ground); }

dialog { width: min(520px, calc(100vw - 32px)); max-height: calc(100vh - 64px); padding: 0; border: 1px solid var(--line);
  border-radius: 12px; color: var(--ink); background: var(--ground); box-shadow: 0 18px 60px rgb(0 0 0 / .5); }
dialog::backdrop { background: rgb(0 0 0 / .5); }
dialog .sheet { display: grid; gap: 16px; padding: 20px; }
dialog h2 { font-size: 16px; }
dialog section { display: grid; gap: 3px; }
dialog section p { overflow-wrap: anywhere; user-select: text; }
dialog pre { margin: 6px 0 0; padding: 10px; max-height: 200px; overflow: auto; border-radius: 8px; background: var(--raised);
  font: 11px/1.5 ui-monospace, Consolas, monospace; white-space: pre-wrap; overflow-wrap: anywhere; user-select: text; }
dialog summary { cursor: pointer; font-size: 12px; color: var(--quiet); }
dialog footer { display: flex; flex-wrap: wrap; gap: 8px; justify-content: flex-end; }
@container (max-width: 270px) {
  .totals { gap: 4px 12px; }
  .filters { display: grid; grid-template-columns: auto 1fr; justify-items: start; }
  .job .row { grid-template-columns: minmax(0, 1fr); }
  .thumb { width: 100%; }
  div.thumb { aspect-ratio: 5; }
}
@media (prefers-reduced-motion: no-preference) {
  .busy .thumb svg { animation: breathe 2.4s ease-in-out infinite; }
  @keyframes breathe { 50% { opacity: .45; } }
}
`;

/** @type {Record<string, string>} Outlines in a square of 16. */
const SHAPES = {
  play: "M5 3l8 5-8 5z",
  clock: "M8 1.8a6.2 6.2 0 1 0 0 12.4a6.2 6.2 0 1 0 0-12.4M8 4.6V8l2.4 1.6",
  question:
    "M8 1.8a6.2 6.2 0 1 0 0 12.4a6.2 6.2 0 1 0 0-12.4M6.2 6.2a1.9 1.9 0 1 1 2.6 1.8c-.6.2-.8.6-.8 1.2M8 11.4v.1",
  cross: "M8 1.8a6.2 6.2 0 1 0 0 12.4a6.2 6.2 0 1 0 0-12.4M5.8 5.8l4.4 4.4M10.2 5.8l-4.4 4.4",
  fetch: "M8 2v8M4.8 7 8 10.2 11.2 7M2.5 13.5h11",
  tune: "M2.5 5h4M10.5 5h3M2.5 11h3M9.5 11h4M8.5 3a2 2 0 1 0 0 4a2 2 0 1 0 0-4M7.5 9a2 2 0 1 0 0 4a2 2 0 1 0 0-4",
  film: "M2 3.5h12v9H2zM5 3.5v9M11 3.5v9M2 8h3M11 8h3",
};

/**
 * A shadow root with the panel's look in it; nothing of it reaches the page around.
 * @param {HTMLElement} host
 * @returns {ShadowRoot}
 */
export function shadowOf(host) {
  const root = host.attachShadow({ mode: "open" });
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(SHEET);
  root.adoptedStyleSheets = [sheet];
  return root;
}

/**
 * @typedef {Node | string | null | undefined | false} Child
 * @typedef {Record<string, string | number | boolean | null | undefined | ((event: any) => void)>} Given
 */

/**
 * An element. A function is a listener, `true` an attribute without a value, null and false are left out.
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Given} [given]
 * @param {...Child} children
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function h(tag, given = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(given)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, String(value));
  }
  for (const child of children) if (child) element.append(child);
  return element;
}

/**
 * @param {string} name one of SHAPES
 * @returns {SVGElement}
 */
export function icon(name) {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  const path = document.createElementNS(space, "path");
  svg.setAttribute("viewBox", "0 0 16 16");
  svg.setAttribute("aria-hidden", "true");
  path.setAttribute("d", SHAPES[name] ?? "");
  svg.append(path);
  return svg;
}
