"""Any sequence of gateway behaviours, crashes, leavers and lost files, against a model of the protocol.

Whatever happens: at most one charge for a job and take, no delivered job forgotten, and no final answer for a job
that the gateway still has.
"""

from __future__ import annotations

import shutil
import tempfile
import threading
import time
from collections import deque
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from nodes.gateway.contract import Accepted, Stored, Task, UploadSlot
from nodes.gateway.errors import (
    APIMallError,
    BadRequest,
    Charge,
    GatewayBroken,
    KeyConflict,
    KeyRefused,
    NotReached,
    Parked,
    ReplyLost,
    TaskFailed,
    TaskUnknown,
    Throttled,
    Unreadable,
)
from nodes.guard.downloads import Downloaded, Glance
from nodes.guard.errors import DownloadFailed, DownloadRefused, LinkGone
from nodes.jobs.budget import Budget
from nodes.jobs.events import Event
from nodes.jobs.order import Order
from nodes.jobs.work import Ticket
from nodes.journal.presence import Holders
from nodes.journal.rows import Job
from nodes.journal.verbs import Journal
from nodes.media.errors import NotAClip
from nodes.service import Folders, Outside, wire
from tests.support import harness

SPEED = 3000.0
SPOILT = b"spoilt"
ORDERS = {
    "text": harness.text_order(),
    "another take": harness.text_order(take=1),
    "picture": harness.picture_order(),
}

CREATES = (
    "accept",
    "lost after",
    "lost before",
    "not reached",
    "broken after",
    "broken before",
    "unreadable after",
    "throttled",
    "bad request",
    "key refused",
    "conflict",
    "conflict with task",
)
QUERIES = ("answer", "answer", "pending", "unknown", "unheard of", "lost", "broken", "404", "401", "no url", "fail")
FETCHES = ("whole", "broken", "gone", "refused", "disk full")
STEPS = tuple(Event)


def _verify(path: Path) -> None:
    if path.read_bytes() == SPOILT:
        raise NotAClip(f"{path.name} is not an MP4")


class Killed(BaseException):
    """Ends a thread in the middle of a step, as the end of its process would."""


@dataclass
class ModelTask:
    """A task that was accepted, and charged."""

    task_id: str
    key: str
    body: bytes
    status: str = "running"


@dataclass
class World:
    """The gateway as the contract has it, with what it is going to do next."""

    tasks: dict[str, ModelTask] = field(default_factory=dict)
    creates: deque[str] = field(default_factory=deque)
    queries: deque[str] = field(default_factory=deque)
    fetches: deque[str] = field(default_factory=deque)
    bodies: dict[str, bytes] = field(default_factory=dict)

    def create(self, body: bytes, key: str) -> Accepted:
        assert self.bodies.setdefault(key, body) == body, "one key, one body"
        what = self.creates.popleft() if self.creates else "accept"
        if what in ("accept", "lost after", "broken after", "unreadable after"):
            task = self.tasks.setdefault(key, ModelTask(f"vid_{len(self.tasks) + 1}", key, body))
        known = self.tasks.get(key)
        failure: APIMallError | None = {
            "lost after": ReplyLost("lost"),
            "lost before": ReplyLost("lost"),
            "not reached": NotReached("no way"),
            "broken after": GatewayBroken("500"),
            "broken before": GatewayBroken("500"),
            "unreadable after": Unreadable("?"),
            "throttled": Throttled("429"),
            "bad request": BadRequest("400"),
            "key refused": KeyRefused("401"),
            "conflict": KeyConflict("409"),
            "conflict with task": KeyConflict("409", task_id=known.task_id if known else None),
        }.get(what)
        if failure is not None:
            raise failure
        return Accepted(task.task_id, credits_used=30.0)

    def query(self, task_id: str) -> Task:
        task = next(task for task in self.tasks.values() if task.task_id == task_id)
        what = self.queries.popleft() if self.queries else "answer"
        failure = {
            "lost": ReplyLost("lost"),
            "broken": GatewayBroken("500"),
            "404": TaskUnknown("404"),
            "401": KeyRefused("401"),
        }.get(what)
        if failure is not None:
            raise failure
        if task.status == "running" and what in ("pending", "unknown", "unheard of"):
            return Task(task_id, what)
        if task.status == "running":
            task.status = "failed" if what == "fail" else "completed"
        urls = () if what == "no url" else (f"https://cdn.example/{task_id}",)
        refunded = 30.0 if task.status == "failed" else 0.0
        return Task(task_id, task.status, urls, credits_used=30.0, credits_refunded=refunded)

    def upload_slot(self, filename: str, content_type: str, size_bytes: int) -> UploadSlot:
        return UploadSlot("https://r2.example/x", f"https://cdn.example/{filename}", content_type)

    def download(self, url: str, part: Path, *, tell: Any) -> Downloaded:
        what = self.fetches.popleft() if self.fetches else "whole"
        if what == "broken":
            raise DownloadFailed("broken")
        if what == "gone":
            raise LinkGone("gone")
        if what == "refused":
            raise DownloadRefused("refused")
        if what == "disk full":
            raise OSError(28, "No space left on device")
        data = url.encode()
        part.write_bytes(data)
        import hashlib

        return Downloaded(part, len(data), hashlib.sha256(data).hexdigest(), "video/mp4", None, None, url)


