"""Makes the thumbnails of the templates and the README's pictures, in a real ComfyUI after rehearsal runs.

python -m tests.browser.pictures [part of a template's name]     with COMFYUI_PATH naming a ComfyUI
"""

from __future__ import annotations

import io
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, expect

from nodes.media.decode import decode_frames
from nodes.media.span import Span
from tests.browser.tab import JOB_MS, READY_MS, Tab, browser
from tests.host import examples
from tests.host.real_host import REPOSITORY, RealHost, installs

TEMPLATES = REPOSITORY / "example_workflows"
IMAGES = REPOSITORY / "docs" / "images"
_TILES, _TILE_SIDE, _TILE_EVERY, _TILE_MS, _MOVING_QUALITY = 12, 320, 6, 160, 55
_WORDS_ABOVE, _WORDS_BELOW, _TILE_FROM_LEFT = 0.12, 0.22, 0.62
_RUN_SECONDS = 300.0
_QUALITY = 84
_TOASTS_MS = 13_000  # until ComfyUI's corner is empty again


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


def save(shot: bytes, path: Path) -> None:
    """A JPEG of a screenshot."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.open(io.BytesIO(shot)).convert("RGB").save(path, quality=_QUALITY, optimize=True)


def thumbnail(host: RealHost, template: Path) -> None:
    """Run one template and cut its picture from the clips: square, moving, under the name that the gallery asks for.

    That name ends in `.jpg` whatever the form is; browsers go by what a picture holds.
    """
    examples.give_inputs(host)
    history = host.run(examples.api_prompt(host, template.stem))
    clips = dict.fromkeys(path for path in examples.saved_files(host, history) if path.parent.name == "apimall")
    shots = [tile for clip in clips for tile in tiles(clip, _TILES // len(clips))]
    shots[0].save(
        template.with_suffix(".jpg"),
        "WEBP",
        save_all=True,
        append_images=shots[1:],
        duration=_TILE_MS,
        loop=0,
        quality=_MOVING_QUALITY,
        method=6,
    )


def tiles(clip: Path, count: int) -> list[Image.Image]:
    """Squares of a clip, evenly spaced, between the words above and below in a rehearsal clip."""
    frames = decode_frames(clip, Span(max_side=_TILE_SIDE * 3, every_nth=_TILE_EVERY)).pixels
    found = []
    for picture in frames[:: max(1, len(frames) // count)][:count]:
        height, width, _ = picture.shape
        top, side = round(height * _WORDS_ABOVE), round(height * (1 - _WORDS_ABOVE - _WORDS_BELOW))
        left = round((width - side) * _TILE_FROM_LEFT)
        pixels = (picture[top : top + side, left : left + side] * 255).round().astype("uint8")
        found.append(Image.fromarray(pixels).resize((_TILE_SIDE, _TILE_SIDE), Image.Resampling.LANCZOS))
    return found


def readme(host: RealHost, chromium: Browser) -> None:
    """Takes on one card beside the node that made them, side by side, and the answer to "was I charged?"."""
    tab = Tab(chromium, host.url, {}, (1280, 800))
    tab.clear()
    tab.panel.wait_for(timeout=READY_MS)
    tab.text_job("rehearse-failed: a clockwork owl opens its eyes", (420, 120))
    run(host, tab)
    tab.away_with_dialogs()
    tab.clear()
    tab.text_job("A paper lantern drifts over a dark lake, ripples, crickets, slow push in", (100, 60))
    for take in (2, 1, 0):
        tab.change("APIMall_TextToVideo", "take", take)
        run(host, tab)
    card = tab.card("paper lantern")
    expect(card.locator(".take img")).to_have_count(3, timeout=JOB_MS)
    card.locator(".take").nth(1).click()
    card.get_by_role("button", name="Favourite").click()
    tab.page.keyboard.press("Escape")
    tab.page.wait_for_timeout(_TOASTS_MS)
    save(tab.page.screenshot(), IMAGES / "panel.jpg")
    card.get_by_role("button", name="Compare").click()
    tab.page.wait_for_timeout(2000)
    save(tab.page.get_by_role("dialog").screenshot(), IMAGES / "compare.jpg")
    tab.page.keyboard.press("Escape")
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
                thumbnail(host, template)
        if wanted.lower() in "readme":
            readme(host, chromium)


if __name__ == "__main__":
    main(" ".join(sys.argv[1:]))
