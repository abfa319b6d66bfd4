"""Makes the thumbnails of the templates and the README's pictures, in a real ComfyUI after rehearsal runs.

python -m tests.browser.pictures [part of a template's name]     with COMFYUI_PATH naming a ComfyUI
"""

from __future__ import annotations

import io
import json
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser

from tests.browser.tab import JOB_MS, READY_MS, Tab, browser
from tests.host import examples
from tests.host.real_host import REPOSITORY, RealHost, installs

TEMPLATES = REPOSITORY / "example_workflows"
IMAGES = REPOSITORY / "docs" / "images"
_THUMBNAIL = (720, 480)
_RUN_SECONDS = 300.0
_QUALITY = 84
# The notes beside the nodes are for reading, not for a picture of this size.
_WITHOUT_NOTES = (
    "() => [...app.graph.nodes].filter(node => node.type === 'MarkdownNote').forEach(n => app.graph.remove(n))"
)
_BARE = {"Comfy.Minimap.Visible": False, "Comfy.Graph.CanvasMenu": False, "Comfy.Graph.CanvasInfo": False}
_FIT = """() => {
    const nodes = app.graph.nodes, ds = app.canvas.ds, margin = 60, title = 40;
    const left = Math.min(...nodes.map(n => n.pos[0])) - margin;
    const top = Math.min(...nodes.map(n => n.pos[1])) - margin - title;
    const right = Math.max(...nodes.map(n => n.pos[0] + n.size[0])) + margin;
    const bottom = Math.max(...nodes.map(n => n.pos[1] + n.size[1])) + margin;
    const [width, height] = [window.innerWidth, window.innerHeight];
    ds.scale = Math.min(width / (right - left), height / (bottom - top));
    ds.offset = [width / ds.scale / 2 - (left + right) / 2, height / ds.scale / 2 - (top + bottom) / 2];
    app.canvas.setDirty(true, true);
}"""


def run(host: RealHost, tab: Tab) -> None:
    """Queue what is on the canvas and wait until all of it is done."""
    tab.queue()
    deadline = time.monotonic() + _RUN_SECONDS
    while time.monotonic() < deadline:
        tab.page.wait_for_timeout(1000)
        queue = host.get("/queue")
        if not queue["queue_running"] and not queue["queue_pending"]:
            break
    tab.page.wait_for_timeout(3000)


def save(shot: bytes, path: Path, size: tuple[int, int] | None = None) -> None:
    """A JPEG of a screenshot; with `size`, its middle, filled."""
    picture = Image.open(io.BytesIO(shot)).convert("RGB")
    if size is not None:
        ratio = size[0] / size[1]
        width, height = picture.size
        used = (min(width, round(height * ratio)), min(height, round(width / ratio)))
        left, top = (width - used[0]) // 2, (height - used[1]) // 2
        picture = picture.crop((left, top, left + used[0], top + used[1])).resize(size, Image.Resampling.LANCZOS)
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path, quality=_QUALITY, optimize=True)


def thumbnail(host: RealHost, chromium: Browser, template: Path) -> None:
    """Run one template and take its picture: the nodes alone."""
    tab = Tab(chromium, host.url, _BARE, (2160, 1440))
    tab.run("async workflow => await app.loadGraphData(workflow)", json.loads(template.read_text(encoding="utf-8")))
    run(host, tab)
    tab.run(_WITHOUT_NOTES)
    tab.run("() => app.extensionManager.command.execute('Workspace.ToggleFocusMode')")
    tab.page.wait_for_timeout(800)
    tab.run(_FIT)
    tab.page.wait_for_timeout(1500)
    save(tab.page.screenshot(), template.with_suffix(".jpg"), _THUMBNAIL)
    tab.close()


def readme(host: RealHost, chromium: Browser) -> None:
    """The panel beside a finished node, and the answer to "was I charged?"."""
    tab = Tab(chromium, host.url, {}, (1280, 800))
    tab.clear()
    tab.panel.wait_for(timeout=READY_MS)
    tab.text_job("rehearse-failed: a clockwork owl opens its eyes", (420, 120))
    run(host, tab)
    tab.clear()
    tab.text_job("A paper lantern drifts over a dark lake, ripples, crickets, slow push in", (100, 60))
    run(host, tab)
    tab.card("paper lantern").get_by_text("Done", exact=True).wait_for(timeout=JOB_MS)
    tab.page.keyboard.press("Escape")
    tab.page.wait_for_timeout(4000)
    save(tab.page.screenshot(), IMAGES / "panel.jpg")
    tab.card("clockwork owl").get_by_role("button", name="Show error").click()
    tab.page.wait_for_timeout(800)
    save(tab.page.get_by_role("dialog").screenshot(), IMAGES / "error.jpg")
    tab.close()


def main(wanted: str) -> None:
    found = installs()
    if not found:
        raise SystemExit("COMFYUI_PATH names no ComfyUI")
    with (
        tempfile.TemporaryDirectory() as folder,
        RealHost(found[0], Path(folder), environ={"APIMALL_REHEARSAL": "1"}) as host,
        browser() as chromium,
    ):
        for template in sorted(TEMPLATES.glob("*.json")):
            if wanted.lower() in template.stem.lower() and not examples.missing(host, template.stem):
                thumbnail(host, chromium, template)
        if wanted.lower() in "readme":
            readme(host, chromium)


if __name__ == "__main__":
    main(" ".join(sys.argv[1:]))
