"""The browser half in a real browser on a real ComfyUI, old and new, in both renderers."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("playwright", reason="no Playwright: install tests/requirements-browser.txt")

from playwright.sync_api import Browser, Locator, expect

from nodes.gateway.errors import ReplyLost
from nodes.jobs.order import Order
from nodes.journal.rows import Job, Parking
from nodes.service import Folders, Service
from tests.browser.stage import JOB_MS, Stage
from tests.host import examples
from tests.host.real_host import REPOSITORY, Install, RealHost

if TYPE_CHECKING:
    from tests.browser.conftest import OpenStage

TEMPLATES = sorted((REPOSITORY / "example_workflows").glob("*.json"))
CANARY = "sk-canary-9f8e7d6c5b4a39281706f5e4d3c2b1a0"


def await_done(stage: Stage, prompt: str) -> Locator:
    card = stage.card(prompt)
    expect(card.get_by_text("Done", exact=True)).to_be_visible(timeout=JOB_MS)
    return card


def draws_all(host: RealHost, vue: bool) -> bool:
    """The first version of the Vue renderer drew neither the elements of packs nor videos on nodes."""
    return not (vue and host.install.version.startswith("0.3."))


def test_nothing_is_asked_before_the_panel_is_opened(host: RealHost, open_stage: OpenStage) -> None:
    stage = open_stage(host)
    stage.add("APIMall_PollResult")
    stage.add("APIMall_LoadVideo")
    stage.page.wait_for_timeout(1500)
    assert stage.heard.ours() == []
    stage.add("APIMall_TextToVideo")
    stage.page.wait_for_timeout(1500)
    assert stage.heard.ours() == ["/apimall/standing"]
    stage.heard.requests.clear()
    stage.panel.wait_for()
    stage.page.wait_for_timeout(500)
    assert sorted(path.split("?")[0] for path in stage.heard.ours()) == [
        "/apimall/account",
        "/apimall/balance",
        "/apimall/jobs",
        "/apimall/totals",
    ]


def test_a_job_is_seen_from_its_price_to_its_player(
    host: RealHost, vue: bool, open_stage: OpenStage, shots: Path
) -> None:
    prompt = f"a lighthouse in a storm, {'vue' if vue else 'canvas'}"
    stage = open_stage(host, vue=vue)
    stage.shot(shots / "empty.png")
    stage.panel.wait_for()
    stage.text_job(prompt)
    if draws_all(host, vue):
        expect(stage.line()).to_contain_text("REHEARSAL", timeout=15_000)
    stage.queue()
    expect(stage.card(prompt).get_by_text("Running", exact=True)).to_be_visible(timeout=JOB_MS)
    stage.shot(shots / "running.png")
    card = await_done(stage, prompt)
    expect(card).to_contain_text("30 credits")
    if draws_all(host, vue):
        expect(stage.line()).to_contain_text("Done \u00b7 30 credits", timeout=15_000)
    # The clip plays on the node and in the panel.
    if draws_all(host, vue):
        expect(stage.page.locator("video:not(li.job video)").first).to_be_visible(timeout=15_000)
    card.get_by_role("button", name="Show the clip").click()
    player = card.locator("video[controls]")
    expect(player).to_be_visible()
    stage.page.wait_for_function("video => video.readyState >= 1", arg=player.element_handle())
    assert stage.run("video => [video.videoWidth, Math.round(video.duration)]", player.element_handle()) == [1280, 5]
    stage.shot(shots / "done.png")
    # Of the line nothing is in the workflow, the prompt, or what ComfyUI keys its cache with.
    kept = json.dumps(stage.run("async () => [app.graph.serialize(), (await app.graphToPrompt()).output]"))
    assert "apimallvideo" not in kept
    assert "30 credits" not in kept


def test_a_job_goes_on_while_the_page_is_loaded_again(host: RealHost, vue: bool, open_stage: OpenStage) -> None:
    prompt = f"a paper boat, {'vue' if vue else 'canvas'}"
    stage = open_stage(host, vue=vue)
    stage.panel.wait_for()
    stage.text_job(prompt)
    stage.queue()
    expect(stage.card(prompt).get_by_text("Running", exact=True)).to_be_visible(timeout=JOB_MS)
    stage.open()
    await_done(stage, prompt)


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda template: template.stem.replace(" ", "-"))
def test_a_template_runs_as_it_is(host: RealHost, open_stage: OpenStage, template: Path) -> None:
    if missing := examples.missing(host, template.stem):
        pytest.skip(f"this ComfyUI has no {', '.join(missing)}")
    stage = open_stage(host)
    stage.run("async workflow => await app.loadGraphData(workflow)", json.loads(template.read_text(encoding="utf-8")))
    known = set(host.get("/history"))
    stage.queue()
    stage.wait_until(lambda: set(host.get("/history")) > known, 4 * JOB_MS)
    (entry,) = (entry for name, entry in host.get("/history").items() if name not in known)
    assert entry["status"]["status_str"] == "success"
    expect(stage.page.locator("video").first).to_be_visible(timeout=15_000)


def test_two_tabs_see_the_same_job(host: RealHost, open_stage: OpenStage) -> None:
    watching, working = open_stage(host), open_stage(host)
    watching.panel.wait_for()
    working.text_job("a train crossing a viaduct")
    working.queue()
    expect(watching.card("viaduct").get_by_text("Running", exact=True)).to_be_visible(timeout=JOB_MS)
    await_done(watching, "viaduct")


def test_the_verbs_of_a_job(host: RealHost, vue: bool, open_stage: OpenStage) -> None:
    prompt = f"tea being poured, {'vue' if vue else 'canvas'}"
    stage = open_stage(host, vue=vue)
    stage.panel.wait_for()
    stage.text_job(prompt)
    stage.queue()
    card = await_done(stage, prompt)
    stage.clear()
    card.locator(".title").press("Enter")
    card.get_by_role("button", name="Copy task id").click()
    stage.wait_until(lambda: stage.copied().startswith("vid_"))
    card.get_by_role("button", name="Use settings").click()
    stage.page.wait_for_function("() => (app.graph.nodes ?? app.graph._nodes).length === 1")
    values = stage.values("APIMall_TextToVideo")
    assert [values[name] for name in ("prompt", "model", "duration", "resolution", "take")] == [
        *(prompt, "wan2-6", "5", "720p", 0)
    ]
    card.get_by_role("button", name="Collect").click()
    assert stage.values("APIMall_PollResult")["task_id"] == stage.copied()


def test_an_error_says_whether_it_was_charged(host: RealHost, vue: bool, open_stage: OpenStage, shots: Path) -> None:
    prompt = f"rehearse-failed <img src=x onerror=alert(1)> {'vue' if vue else 'canvas'}"
    stage = open_stage(host, vue=vue)
    stage.panel.wait_for()
    stage.text_job(prompt)
    stage.queue()
    card = stage.card(prompt)
    expect(card.get_by_text("Failed", exact=True)).to_be_visible(timeout=JOB_MS)
    # ComfyUI shows the error in a window of its own, which is in the way on old hosts.
    stage.page.wait_for_timeout(1000)
    stage.page.keyboard.press("Escape")
    card.get_by_role("button", name="Show error").click()
    dialog = stage.page.get_by_role("dialog", name="The video could not be made")
    expect(dialog).to_contain_text("Was I charged?", timeout=15_000)
    expect(dialog).to_contain_text("Refunded: 30 of 30 credits.")
    stage.page.wait_for_timeout(300)
    stage.shot(shots / "error.png")
    dialog.get_by_role("button", name="Copy report").click()
    stage.wait_until(lambda: stage.copied().startswith("API Mall Video"))
    report = stage.copied()
    assert "TaskFailed" in report
    assert prompt not in report
    dialog.get_by_role("button", name="Close").click()
    expect(dialog).to_be_hidden()
    assert not stage.page.locator("li.job img:not([src*=posters])").count()


def test_the_filters_are_reached_by_keyboard(host: RealHost, open_stage: OpenStage) -> None:
    stage = open_stage(host)
    stage.panel.get_by_role("radio", name="All").focus()
    for name in ("Unfinished", "Uncertain", "Failed"):
        stage.page.keyboard.press("ArrowRight")
        expect(stage.panel.get_by_role("radio", name=name)).to_be_checked()
        expect(stage.panel.locator("li.job .state", has_text="Done")).to_have_count(0)


@pytest.mark.parametrize("language", ["zh", "ja"])
def test_the_panel_speaks_the_users_language(
    install: Install, tmp_path: Path, open_stage: OpenStage, shots: Path, language: str
) -> None:
    words = json.loads((REPOSITORY / "web" / "words" / f"{language}.json").read_text(encoding="utf-8"))
    with RealHost(install, tmp_path / "base", environ={"APIMALL_REHEARSAL": "1"}) as fresh:
        stage = open_stage(fresh, **{"Comfy.Locale": language})
        expect(stage.panel).to_contain_text(words["empty.all"], timeout=15_000)
        stage.text_job("a fox")
        expect(stage.line()).to_contain_text(words["estimate.none"], timeout=15_000)
        stage.page.wait_for_timeout(500)
        stage.shot(shots / f"{language}.png")


def test_a_key_goes_in_and_never_comes_out(
    install: Install, tmp_path: Path, chromium: Browser, open_stage: OpenStage, shots: Path
) -> None:
    nowhere = {"APIMALL_BASE_URL": "http://127.0.0.1:9"}
    with RealHost(install, tmp_path / "base", environ=nowhere) as fresh:
        stage = open_stage(fresh, **{"Comfy.ColorPalette": "light"})
        expect(stage.panel.get_by_text("No API key yet")).to_be_visible(timeout=15_000)
        stage.page.wait_for_timeout(500)
        stage.shot(shots / "no-key.png")
        before = stage.run("() => app.graph.serialize().nodes.length")
        field = stage.panel.get_by_label("API key", exact=True)
        field.click()
        # Typed, not filled in: ComfyUI's shortcuts must not hear it, and neither must the canvas.
        stage.page.keyboard.type(CANARY)
        stage.panel.get_by_role("button", name="Save").click()
        expect(stage.panel).to_contain_text(f"...{CANARY[-4:]}")
        # Nobody is there to ask: that is said, and nothing else is promised.
        expect(stage.panel).to_contain_text("could not be asked whether it is right", timeout=30_000)
        expect(stage.panel.get_by_text("You are set")).to_have_count(0)
        assert stage.run("() => app.graph.serialize().nodes.length") == before
        key_file = tmp_path / "base" / "user" / "__apimall_video" / "api_key"
        assert key_file.read_text().strip() == CANARY
        assert key_file.stat().st_mode & 0o077 == 0
        stage.text_job("a fox")
        stage.page.wait_for_timeout(1500)
        stage.open()
        stage.panel.wait_for()
        stage.page.wait_for_timeout(1000)
        seen = stage.heard.bodies()
        seen["page"] = stage.page.content()
        seen["shadow"] = str(stage.run("() => [...document.querySelectorAll('*')].map(e => e.shadowRoot?.innerHTML)"))
        seen["storage"] = str(stage.run("() => JSON.stringify([{...localStorage}, {...sessionStorage}])"))
        seen["workflow"] = str(stage.run("() => JSON.stringify(app.graph.serialize())"))
        for path in ("/settings", "/history", "/internal/logs", "/apimall/jobs", "/apimall/account"):
            seen[path] = json.dumps(fresh.get(path))
        seen["log"] = fresh.log
        assert [place for place, text in seen.items() if CANARY in text] == []


def test_a_browser_elsewhere_is_told_before_typing_and_may_set_the_key_with_the_code_that_is_printed(
    install: Install, tmp_path: Path, open_stage: OpenStage, shots: Path
) -> None:
    with RealHost(install, tmp_path / "base", environ={"APIMALL_BASE_URL": "http://127.0.0.1:9"}) as fresh:
        stage = open_stage(fresh)
        # To the server this is a browser behind a proxy, as of every container.
        stage.context.set_extra_http_headers({"X-Forwarded-For": "203.0.113.9"})
        stage.open()
        expect(stage.panel).to_contain_text("where ComfyUI is started", timeout=15_000)
        field = stage.panel.get_by_label("API key", exact=True)
        expect(field).to_be_hidden()
        stage.panel.get_by_role("button", name="Print a code where ComfyUI runs").click()
        expect(stage.panel).to_contain_text("good for 10 minutes")
        (code,) = re.findall(r"machine is ([A-Z]{4}-[A-Z]{4})", fresh.log)
        assert code not in json.dumps(fresh.get("/internal/logs"))
        stage.panel.get_by_label("Code").fill(code.lower())
        field.fill(CANARY)
        stage.panel.get_by_role("button", name="Save").click()
        expect(stage.panel).to_contain_text("plain http")
        stage.shot(shots / "elsewhere.png")
        # The browser itself notes the answer that the test wanted.
        assert all("403" in complaint for complaint in stage.heard.complaints)
        stage.heard.complaints.clear()
        stage.panel.get_by_label("I know that this page is not encrypted").check()
        field.fill(CANARY)
        stage.panel.get_by_role("button", name="Save").click()
        expect(stage.panel).to_contain_text(f"...{CANARY[-4:]}")
        assert (tmp_path / "base" / "user" / "__apimall_video" / "api_key").read_text().strip() == CANARY


def test_the_rehearsal_is_switched_on_in_the_panel(
    install: Install, tmp_path: Path, open_stage: OpenStage, shots: Path
) -> None:
    with RealHost(install, tmp_path / "base") as fresh:
        stage = open_stage(fresh)
        mark = stage.panel.get_by_text("REHEARSAL", exact=True)
        expect(mark).to_be_hidden()
        stage.panel.get_by_role("switch", name="Rehearsal").click()
        expect(mark).to_be_visible()
        stage.page.wait_for_timeout(500)
        stage.shot(shots / "switch.png")
        stage.text_job("a fox in the snow")
        stage.queue()
        await_done(stage, "a fox in the snow")


ELSEWHERE = {"APIMALL_API_KEY": "sk-the-key-of-now-0123456789", "APIMALL_BASE_URL": "http://127.0.0.1:9"}


def test_what_only_its_owner_knows_is_asked_and_answered_in_the_panel(
    install: Install, tmp_path: Path, open_stage: OpenStage, shots: Path
) -> None:
    """A job of the key before, and two that are on hold: one without an answer, one that was never sent."""
    base = tmp_path / "base"
    folders = Folders(base / "user" / "__apimall_video", base / "output" / "apimall")
    put_on_hold(folders, {**ELSEWHERE, "APIMALL_API_KEY": "sk-the-key-before-0123456789"}, "a job of the old key")
    put_on_hold(folders, ELSEWHERE, "a lost answer", "never sent")
    with RealHost(install, base, environ=ELSEWHERE) as fresh:
        stage = open_stage(fresh)
        question = stage.panel.get_by_role("group").filter(has_text="Same account, new key?")
        expect(question).to_contain_text("Jobs made with another key: 1", timeout=15_000)
        expect(stage.card("a job of the old key")).to_have_count(0)
        stage.shot(shots / "same-account.png")
        question.get_by_role("button", name="Same account").click()
        expect(question).to_be_hidden()
        expect(stage.card("a job of the old key")).to_be_visible()
        lost, unsent = stage.card("a lost answer"), stage.card("never sent")
        # What the gateway does not confirm is told and changes nothing: there is none at this address.
        lost.locator(".title").click()
        lost.get_by_label("Task", exact=True).fill("vid_from_the_history")
        lost.get_by_role("button", name="This task id answers it").click()
        expect(stage.corner("Check the network")).to_be_visible(timeout=30_000)
        stage.heard.complaints.clear()  # the browser itself notes the answer that the test wanted
        stage.shot(shots / "on-hold.png")
        # The first press asks.
        close = lost.locator("[data-verb=close]")
        close.click()
        expect(close).to_have_text("Press again to close")
        close.click()
        expect(lost).to_contain_text("Closed by you")
        expect(unsent).to_contain_text("Not sent")
        unsent.locator(".title").click()
        for _ in range(2):
            unsent.locator("[data-verb=close]").click()
        expect(unsent).to_contain_text("Closed by you")


def put_on_hold(folders: Folders, environ: Mapping[str, str], lost: str, unsent: str = "") -> None:
    """Write down a job of this key that was sent and got no answer, and one that was not sent."""
    service = Service(folders, environ)
    journal, account = service.journal(), service.settings().account
    fields: dict[str, Any] = {"model": "wan2-6", "type": "text-to-video", "duration": "5", "resolution": "720p"}
    for prompt in filter(None, (lost, unsent)):
        job = journal.intend(Order(prompt=prompt, **fields).intent(account))
        if prompt == lost:
            sent = journal.begin_post(job, 99, [])
            assert isinstance(sent, Job)
            job = sent
        journal.claim(job.id, "us", ["us"])
        assert journal.park(job, "us", Parking.UNCERTAIN, ReplyLost("No answer came")) is not None
    service.close()
