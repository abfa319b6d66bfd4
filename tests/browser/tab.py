"""A real browser on a real ComfyUI: opens the page, waits until it is ready, and knows where our pieces are."""

from __future__ import annotations

import json
import re
import shutil
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, ConsoleMessage, Error, Locator, Request, Response, expect, sync_playwright
from playwright.sync_api import TimeoutError as PlaywrightTimeout

NO_BROWSER = "no browser: neither chromium nor chrome is on the PATH"
READY_MS = 60_000
JOB_MS = 60_000
EXPECT_MS = 15_000
WINDOW_MS = 3_000
_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
_READY = "() => window.app?.graph && window.LiteGraph && Object.keys(LiteGraph.registered_node_types).length > 100"
# The first visit of a user is taken up by a tour and by templates.
_SETTINGS = {
    "Comfy.TutorialCompleted": True,
    "Comfy.Locale": "en",
    "Comfy.ColorPalette": "dark",
    **{f"apimallvideo.Messages.{kind}": True for kind in ("Paying", "Failed", "Stopped", "Arrived")},
}


def browser_path() -> str | None:
    """The system's Chromium or Chrome."""
    return next((path for path in map(shutil.which, _NAMES) if path), None)


@contextmanager
def browser() -> Iterator[Browser]:
    """A headless Chromium; what is expected in it may take its time, as machines with two processors do."""
    expect.set_options(timeout=EXPECT_MS)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser_path(), args=["--disable-gpu", "--no-sandbox"])
        try:
            yield chromium
        finally:
            chromium.close()


@dataclass
class Heard:
    """What went over the wire, and what the page complained about."""

    requests: list[Request] = field(default_factory=list)
    responses: list[Response] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def request(self, request: Request) -> None:
        self.requests.append(request)

    def response(self, response: Response) -> None:
        self.responses.append(response)

    def failure(self, error: Error) -> None:
        # Old pages fail a little by themselves, with no pack at all: only what went through our scripts counts.
        if "apimall" in (error.stack or ""):
            self.complaints.append(error.stack or "")

    def message(self, message: ConsoleMessage) -> None:
        # What the page warns of, in words and with the place it comes from: nothing of that may be ours.
        if message.type in ("error", "warning") and "apimall" in f"{message.text} {message.location}":
            self.complaints.append(message.text)

    def ours(self) -> list[str]:
        """Addresses under /apimall/ that were asked for, in order."""
        found = (re.search(r"/apimall/\S*", request.url) for request in self.requests)
        return [match.group(0) for match in found if match]

    def bodies(self) -> dict[str, str]:
        """All answers of the server that are text, by address."""
        texts = {}
        for response in self.responses:
            kind = response.headers.get("content-type", "")
            if kind.startswith(("text/", "application/json", "application/javascript")):
                try:
                    texts[response.url] = response.text()
                except Error:  # a reload has thrown it away
                    continue
        return texts


