"""A machine with its clocks, ComfyUIs that share its user folder, and the gateway: all in one thread, on a time of its
own.

The runners, journals, settings and budgets are the real ones; what they do next is chosen here, a step at a time, by a
chance that can be repeated. A step of one ComfyUI may come in between what another one asks of the gateway and the
answer. Nothing waits in real time, so a day costs as long as its steps take.
"""

from __future__ import annotations

import hashlib
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any
from unittest.mock import patch

from nodes import service as service_room
from nodes import settings as settings_room
from nodes.gateway.contract import Accepted, Stored, Task, UploadAddress
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
from nodes.gateway.models import TEXT_TO_VIDEO
from nodes.guard.downloads import Downloaded, Glance
from nodes.guard.errors import DownloadFailed, DownloadForbidden, LinkGone
from nodes.jobs import attempts as attempts_room
from nodes.jobs import runner as runner_room
from nodes.jobs import sending as sending_room
from nodes.jobs.clocks import Clocks
from nodes.jobs.events import Event
from nodes.jobs.order import Order
from nodes.jobs.prompts import Planned
from nodes.jobs.runner import Runner
from nodes.jobs.scheduler import Lane, Scheduled, Scheduler
from nodes.jobs.work import Patience, Result, Ticket
from nodes.journal.errors import JournalError
from nodes.journal.presence import Holders
from nodes.journal.rows import Job
from nodes.media.errors import NotAClip
from nodes.service import Folders, Outside, Service
from nodes.settings import Settings

HOUR, DAY = 3600.0, 86_400.0
EPOCH = 1_800_000_000.0
SPOILT = b"spoilt"
KEY_MEMORY_SECONDS = DAY
"""As long as the gateway knows a key again: what is promised at the least, and not a second more."""

LINK_SECONDS = 3 * DAY
WAIT_MINUTES = 10.0
LONGEST_WAIT_SECONDS = 6 * HOUR
"""No node waits as long, whatever happens: its patience for a result, and again for each step of the queue."""

_TICK_SECONDS = 15.0
_REAL, _REHEARSAL = "real", "rehearsal"


class Killed(BaseException):
    """Ends a process in the middle of a step."""


