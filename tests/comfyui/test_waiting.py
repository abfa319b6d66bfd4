"""Waiting: what is seen meanwhile, and everything that may end a wait without ending the job."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import threading
from collections.abc import Callable
from io import BytesIO
from types import FrameType
from typing import Any, cast

import pytest
from comfy_api.latest import InputImpl, io
from comfy_execution.graph import DynamicPrompt

from nodes.comfyui.node_text import NodeText
from nodes.comfyui.waiting import follow, off_loop
from nodes.gateway.errors import Detached
from nodes.jobs.work import Phase, Status, Ticket
from nodes.journal.rows import Job, Slots
from tests.support.harness import eventually
from tests.support.node_files import (
    Comfy,
    Node,
    clip_bytes,
    fail,
    give,
    image_to_video,
    keep,
    load_video,
    poll,
    save,
    text_to_video,
    video_to_video,
)


def progress(comfy: Comfy, node_id: str) -> list[float]:
    states = [data["nodes"] for event, data in comfy.comfy.sent() if event == "progress_state"]
    return [nodes[node_id]["value"] / nodes[node_id]["max"] for nodes in states if node_id in nodes]


def test_the_node_says_how_its_job_stands(slow_comfy: Comfy) -> None:
    prompt_id = slow_comfy.queue({"1": text_to_video(), "2": save("1")})
    slow_comfy.comfy.await_text("1", "pending")
    (task,) = slow_comfy.gateway.record.tasks
    slow_comfy.comfy.await_text("1", f"task {task.task_id}")
    slow_comfy.clock.advance(1800)
    slow_comfy.comfy.await_text("1", "processing")
    slow_comfy.clock.advance(1800)
    outcome = slow_comfy.wait(prompt_id).ok()
    assert outcome.said() == f"done  \n{task.credits_used} credits, task {task.task_id}"


def test_progress_never_lies(slow_comfy: Comfy) -> None:
    # Nothing is known of how long a first job takes, so nothing may be shown but its download.
    prompt_id = slow_comfy.queue({"1": text_to_video(), "2": save("1")})
    slow_comfy.comfy.await_text("1", "pending")
    assert progress(slow_comfy, "1") == []
    slow_comfy.clock.advance(3600)
    slow_comfy.wait(prompt_id).ok()
    shown = progress(slow_comfy, "1")
    assert shown == sorted(shown) and all(0 <= fraction <= 1 for fraction in shown)


def test_an_interrupt_ends_the_wait_and_not_the_job(slow_comfy: Comfy) -> None:
    prompt = {"1": text_to_video(), "2": save("1")}
    prompt_id = slow_comfy.queue(prompt)
    slow_comfy.comfy.await_text("1", "task ")
    slow_comfy.comfy.interrupt()
    outcome = slow_comfy.wait(prompt_id)
    assert "execution_interrupted" in outcome.events and "execution_error" not in outcome.events
    assert "still running at the gateway" in outcome.said()
    slow_comfy.clock.advance(3600)
    slow_comfy.run(prompt).ok()
    assert slow_comfy.count("create") == 1


def test_an_interrupt_ends_the_wait_of_every_node(slow_comfy: Comfy) -> None:
    prompt = {"1": text_to_video("one"), "2": text_to_video("two"), "3": save("1"), "4": save("2")}
    prompt_id = slow_comfy.queue(prompt)
    slow_comfy.comfy.await_text("1", "task ")
    slow_comfy.comfy.await_text("2", "task ")
    slow_comfy.comfy.interrupt()
    outcome = slow_comfy.wait(prompt_id)
    assert {node for node, text in outcome.texts if "You stopped the wait" in text} == {"1", "2"}


def test_a_failing_sibling_ends_the_wait_and_neither_the_job_nor_the_queue(slow_comfy: Comfy) -> None:
    cue = threading.Event()
    prompt = {"1": text_to_video(), "2": save("1")}
    prompt_id = slow_comfy.queue({**prompt, "3": fail(cue)})
    slow_comfy.comfy.await_text("1", "task ")
    cue.set()
    outcome = slow_comfy.wait(prompt_id)
    assert outcome.error == "a sibling fails"
    assert "another node failed. The job is still running at the gateway" in outcome.said()
    slow_comfy.clock.advance(3600)
    slow_comfy.run(prompt).ok()
    assert slow_comfy.count("create") == 1


def test_a_job_that_waits_for_a_place_is_not_sent_when_its_node_is_gone(slow_comfy: Comfy) -> None:
    slow_comfy.environ["APIMALL_MAX_JOBS"] = "1"
    running = slow_comfy.run({"1": text_to_video("one", wait=False), "2": keep("1", 4)}).ok()
    prompt_id = slow_comfy.queue({"1": text_to_video("two"), "2": save("1")})
    slow_comfy.comfy.await_text("1", "waiting for a slot")
    slow_comfy.comfy.interrupt()
    assert "Nothing was sent" in slow_comfy.wait(prompt_id).said()
    slow_comfy.clock.advance(3600)
    slow_comfy.run({"1": poll(running.kept("2")), "2": save("1")}).ok()
    assert [task.prompt for task in slow_comfy.gateway.record.tasks] == ["one"]


def test_at_the_deadline_the_wait_ends_and_the_job_goes_on(slow_comfy: Comfy) -> None:
    slow_comfy.environ["APIMALL_WAIT_MINUTES"] = "0.02"
    prompt = {"1": text_to_video(), "2": save("1")}
    outcome = slow_comfy.run(prompt)
    assert "No result after 0.02 minutes" in outcome.error
    assert "queue the same node again to continue without paying" in outcome.error
    slow_comfy.clock.advance(3600)
    del slow_comfy.environ["APIMALL_WAIT_MINUTES"]
    slow_comfy.run(prompt).ok()
    assert slow_comfy.count("create") == 1


class LateNews:
    """A ticket whose job is found done by the next look, and not before."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self.polls = 1

    def status(self) -> Status:
        return Status(Phase.PROCESSING, "processing", None, 1.0, self.polls, self.polls > 1, self._job)

    def poll_now(self) -> None:
        self.polls += 1

    def leave(self, reason: str) -> Detached:
        return Detached(reason)


