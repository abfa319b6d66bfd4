"""The line on the nodes and the words in ComfyUI's corner: what is said of a run, and that it stays."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("playwright", reason="no Playwright: install tests/requirements-browser.txt")

from playwright.sync_api import expect

from nodes.rehearsal.server import RehearsalGateway
from tests.browser.tab import JOB_MS, Tab
from tests.host.real_host import REPOSITORY, Install, RealHost
from tests.support import clips

if TYPE_CHECKING:
    from tests.browser.conftest import OpenTab


@pytest.fixture(autouse=True)
def needs_elements_on_nodes(request: pytest.FixtureRequest) -> None:
    """The first version of the Vue renderer drew no elements of packs."""
    found = request.getfixturevalue("install") if "install" in request.fixturenames else None
    if found is not None and found.version.startswith("0.3.") and request.node.callspec.params.get("vue"):
        pytest.skip("this page draws no elements of packs in its Vue renderer")


def told(tab: Tab, text: str) -> None:
    """ComfyUI's corner has said it; words in it go after a while."""
    expect(tab.corner(text)).to_be_visible(timeout=JOB_MS)


def test_the_last_word_stays_over_reload_and_change_of_tab(
    host: RealHost, vue: bool, open_tab: OpenTab, shots: Path
) -> None:
    tab = open_tab(host, vue=vue)
    tab.text_job(f"a harbour at dawn, {'vue' if vue else 'canvas'}")
    expect(tab.line()).to_contain_text("REHEARSAL", timeout=15_000)
    height = tab.run("() => app.graph.nodes[0].size[1]")
    tab.queue()
    told(tab, "1 new clip")
    expect(tab.line()).to_contain_text("30 credits \u00b7 for", timeout=JOB_MS)
    expect(tab.line()).to_contain_text("REHEARSAL")
    tab.shot(shots / "running.png")
    done = tab.line().filter(has_text="Done \u00b7 30 credits \u00b7")
    expect(done).to_be_visible(timeout=JOB_MS)
    tab.page.wait_for_timeout(2000)
    expect(done).to_be_visible()
    tab.shot(shots / "done.png")
    box = tab.line().bounding_box()
    assert box is not None
    assert box["width"] <= tab.run("() => app.graph.nodes[0].size[0] * app.canvas.ds.scale")
    tab.open()
    expect(done).to_be_visible(timeout=15_000)
    tab.clear()
    expect(done).to_be_hidden()
    tab.run("() => app.extensionManager.command.execute('Workspace.PreviousOpenedWorkflow')")
    if tab.run("() => app.graph.nodes.length"):
        expect(done).to_be_visible(timeout=15_000)
    assert height > 0


def test_other_inputs_are_another_price_and_the_same_ones_the_same_word(host: RealHost, open_tab: OpenTab) -> None:
    tab = open_tab(host)
    tab.text_job("a train in the rain")
    tab.queue()
    expect(tab.line()).to_contain_text("Done", timeout=JOB_MS)
    tab.change("APIMall_TextToVideo", "take", 7)
    expect(tab.line()).to_contain_text("about 30 credits", timeout=15_000)
    tab.change("APIMall_TextToVideo", "take", 0)
    expect(tab.line()).to_contain_text("Done", timeout=15_000)


def test_a_queued_node_says_so_until_its_run_begins(host: RealHost, open_tab: OpenTab) -> None:
    tab = open_tab(host)
    tab.text_job("a lighthouse in a storm")
    tab.queue()
    expect(tab.line()).to_contain_text("30 credits \u00b7 for", timeout=JOB_MS)
    tab.change("APIMall_TextToVideo", "take", 1)
    tab.queue()
    expect(tab.line()).to_contain_text("Queued")
    tab.change("APIMall_TextToVideo", "take", 9)
    expect(tab.line()).to_contain_text("queued with other inputs")
    tab.change("APIMall_TextToVideo", "take", 1)
    expect(tab.line()).to_contain_text("Done", timeout=JOB_MS)


