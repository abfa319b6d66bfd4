"""The line on the nodes and the words in ComfyUI's corner: what is said of a run, and that it stays."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("playwright", reason="no Playwright: install tests/requirements-browser.txt")

from playwright.sync_api import expect

from tests.browser.stage import JOB_MS, Stage
from tests.host.real_host import REPOSITORY, Install, RealHost

if TYPE_CHECKING:
    from tests.browser.conftest import OpenStage


@pytest.fixture(autouse=True)
def needs_elements_on_nodes(request: pytest.FixtureRequest) -> None:
    """The first version of the Vue renderer drew no elements of packs."""
    found = request.getfixturevalue("install") if "install" in request.fixturenames else None
    if found is not None and found.version.startswith("0.3.") and request.node.callspec.params.get("vue"):
        pytest.skip("this page draws no elements of packs in its Vue renderer")


def told(stage: Stage, text: str) -> None:
    """ComfyUI's corner has said it; words in it go after a while."""
    expect(stage.corner(text)).to_be_visible(timeout=JOB_MS)


def test_the_last_word_stays_over_reload_and_change_of_tab(
    host: RealHost, vue: bool, open_stage: OpenStage, shots: Path
) -> None:
    stage = open_stage(host, vue=vue)
    stage.text_job(f"a harbour at dawn, {'vue' if vue else 'canvas'}")
    expect(stage.line()).to_contain_text("REHEARSAL", timeout=15_000)
    height = stage.run("() => app.graph.nodes[0].size[1]")
    stage.queue()
    told(stage, "1 new clip")
    expect(stage.line()).to_contain_text("30 credits \u00b7 for", timeout=JOB_MS)
    stage.shot(shots / "running.png")
    done = stage.line().filter(has_text="Done \u00b7 30 credits \u00b7")
    expect(done).to_be_visible(timeout=JOB_MS)
    stage.page.wait_for_timeout(2000)
    expect(done).to_be_visible()
    stage.shot(shots / "done.png")
    box = stage.line().bounding_box()
    assert box is not None
    assert box["width"] <= stage.run("() => app.graph.nodes[0].size[0] * app.canvas.ds.scale")
    stage.open()
    expect(done).to_be_visible(timeout=15_000)
    stage.clear()
    expect(done).to_be_hidden()
    stage.run("() => app.extensionManager.command.execute('Workspace.PreviousOpenedWorkflow')")
    if stage.run("() => app.graph.nodes.length"):
        expect(done).to_be_visible(timeout=15_000)
    assert height > 0


def test_other_inputs_are_another_price_and_the_same_ones_the_same_word(host: RealHost, open_stage: OpenStage) -> None:
    stage = open_stage(host)
    stage.text_job("a train in the rain")
    stage.queue()
    expect(stage.line()).to_contain_text("Done", timeout=JOB_MS)
    stage.change("APIMall_TextToVideo", "take", 7)
    expect(stage.line()).to_contain_text("about 30 credits", timeout=15_000)
    stage.change("APIMall_TextToVideo", "take", 0)
    expect(stage.line()).to_contain_text("Done", timeout=15_000)


def test_a_failure_says_why_what_it_cost_and_what_to_do(
    host: RealHost, vue: bool, open_stage: OpenStage, shots: Path
) -> None:
    stage = open_stage(host, vue=vue)
    stage.text_job(f"rehearse-failed: <img src=x onerror=alert(1)> {'vue' if vue else 'canvas'}")
    stage.queue()
    told(stage, "The video could not be made")
    stage.shot(shots / "toast.png")
    stage.away_with_dialogs()
    expect(stage.line()).to_contain_text("The video could not be made", timeout=JOB_MS)
    expect(stage.line()).to_contain_text("30 of 30 credits refunded")
    stage.line().get_by_role("button", name="Details").click()
    dialog = stage.page.get_by_role("dialog", name="The video could not be made")
    expect(dialog).to_contain_text("Was I charged?", timeout=15_000)
    expect(dialog).to_contain_text("Refunded: 30 of 30 credits.")
    stage.page.wait_for_timeout(300)
    stage.shot(shots / "details.png")
    dialog.get_by_role("button", name="Close").click()
    expect(dialog).to_be_hidden()
    stage.open()
    expect(stage.line()).to_contain_text("The video could not be made", timeout=15_000)


def test_an_interrupt_says_that_the_job_goes_on_and_the_clip_comes(
    host: RealHost, vue: bool, open_stage: OpenStage, shots: Path
) -> None:
    stage = open_stage(host, vue=vue)
    stage.text_job(f"an owl over a field, {'vue' if vue else 'canvas'}")
    stage.queue()
    expect(stage.line()).to_contain_text("30 credits \u00b7 for", timeout=JOB_MS)
    host.interrupt()
    expect(stage.line()).to_contain_text("Stopped waiting, the job goes on", timeout=15_000)
    told(stage, "The job goes on")
    told(stage, "A clip has come")
    stage.shot(shots / "arrived.png")
    expect(stage.line()).to_contain_text("Done \u00b7 30 credits", timeout=15_000)