class Tab:
    """One tab on one ComfyUI, whose settings are set first."""

    def __init__(
        self, chromium: Browser, url: str, settings: Mapping[str, Any], size: tuple[int, int] = (1440, 900)
    ) -> None:
        self.url = url
        self.heard = Heard()
        save_settings(url, {**_SETTINGS, **settings})
        self.context = chromium.new_context(
            viewport={"width": size[0], "height": size[1]},
            locale="en-US",
            reduced_motion="reduce",
            permissions=["clipboard-read", "clipboard-write"],
        )
        # On an error ComfyUI's page asks the registry about the node's pack: a test asks nobody outside.
        self.context.route(lambda address: not address.startswith((url, "data:", "blob:")), lambda route: route.abort())
        self.page = self.context.new_page()
        self.page.on("request", self.heard.request)
        self.page.on("response", self.heard.response)
        self.page.on("pageerror", self.heard.failure)
        self.page.on("console", self.heard.message)
        self.open()

    def open(self) -> None:
        """Load the page, or load it again, and wait until ComfyUI and all packs are there."""
        self.page.goto(self.url, wait_until="domcontentloaded")
        self.page.wait_for_function(_READY, timeout=READY_MS)
        self.page.wait_for_timeout(1500)
        self.page.keyboard.press("Escape")

    def run(self, script: str, argument: Any = None) -> Any:
        """The value of a script in the page."""
        return self.page.evaluate(script, argument)

    def wait_until(self, condition: Callable[[], bool], timeout_ms: float = 15_000) -> None:
        """Ask again and again until it holds; the page goes on meanwhile."""
        deadline = time.monotonic() + timeout_ms / 1000
        while not condition():
            if time.monotonic() > deadline:
                raise TimeoutError(f"not within {timeout_ms:g} ms")
            self.page.wait_for_timeout(200)

    def add(self, name: str, values: Mapping[str, Any] | None = None, at: tuple[int, int] = (100, 100)) -> str:
        """Put a node on the canvas; its id."""
        script = """([name, values, at]) => {
            const node = LiteGraph.createNode(name);
            node.pos = at;
            app.graph.add(node);
            for (const widget of node.widgets ?? []) if (widget.name in values) {
                widget.value = values[widget.name];
                widget.callback?.(widget.value, app.canvas, node);
            }
            return String(node.id);
        }"""
        return str(self.run(script, [name, dict(values or {}), list(at)]))

    def link(self, source: str, slot: int, target: str) -> None:
        """Link an output to the first input of another node."""
        find = "app.graph.getNodeById(Number(id)) ?? app.graph.getNodeById(id)"
        script = f"([a, slot, b]) => {{ const node = id => {find}; node(a).connect(slot, node(b), 0); }}"
        self.run(script, [source, slot, target])

    def text_job(self, prompt: str, at: tuple[int, int] = (420, 120)) -> str:
        """A Text to Video node that something is linked to, so that it can be queued; its id."""
        node = self.add("APIMall_TextToVideo", {"prompt": prompt}, at)
        self.link(node, 4, self.add("PreviewAny", at=(at[0] + 480, at[1])))
        return node

    def clear(self) -> None:
        """A workflow with nothing in it, as a user would get one: `graph.clear()` alone leaves newer pages confused."""
        self.run("() => app.extensionManager.command.execute('Comfy.NewBlankWorkflow')")
        self.wait_until(lambda: not self.run("() => app.graph.nodes.length"))

    def queue(self) -> None:
        """Queue what is on the canvas."""
        self.run("() => app.queuePrompt(0, 1)")

    @property
    def panel(self) -> Locator:
        """Our panel, opened if it is not."""
        header = self.page.locator("header", has_text="API Mall")
        if not header.count():
            self.run("() => app.extensionManager.command.execute('Workspace.ToggleSidebarTab.apimallvideo.jobs')")
            header.wait_for()
        return self.page.locator(".panel", has=header)

    def card(self, prompt: str) -> Locator:
        """A job in the panel, by its prompt."""
        return self.panel.locator("li.job", has_text=prompt)

    def line(self) -> Locator:
        """The line on a node of ours."""
        return self.page.locator("[data-apimall-line] .line")

    def corner(self, text: str) -> Locator:
        """ComfyUI's words in its corner that hold this text."""
        return self.page.locator(".p-toast-message, [data-testid=toast]").filter(has_text=text)

    def change(self, node: str, widget: str, value: Any) -> None:
        """Give a widget of the newest node of this name another value, as its user would."""
        script = """([name, widget, value]) => {
            const node = app.graph.nodes.filter(node => node.type === name).at(-1);
            const found = node.widgets.find(each => each.name === widget);
            found.value = value;
            found.callback?.(value, app.canvas, node);
        }"""
        self.run(script, [node, widget, value])

    def overlaps(self) -> bool:
        """Does a node lie over another?"""
        script = """() => app.graph.nodes.some((one, place) => app.graph.nodes.slice(place + 1).some(other =>
            one.pos[0] < other.pos[0] + other.size[0] && other.pos[0] < one.pos[0] + one.size[0] &&
            one.pos[1] - 30 < other.pos[1] + other.size[1] && other.pos[1] - 30 < one.pos[1] + one.size[1]))"""
        return bool(self.run(script))

    def posted(self, path: str) -> int:
        """How often the page has posted to an address that ends like this."""
        return sum(request.method == "POST" and request.url.endswith(path) for request in self.heard.requests)

    def away_with_dialogs(self) -> None:
        """Older pages show an error in a window of their own, in the way of everything."""
        window = self.page.locator(".p-dialog-mask").first
        with suppress(PlaywrightTimeout):
            window.wait_for(timeout=WINDOW_MS)

        def is_away() -> bool:
            self.page.keyboard.press("Escape")
            return not window.is_visible()

        self.wait_until(is_away)

    def values(self, node: str) -> dict[str, Any]:
        """The widget values of the newest node of this name."""
        script = """name => Object.fromEntries((app.graph.nodes ?? app.graph._nodes).filter(node => node.type === name)
            .at(-1).widgets.filter(widget => widget.name).map(widget => [widget.name, widget.value]))"""
        values: dict[str, Any] = self.run(script, node)
        return values

    def copied(self) -> str:
        return str(self.run("() => navigator.clipboard.readText()"))

    def shot(self, path: Path) -> Path:
        """A picture of the page."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=path)
        return path

    def close(self) -> None:
        self.context.close()


def save_settings(url: str, settings: Mapping[str, Any]) -> None:
    """Change settings of ComfyUI's page as the page itself would."""
    request = urllib.request.Request(
        f"{url}/settings", json.dumps(settings).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30):
        pass