def test_a_node_that_a_run_leaves_out_says_what_it_said_and_is_in_no_price(host: RealHost, open_tab: OpenTab) -> None:
    tab = open_tab(host)
    first = tab.add("APIMall_TextToVideo", {"prompt": "the one that runs"}, (60, 60))
    tab.add("APIMall_TextToVideo", {"prompt": "the one that does not"}, (560, 60))
    expect(tab.line().filter(has_text="REHEARSAL")).to_have_count(2, timeout=15_000)
    before = tab.line().last.inner_text()
    tab.run("id => app.queuePrompt(0, 1, [id])", first)
    told(tab, "1 new clip")
    expect(tab.line().first).to_contain_text("30 credits \u00b7 for", timeout=JOB_MS)
    assert tab.line().last.inner_text() == before


def test_a_node_behind_something_that_has_changed_is_priced_and_not_said_to_be_free(
    host: RealHost, open_tab: OpenTab
) -> None:
    tab = open_tab(host)
    first = tab.text_job("a shore in the evening", (40, 60))
    second = tab.add("APIMall_ImageToVideo", {"prompt": "the tide comes in"}, (520, 260))
    tab.link(first, 2, second)
    tab.queue()
    expect(tab.line().first).to_contain_text("Done", timeout=JOB_MS)
    expect(tab.line().last).to_contain_text("Done", timeout=JOB_MS)
    expect(tab.line().last).to_contain_text("the same inputs again are free")
    tab.queue()
    tab.page.wait_for_timeout(2000)
    tab.page.reload()
    tab.open()
    tab.change("APIMall_TextToVideo", "take", 1)
    expect(tab.line().first).to_contain_text("about 30 credits", timeout=15_000)
    tab.queue()
    told(tab, "2 new clips")


def test_a_node_that_has_nothing_to_do_in_a_run_does_not_say_that_it_waits(host: RealHost, open_tab: OpenTab) -> None:
    tab = open_tab(host)
    clips.hdr_clip(host.base / "input" / "river.mov", [[203, 203, 203]], clips.HLG)
    loading = tab.add("APIMall_LoadVideo", {"file": "river.mov"}, (40, 60))
    tab.link(loading, 5, tab.add("PreviewAny", at=(460, 60)))
    tab.queue()
    expect(tab.line()).to_contain_text("frames", timeout=JOB_MS)
    tab.text_job("a slow river", (460, 300))
    tab.queue()
    # The one is made while the other has been done before.
    expect(tab.line().last).to_contain_text("30 credits \u00b7 for", timeout=JOB_MS)
    expect(tab.line().first).to_contain_text("frames")


def test_a_failure_says_why_what_it_cost_and_what_to_do(
    host: RealHost, vue: bool, open_tab: OpenTab, shots: Path
) -> None:
    tab = open_tab(host, vue=vue)
    tab.text_job(f"rehearse-failed: <img src=x onerror=alert(1)> {'vue' if vue else 'canvas'}")
    tab.queue()
    told(tab, "The video could not be made")
    tab.shot(shots / "toast.png")
    tab.away_with_dialogs()
    expect(tab.line()).to_contain_text("The video could not be made", timeout=JOB_MS)
    expect(tab.line()).to_contain_text("30 of 30 credits refunded")
    tab.line().get_by_role("button", name="Details").click()
    dialog = tab.page.get_by_role("dialog", name="The video could not be made")
    expect(dialog).to_contain_text("Was I charged?", timeout=15_000)
    expect(dialog).to_contain_text("Refunded: 30 of 30 credits.")
    tab.page.wait_for_timeout(300)
    tab.shot(shots / "details.png")
    dialog.get_by_role("button", name="Close").click()
    expect(dialog).to_be_hidden()
    tab.open()
    expect(tab.line()).to_contain_text("The video could not be made", timeout=15_000)


def test_an_interrupt_says_that_the_job_goes_on_and_the_clip_comes(
    host: RealHost, vue: bool, open_tab: OpenTab, shots: Path
) -> None:
    tab = open_tab(host, vue=vue)
    tab.text_job(f"an owl over a field, {'vue' if vue else 'canvas'}")
    tab.queue()
    expect(tab.line()).to_contain_text("30 credits \u00b7 for", timeout=JOB_MS)
    host.interrupt()
    expect(tab.line()).to_contain_text("Stopped waiting, the job goes on", timeout=15_000)
    told(tab, "The job goes on")
    told(tab, "A clip has come")
    tab.shot(shots / "arrived.png")
    expect(tab.line()).to_contain_text("Done \u00b7 30 credits", timeout=15_000)


