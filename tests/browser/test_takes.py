"""The light table: takes on one card, more of them, side by side, and a clip as a thing that goes onto the canvas."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("playwright", reason="no Playwright: install tests/requirements-browser.txt")

import numpy as np
from playwright.sync_api import Route, expect

from nodes.media.encode import encode_clip
from tests.browser.tab import JOB_MS
from tests.host.real_host import Install, RealHost
from tests.support.panel import Site

if TYPE_CHECKING:
    from tests.browser.conftest import OpenTab

CLIPS = (
    "() => document.querySelectorAll('video').length + "
    "[...document.querySelectorAll('*')].flatMap(e => [...(e.shadowRoot?.querySelectorAll('video') ?? [])]).length"
)

UNDER_THE_PANEL = """() => {
    const panel = document.querySelector('.side-bar-panel').getBoundingClientRect();
    const { scale, offset } = app.canvas.ds;
    return ['APIMall_LoadVideo', 'APIMall_ImageToVideo'].some(type => {
        const node = app.graph.nodes.findLast(node => node.type === type);
        return (node.pos[0] + offset[0]) * scale + app.canvas.canvas.getBoundingClientRect().left < panel.right;
    });
}"""


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
    card.locator("[data-verb=more-3]").click()
    expect(card.locator("button.armed")).to_contain_text("about 90 credits")
    assert tab.posted("/prompt") == posted
    # What asks is still where the mouse is.
    tab.page.mouse.down()
    tab.page.mouse.up()
    # All are made at the same time, and the node waits as its user has said.
    expect(tab.panel.locator(".count")).to_have_text("3", timeout=JOB_MS)
    assert tab.values("APIMall_TextToVideo")["wait"] is True
    expect(card.locator(".take img")).to_have_count(4, timeout=2 * JOB_MS)
    assert card.locator(".take .number").all_inner_texts() == ["0", "1", "2", "3"]
    # The node plays the take made last, and says so.
    assert tab.values("APIMall_TextToVideo")["take"] == 3
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
    # The favourite is chosen where they are compared.
    table.get_by_role("button", name="Favourite").nth(1).click()
    expect(table.get_by_role("button", name="Favourite").nth(1)).to_have_attribute("aria-pressed", "true")
    expect(card.get_by_role("button", name="Favourite")).to_have_attribute("aria-pressed", "true")
    table.get_by_role("button", name="Favourite").nth(1).click()
    table.get_by_role("button", name="Put on the canvas").first.click()
    assert tab.values("APIMall_LoadVideo")["file"].startswith("apimall/")
    # The next shot from its last frame.
    card.get_by_role("button", name="Continue").click()
    tab.wait_until(lambda: tab.run("() => app.graph.nodes.some(node => node.type === 'APIMall_ImageToVideo')"))
    linked = "() => app.graph.nodes.find(node => node.type === 'APIMall_ImageToVideo').isInputConnected(0)"
    assert tab.run(linked)
    if not (vue and host.install.version.startswith("0.3.")):  # its first renderer makes nodes wider once they lie
        assert not tab.overlaps()
    assert not tab.run(UNDER_THE_PANEL)
    before = tab.run("() => app.graph.nodes.length")
    box = card.locator(".take").first.bounding_box()
    assert box is not None
    tab.page.mouse.move(box["x"] + 10, box["y"] + 10)
    tab.page.mouse.down()
    tab.page.mouse.move(900, 760, steps=8)
    tab.page.mouse.up()
    tab.wait_until(lambda: tab.run("() => app.graph.nodes.length") == before + 1)
    # Let go over the panel, nothing is put under it.
    tab.page.mouse.move(box["x"] + 10, box["y"] + 10)
    tab.page.mouse.down()
    tab.page.mouse.move(box["x"] + 60, 760, steps=8)
    tab.page.mouse.up()
    tab.page.wait_for_timeout(500)
    assert tab.run("() => app.graph.nodes.length") == before + 1


def test_more_takes_are_of_what_was_there_when_they_were_asked_for(host: RealHost, open_tab: OpenTab) -> None:
    tab = open_tab(host)
    tab.panel.wait_for()
    tab.text_job("a wolf on a ridge")
    tab.queue()
    card = tab.card("a wolf on a ridge")
    expect(card.get_by_text("Done", exact=True)).to_be_visible(timeout=JOB_MS)
    card.locator(".title").click()
    bodies: list[Any] = []
    held: list[Route] = []

    def hold(route: Route) -> None:
        bodies.append(route.request.post_data_json)
        held.append(route)

    tab.page.route("**/prompt", hold)
    for _ in range(2):
        card.locator("[data-verb=more-3]").click()
    tab.wait_until(lambda: len(held) == 1)
    # The next prompt is written while they go out, and another workflow opened.
    tab.change("APIMall_TextToVideo", "prompt", "another thing")
    expect(card.locator("[data-verb=more-3]")).to_be_disabled()
    tab.clear()
    tab.add("APIMall_TextToVideo", {"prompt": "not asked for"})
    for number in range(3):
        tab.wait_until(lambda number=number: len(held) > number)  # type: ignore[misc]
        held[number].continue_()
    tab.wait_until(lambda: len(bodies) == 3)
    sent = [next(node["inputs"] for node in body["prompt"].values() if "take" in node["inputs"]) for body in bodies]
    assert [(each["prompt"], each["take"], each["wait"]) for each in sent] == [
        ("a wolf on a ridge", 1, False),
        ("a wolf on a ridge", 2, False),
        ("a wolf on a ridge", 3, True),
    ]
    expect(card.locator(".take img")).to_have_count(4, timeout=2 * JOB_MS)
    # A second press goes on after those that wait.
    tab.page.unroute("**/prompt")
    for _ in range(2):
        card.locator("[data-verb=more-1]").click()
    expect(card.locator(".take .number").last).to_have_text("4", timeout=JOB_MS)


def test_jobs_are_found_by_words_type_and_day_and_shown_as_tiles(
    host: RealHost, open_tab: OpenTab, shots: Path
) -> None:
    tab = open_tab(host)
    tab.panel.wait_for()
    tab.text_job("a very rare zebra")
    tab.queue()
    expect(tab.card("zebra").get_by_text("Done", exact=True)).to_be_visible(timeout=JOB_MS)
    words, type_ = tab.panel.get_by_role("searchbox"), tab.panel.get_by_label("Any type")
    day = tab.panel.get_by_title("Day", exact=True)
    words.fill("zebra")
    expect(tab.panel.locator("li.job")).to_have_count(1)
    type_.select_option("Image")
    expect(tab.panel).to_contain_text("Nothing is found.")
    type_.select_option("Text")
    expect(tab.panel.locator("li.job")).to_have_count(1)
    day.fill("2020-02-02")
    expect(tab.panel).to_contain_text("Nothing is found.")
    day.fill(tab.run("() => new Date().toLocaleDateString('sv')"))
    expect(tab.panel.locator("li.job")).to_have_count(1)
    day.fill("")
    words.fill("no such words")
    expect(tab.panel).to_contain_text("Nothing is found.")
    words.fill("")
    tab.panel.get_by_role("button", name="Large tiles").click()
    picture = tab.card("zebra").locator("img").first
    expect(picture).to_be_visible()
    box, tile = picture.bounding_box(), tab.card("zebra").bounding_box()
    assert box is not None
    assert tile is not None
    assert box["width"] == pytest.approx(tile["width"], abs=2)
    tab.shot(shots / "tiles.png")


def test_a_star_marks_the_favourite_take_and_stays(host: RealHost, vue: bool, open_tab: OpenTab, shots: Path) -> None:
    prompt = f"the best of three, {'vue' if vue else 'canvas'}"
    tab = open_tab(host, vue=vue)
    tab.panel.wait_for()
    tab.text_job(prompt)
    for take in (0, 1):
        tab.change("APIMall_TextToVideo", "take", take)
        tab.queue()
    card = tab.card(prompt)
    expect(card.locator(".take img")).to_have_count(2, timeout=2 * JOB_MS)
    card.locator(".take").first.click()
    card.get_by_role("button", name="Favourite").press("Enter")
    expect(card.get_by_role("button", name="Favourite")).to_have_attribute("aria-pressed", "true")
    other = open_tab(host, vue=vue)
    other.panel.wait_for()
    seen = other.card(prompt).get_by_role("button", name="Favourite")
    expect(seen).to_have_attribute("aria-pressed", "true")
    # Taken away in one tab and given again, it is so in the other.
    for pressed in ("false", "true"):
        card.get_by_role("button", name="Favourite").press("Enter")
        expect(seen).to_have_attribute("aria-pressed", pressed)
    tab.open()
    tab.panel.wait_for()
    # The favourite stands for its takes, and is found among the favourites.
    expect(card.get_by_role("button", name="Favourite")).to_have_attribute("aria-pressed", "true")
    expect(card.locator(".take").first).to_have_attribute("aria-pressed", "true")
    tab.panel.get_by_role("radio", name="Favourites").check(force=True)
    expect(tab.panel.locator("li.job [data-verb=star][aria-pressed=false]")).to_have_count(0)
    expect(card).to_be_visible()
    tab.shot(shots / "favourites.png")
    card.get_by_role("button", name="Favourite").click()
    expect(card).to_have_count(0)


def test_one_take_run_four_times_is_said_to_be_one_job_and_more_takes_are_offered(
    host: RealHost, vue: bool, open_tab: OpenTab, shots: Path
) -> None:
    if vue and host.install.version.startswith("0.3."):
        pytest.skip("the first version of the Vue renderer drew no elements of packs")
    prompt = f"a balloon at noon, {'vue' if vue else 'canvas'}"
    tab = open_tab(host, vue=vue)
    tab.panel.wait_for()
    # Far enough to the right, where older pages draw no menu over it.
    tab.text_job(prompt, at=(560, 160))
    tab.run("() => app.queuePrompt(0, 4)")
    expect(tab.line()).to_contain_text("\u00d74 of one take: one job, paid once", timeout=JOB_MS)
    tab.shot(shots / "four-times.png")
    tab.line().get_by_role("button", name="More takes").click()
    expect(tab.card(prompt).locator("[data-verb=more-3]")).to_be_visible()
    expect(tab.card(prompt).get_by_text("Done", exact=True)).to_be_visible(timeout=JOB_MS)
    assert tab.card(prompt).locator(".take").count() == 0
    # Queued once, nothing is said of it.
    tab.run("() => app.queuePrompt(0, 1)")
    expect(tab.line()).not_to_contain_text("one job")


def test_the_balance_follows_what_a_job_cost_without_being_asked_for(host: RealHost, open_tab: OpenTab) -> None:
    tab = open_tab(host)
    balance = tab.panel.locator(".account .sum")
    expect(balance).to_have_text(re.compile("[0-9,]+"))
    before, asked = int(balance.inner_text().replace(",", "")), tab.heard.ours().count("/apimall/balance")
    tab.text_job("a coin spinning on a table")
    tab.queue()
    expect(balance).to_have_text(f"{before - 30:,}", timeout=JOB_MS)
    assert tab.heard.ours().count("/apimall/balance") == asked


def test_a_clip_opens_the_workflow_that_made_it(host: RealHost, open_tab: OpenTab) -> None:
    tab = open_tab(host)
    tab.panel.wait_for()
    tab.text_job("a door opening slowly")
    tab.queue()
    card = tab.card("a door opening slowly")
    expect(card.get_by_text("Done", exact=True)).to_be_visible(timeout=JOB_MS)
    tab.clear()
    card.locator(".title").click()
    card.get_by_text("More", exact=True).click()
    card.get_by_role("button", name="Open its workflow").click()
    tab.wait_until(lambda: tab.run("() => app.graph.nodes.some(node => node.type === 'APIMall_TextToVideo')"))
    assert tab.values("APIMall_TextToVideo")["prompt"] == "a door opening slowly"


def test_a_step_is_one_picture_of_the_clip_whatever_its_rate(
    install: Install, tmp_path: Path, open_tab: OpenTab
) -> None:
    base = tmp_path / "base"
    environ = {"APIMALL_REHEARSAL": "1", "APIMALL_STATE_DIR": str(base / "state")}
    site = Site(base)
    site.environ.update(environ)
    for take in (0, 1):
        site.delivered("ten a second", take=take)
    for clip in (base / "output" / "apimall").iterdir():
        encode_clip([np.full((90, 160, 3), level, np.float32) for level in np.linspace(0, 1, 20)], 10, clip)
    site.close()
    with RealHost(install, base, environ=environ) as fresh:
        tab = open_tab(fresh)
        tab.card("ten a second").get_by_role("button", name="Compare").click()
        table = tab.page.get_by_role("dialog", name="Takes side by side")
        videos = table.locator("video")
        tab.wait_until(lambda: videos.evaluate_all("all => all.every(each => each.readyState > 1)"))
        tab.wait_until(lambda: any(re.search(r"/apimall/jobs/\d", path) for path in tab.heard.ours()))
        for _ in range(2):
            table.get_by_role("button", name="frame \u203a").click()
        # In the middle of the third picture.
        tab.wait_until(lambda: abs(videos.first.evaluate("each => each.currentTime") - 0.25) < 0.01)


def test_a_thousand_jobs_are_scrolled_through_with_few_players(
    install: Install, tmp_path: Path, open_tab: OpenTab, shots: Path
) -> None:
    base = tmp_path / "base"
    environ = {"APIMALL_REHEARSAL": "1", "APIMALL_STATE_DIR": str(base / "state")}
    site = Site(base)
    site.environ.update(environ)
    site.fill(1000)
    (clip,) = (base / "output" / "apimall").iterdir()
    encode_clip([np.full((90, 160, 3), level, np.float32) for level in np.linspace(0, 1, 24)], 24, clip)
    site.close()
    with RealHost(install, base, environ=environ) as fresh:
        tab = open_tab(fresh)
        cards = tab.panel.locator("li.job")
        expect(cards.first).to_be_visible()

        def is_at_the_end() -> bool:
            tab.panel.locator(".scroll").evaluate("list => list.scrollTo(0, list.scrollHeight)")
            return cards.count() == 1001

        tab.wait_until(is_at_the_end, JOB_MS)
        for place in range(990, 1000):
            cards.nth(place).locator(".title").click()
        cards.nth(985).locator(".thumb").hover()
        expect(tab.panel.locator("video.scrub")).to_have_count(1)
        assert 0 < tab.run(CLIPS) < 10
        tab.shot(shots / "thousand.png")


def test_a_fresh_load_video_shows_no_broken_player(host: RealHost, vue: bool, open_tab: OpenTab) -> None:
    tab = open_tab(host, vue=vue)
    tab.heard.responses.clear()
    tab.add("APIMall_LoadVideo")
    tab.page.wait_for_timeout(2000)
    assert not [reply.url for reply in tab.heard.responses if "/view" in reply.url and reply.status >= 400]
    expect(tab.page.get_by_text("failed to load")).to_have_count(0)


def test_a_player_leaves_with_its_file(host: RealHost, vue: bool, open_tab: OpenTab) -> None:
    if vue and host.install.version.startswith("0.3."):
        pytest.skip("the first version of the Vue renderer drew no videos on nodes")
    frames = [np.full((90, 160, 3), level, np.float32) for level in np.linspace(0, 1, 24)]
    encode_clip(frames, 24, host.base / "input" / "to be chosen.mp4")
    tab = open_tab(host, vue=vue)
    tab.add("APIMall_LoadVideo", {"file": ""}, at=(500, 100))
    for _ in range(2):
        tab.change("APIMall_LoadVideo", "file", "to be chosen.mp4")
        expect(tab.page.locator("video")).to_have_count(1)
        tab.change("APIMall_LoadVideo", "file", "")
        expect(tab.page.locator("video")).to_have_count(0)


def test_a_player_that_was_long_in_loading_does_not_come_back(host: RealHost, open_tab: OpenTab) -> None:
    encode_clip([np.zeros((90, 160, 3), np.float32)] * 24, 24, host.base / "input" / "late.mp4")
    tab = open_tab(host)
    tab.add("APIMall_LoadVideo", {"file": ""}, at=(500, 100))
    held: list[Route] = []
    is_gone = False
    tab.page.route(re.compile(r"/view\?.*late"), lambda route: route.continue_() if is_gone else held.append(route))
    tab.change("APIMall_LoadVideo", "file", "late.mp4")
    tab.wait_until(lambda: bool(held))
    tab.change("APIMall_LoadVideo", "file", "")
    is_gone = True
    # ComfyUI's page puts it on the node at the end of its loading: what puts it there tells that it came.
    tab.run("""() => {
        const add = HTMLElement.prototype.replaceChildren;
        HTMLElement.prototype.replaceChildren = function (...children) {
            if (children[0]?.tagName === "VIDEO") window.cameLate = true;
            return add.apply(this, children);
        };
    }""")
    for route in held:
        route.continue_()
    tab.wait_until(lambda: tab.run("() => window.cameLate === true"))
    expect(tab.page.locator("video")).to_have_count(0)


def test_a_node_is_as_high_as_the_clip_on_it_needs(host: RealHost, open_tab: OpenTab) -> None:
    for name, shape in (("tall.mp4", (320, 180, 3)), ("wide.mp4", (180, 320, 3))):
        encode_clip([np.zeros(shape, np.float32)] * 24, 24, host.base / "input" / name)
    tab = open_tab(host)
    tab.add("APIMall_LoadVideo", {"file": ""}, at=(500, 60))

    def height() -> float:
        return float(tab.run("() => app.graph.nodes[0].size[1]"))

    empty = height()
    tab.change("APIMall_LoadVideo", "file", "tall.mp4")
    tab.wait_until(lambda: height() > empty + 300)
    tab.change("APIMall_LoadVideo", "file", "wide.mp4")
    tab.wait_until(lambda: empty + 100 < height() < empty + 200)
    tab.change("APIMall_LoadVideo", "file", "")
    tab.wait_until(lambda: height() < empty + 40)