class Process:
    """One life of ComfyUI, that may be told at which step to die."""

    def __init__(self, folder: Path, world: World, wall: Any) -> None:
        self.die_at: Event | None = None
        self.died = threading.Event()
        clocks = harness.quick_clocks(wall=wall, speed=SPEED)
        self.journal = Journal(folder / "journal.sqlite3", clock=wall)
        self.holders = Holders(folder / "holders")
        gateway: Any = world
        self.runner = wire(
            "a",
            self.journal,
            self.holders,
            Folders(folder, folder / "results"),
            gateway=lambda: gateway,
            outside=Outside(
                download=world.download,
                put=lambda url, file, content_type: Stored(200),
                readable=lambda url: True,
                look=lambda url, stop: Glance("image/png", b""),
                verify=_verify,
            ),
            secret=lambda: None,
            max_jobs=3,
            clocks=replace(clocks, sleep=lambda seconds: None),
            budget=Budget(1e9, 1e9),
            observe=self._observe,
        )

    def _observe(self, event: Event, job: Job) -> None:
        if not threading.current_thread().name.startswith("apimall"):
            return
        if self.died.is_set() or event == self.die_at:
            self.died.set()
            raise Killed

    def until_done_or_dead(self, ticket: Ticket) -> bool:
        """True when the job is done, False when the process died of it."""
        deadline = time.monotonic() + harness.PATIENCE_SECONDS
        while not ticket.wait(0.002):
            if self.died.is_set():
                return False
            assert time.monotonic() < deadline, ticket.status()
        return True

    def abandon(self) -> None:
        """What is left of a process that was killed: nothing but its files."""
        self.died.set()
        self.runner._scheduler.close()
        self.holders.close()
        self.journal.close()

    def close(self) -> None:
        self.runner.close()
        self.holders.close()
        self.journal.close()


