"""Submit now, collect later: `wait` off, and Poll Result."""

from __future__ import annotations

import pytest
import requests

from nodes.comfyui import host
from nodes.poll_result import PollResult
from tests.support.harness import eventually
from tests.support.node_files import KEY, Comfy, Outcome, give, keep, poll, save, stored_file, text_to_video

ALL = {str(10 + slot): keep("1", slot) for slot in range(6)}
MEDIA = ("10", "11", "12", "13")


def submit(comfy: Comfy, prompt: str = "a lighthouse") -> str:
    """A job that nobody waits for: its task id."""
    task_id = comfy.run({"1": text_to_video(prompt, wait=False), "2": keep("1", 4)}).ok().kept("2")
    assert isinstance(task_id, str)
    return task_id


def collect(comfy: Comfy, task_id: object = "", wait: bool = True) -> Outcome:
    return comfy.run({"1": poll(task_id, wait), **ALL})


def blocked(outcome: Outcome) -> bool:
    return all(outcome.all_kept(node_id) == [] for node_id in MEDIA)


def test_without_wait_the_task_id_comes_at_once_and_the_media_are_blocked(slow_comfy: Comfy) -> None:
    outcome = slow_comfy.run({"1": text_to_video(wait=False), **ALL, "2": save("1")}).ok()
    (task,) = slow_comfy.gateway.record.tasks
    assert outcome.kept("14") == task.task_id
    assert blocked(outcome) and "2" not in outcome.history["outputs"]
    assert task.task_id in outcome.said()


def test_nodes_that_nothing_is_linked_to_run_alone(slow_comfy: Comfy) -> None:
    outcome = slow_comfy.run({"1": text_to_video(wait=False)}).ok()
    (task,) = slow_comfy.gateway.record.tasks
    assert task.task_id in outcome.said()
    slow_comfy.clock.advance(3600)
    collected = slow_comfy.run({"1": poll()}).ok()
    assert collected.history["outputs"]["1"]["images"], "the clip is on the node"


@pytest.mark.parametrize("restart", [False, True], ids=["same session", "after a restart"])
@pytest.mark.parametrize("by_id", [True, False], ids=["by id", "newest unfinished"])
def test_poll_result_collects_what_was_submitted(slow_comfy: Comfy, restart: bool, by_id: bool) -> None:
    task_id = submit(slow_comfy)
    if restart:
        slow_comfy.restart()
    prompt_id = slow_comfy.queue({"1": poll(task_id if by_id else ""), **ALL})
    slow_comfy.comfy.await_text("1", f"task {task_id}")
    slow_comfy.clock.advance(3600)
    outcome = slow_comfy.wait(prompt_id).ok()
    assert outcome.kept("14") == task_id
    assert outcome.kept("11").shape[0] == 12
    assert slow_comfy.count("create") == 1


def test_the_newest_of_several_unfinished_jobs_is_collected(slow_comfy: Comfy) -> None:
    submit(slow_comfy, "one")
    newest = submit(slow_comfy, "two")
    slow_comfy.clock.advance(3600)
    # Whoever comes home first is finished; the newest is asked for while both are still out there.
    assert collect(slow_comfy, newest).ok().kept("14") == newest


def test_poll_result_and_the_paid_node_share_one_job(slow_comfy: Comfy) -> None:
    submit(slow_comfy)
    prompt_id = slow_comfy.queue({"1": poll(), "2": text_to_video(), "3": keep("1", 4), "4": keep("2", 4)})
    slow_comfy.comfy.await_text("1", "task ")
    slow_comfy.comfy.await_text("2", "task ")
    slow_comfy.clock.advance(3600)
    outcome = slow_comfy.wait(prompt_id).ok()
    assert outcome.kept("3") == outcome.kept("4")
    assert (slow_comfy.count("create"), slow_comfy.count("download")) == (1, 1)


@pytest.mark.parametrize(
    "dress", ["  {} ", '"{}"', "'{}'", " `{}`\n", "https://gateway.apimall.ai/api/v1/videos/{}", '"https://x/{}/?a=b"']
)
def test_what_is_pasted_around_an_id_is_forgiven(comfy: Comfy, dress: str) -> None:
    task_id = submit(comfy)
    assert collect(comfy, dress.format(task_id)).ok().kept("14") == task_id
    assert comfy.count("create") == 1


def test_a_task_of_another_machine_is_collected_and_kept_like_any_other(comfy: Comfy) -> None:
    body = {"model": "wan2-6", "type": "text-to-video", "prompt": "elsewhere", "duration": "5", "resolution": "720p"}
    headers = {"Authorization": f"Bearer {KEY}", "Idempotency-Key": "of-another-machine"}
    url = f"{comfy.gateway.base_url}/api/v1/videos/generate"
    task_id = requests.post(url, json=body, headers=headers, timeout=10).json()["data"]["task_id"]
    assert stored_file(collect(comfy, task_id).ok().kept("10")) is not None
    before = len(comfy.requests)
    comfy.restart()
    assert collect(comfy, task_id).ok().kept("11").shape[0] == 12
    assert len(comfy.requests) == before