class Idle(Exception):
    """Nothing is due; `seconds` until something is."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds


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


def _planned(order: Order) -> Planned:
    kind = (order.type, order.model, order.duration, order.resolution)
    return Planned(*kind, order.prompt, order.take, written=True, media=order.type != TEXT_TO_VIDEO)


def _verify(path: Path, *, to_the_end: bool = False) -> None:
    if not path.read_bytes().startswith(b"clip of "):
        raise NotAClip(f"{path.name} is not an MP4")


class SimulatedService(Service):
    """The service, with a gateway that is asked without a network."""

    books: dict[str, Book]

    def base_url(self, settings: Settings) -> str:
        return "http://127.0.0.1:9" if settings.rehearsal else settings.base_url

    def loopback_origin(self, settings: Settings) -> str | None:
        return "http://127.0.0.1:9"

    def _gateway(self, settings: Settings) -> Any:
        return Client(self.books[_REHEARSAL if settings.rehearsal else _REAL], settings.require_key())


@dataclass
class Node:
    """A node of a prompt. `rehearses`: bound when it was queued. `told`: what came of it."""

    order: Order | None
    rehearses: bool
    over_limit: str | None = None
    prompt_id: str = ""
    ticket: Ticket | None = None
    patience: Patience | None = None
    began: float = 0.0
    told: Result | APIMallError | None = None


class ComfyUI:
    """One process: its service and the nodes that run in it."""

    def __init__(self, world: World, results: Path) -> None:
        self.world, self.results = world, results
        self.die_at: Event | None = None
        self.dead = False
        self.nodes: list[Node] = []
        self.queued: deque[Node] = deque()
        self.service = SimulatedService(
            Folders(world.state, results),
            world.environ,
            observe=self._observe,
            daily_limit=lambda: world.daily_limit,
            prompt_limit=lambda: world.prompt_limit,
            clocks=world.clocks(),
        )
        self.service.books = world.books

    def queue(self, *orders: Order | None) -> None:
        """A prompt: what counts for its nodes is what is true now."""
        rehearses = self.service.settings().rehearsal
        over_limit = self.service.over_prompt_limit([_planned(order) for order in orders if order is not None])
        self.world.prompts += 1
        self.queued.extend(Node(order, rehearses, over_limit, f"prompt {self.world.prompts}") for order in orders)

    def run_next(self) -> Node | None:
        """The next queued node begins."""
        if not self.queued:
            return None
        node = self.queued.popleft()
        node.began = self.world.machine.monotonic()
        try:
            runner = self.service.runner(bound_to_rehearsal=node.rehearses)
            if node.order is None:
                ticket = runner.collect(None)
            else:
                budget = self.service.prompt_budget(node.prompt_id)
                ticket = runner.submit(node.order, node.over_limit, budget)
        except APIMallError as failure:
            self._tell(node, failure)
            return node
        if ticket is not None:
            node.ticket = ticket
            node.patience = Patience(self.world.wait_minutes * 60, self.world.machine.monotonic)
            self.nodes.append(node)
            self.look_after_nodes()
        return node

    def look_after_nodes(self) -> None:
        """What `comfyui.waiting.follow` does at each tick."""
        for node in list(self.nodes):
            assert node.ticket is not None and node.patience is not None
            status = node.ticket.status()
            if status.done:
                self.nodes.remove(node)
                try:
                    self._tell(node, node.ticket.result())
                except APIMallError as failure:
                    self._tell(node, failure)
                node.ticket.leave("done")
            elif node.patience.ends(status):
                self.leave(node, "No result in time")
            waited = self.world.machine.monotonic() - node.began
            assert waited < LONGEST_WAIT_SECONDS, f"a node waits without an end: {status.text}"

    def leave(self, node: Node, why: str) -> None:
        assert node.ticket is not None
        self.nodes.remove(node)
        self._tell(node, node.ticket.leave(why))

    def _tell(self, node: Node, told: Result | APIMallError) -> None:
        node.told = told
        self.world.hear(self, node, told)

    def step(self) -> bool:
        """One step of whatever is due; False when nothing is."""
        for runner in list(self.service._runners.values()):
            for lane in Lane:
                if (due := self._due(runner, lane)) is not None:
                    with suppress(Killed):
                        due.run()
                    if not self.dead:
                        self.look_after_nodes()
                    return True
        return False

    def pause(self) -> float:
        """Seconds until something is due."""
        pauses = [_TICK_SECONDS] if self.nodes else []
        for runner in self.service._runners.values():
            scheduler = runner._scheduler
            for lane in Lane:
                if scheduler._waiting[lane]:
                    _, pause = _peek(scheduler, lane, self.world.machine.monotonic())
                    pauses.append(pause)
        return min(pauses, default=HOUR)

    def _due(self, runner: Runner, lane: Lane) -> Scheduled | None:
        try:
            return runner._scheduler._next(lane)
        except Idle:
            return None

    def _observe(self, event: Event, job: Job) -> None:
        if event is self.die_at:
            self.die()

    def die(self) -> None:
        """As by kill -9: nothing is left but its files."""
        self.dead = True
        for runner in self.service._runners.values():
            runner._scheduler.close()
        if self.service._holders is not None:
            self.service._holders.close()
        raise Killed

    def close(self) -> None:
        """It is told to stop, or, when it died, its files are let go."""
        if self.dead:
            if self.service._journal is not None:
                with suppress(JournalError):
                    self.service._journal.close()
            if self.service._tokens is not None:
                self.service._tokens.close()
            return
        for node in list(self.nodes):
            self.leave(node, "ComfyUI is closing")
        self.service.close()


def _peek(scheduler: Scheduler, lane: Lane, now: float) -> tuple[None, float]:
    """When the next of a lane is due."""

    def from_when(each: Scheduled) -> float:
        return max(each.due, scheduler._held_until[each.share]) if each.share else each.due

    return None, max(0.0, min(from_when(each) - now for each in scheduler._waiting[lane]))


class World:
    """Everything that there is. `hear(process, node, told)` is asked about each word that a user is told."""

    def __init__(self, folder: Path, *, uptime_counts_sleep: bool, seed: int, slots: int) -> None:
        self.folder, self.state = folder, folder / "state"
        self.state.mkdir(parents=True)
        self.machine = Machine(uptime_counts_sleep)
        self.chance = Random(seed)
        self.books = {name: Book(name, self.machine) for name in (_REAL, _REHEARSAL)}
        self.environ = {"APIMALL_MAX_JOBS": str(slots)}
        self.wait_minutes = WAIT_MINUTES
        self.daily_limit = self.prompt_limit = 0.0
        self.keys = self.prompts = 0
        self.processes: dict[str, ComfyUI] = {}
        self.hear: Callable[[ComfyUI, Node, Result | APIMallError], None] = lambda *_: None
        self._running: list[ComfyUI] = []
        for book in self.books.values():
            book.between, book.die = self._between, self._die
        self.new_key()

    @property
    def real(self) -> Book:
        return self.books[_REAL]

    def clocks(self) -> Clocks:
        machine = self.machine

        def wait(condition: threading.Condition, seconds: float) -> bool:
            raise Idle(seconds)

        def sleep(seconds: float) -> None:
            machine.now += seconds

        return Clocks(
            machine.wall, machine.uptime, f"boot {machine.boots}", machine.monotonic, wait, sleep, self.chance.random
        )

    def new_key(self, *, old_is_refused: bool = False) -> None:
        """The customer makes another key of the same account, and stores it."""
        if old_is_refused:
            self.real.refused_keys.add(self.key)
        self.keys += 1
        settings_room.store_key(self.state, self.key)

    @property
    def key(self) -> str:
        return f"sk-test-0123456789.{self.keys}"

    def process(self, name: str) -> ComfyUI:
        """The ComfyUI of that name, started if it does not run."""
        self.bury()
        if name not in self.processes:
            self.processes[name] = ComfyUI(self, self.folder / f"results {name}")
        return self.processes[name]

    def bury(self) -> None:
        for name, process in list(self.processes.items()):
            if process.dead:
                process.close()
                del self.processes[name]

    def run(self, process: ComfyUI, what: Callable[[], object]) -> None:
        """Something done in a process, which may die of it."""
        self._running.append(process)
        try:
            what()
        except Killed:
            pass
        finally:
            self._running.pop()

    def pass_time(self, seconds: float) -> None:
        """Everybody goes on, a step at a time, until so much time has passed."""
        until = self.machine.now + seconds
        while True:
            if self.step():
                continue
            left = until - self.machine.now
            if left <= 0:
                return
            pause = min([left, *(process.pause() for process in self.processes.values() if not process.dead)])
            # A moment at least: what is due by a hair's breadth is due.
            self.machine.now += max(pause, 0.001)
            for process in list(self.processes.values()):
                if not process.dead:
                    process.look_after_nodes()

    def step(self) -> bool:
        """One step of one process, whichever comes first by chance."""
        self.bury()
        waiting = [process for process in self.processes.values() if process not in self._running]
        self.chance.shuffle(waiting)
        return any(self._step_of(process) for process in waiting)

    def _step_of(self, process: ComfyUI) -> bool:
        self._running.append(process)
        try:
            return process.step()
        finally:
            self._running.pop()

    def _between(self) -> None:
        """While a request is under way, others go on, and time does."""
        if len(self._running) == 1:
            self.machine.now += self.chance.choice((0.05, 0.05, 1.0))
            for _ in range(self.chance.choice((0, 0, 1, 3))):
                self.step()

    def _die(self) -> None:
        self._running[-1].die()

    def close(self) -> None:
        self.bury()
        for process in self.processes.values():
            process.close()
        self.processes.clear()

    @contextmanager
    def in_force(self, pause_seconds: float = 10.0) -> Iterator[None]:
        """As long as the world is played runners start no threads of their own, and pauses are not too fine: whether a
        slot is free, and what another ComfyUI has written, is asked every `pause_seconds`.
        """
        books = self.books

        def download(url: str, part: Path, *, tell: Any, stop: Any) -> Downloaded:
            return books[url.split("/")[3]].download(url, part)

        outside = Outside(
            download=download,
            put=lambda url, file, kind: Stored(200),
            readable=lambda url: True,
            look=lambda url, stop: Glance("image/png", b""),
            verify=_verify,
        )

        def without_threads(*args: Any, **named: Any) -> Scheduler:
            return Scheduler(*args, **named, threads=dict.fromkeys(Lane, 0))

        with (
            patch.object(service_room, "guarded", lambda reach: outside),
            patch.object(runner_room, "Scheduler", without_threads),
            patch.object(sending_room, "_SLOT_SECONDS", pause_seconds),
            patch.object(attempts_room, "_PAUSE_SECONDS", pause_seconds),
            patch.object(Holders, "watched_seconds", pause_seconds),
        ):
            yield
