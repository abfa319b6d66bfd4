"""The light table: takes on one card, more of them, side by side, and a clip as a thing that goes onto the canvas."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("playwright", reason="no Playwright: install tests/requirements-browser.txt")

from playwright.sync_api import expect

from tests.browser.stage import JOB_MS
from tests.host.real_host import RealHost

if TYPE_CHECKING:
    from tests.browser.conftest import OpenStage

CLIPS = (
    "() => document.querySelectorAll('video').length + "
    "[...document.querySelectorAll('*')].flatMap(e => [...(e.shadowRoot?.querySelectorAll('video') ?? [])]).length"
)


def test_takes_are_made_compared_continued_and_dragged(
    host: RealHost, vue: bool, open_stage: OpenStage, shots: Path
) -> None:
    prompt = f"a market in the morning, {'vue' if vue else 'canvas'}"
    stage = open_stage(host, vue=vue)
    stage.panel.wait_for()
    stage.text_job(prompt)
    stage.queue()
    card = stage.card(prompt)
    expect(card.get_by_text("Done", exact=True)).to_be_visible(timeout=JOB_MS)
    # The first press asks, the second pays; the numbers go on from those there are.
    card.locator(".title").click()
    posted = stage.posted("/prompt")
    card.get_by_role("button", name="3 more takes").click()
    expect(card.locator("button.armed")).to_contain_text("about 90 credits")
    assert stage.posted("/prompt") == posted
    card.locator("button.armed").click()
    expect(card.locator(".take img")).to_have_count(4, timeout=2 * JOB_MS)
    assert card.locator(".take .number").all_inner_texts() == ["0", "1", "2", "3"]
    assert stage.values("APIMall_TextToVideo")["take"] == 0
    expect(stage.panel.locator(".bars .spent").last).to_be_visible()
    stage.shot(shots / "takes.png")
    # Side by side, on one clock.
    card.get_by_role("button", name="Compare").click()
    table = stage.page.get_by_role("dialog", name="Takes side by side")
    expect(table.locator("video")).to_have_count(4)
    table.get_by_role("button", name="Play").click()
    table.get_by_role("button", name="Pause").click()
    table.get_by_role("button", name="frame \u203a").click()
    apart = """videos => Math.max(...videos.map(each => each.currentTime))
        - Math.min(...videos.map(each => each.currentTime))"""
    stage.wait_until(lambda: table.locator("video").evaluate_all(apart) < 0.05)
    assert stage.run(CLIPS) < 10
    stage.shot(shots / "compare.png")
    table.get_by_role("button", name="Use this one").first.click()
    assert stage.values("APIMall_LoadVideo")["file"].startswith("apimall/")
    # The next shot from its last frame.
    card.get_by_role("button", name="Continue").click()
    stage.wait_until(lambda: stage.run("() => app.graph.nodes.some(node => node.type === 'APIMall_ImageToVideo')"))
    linked = "() => app.graph.nodes.find(node => node.type === 'APIMall_ImageToVideo').isInputConnected(0)"
    assert stage.run(linked)
    assert not stage.overlaps()
    before = stage.run("() => app.graph.nodes.length")
    box = card.locator(".take").first.bounding_box()
    assert box is not None
    stage.page.mouse.move(box["x"] + 10, box["y"] + 10)
    stage.page.mouse.down()
    stage.page.mouse.move(900, 760, steps=8)
    stage.page.mouse.up()
    stage.wait_until(lambda: stage.run("() => app.graph.nodes.length") == before + 1)


def test_jobs_are_found_by_their_words_and_shown_as_tiles(host: RealHost, open_stage: OpenStage, shots: Path) -> None:
    stage = open_stage(host)
    stage.panel.wait_for()
    stage.text_job("a very rare zebra")
    stage.queue()
    expect(stage.card("zebra").get_by_text("Done", exact=True)).to_be_visible(timeout=JOB_MS)
    stage.panel.get_by_role("searchbox").fill("zebra")
    expect(stage.panel.locator("li.job")).to_have_count(1)
    stage.panel.get_by_role("searchbox").fill("no such words")
    expect(stage.panel).to_contain_text("Nothing is found.")
    stage.panel.get_by_role("searchbox").fill("")
    stage.panel.get_by_role("button", name="Large tiles").click()
    expect(stage.panel.locator("ol.gallery")).to_be_visible()
    stage.shot(shots / "tiles.png")


def test_a_fresh_load_video_shows_no_broken_player(host: RealHost, vue: bool, open_stage: OpenStage) -> None:
    stage = open_stage(host, vue=vue)
    stage.heard.responses.clear()
    stage.add("APIMall_LoadVideo")
    stage.page.wait_for_timeout(2000)
    assert not [reply.url for reply in stage.heard.responses if "/view" in reply.url and reply.status >= 400]
    expect(stage.page.get_by_text("failed to load")).to_have_count(0)