class MoneyRules(RuleBasedStateMachine):
    """Queues, kills, leaves, loses files, sets the clock; checks the money after each."""

    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="rules-"))
        self.world = World()
        self.now = 1_800_000_000.0
        self.jumped = False
        self.process: Process | None = None
        self.delivered: dict[str, str] = {}
        self.asked: set[str] = set()

    def teardown(self) -> None:
        if not hasattr(self, "folder"):
            return
        try:
            self._all_comes_home()
        finally:
            if self.process is not None:
                self.process.close()
            shutil.rmtree(self.folder)

    def _alive(self) -> Process:
        if self.process is not None and self.process.died.is_set():
            # It died of a job that nobody waited for.
            self.process.abandon()
            self.process = None
        if self.process is None:
            self.process = Process(self.folder, self.world, lambda: self.now)
        return self.process

    @rule(
        name=st.sampled_from(sorted(ORDERS)),
        creates=st.lists(st.sampled_from(CREATES), max_size=6),
        queries=st.lists(st.sampled_from(QUERIES), max_size=6),
        fetches=st.lists(st.sampled_from(FETCHES), max_size=6),
        die_at=st.sampled_from((None, None, *STEPS)),
        resumes=st.booleans(),
    )
    def queue(
        self, name: str, creates: list[str], queries: list[str], fetches: list[str], die_at: Event | None, resumes: bool
    ) -> None:
        world, process = self.world, self._alive()
        world.creates, world.queries, world.fetches = deque(creates), deque(queries), deque(fetches)
        process.die_at = die_at
        if resumes:
            process.runner.resume()
        self.asked.add(name)
        self._see(name, ORDERS[name], process)

    @rule(name=st.sampled_from(sorted(ORDERS)), creates=st.lists(st.sampled_from(CREATES), max_size=3))
    def queue_and_leave(self, name: str, creates: list[str]) -> None:
        process = self._alive()
        self.world.creates = deque(creates)
        process.die_at = None
        self.asked.add(name)
        ticket = process.runner.submit(ORDERS[name])
        ticket.leave("You stopped the wait")
        # What was not sent is dropped, what was sent goes on: either ends by itself.
        process.until_done_or_dead(ticket)

    # What is there depends on threads, so no rule has a precondition: one that finds nothing to do does nothing.

    @rule(gently=st.booleans())
    def end_the_process(self, gently: bool) -> None:
        process = self._alive()
        process.close() if gently else process.abandon()
        self.process = None

    @rule(spoil=st.booleans(), every=st.integers(1, 3))
    def lose_files(self, spoil: bool, every: int) -> None:
        for path in sorted((self.folder / "results").glob("*.mp4"))[::every]:
            path.write_bytes(SPOILT) if spoil else path.unlink()

    @rule(days=st.sampled_from((-400, -2, 2, 400)))
    def set_the_clock(self, days: int) -> None:
        self.now += days * 86_400
        self.jumped = True

    @invariant()
    def one_job_is_charged_once(self) -> None:
        if not hasattr(self, "world"):
            return
        kept: dict[bytes, list[ModelTask]] = {}
        for task in self.world.tasks.values():
            if task.status != "failed":
                kept.setdefault(self._job_of(task), []).append(task)
        assert all(len(tasks) == 1 for tasks in kept.values()), kept

    def _job_of(self, task: ModelTask) -> bytes:
        """What a task was charged for; two takes differ in their rows, not in their bodies."""
        journal = Journal(self.folder / "journal.sqlite3")
        try:
            row = next((row for row in harness.jobs_of(journal, "a") if row.idempotency_key == task.key), None)
        finally:
            journal.close()
        assert row is not None, "a charge without a row"
        return row.identity.encode()

    def _see(self, name: str, order: Order, process: Process) -> APIMallError | None:
        ticket = process.runner.submit(order)
        if not process.until_done_or_dead(ticket):
            process.abandon()
            self.process = None
            return None
        try:
            result = ticket.result()
        except APIMallError as failure:
            self._check_failure(name, ticket, failure)
            return failure
        assert result.path.read_bytes().decode() == f"https://cdn.example/{result.task_id}"
        before = self.delivered.setdefault(name, result.task_id)
        assert before == result.task_id, "a delivered job was forgotten and made again"
        return None

    def _check_failure(self, name: str, ticket: Ticket, failure: APIMallError) -> None:
        task = self.world.tasks.get(ticket.work.job.idempotency_key)
        if isinstance(failure, TaskFailed):
            assert task is not None
            assert task.status == "failed", "a final answer for a job that is still running"
        elif failure.charge in (Charge.NOT_SENT, Charge.REJECTED):
            assert task is None, "told as not charged, but it was"
        elif failure.charge in (Charge.RUNNING, Charge.CHARGED):
            assert task is not None
        assert str(failure)

    def _all_comes_home(self) -> None:
        """With a good gateway again, everything that was asked for is delivered, unless a day has passed."""
        self.world.creates, self.world.queries, self.world.fetches = deque(), deque(), deque()
        self._alive().die_at = None
        for name in sorted(self.asked):
            failure = self._see(name, ORDERS[name], self._alive())
            if failure is not None and not (self.jumped and isinstance(failure, Parked)):
                # A failed task may be remembered once; the next time is a new attempt.
                failure = self._see(name, ORDERS[name], self._alive())
            assert failure is None or (self.jumped and isinstance(failure, Parked)), failure
        self.one_job_is_charged_once()


def obey(examples: int, steps: int) -> None:
    run_state_machine_as_test(
        MoneyRules,
        settings=settings(
            max_examples=examples, stateful_step_count=steps, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_the_money_rules_hold_whatever_happens() -> None:
    obey(examples=25, steps=10)


@pytest.mark.soak
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_the_money_rules_hold_at_length() -> None:
    obey(examples=400, steps=25)
