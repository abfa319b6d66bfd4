"""The browser half in a real browser on a real ComfyUI, old and new, in both renderers."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("playwright", reason="no Playwright: install tests/requirements-browser.txt")

from playwright.sync_api import Browser, Locator, expect

from nodes.gateway.errors import ReplyLost
from nodes.jobs.order import Order
from nodes.journal.rows import Job, Parking
from nodes.service import Folders, Service
from tests.browser.tab import JOB_MS, Tab
from tests.host import examples
from tests.host.real_host import REPOSITORY, Install, RealHost
from tests.support import harness, postgres

if TYPE_CHECKING:
    from tests.browser.conftest import OpenTab

TEMPLATES = sorted((REPOSITORY / "example_workflows").glob("*.json"))
CANARY = "sk-canary-9f8e7d6c5b4a39281706f5e4d3c2b1a0"


def await_done(tab: Tab, prompt: str) -> Locator:
    card = tab.card(prompt)
    expect(card.get_by_text("Done", exact=True)).to_be_visible(timeout=JOB_MS)
    return card


def draws_all(host: RealHost, vue: bool) -> bool:
    """The first version of the Vue renderer drew neither the elements of packs nor videos on nodes."""
    return not (vue and host.install.version.startswith("0.3."))


def test_nothing_is_asked_before_the_panel_is_opened(host: RealHost, open_tab: OpenTab) -> None:
    tab = open_tab(host)
    tab.add("APIMall_PollResult")
    tab.add("APIMall_LoadVideo")
    tab.page.wait_for_timeout(1500)
    assert tab.heard.ours() == []
    tab.add("APIMall_TextToVideo")
    tab.page.wait_for_timeout(1500)
    assert tab.heard.ours() == ["/apimall/standing"]
    tab.heard.requests.clear()
    tab.panel.wait_for()
    tab.page.wait_for_timeout(500)
    asked = [path.split("?")[0] for path in tab.heard.ours() if not path.startswith("/apimall/posters/")]
    assert sorted(asked) == ["/apimall/account", "/apimall/balance", "/apimall/jobs", "/apimall/totals"]


def test_a_job_is_seen_from_its_price_to_its_player(host: RealHost, vue: bool, open_tab: OpenTab, shots: Path) -> None:
    prompt = f"a lighthouse in a storm, {'vue' if vue else 'canvas'}"
    tab = open_tab(host, vue=vue)
    tab.shot(shots / "empty.png")
    tab.panel.wait_for()
    tab.text_job(prompt)
    if draws_all(host, vue):
        expect(tab.line()).to_contain_text("REHEARSAL", timeout=15_000)
    # Nobody presses Run sooner; ComfyUI's own text on the node, which workflows keep, would be there as well.
    tab.wait_until(lambda: "/apimall/standing" in tab.heard.ours())
    tab.queue()
    expect(tab.card(prompt).get_by_text("Being made", exact=True)).to_be_visible(timeout=JOB_MS)
    tab.shot(shots / "running.png")
    card = await_done(tab, prompt)
    expect(card).to_contain_text("30 credits")
    if draws_all(host, vue):
        expect(tab.line()).to_contain_text("Done \u00b7 30 credits", timeout=15_000)
        expect(tab.line()).to_contain_text("REHEARSAL")
    # The clip plays on the node and in the panel.
    if draws_all(host, vue):
        expect(tab.page.locator("video:not(li.job video)").first).to_be_visible(timeout=15_000)
    card.get_by_role("button", name="Show the clip").click()
    player = card.locator("video[controls]")
    expect(player).to_be_visible()
    tab.page.wait_for_function("video => video.readyState >= 1", arg=player.element_handle())
    assert tab.run("video => [video.videoWidth, Math.round(video.duration)]", player.element_handle()) == [1280, 5]
    tab.shot(shots / "done.png")
    # Of the line nothing is in the workflow, the prompt, or what ComfyUI keys its cache with.
    kept = json.dumps(tab.run("async () => [app.graph.serialize(), (await app.graphToPrompt()).output]"))
    assert "apimallvideo" not in kept
    assert "30 credits" not in kept


def test_a_job_goes_on_while_the_page_is_loaded_again(host: RealHost, vue: bool, open_tab: OpenTab) -> None:
    prompt = f"a paper boat, {'vue' if vue else 'canvas'}"
    tab = open_tab(host, vue=vue)
    tab.panel.wait_for()
    tab.text_job(prompt)
    tab.queue()
    expect(tab.card(prompt).get_by_text("Being made", exact=True)).to_be_visible(timeout=JOB_MS)
    tab.open()
    await_done(tab, prompt)


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda template: template.stem.replace(" ", "-"))
def test_a_template_runs_as_it_is(host: RealHost, open_tab: OpenTab, template: Path) -> None:
    if missing := examples.missing(host, template.stem):
        pytest.skip(f"this ComfyUI has no {', '.join(missing)}")
    examples.give_inputs(host)
    tab = open_tab(host)
    tab.run("async workflow => await app.loadGraphData(workflow)", json.loads(template.read_text(encoding="utf-8")))
    known = set(host.get("/history"))
    tab.queue()
    tab.wait_until(lambda: set(host.get("/history")) > known, 4 * JOB_MS)
    (entry,) = (entry for name, entry in host.get("/history").items() if name not in known)
    assert entry["status"]["status_str"] == "success"
    expect(tab.page.locator("video").first).to_be_visible(timeout=15_000)


def test_two_tabs_see_the_same_job(host: RealHost, open_tab: OpenTab) -> None:
    watching, working = open_tab(host), open_tab(host)
    watching.panel.wait_for()
    working.text_job("a train crossing a viaduct")
    working.queue()
    expect(watching.card("viaduct").get_by_text("Being made", exact=True)).to_be_visible(timeout=JOB_MS)
    await_done(watching, "viaduct")


def test_the_verbs_of_a_job(host: RealHost, vue: bool, open_tab: OpenTab) -> None:
    prompt = f"tea being poured, {'vue' if vue else 'canvas'}"
    tab = open_tab(host, vue=vue)
    tab.panel.wait_for()
    tab.text_job(prompt)
    tab.queue()
    card = await_done(tab, prompt)
    tab.clear()
    card.locator(".title").press("Enter")
    card.get_by_text("More", exact=True).click()
    card.get_by_role("button", name="Copy task id").click()
    tab.wait_until(lambda: tab.copied().startswith("vid_"))
    card.get_by_role("button", name="New node with these settings").click()
    tab.page.wait_for_function("() => (app.graph.nodes ?? app.graph._nodes).length === 1")
    values = tab.values("APIMall_TextToVideo")
    assert [values[name] for name in ("prompt", "model", "duration", "resolution", "take")] == [
        *(prompt, "wan2-6", "5", "720p", 0)
    ]
    card.get_by_role("button", name="Poll Result").click()
    assert tab.values("APIMall_PollResult")["task_id"] == tab.copied()


def test_an_error_says_whether_it_was_charged(host: RealHost, vue: bool, open_tab: OpenTab, shots: Path) -> None:
    prompt = f"rehearse-failed <img src=x onerror=alert(1)> {'vue' if vue else 'canvas'}"
    tab = open_tab(host, vue=vue)
    tab.panel.wait_for()
    tab.text_job(prompt)
    tab.queue()
    card = tab.card(prompt)
    expect(card.get_by_text("Failed", exact=True)).to_be_visible(timeout=JOB_MS)
    tab.away_with_dialogs()
    card.get_by_role("button", name="Show error").click()
    dialog = tab.page.get_by_role("dialog", name="The video could not be made")
    expect(dialog).to_contain_text("Was I charged?", timeout=15_000)
    expect(dialog).to_contain_text("Refunded: 30 of 30 credits.")
    tab.page.wait_for_timeout(300)
    tab.shot(shots / "error.png")
    dialog.get_by_role("button", name="Copy report").click()
    tab.wait_until(lambda: tab.copied().startswith("API Mall Video"))
    report = tab.copied()
    assert "TaskFailed" in report
    assert prompt not in report
    dialog.get_by_role("button", name="Close").click()
    expect(dialog).to_be_hidden()
    assert not tab.page.locator("li.job img:not([src*=posters])").count()


def test_the_filters_are_reached_by_keyboard(host: RealHost, open_tab: OpenTab) -> None:
    tab = open_tab(host)
    tab.panel.get_by_role("radio", name="All").focus()
    for name in ("Unfinished", "Uncertain", "Failed"):
        tab.page.keyboard.press("ArrowRight")
        expect(tab.panel.get_by_role("radio", name=name)).to_be_checked()
        expect(tab.panel.locator("li.job .state", has_text="Done")).to_have_count(0)


@pytest.mark.parametrize("language", ["zh", "ja"])
def test_the_panel_speaks_the_users_language(
    install: Install, tmp_path: Path, open_tab: OpenTab, shots: Path, language: str
) -> None:
    words = json.loads((REPOSITORY / "web" / "words" / f"{language}.json").read_text(encoding="utf-8"))
    with RealHost(install, tmp_path / "base", environ={"APIMALL_REHEARSAL": "1"}) as fresh:
        tab = open_tab(fresh, **{"Comfy.Locale": language})
        expect(tab.panel).to_contain_text(words["empty.all"], timeout=15_000)
        tab.text_job("a fox")
        expect(tab.line()).to_contain_text(words["estimate.none"], timeout=15_000)
        tab.page.wait_for_timeout(500)
        tab.shot(shots / f"{language}.png")


def test_the_jobs_of_a_machines_own_journal_are_taken_along_when_its_user_says_so(
    install: Install, tmp_path: Path, open_tab: OpenTab, shots: Path
) -> None:
    environ = {"APIMALL_BASE_URL": "http://127.0.0.1:9", "APIMALL_API_KEY": CANARY}
    state = tmp_path / "base" / "user" / "__apimall_video"
    with closing(Service(Folders(state, tmp_path / "base" / "output" / "apimall"), environ)) as alone:
        alone.journal().intend(harness.text_order("a fox of before").intent(alone.settings().account))
    driver = postgres.driver_for(install.python, tmp_path / "driver")
    shared = {**environ, "APIMALL_JOURNAL": postgres.new_database(), "PYTHONPATH": str(driver)}
    with RealHost(install, tmp_path / "base", environ=shared) as host:
        tab = open_tab(host)
        expect(tab.panel).to_contain_text("Take this machine's own jobs along?", timeout=15_000)
        assert tab.panel.get_by_text("a fox of before").count() == 0
        tab.shot(shots / "moving-in.png")
        tab.panel.get_by_role("button", name="Take along").click()
        expect(tab.panel.get_by_text("a fox of before").first).to_be_visible(timeout=15_000)
        expect(tab.panel.get_by_text("Take this machine's own jobs along?")).to_have_count(0)


def test_a_key_goes_in_and_never_comes_out(
    install: Install, tmp_path: Path, chromium: Browser, open_tab: OpenTab, shots: Path
) -> None:
    nowhere = {"APIMALL_BASE_URL": "http://127.0.0.1:9"}
    with RealHost(install, tmp_path / "base", environ=nowhere) as fresh:
        tab = open_tab(fresh, **{"Comfy.ColorPalette": "light"})
        expect(tab.panel.get_by_text("No API key yet")).to_be_visible(timeout=15_000)
        tab.page.wait_for_timeout(500)
        tab.shot(shots / "no-key.png")
        before = tab.run("() => app.graph.serialize().nodes.length")
        field = tab.panel.get_by_label("API key", exact=True)
        field.click()
        # Typed, not filled in: ComfyUI's shortcuts must not hear it, and neither must the canvas.
        tab.page.keyboard.type(CANARY)
        tab.panel.get_by_role("button", name="Save").click()
        expect(tab.panel).to_contain_text(f"...{CANARY[-4:]}")
        # Nobody is there to ask: that is said, and nothing else is promised.
        expect(tab.panel).to_contain_text("could not be asked whether it is right", timeout=30_000)
        expect(tab.panel.get_by_text("You are set")).to_have_count(0)
        assert tab.run("() => app.graph.serialize().nodes.length") == before
        key_file = tmp_path / "base" / "user" / "__apimall_video" / "api_key"
        assert key_file.read_text().strip() == CANARY
        assert key_file.stat().st_mode & 0o077 == 0
        tab.text_job("a fox")
        tab.page.wait_for_timeout(1500)
        tab.open()
        tab.panel.wait_for()
        tab.page.wait_for_timeout(1000)
        seen = tab.heard.bodies()
        seen["page"] = tab.page.content()
        seen["shadow"] = str(tab.run("() => [...document.querySelectorAll('*')].map(e => e.shadowRoot?.innerHTML)"))
        seen["storage"] = str(tab.run("() => JSON.stringify([{...localStorage}, {...sessionStorage}])"))
        seen["workflow"] = str(tab.run("() => JSON.stringify(app.graph.serialize())"))
        for path in ("/settings", "/history", "/internal/logs", "/apimall/jobs", "/apimall/account"):
            seen[path] = json.dumps(fresh.get(path))
        seen["log"] = fresh.log
        assert [place for place, text in seen.items() if CANARY in text] == []


def test_a_browser_elsewhere_is_told_before_typing_and_may_set_the_key_with_the_code_that_is_printed(
    install: Install, tmp_path: Path, open_tab: OpenTab, shots: Path
) -> None:
    with RealHost(install, tmp_path / "base", environ={"APIMALL_BASE_URL": "http://127.0.0.1:9"}) as fresh:
        tab = open_tab(fresh)
        # To the server this is a browser behind a proxy, as of every container.
        tab.context.set_extra_http_headers({"X-Forwarded-For": "203.0.113.9"})
        tab.open()
        expect(tab.panel).to_contain_text("where ComfyUI is started", timeout=15_000)
        field = tab.panel.get_by_label("API key", exact=True)
        expect(field).to_be_hidden()
        tab.panel.get_by_role("button", name="Print a code where ComfyUI runs").click()
        expect(tab.panel).to_contain_text("good for 10 minutes")
        (code,) = re.findall(r"machine is ([A-Z]{4}-[A-Z]{4})", fresh.log)
        assert code not in json.dumps(fresh.get("/internal/logs"))
        tab.panel.get_by_placeholder("Code").fill(code.lower())
        field.fill(CANARY)
        tab.panel.get_by_role("button", name="Save").click()
        expect(tab.panel).to_contain_text("plain http")
        tab.shot(shots / "elsewhere.png")
        # The browser itself notes the answer that the test wanted.
        assert all("403" in complaint for complaint in tab.heard.complaints)
        tab.heard.complaints.clear()
        tab.panel.get_by_label("I know that this page is not encrypted").check()
        field.fill(CANARY)
        tab.panel.get_by_role("button", name="Save").click()
        expect(tab.panel).to_contain_text(f"...{CANARY[-4:]}")
        assert (tmp_path / "base" / "user" / "__apimall_video" / "api_key").read_text().strip() == CANARY


def test_the_rehearsal_is_switched_on_in_the_panel(
    install: Install, tmp_path: Path, open_tab: OpenTab, shots: Path
) -> None:
    with RealHost(install, tmp_path / "base") as fresh:
        tab = open_tab(fresh)
        mark = tab.panel.get_by_text("REHEARSAL", exact=True)
        expect(mark).to_be_hidden()
        tab.panel.get_by_role("switch", name="Rehearsal").click()
        expect(mark).to_be_visible()
        # What was to be set is set, and makes room for the jobs.
        expect(tab.panel.get_by_role("switch", name="Rehearsal")).to_be_hidden()
        tab.shot(shots / "switch.png")
        tab.text_job("a fox in the snow")
        tab.queue()
        await_done(tab, "a fox in the snow")


def test_while_comfyui_is_away_nothing_is_said_of_a_file_and_once_it_is_back_all_is_as_it_is(
    install: Install, tmp_path: Path, open_tab: OpenTab
) -> None:
    with RealHost(install, tmp_path / "base", environ={"APIMALL_REHEARSAL": "1"}) as fresh:
        tab = open_tab(fresh)
        tab.panel.wait_for()
        tab.text_job("a hare in the grass")
        tab.queue()
        card = await_done(tab, "a hare in the grass")
        tab.change("APIMall_TextToVideo", "prompt", "a fox in the grass")
        tab.queue()
        expect(tab.line()).to_contain_text("30 credits \u00b7 for", timeout=JOB_MS)
        fresh.kill()
        card.locator(".title").click()
        card.locator("[data-verb=more-3]").click()
        card.locator("button.armed").click()
        expect(tab.corner("ComfyUI does not answer")).to_be_visible(timeout=15_000)
        expect(card).not_to_contain_text("not on this disk")
        fresh.start(at_the_same_port=True)
        await_done(tab, "a fox in the grass")
        expect(tab.line()).to_contain_text("Done \u00b7 30 credits", timeout=JOB_MS)
        # The browser itself says that nobody answered.
        tab.heard.complaints.clear()


def test_a_clip_that_is_gone_is_said_to_be(install: Install, tmp_path: Path, open_tab: OpenTab) -> None:
    with RealHost(install, tmp_path / "base", environ={"APIMALL_REHEARSAL": "1"}) as fresh:
        tab = open_tab(fresh)
        tab.panel.wait_for()
        tab.text_job("a moth at a lamp")
        tab.queue()
        card = await_done(tab, "a moth at a lamp")
        (job,) = fresh.get("/apimall/jobs")["jobs"]
        (fresh.base / "output" / "apimall" / job["file"]).unlink()
        card.locator(".title").click()
        expect(card).to_contain_text("not on this disk", timeout=15_000)
        # The browser itself says what was not found.
        tab.heard.complaints.clear()


ELSEWHERE = {"APIMALL_API_KEY": "sk-the-key-of-now-0123456789", "APIMALL_BASE_URL": "http://127.0.0.1:9"}


def test_what_only_its_owner_knows_is_asked_and_answered_in_the_panel(
    install: Install, tmp_path: Path, open_tab: OpenTab, shots: Path
) -> None:
    """A job of the key before, and two that are on hold: one without an answer, one that was never sent."""
    base = tmp_path / "base"
    folders = Folders(base / "user" / "__apimall_video", base / "output" / "apimall")
    put_on_hold(folders, {**ELSEWHERE, "APIMALL_API_KEY": "sk-the-key-before-0123456789"}, "a job of the old key")
    put_on_hold(folders, ELSEWHERE, "a lost answer", "never sent")
    with RealHost(install, base, environ=ELSEWHERE) as fresh:
        tab = open_tab(fresh)
        question = tab.panel.get_by_role("group").filter(has_text="Same account, new key?")
        expect(question).to_contain_text("Jobs made with another key: 1", timeout=15_000)
        expect(tab.card("a job of the old key")).to_have_count(0)
        tab.shot(shots / "same-account.png")
        question.get_by_role("button", name="Same account").click()
        expect(question).to_be_hidden()
        expect(tab.card("a job of the old key")).to_be_visible()
        lost, unsent = tab.card("a lost answer"), tab.card("never sent")
        # What the gateway does not confirm is told and changes nothing: there is none at this address.
        lost.locator(".title").click()
        lost.get_by_label("Task", exact=True).fill("vid_from_the_history")
        lost.get_by_role("button", name="This task id answers it").click()
        expect(tab.corner("Check the network")).to_be_visible(timeout=30_000)
        tab.heard.complaints.clear()  # the browser itself notes the answer that the test wanted
        tab.shot(shots / "on-hold.png")
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
        journal.claim(job, "us", ["us"])
        assert journal.park(job, "us", Parking.UNCERTAIN, ReplyLost("No answer came")) is not None
    service.close()