def test_one_more_look_after_the_deadline_may_find_the_clip(slow_comfy: Comfy) -> None:
    task_id = slow_comfy.run({"1": text_to_video(wait=False), "2": keep("1", 4)}).ok().kept("2")
    job = slow_comfy.service.journal().by_task(slow_comfy.service.settings().account, task_id)
    assert job is not None
    slow_comfy.environ["APIMALL_WAIT_MINUTES"] = "0.000001"
    ticket = LateNews(job)
    hidden = io.HiddenHolder(unique_id="1", dynprompt=DynamicPrompt({"1": text_to_video()}))
    asyncio.run(follow(cast(Ticket, ticket), NodeText(hidden), until=lambda status: False))
    assert ticket.polls == 2


def test_waiting_for_a_slot_that_never_comes_has_an_end_that_names_who_has_it(slow_comfy: Comfy) -> None:
    slow_comfy.environ.update(APIMALL_MAX_JOBS="1", APIMALL_WAIT_MINUTES="0.02")
    running = slow_comfy.run({"1": text_to_video("one", wait=False), "2": keep("1", 4)}).ok()
    outcome = slow_comfy.run({"1": text_to_video("two"), "2": save("1")})
    assert "No slot became free in 0.02 minutes" in outcome.error
    assert f"job 1 (task {running.kept('2')}) of process {os.getpid()} on " in outcome.error
    assert "Nothing was sent" in outcome.error
    assert slow_comfy.count("create") == 1


class MovingLine(LateNews):
    """A ticket that waits for a slot, and is one place further at each look."""

    def __init__(self, job: Job) -> None:
        super().__init__(job)
        self.ahead = 20

    def status(self) -> Status:
        self.ahead -= 1
        slots = Slots(False, 1, 1, self.ahead, ((1, None, "4711-here-0"),))
        return Status(Phase.WAITING, "waiting", None, None, 0, self.ahead < 1, self._job, slots)


def test_waiting_for_a_place_does_not_use_up_the_wait_while_others_get_on(slow_comfy: Comfy) -> None:
    task_id = slow_comfy.run({"1": text_to_video(wait=False), "2": keep("1", 4)}).ok().kept("2")
    job = slow_comfy.service.journal().by_task(slow_comfy.service.settings().account, task_id)
    assert job is not None
    slow_comfy.environ["APIMALL_WAIT_MINUTES"] = "0.001"
    hidden = io.HiddenHolder(unique_id="1", dynprompt=DynamicPrompt({"1": text_to_video()}))
    asyncio.run(follow(cast(Ticket, MovingLine(job)), NodeText(hidden), until=lambda status: False))


def test_what_comes_when_nobody_waits_is_on_disk_when_somebody_asks(slow_comfy: Comfy) -> None:
    slow_comfy.run({"1": text_to_video(wait=False), "2": keep("1", 4)}).ok()
    slow_comfy.clock.advance(3600)
    eventually(lambda: slow_comfy.count("download"), "the clip is fetched although no node waits")
    slow_comfy.run({"1": text_to_video(), "2": save("1")}).ok()
    assert (slow_comfy.count("create"), slow_comfy.count("download")) == (1, 1)


def test_warnings_stay_on_the_node_to_the_end(comfy: Comfy) -> None:
    long = "a lighthouse " * 150
    outcome = comfy.run({"1": text_to_video(long), "2": save("1")}).ok()
    assert "those beyond 1,500 may be ignored" in outcome.said()


