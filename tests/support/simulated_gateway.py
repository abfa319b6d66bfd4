"""A gateway without a network, on the time of a machine: what it was paid for, and what it does next."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from nodes.gateway.contract import Accepted, Task, UploadAddress
from nodes.gateway.errors import (
    APIMallError,
    BadRequest,
    GatewayBroken,
    KeyConflict,
    KeyRefused,
    NotReached,
    ProviderBusy,
    ReplyLost,
    TaskUnknown,
    Throttled,
    Unreadable,
)
from nodes.guard.downloads import Downloaded
from nodes.guard.errors import DownloadFailed, DownloadForbidden, LinkGone

HOUR, DAY = 3600.0, 86_400.0
EPOCH = 1_800_000_000.0
SPOILT = b"spoilt"
KEY_MEMORY_SECONDS = DAY
"""As long as the gateway knows a key again: what is promised at the least, and not a second more."""

LINK_SECONDS = 3 * DAY


class Killed(BaseException):
    """Ends a process in the middle of a step."""


@dataclass
class Machine:
    """Its clocks: `now` is the truth (seconds), and the gateway's; the others are what programs are told."""

    uptime_counts_sleep: bool
    now: float = 0.0
    set_by_user: float = 0.0
    slept: float = 0.0
    boots: int = 0
    booted_at: float = 0.0

    def wall(self) -> float:
        return EPOCH + self.now + self.set_by_user

    def monotonic(self) -> float:
        """Stands still while the machine sleeps."""
        return self.now - self.slept

    def uptime(self) -> float:
        return (self.now if self.uptime_counts_sleep else self.monotonic()) - self.booted_at

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.slept += seconds

    def boot(self) -> None:
        self.boots += 1
        self.booted_at = self.now if self.uptime_counts_sleep else self.monotonic()


@dataclass
class Charged:
    """A task as the gateway's own book has it."""

    task_id: str
    key: str
    body: bytes
    credits: float
    at: float
    ends_at: float
    fails: str | None = None
    ended_at: float | None = None
    status: str = "processing"

    def refunded(self, now: float) -> float | None:
        """What has come back; None as long as the gateway says nothing about it."""
        if self.status != "failed":
            return 0.0
        assert self.ended_at is not None
        late = now - self.ended_at
        if self.fails == "null, later all":
            return None if late < 120 else self.credits
        if self.fails == "none, later all":
            return 0.0 if late < 1800 else self.credits
        return {"all": self.credits, "part": self.credits / 2}[self.fails or "all"]

    def kept(self, now: float) -> float:
        return self.credits - (self.refunded(now) or 0.0)


FAILURES: dict[str, Callable[[], APIMallError]] = {
    "lost": lambda: ReplyLost("lost"),
    "not reached": lambda: NotReached("no way"),
    "broken": lambda: GatewayBroken("500"),
    "unreadable": lambda: Unreadable("?"),
    "throttled": lambda: Throttled("429"),
    "busy": lambda: ProviderBusy("503"),
    "bad request": lambda: BadRequest("400"),
    "key refused": lambda: KeyRefused("401"),
    "conflict": lambda: KeyConflict("409"),
    "unknown": lambda: TaskUnknown("404"),
}
CREATES = (
    *("accept", "accept", "lost after", "lost before", "not reached", "broken after", "broken before"),
    *("unreadable after", "throttled", "busy before", "busy after", "bad request", "key refused", "conflict before"),
    *("conflict after", "named after", "die before", "die after"),
)
POLLS = (
    *("answer", "answer", "lost", "broken", "unknown", "key refused", "throttled", "busy"),
    *("status:unknown", "status:reticulating", "no url", "die"),
)
FETCHES = ("whole", "broken", "gone", "refused", "disk full", "spoilt", "die half-way", "die")
_RUNS = {"usual": 100.0, "long": 1500.0, "endless": 1e12}
FATES = ("usual", "usual", "long", "endless", "all", "part", "null, later all", "none, later all")


