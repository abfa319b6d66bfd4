"""What is tried in a browser: each ComfyUI with its own front end, and the newer ones with others, too."""

from __future__ import annotations

import re
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from playwright.sync_api import Browser, expect

from tests.browser.tab import JOB_MS, Tab, browser
from tests.host.real_host import PACK_NAME, Install, RealHost
from tests.radar import front_ends
from tests.radar.probe import Finding, Mark, Probes
from tests.radar.table import Column

if TYPE_CHECKING:
    from playwright.sync_api import Locator

_SETTLED_MS = 3000
_OVERHEAR = """() => {
    window.radarHeard = [];
    for (const kind of ["warn", "error"]) {
        const say = console[kind];
        console[kind] = (...words) => {
            window.radarHeard.push(words.map(String).join(" ") + "\\n" + new Error().stack);
            say.apply(console, words);
        };
    }
}"""


@dataclass(frozen=True)
class Page:
    """One tab on one ComfyUI, in one renderer."""

    tab: Tab
    host: RealHost
    vue: bool

    def run(self, prompt: str, *, alone: bool = False) -> dict[str, Any]:
        """Queue a Text to Video; the history entry of the run, when the page has had time to tidy up.

        `alone`: with nothing linked to it. Raises AssertionError where the prompt is refused.
        """
        self.tab.clear()
        text = f"{prompt}, {'vue' if self.vue else 'canvas'}"
        if alone:
            self.tab.add("APIMall_TextToVideo", {"prompt": text}, (420, 120))
        else:
            self.tab.text_job(text)
        known = set(self.host.get("/history"))
        with self.tab.page.expect_response(lambda answer: answer.url.endswith("/prompt"), timeout=JOB_MS) as answered:
            self.tab.queue()
        assert answered.value.ok, answered.value.text()
        self.tab.wait_until(lambda: set(self.host.get("/history")) > known, 2 * JOB_MS)
        (entry,) = (entry for name, entry in self.host.get("/history").items() if name not in known)
        self.tab.page.wait_for_timeout(_SETTLED_MS)
        self.tab.page.keyboard.press("Escape")
        found: dict[str, Any] = entry
        return found

    def words(self, pattern: str) -> Locator:
        """What is to be read anywhere on the page."""
        return self.tab.page.get_by_text(re.compile(pattern, re.IGNORECASE | re.DOTALL)).first


PROBES: Probes[Page] = Probes()


@PROBES.that("page", "five nodes can be put on the canvas")
def nodes(page: Page) -> None:
    names = page.tab.run("() => Object.keys(LiteGraph.registered_node_types).filter(n => n.startsWith('APIMall_'))")
    assert len(names) == 5, names


@PROBES.that("settings", "the limit of credits a day is a setting")
def setting(page: Page) -> None:
    name = "apimallvideo.Limits.DailyCredits"
    assert page.tab.run("name => app.extensionManager.setting.get(name) !== undefined", name)


@PROBES.that("toasts", "words can be said in the corner")
def toast(page: Page) -> None:
    assert page.tab.run("() => typeof app.extensionManager.toast.add") == "function"


@PROBES.that("output nodes", "a lone node is queued, and its clip plays on it")
def alone(page: Page) -> None:
    assert page.run("a lone boat", alone=True)["status"]["status_str"] == "success"
    if not (page.vue and page.host.install.version.startswith("0.3.")):  # its first renderer draws no videos
        expect(page.tab.page.locator("video").first).to_be_visible(timeout=15_000)


@PROBES.that("progress text", "what a run came to is on the node after it")
def last_word(page: Page) -> None:
    page.run("a last word")
    expect(page.words(r"\bdone\b.{0,12}30 credits")).to_be_visible(timeout=5000)


@PROBES.that("progress text", "why a run failed, and what it cost, is on the node after it")
def last_reason(page: Page) -> None:
    page.run("rehearse-failed: a last reason")
    page.tab.page.wait_for_timeout(10_000)  # words in the corner and windows go; what is on the node stays
    expect(page.words("30 of 30 credits")).to_be_visible(timeout=5000)


@PROBES.that("validation", "the page learns which node was refused, and why")
def marked(page: Page) -> None:
    page.tab.clear()
    node = page.tab.text_job("")
    with page.tab.page.expect_response(lambda answer: answer.url.endswith("/prompt")) as answered:
        page.tab.queue()
    errors = answered.value.json().get("node_errors") or {}
    assert node in errors and "The prompt is empty" in str(errors[node]), errors
    page.tab.page.wait_for_timeout(500)
    page.tab.page.keyboard.press("Escape")


@PROBES.that("tabs", "our panel opens in the side bar")
def tab(page: Page) -> None:
    page.tab.panel.wait_for(timeout=15_000)


@PROBES.that("console", "no warning and no error comes from our scripts")
def quiet(page: Page) -> None:
    heard = [words for words in page.tab.run("() => window.radarHeard") if "/extensions/apimall" in words]
    loud = [words for words in (*heard, *page.tab.heard.complaints) if "rehearse-failed" not in words]
    assert not loud, loud[0]


def columns(found: Sequence[Install], pack: Path) -> Iterator[Column]:
    """One for each pair of ComfyUI and front end, in each renderer."""
    others = front_ends.pages()
    newer = [install for install in found if not install.version.startswith("0.3.")]
    with browser() as chromium:
        for install in found:
            yield from _in_both_renderers(chromium, install, "its own page", pack)
        for version, root in others.items():
            # The newest host stands for those that these pages were made for.
            for install in newer[-1:]:
                yield from _in_both_renderers(chromium, replace(install, front_end=root), version, pack)


def _in_both_renderers(chromium: Browser, install: Install, name: str, pack: Path) -> Iterator[Column]:
    for vue in (False, True):
        started = time.monotonic()
        with _opened(chromium, install, pack, vue) as page:
            findings = [_look(number, page) for number in range(len(PROBES.all))]
        label = f"{install.path.name} {name} {'vue' if vue else 'canvas'}"
        yield Column(label, findings, time.monotonic() - started)


def _look(number: int, page: Page) -> Finding:
    if page.vue and page.host.install.version.startswith("0.3.") and PROBES.all[number].area == "progress text":
        return Finding(Mark.ABSENT)  # the first version of that renderer drew no elements of packs
    return PROBES.all[number].look(page)


@contextmanager
def _opened(chromium: Browser, install: Install, pack: Path, vue: bool) -> Iterator[Page]:
    with (
        tempfile.TemporaryDirectory(prefix="radar-") as folder,
        RealHost(install, Path(folder), environ={"APIMALL_REHEARSAL": "1"}, packs={PACK_NAME: pack}) as host,
    ):
        tab = Tab(chromium, host.url, {"Comfy.VueNodes.Enabled": vue})
        try:
            tab.context.add_init_script(f"({_OVERHEAR})()")
            tab.open()
            yield Page(tab, host, vue)
        finally:
            tab.close()
