"""A machine with its clocks, ComfyUIs that share its user folder, and the gateway: all in one thread, on a time of its
own.

The runners, journals, settings and budgets are the real ones; what they do next is chosen here, a step at a time, by a
chance that can be repeated. A step of one ComfyUI may come in between what another one asks of the gateway and the
answer. Nothing waits in real time, so a day costs as long as its steps take.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any
from unittest.mock import patch

from nodes import service as service_room
from nodes import settings as settings_room
from nodes.gateway.contract import Stored
from nodes.gateway.errors import (
    APIMallError,
)
from nodes.gateway.models import TEXT_TO_VIDEO
from nodes.guard.downloads import Downloaded, Glance
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
from tests.support.simulated_gateway import (
    HOUR,
    Book,
    Client,
    Killed,
    Machine,
)

WAIT_MINUTES = 10.0
LONGEST_WAIT_SECONDS = 6 * HOUR
"""No node waits as long, whatever happens: its patience for a result, and again for each step of the queue."""

_TICK_SECONDS = 15.0
_REAL, _REHEARSAL = "real", "rehearsal"


class Idle(Exception):
    """Nothing is due; `seconds` until something is."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds


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