def test_words_in_the_corner_can_be_switched_off(host: RealHost, open_tab: OpenTab) -> None:
    kinds = ("Paying", "Failed", "Stopped", "Arrived")
    tab = open_tab(host, **{f"apimallvideo.Messages.{kind}": False for kind in kinds})
    tab.text_job("rehearse-failed: an empty street")
    tab.queue()
    expect(tab.line()).to_contain_text("The video could not be made", timeout=JOB_MS)
    tab.away_with_dialogs()
    for text in ("1 new clip", "The video could not be made"):
        expect(tab.corner(text)).to_have_count(0)


def test_the_exceptions_of_the_pack_have_a_short_name(host: RealHost, open_tab: OpenTab) -> None:
    tab = open_tab(host)
    tab.text_job("rehearse-failed: a short name")
    tab.queue()
    expect(tab.line()).to_contain_text("The video could not be made", timeout=JOB_MS)
    messages = [
        detail
        for entry in host.get("/history").values()
        for event, detail in entry["status"]["messages"]
        if event == "execution_error"
    ]
    assert messages[-1]["exception_type"] == "apimall.TaskFailed"
    tab.away_with_dialogs()


@pytest.mark.parametrize("language", ["zh", "ja"])
def test_the_line_speaks_the_users_language(host: RealHost, open_tab: OpenTab, shots: Path, language: str) -> None:
    words = json.loads((REPOSITORY / "web" / "words" / f"{language}.json").read_text(encoding="utf-8"))
    tab = open_tab(host, **{"Comfy.Locale": language})
    tab.text_job(f"a bridge in fog, {language}")
    tab.queue()
    expect(tab.line()).to_contain_text(words["state.delivered"], timeout=JOB_MS)
    tab.shot(shots / f"line-{language}.png")


@pytest.mark.parametrize("language", ["zh", "ja"])
def test_what_is_remarked_of_a_clip_is_said_in_the_users_language(
    host: RealHost, open_tab: OpenTab, language: str
) -> None:
    words = json.loads((REPOSITORY / "web" / "words" / f"{language}.json").read_text(encoding="utf-8"))
    clips.hdr_clip(host.base / "input" / "phone.mov", [[203, 203, 203]], clips.HLG)
    tab = open_tab(host, **{"Comfy.Locale": language})
    node = tab.add("APIMall_LoadVideo", {"file": "phone.mov"})
    tab.link(node, 4, tab.add("PreviewAny", at=(600, 100)))
    tab.queue()
    said = tab.line().get_by_title(words["remark.toned_down"].replace("{form}", "HLG"))
    expect(said).to_be_visible(timeout=JOB_MS)


@pytest.mark.parametrize("language", ["zh", "ja"])
def test_what_happened_and_what_to_do_are_said_in_the_users_language(
    host: RealHost, open_tab: OpenTab, shots: Path, language: str
) -> None:
    words = json.loads((REPOSITORY / "web" / "words" / f"{language}.json").read_text(encoding="utf-8"))
    (host.base / "input" / "notes.mp4").write_bytes(b"%PDF-1.7")
    tab = open_tab(host, **{"Comfy.Locale": language})
    node = tab.add("APIMall_LoadVideo", {"file": "notes.mp4"})
    tab.link(node, 4, tab.add("PreviewAny", at=(600, 100)))
    tab.queue()
    refused = words["remark.no_clip_but"].replace("{file}", "notes.mp4").replace("{kind}", words["remark.pdf"])
    told(tab, refused)
    tab.away_with_dialogs()
    tab.clear()
    tab.text_job("rehearse-failed: said in words")
    tab.queue()
    told(tab, words["remark.not_made"])
    tab.away_with_dialogs()
    # The panel knows of it by what the journal kept, which is English.
    tab.line().get_by_role("button", name=words["line.details"]).click()
    dialog = tab.page.get_by_role("dialog").filter(has_text=words["trouble.now"])
    expect(dialog).to_contain_text(words["remark.not_made"])
    expect(dialog).to_contain_text(words["remark.change_or_again"])
    tab.shot(shots / f"trouble-{language}.png")
    # A fresh Load Video would begin with it.
    (host.base / "input" / "notes.mp4").unlink()