@dataclass
class Book:
    """One gateway, real or rehearsed, with what it does next; keys of one and the same customer.

    `plan`: tasks at a time; `others(now)`: how many of them another client has. `noticed`: when each clip was first
    fetched.
    """

    name: str
    machine: Machine
    plan: int = 4
    others: Callable[[float], int] = lambda now: 0
    noticed: dict[str, float] = field(default_factory=dict)
    tasks: list[Charged] = field(default_factory=list)
    refused_keys: set[str] = field(default_factory=set)
    bodies: dict[str, bytes] = field(default_factory=dict)
    creates: deque[str] = field(default_factory=deque)
    polls: deque[str] = field(default_factory=deque)
    fetches: deque[str] = field(default_factory=deque)
    fates: deque[str] = field(default_factory=deque)
    requests: int = 0
    audits: list[Callable[[str, float], str | None]] = field(default_factory=list)
    wrongs: list[str] = field(default_factory=list)
    between: Callable[[], None] = lambda: None
    die: Callable[[], None] = lambda: None

    def create(self, body: bytes, key: str) -> Accepted:
        self.requests += 1
        self.between()
        if self.bodies.setdefault(key, body) != body:
            self.wrongs.append(f"one key, two bodies: {key}")
        what = self.creates.popleft() if self.creates else "accept"
        if what == "die before":
            self.die()
        word, _, when = what.partition(" ")
        known = self._known(key)
        if when != "before" and what not in FAILURES:
            if known is None and self._running() + self.others(self.machine.now) >= self.plan:
                raise Throttled("429: the plan is full")
            known = known or self._charge(body, key)
        self.between()
        if what == "die after":
            self.die()
        if word == "named":
            raise KeyConflict("409", task_id=known.task_id if known else None)
        failure = FAILURES.get(what) or FAILURES.get(word)
        if failure is not None:
            raise failure()
        assert known is not None
        return Accepted(known.task_id, request_id=f"req_{self.requests}", credits_used=known.credits)

    def query(self, task_id: str) -> Task:
        self.requests += 1
        self.between()
        what = self.polls.popleft() if self.polls else "answer"
        if what == "die":
            self.die()
        if what in FAILURES:
            raise FAILURES[what]()
        task = self.task(task_id)
        if task is None:
            raise TaskUnknown("404")
        self._settle(task)
        if task.status == "processing":
            told = what.partition(":")[2] or "processing"
            return Task(task_id, told, credits_used=task.credits, model="wan2-6", created_at=self.machine.wall())
        urls = (self.url(task),) if task.status == "completed" and what != "no url" else ()
        return Task(
            task_id,
            task.status,
            urls,
            credits_used=task.credits,
            credits_refunded=task.refunded(self.machine.now),
            model="wan2-6",
            run_seconds=(task.ended_at or 0.0) - task.at,
        )

    def upload_address(self, filename: str, content_type: str, size_bytes: int) -> UploadAddress:
        self.requests += 1
        return UploadAddress("https://r2.example/x", f"https://cdn.example/{filename}", content_type)

    def download(self, url: str, part: Path) -> Downloaded:
        self.requests += 1
        self.between()
        what = self.fetches.popleft() if self.fetches else "whole"
        if what == "die":
            self.die()
        task = self.task(url.rpartition("/")[2])
        assert task is not None and task.ended_at is not None
        self.noticed.setdefault(task.task_id, self.machine.now)
        if what == "gone" or self.machine.now > task.ended_at + LINK_SECONDS:
            raise LinkGone("gone")
        if what == "broken":
            raise DownloadFailed("broken")
        if what == "refused":
            raise DownloadForbidden("refused")
        if what == "disk full":
            raise OSError(28, "No space left on device")
        data = SPOILT if what == "spoilt" else clip_of(url)
        if what == "die half-way":
            part.write_bytes(data[:5])
            self.die()
        part.write_bytes(data)
        return Downloaded(part, len(data), hashlib.sha256(data).hexdigest(), "video/mp4", None, None)

    def url(self, task: Charged) -> str:
        return f"https://cdn.example/{self.name}/{task.task_id}"

    def task(self, task_id: str) -> Charged | None:
        return next((task for task in self.tasks if task.task_id == task_id), None)

    def heal(self) -> None:
        """All is well from here on: what never ended ends."""
        for queue in (self.creates, self.polls, self.fetches, self.fates):
            queue.clear()
        self.plan = 1000
        for task in self.tasks:
            if task.status == "processing":
                task.ends_at = min(task.ends_at, self.machine.now + 60)

    def _known(self, key: str) -> Charged | None:
        remembered = self.machine.now - KEY_MEMORY_SECONDS
        return next((task for task in self.tasks if task.key == key and task.at > remembered), None)

    def _charge(self, body: bytes, key: str) -> Charged:
        credits = 60.0 if b'"10"' in body else 30.0
        for audit in self.audits:
            # Noted, not raised: what is raised here is the gateway's failure, as the pack sees it.
            if (wrong := audit(key, credits)) is not None:
                self.wrongs.append(wrong)
        fate = self.fates.popleft() if self.fates else "usual"
        fails = None if fate in _RUNS or fate.isdecimal() else fate
        seconds = float(fate) if fate.isdecimal() else _RUNS.get(fate, 40.0)
        now = self.machine.now
        task = Charged(f"vid_{self.name}_{len(self.tasks) + 1}", key, body, credits, now, now + seconds, fails)
        self.tasks.append(task)
        return task

    def _running(self) -> int:
        for task in self.tasks:
            self._settle(task)
        return sum(task.status == "processing" for task in self.tasks)

    def _settle(self, task: Charged) -> None:
        if task.status == "processing" and self.machine.now >= task.ends_at:
            task.status, task.ended_at = "failed" if task.fails else "completed", task.ends_at


@dataclass(frozen=True)
class Client:
    """The gateway as one key reaches it."""

    book: Book
    key: str

    def create(self, body: bytes, key: str) -> Accepted:
        self._require_key()
        return self.book.create(body, key)

    def query(self, task_id: str) -> Task:
        self._require_key()
        return self.book.query(task_id)

    def upload_address(self, filename: str, content_type: str, size_bytes: int) -> UploadAddress:
        self._require_key()
        return self.book.upload_address(filename, content_type, size_bytes)

    def _require_key(self) -> None:
        if self.key in self.book.refused_keys:
            raise KeyRefused("401")


def clip_of(url: str) -> bytes:
    """What the gateway gives out under an address."""
    return f"clip of {url}".encode()