def test_a_damaged_journal_is_told_of_on_the_node(comfy: Comfy) -> None:
    comfy.run({"1": text_to_video("kept"), "2": save("1")}).ok()
    comfy.close()
    journal = comfy.service.folders.state / "journal.sqlite3"
    journal.write_bytes(b"not a database " + journal.read_bytes())
    comfy.open()
    outcome = comfy.run({"1": text_to_video("after that"), "2": save("1")}).ok()
    assert "The journal was damaged: it is kept as journal-damaged-" in outcome.said()


def test_a_journal_that_is_taken_away_pays_no_more_and_what_runs_ends_well(slow_comfy: Comfy) -> None:
    """SQLite would write on into a file that has no name any more, and the next start would pay again."""
    running = slow_comfy.queue({"1": text_to_video("already sent"), "2": save("1")})
    slow_comfy.comfy.await_text("1", "pending")
    shutil.rmtree(slow_comfy.service.folders.state)
    slow_comfy.clock.advance(3600)
    slow_comfy.wait(running).ok()
    outcome = slow_comfy.run({"1": text_to_video("not sent"), "2": save("1")})
    assert "its file is gone" in outcome.error and "no credits were spent" in outcome.error
    assert slow_comfy.count("create") == 1


@pytest.mark.parametrize("node", [video_to_video, load_video])
def test_a_disk_that_refuses_before_anything_is_sent_is_told_of_in_words(comfy: Comfy, node: Any) -> None:
    temp = comfy.base / "temp"
    temp.mkdir(exist_ok=True)
    (temp / "apimall").write_bytes(b"in the way")
    video = InputImpl.VideoFromFile(BytesIO(clip_bytes(count=60)))
    outcome = comfy.run({"0": give(video), "1": node(video=["0", 0]), "2": save("1")})
    assert f"The folder {temp / 'apimall'} cannot be made (File exists)" in outcome.error
    assert "no credits were spent" in outcome.error and comfy.requests == []


def test_an_unknown_model_is_passed_on_with_a_warning_and_the_gateway_decides(comfy: Comfy) -> None:
    outcome = comfy.run({"1": text_to_video(model="wan9-9"), "2": save("1")})
    assert any("does not know the model 'wan9-9'; the gateway will decide" in text for _, text in outcome.texts)
    assert comfy.gateway.record.posts[0].json["model"] == "wan9-9"
    assert "Unknown model" in outcome.error and "no credits were spent" in outcome.error


class Slow:
    """Work in a thread that lasts until it is told to go on."""

    def __init__(self) -> None:
        self.begun, self.go_on = threading.Event(), threading.Event()

    def __call__(self, stop: Callable[[], bool]) -> str:
        self.begun.set()
        assert self.go_on.wait(10)
        return "ticket"


def test_a_result_that_is_made_after_the_node_is_gone_is_given_back() -> None:
    work, given_back = Slow(), list[str]()

    async def node() -> None:
        task = asyncio.create_task(off_loop(work, unwanted=given_back.append))
        await asyncio.to_thread(work.begun.wait, 10)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert given_back == []
        work.go_on.set()

    asyncio.run(node())
    assert given_back == ["ticket"]


def test_a_result_that_is_made_while_the_node_goes_is_given_back() -> None:
    work, given_back = Slow(), list[str]()

    async def node() -> None:
        task = asyncio.create_task(off_loop(work, unwanted=given_back.append))
        await asyncio.to_thread(work.begun.wait, 10)
        work.go_on.set()
        # This loop is held until the thread is through, so that result and cancellation reach the node together.
        eventually(lambda: not _is_running("run"), "the thread has handed over")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(node())
    assert given_back == ["ticket"]


def _is_running(function: str) -> bool:
    for frame in sys._current_frames().values():
        where: FrameType | None = frame
        while where is not None:
            if where.f_code.co_name == function and where.f_code.co_filename.endswith("waiting.py"):
                return True
            where = where.f_back
    return False


NODES = {
    "t2v": text_to_video(),
    "i2v": image_to_video(image_urls="https://x.example/a.png"),
    "v2v": video_to_video(video_url="https://x.example/a.mp4"),
    "poll": poll("vid_01"),
    "peek": poll("vid_01", wait=False),
    "load": load_video(url="https://x.example/a.mp4"),
}


@pytest.mark.parametrize("node", NODES.values(), ids=NODES.keys())
def test_a_stray_cancellation_ends_the_node_and_not_the_worker(
    comfy: Comfy, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def cancelled(*_: object, **__: object) -> None:
        raise asyncio.CancelledError

    with monkeypatch.context() as patch:
        patch.setattr("nodes.comfyui.waiting.off_loop", cancelled)
        patch.setattr("nodes.comfyui.loading.off_loop", cancelled)
        assert "ComfyUI stopped waiting for this node" in comfy.run({"1": node, "2": save("1")}).error
    comfy.run({"1": text_to_video(), "2": save("1")}).ok()