def test_what_was_rehearsed_is_not_taken_for_paid_in_any_tab_once_the_rehearsal_is_off(
    install: Install, tmp_path: Path, open_tab: OpenTab
) -> None:
    with RehearsalGateway(tmp_path / "gateway", seconds_per_task=3.0) as gateway:
        environ = {"APIMALL_BASE_URL": gateway.base_url, "APIMALL_API_KEY": "sk-of-a-test-0123456789"}
        with RealHost(install, tmp_path / "base", environ=environ) as fresh:
            tab, other = open_tab(fresh), open_tab(fresh)
            switch = other.panel.locator("summary .tool")
            switch.click()
            other.panel.get_by_role("switch", name="Rehearsal").click()
            expect(tab.panel.get_by_text("REHEARSAL", exact=True)).to_be_visible()
            tab.text_job("a heron in the reeds")
            tab.queue()
            expect(tab.line()).to_contain_text("Done", timeout=JOB_MS)
            expect(tab.line()).to_contain_text("REHEARSAL")
            other.panel.get_by_role("switch", name="Rehearsal").click()
            expect(tab.panel.get_by_text("REHEARSAL", exact=True)).to_be_hidden()
            expect(tab.line()).to_contain_text("The first run like this", timeout=15_000)
            expect(tab.line()).not_to_contain_text("REHEARSAL")
            # The balance is the account's own, not that which was played with.
            left = fresh.get("/apimall/balance")["credits"]
            expect(tab.panel.locator(".sum")).to_have_text(f"{left:,.0f}")
            assert gateway.record.count("create") == 0
            tab.queue()
            told(tab, "1 new clip")
            expect(tab.line()).to_contain_text("Done \u00b7 30 credits", timeout=JOB_MS)
            assert gateway.record.count("create") == 1


def test_without_a_key_the_line_leads_to_where_it_is_entered(
    install: Install, tmp_path: Path, open_tab: OpenTab, shots: Path
) -> None:
    with RealHost(install, tmp_path / "base") as fresh:
        tab = open_tab(fresh)
        tab.text_job("a fox")
        expect(tab.line()).to_contain_text("No API key yet", timeout=15_000)
        tab.line().get_by_role("button", name="Set up").click()
        expect(tab.panel.get_by_label("API key", exact=True)).to_be_visible(timeout=15_000)
        expect(tab.panel.get_by_role("link", name="Where keys come from")).to_have_attribute(
            "href", "https://www.apimall.ai/api-keys"
        )
        tab.shot(shots / "no-key.png")


def test_keys_mean_the_canvas_again_after_a_button_of_the_panel(host: RealHost, vue: bool, open_tab: OpenTab) -> None:
    prompt = f"a kite, {'vue' if vue else 'canvas'}"
    tab = open_tab(host, vue=vue)
    tab.panel.wait_for()
    tab.text_job(prompt)
    tab.queue()
    card = tab.card(prompt)
    expect(card.get_by_text("Done", exact=True)).to_be_visible(timeout=JOB_MS)
    tab.clear()
    card.locator(".title").click()
    card.get_by_text("More", exact=True).click()
    again = card.get_by_role("button", name="New node with these settings")
    again.click()
    tab.wait_until(lambda: tab.run("() => Object.keys(app.canvas.selected_nodes).length") == 1)
    again.click()
    tab.wait_until(lambda: tab.run("() => app.graph.nodes.length") == 2)
    assert not tab.overlaps()
    posted = tab.posted("/prompt")
    tab.page.keyboard.press("Control+Enter")
    tab.wait_until(lambda: tab.posted("/prompt") > posted or tab.corner("no outputs").count() > 0)
    tab.away_with_dialogs()
    tab.panel.get_by_role("radio", name="All").check(force=True)
    card.get_by_role("button", name="Copy task id").click()
    tab.page.keyboard.press("Delete")
    tab.wait_until(lambda: tab.run("() => app.graph.nodes.length") == 1)
    tab.page.wait_for_timeout(500)
    tab.page.keyboard.press("Control+z")
    tab.wait_until(lambda: tab.run("() => app.graph.nodes.length") == 2)


def test_a_fresh_node_has_four_rows_to_write_in(host: RealHost, vue: bool, open_tab: OpenTab) -> None:
    tab = open_tab(host, vue=vue)
    tab.add("APIMall_TextToVideo")
    field = tab.page.locator("textarea").first
    expect(field).to_be_visible()
    rows = """field => {
        const look = getComputedStyle(field);
        return field.clientHeight / (parseFloat(look.lineHeight) || 1.2 * parseFloat(look.fontSize));
    }"""
    assert tab.run(rows, field.element_handle()) >= 4