def test_an_unknown_id_is_said_after_a_few_looks(comfy: Comfy) -> None:
    outcome = collect(comfy, "vid_01UNKNOWN")
    assert "not found" in outcome.error.lower() and "Check the id" in outcome.error
    assert 1 < comfy.count("poll") <= 5, "one answer may be astray"
    assert comfy.service.journal().by_task(comfy.service.settings().account, "vid_01UNKNOWN") is None


def test_a_failed_task_is_told_with_its_refund(slow_comfy: Comfy) -> None:
    slow_comfy.gateway.script("create", "fail:all")
    task_id = submit(slow_comfy)
    slow_comfy.clock.advance(3600)
    outcome = collect(slow_comfy, task_id)
    assert "could not make the video" in outcome.error and "Refunded: " in outcome.error


def test_a_peek_shows_the_state_and_blocks_the_media(slow_comfy: Comfy) -> None:
    task_id = submit(slow_comfy)
    outcome = collect(slow_comfy, task_id, wait=False).ok()
    assert outcome.kept("14") == task_id and blocked(outcome)
    assert "pending" in outcome.said() or "processing" in outcome.said()


def test_a_peek_at_a_finished_job_delivers(slow_comfy: Comfy) -> None:
    task_id = submit(slow_comfy)
    slow_comfy.clock.advance(3600)
    eventually(lambda: slow_comfy.count("download"), "the clip is fetched")
    assert collect(slow_comfy, task_id, wait=False).ok().kept("11").shape[0] == 12


@pytest.mark.parametrize("task_id", ["vid_01UNKNOWN", "no id at all", "", "x" * 500])
def test_a_peek_never_fails(comfy: Comfy, task_id: str) -> None:
    # Linked: one that is written on the node and is no id is refused with the prompt.
    outcome = comfy.run({"0": give(task_id), "1": poll(["0", 0], wait=False), **ALL}).ok()
    assert blocked(outcome) and outcome.said()


@pytest.mark.parametrize("trouble", ["no key", "gateway down", "task failed"])
def test_a_peek_survives_trouble(slow_comfy: Comfy, trouble: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nodes.comfyui.waiting._PEEK_SECONDS", 0.5)
    slow_comfy.gateway.script("create", "fail" if trouble == "task failed" else None)
    task_id = submit(slow_comfy)
    slow_comfy.restart()
    if trouble == "no key":
        del slow_comfy.environ["APIMALL_API_KEY"]
    elif trouble == "gateway down":
        slow_comfy.gateway.stop()
    else:
        slow_comfy.clock.advance(3600)
    outcome = collect(slow_comfy, task_id, wait=False).ok()
    assert blocked(outcome) and outcome.kept("14") == task_id and outcome.said()


def test_poll_result_looks_again_each_time_it_is_queued(slow_comfy: Comfy) -> None:
    task_id = submit(slow_comfy)
    assert blocked(collect(slow_comfy, task_id, wait=False).ok())
    slow_comfy.clock.advance(3600)
    assert not blocked(collect(slow_comfy, task_id, wait=True).ok())
    assert not blocked(collect(slow_comfy, task_id, wait=False).ok())


def test_what_is_collected_is_not_collected_and_saved_again_on_every_queue(comfy: Comfy) -> None:
    prompt = {"1": poll(submit(comfy)), "2": save("1")}
    for _ in range(2):  # a fingerprint is taken before the node runs, so the second run is the first that is known
        comfy.run(prompt).ok()
    assert cached(comfy.run(prompt).ok()) == ["1", "2"]
    for clip in host.results_folder().glob("*.mp4"):
        clip.unlink()
    assert cached(comfy.run(prompt).ok()) == []
    assert (comfy.count("create"), comfy.count("download")) == (1, 2)


def cached(outcome: Outcome) -> list[str]:
    nodes: list[str] = dict(outcome.history["status"]["messages"])["execution_cached"]["nodes"]
    return nodes


@pytest.mark.parametrize("task_id", [None, "", "vid_01UNKNOWN", "a\0b", "x" * 5000])
def test_the_fingerprint_is_total_and_never_the_same_while_nothing_is_collected(
    comfy: Comfy, task_id: str | None
) -> None:
    seen = {PollResult.fingerprint_inputs(task_id=task_id, wait=True) for _ in range(3)}
    comfy.environ["APIMALL_BASE_URL"] = "nonsense"
    assert len(seen | {PollResult.fingerprint_inputs(task_id=task_id)}) == 4