def test_words_in_the_corner_can_be_switched_off(host: RealHost, open_stage: OpenStage) -> None:
    kinds = ("Paying", "Failed", "Stopped", "Arrived")
    stage = open_stage(host, **{f"apimallvideo.Messages.{kind}": False for kind in kinds})
    stage.text_job("rehearse-failed: an empty street")
    stage.queue()
    expect(stage.line()).to_contain_text("The video could not be made", timeout=JOB_MS)
    stage.away_with_dialogs()
    for text in ("1 new clip", "The video could not be made"):
        expect(stage.corner(text)).to_have_count(0)


def test_the_exceptions_of_the_pack_have_a_short_name(host: RealHost, open_stage: OpenStage) -> None:
    stage = open_stage(host)
    stage.text_job("rehearse-failed: a short name")
    stage.queue()
    expect(stage.line()).to_contain_text("The video could not be made", timeout=JOB_MS)
    messages = [
        detail
        for entry in host.get("/history").values()
        for event, detail in entry["status"]["messages"]
        if event == "execution_error"
    ]
    assert messages[-1]["exception_type"] == "apimall.TaskFailed"
    stage.away_with_dialogs()


@pytest.mark.parametrize("language", ["zh", "ja"])
def test_the_line_speaks_the_users_language(host: RealHost, open_stage: OpenStage, shots: Path, language: str) -> None:
    words = json.loads((REPOSITORY / "web" / "words" / f"{language}.json").read_text(encoding="utf-8"))
    stage = open_stage(host, **{"Comfy.Locale": language})
    stage.text_job(f"a bridge in fog, {language}")
    stage.queue()
    expect(stage.line()).to_contain_text(words["state.delivered"], timeout=JOB_MS)
    stage.shot(shots / f"line-{language}.png")


def test_without_a_key_the_line_leads_to_where_it_is_entered(
    install: Install, tmp_path: Path, open_stage: OpenStage, shots: Path
) -> None:
    with RealHost(install, tmp_path / "base") as fresh:
        stage = open_stage(fresh)
        stage.text_job("a fox")
        expect(stage.line()).to_contain_text("No API key yet", timeout=15_000)
        stage.line().get_by_role("button", name="Set up").click()
        expect(stage.panel.get_by_label("API key", exact=True)).to_be_visible(timeout=15_000)
        expect(stage.panel.get_by_role("link", name="Where keys come from")).to_have_attribute(
            "href", "https://www.apimall.ai/api-keys"
        )
        stage.shot(shots / "no-key.png")


def test_keys_mean_the_canvas_again_after_a_button_of_the_panel(
    host: RealHost, vue: bool, open_stage: OpenStage
) -> None:
    prompt = f"a kite, {'vue' if vue else 'canvas'}"
    stage = open_stage(host, vue=vue)
    stage.panel.wait_for()
    stage.text_job(prompt)
    stage.queue()
    card = stage.card(prompt)
    expect(card.get_by_text("Done", exact=True)).to_be_visible(timeout=JOB_MS)
    stage.clear()
    card.locator(".title").click()
    card.get_by_role("button", name="Use settings").click()
    stage.wait_until(lambda: stage.run("() => Object.keys(app.canvas.selected_nodes).length") == 1)
    card.get_by_role("button", name="Use settings").click()
    stage.wait_until(lambda: stage.run("() => app.graph.nodes.length") == 2)
    assert not stage.overlaps()
    posted = stage.posted("/prompt")
    stage.page.keyboard.press("Control+Enter")
    stage.wait_until(lambda: stage.posted("/prompt") > posted or stage.corner("no outputs").count() > 0)
    stage.away_with_dialogs()
    stage.panel.get_by_role("radio", name="All").check(force=True)
    card.get_by_role("button", name="Copy task id").click()
    stage.page.keyboard.press("Delete")
    stage.wait_until(lambda: stage.run("() => app.graph.nodes.length") == 1)
    stage.page.wait_for_timeout(500)
    stage.page.keyboard.press("Control+z")
    stage.wait_until(lambda: stage.run("() => app.graph.nodes.length") == 2)


def test_a_fresh_node_has_four_rows_to_write_in(host: RealHost, vue: bool, open_stage: OpenStage) -> None:
    stage = open_stage(host, vue=vue)
    stage.add("APIMall_TextToVideo")
    field = stage.page.locator("textarea").first
    expect(field).to_be_visible()
    rows = """field => {
        const look = getComputedStyle(field);
        return field.clientHeight / (parseFloat(look.lineHeight) || 1.2 * parseFloat(look.fontSize));
    }"""
    assert stage.run(rows, field.element_handle()) >= 4
