"""The light table: takes on one card, more of them, side by side, and a clip as a thing that goes onto the canvas."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("playwright", reason="no Playwright: install tests/requirements-browser.txt")

from playwright.sync_api import expect

from tests.browser.tab import JOB_MS
from tests.host.real_host import RealHost

if TYPE_CHECKING:
    from tests.browser.conftest import OpenTab

CLIPS = (
    "() => document.querySelectorAll('video').length + "
    "[...document.querySelectorAll('*')].flatMap(e => [...(e.shadowRoot?.querySelectorAll('video') ?? [])]).length"
)


def test_takes_are_made_compared_continued_and_dragged(
    host: RealHost, vue: bool, open_tab: OpenTab, shots: Path
) -> None:
    prompt = f"a market in the morning, {'vue' if vue else 'canvas'}"
    tab = open_tab(host, vue=vue)
    tab.panel.wait_for()
    tab.text_job(prompt)
    tab.queue()
    card = tab.card(prompt)
    expect(card.get_by_text("Done", exact=True)).to_be_visible(timeout=JOB_MS)
    # The first press asks, the second pays; the numbers go on from those there are.
    card.locator(".title").click()
    posted = tab.posted("/prompt")
    card.get_by_role("button", name="3 more takes").click()
    expect(card.locator("button.armed")).to_contain_text("about 90 credits")
    assert tab.posted("/prompt") == posted
    card.locator("button.armed").click()
    expect(card.locator(".take img")).to_have_count(4, timeout=2 * JOB_MS)
    assert card.locator(".take .number").all_inner_texts() == ["0", "1", "2", "3"]
    assert tab.values("APIMall_TextToVideo")["take"] == 0
    expect(tab.panel.locator(".bars .spent").last).to_be_visible()
    tab.shot(shots / "takes.png")
    # Side by side, on one clock.
    card.get_by_role("button", name="Compare").click()
    table = tab.page.get_by_role("dialog", name="Takes side by side")
    expect(table.locator("video")).to_have_count(4)
    table.get_by_role("button", name="Play").click()
    table.get_by_role("button", name="Pause").click()
    table.get_by_role("button", name="frame \u203a").click()
    apart = """videos => Math.max(...videos.map(each => each.currentTime))
        - Math.min(...videos.map(each => each.currentTime))"""
    tab.wait_until(lambda: table.locator("video").evaluate_all(apart) < 0.05)
    assert tab.run(CLIPS) < 10
    tab.shot(shots / "compare.png")
    table.get_by_role("button", name="Use this one").first.click()
    assert tab.values("APIMall_LoadVideo")["file"].startswith("apimall/")
    # The next shot from its last frame.
    card.get_by_role("button", name="Continue").click()
    tab.wait_until(lambda: tab.run("() => app.graph.nodes.some(node => node.type === 'APIMall_ImageToVideo')"))
    linked = "() => app.graph.nodes.find(node => node.type === 'APIMall_ImageToVideo').isInputConnected(0)"
    assert tab.run(linked)
    assert not tab.overlaps()
    before = tab.run("() => app.graph.nodes.length")
    box = card.locator(".take").first.bounding_box()
    assert box is not None
    tab.page.mouse.move(box["x"] + 10, box["y"] + 10)
    tab.page.mouse.down()
    tab.page.mouse.move(900, 760, steps=8)
    tab.page.mouse.up()
    tab.wait_until(lambda: tab.run("() => app.graph.nodes.length") == before + 1)


def test_jobs_are_found_by_their_words_and_shown_as_tiles(host: RealHost, open_tab: OpenTab, shots: Path) -> None:
    tab = open_tab(host)
    tab.panel.wait_for()
    tab.text_job("a very rare zebra")
    tab.queue()
    expect(tab.card("zebra").get_by_text("Done", exact=True)).to_be_visible(timeout=JOB_MS)
    tab.panel.get_by_role("searchbox").fill("zebra")
    expect(tab.panel.locator("li.job")).to_have_count(1)
    tab.panel.get_by_role("searchbox").fill("no such words")
    expect(tab.panel).to_contain_text("Nothing is found.")
    tab.panel.get_by_role("searchbox").fill("")
    tab.panel.get_by_role("button", name="Large tiles").click()
    expect(tab.panel.locator("ol.gallery")).to_be_visible()
    tab.shot(shots / "tiles.png")


def test_a_fresh_load_video_shows_no_broken_player(host: RealHost, vue: bool, open_tab: OpenTab) -> None:
    tab = open_tab(host, vue=vue)
    tab.heard.responses.clear()
    tab.add("APIMall_LoadVideo")
    tab.page.wait_for_timeout(2000)
    assert not [reply.url for reply in tab.heard.responses if "/view" in reply.url and reply.status >= 400]
    expect(tab.page.get_by_text("failed to load")).to_have_count(0)
