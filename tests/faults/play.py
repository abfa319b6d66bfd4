"""Plays one cell of the fault matrix over real HTTP: provokes the fault, watches what comes of it, queues again."""

from __future__ import annotations

import errno
import functools
import socket
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch
from urllib.parse import urlsplit

import pytest
import requests

from nodes.gateway.client import Timeouts, open_session
from nodes.gateway.contract import Stored
from nodes.gateway.errors import APIMallError, TaskFailed
from nodes.guard import connections
from nodes.guard.downloads import download
from nodes.guard.storage import put
from nodes.jobs.events import Event
from nodes.jobs.order import Medium, MediumFile, Order
from nodes.jobs.work import Ticket
from nodes.journal.errors import JournalError
from nodes.journal.rows import Job
from nodes.journal.store import Place
from nodes.rehearsal.server import RehearsalGateway
from nodes.stopping import Stop
from tests.faults.table import ADDRESS, CREATE, DOWNLOAD, HERE, HUGE, OF_A_REST, POLL, PUT, Again, Cell, Outcome
from tests.support import harness
from tests.support.gateway import ScriptedGateway, answer

SLOW = ("stall-before", "stall", "drip", "drip-headers")
BUSY_SECONDS = 60.0
IMPATIENT = Timeouts(connect_seconds=3.0, read_seconds=1.0, reply_seconds=1.2)
THREE_DAYS_SECONDS = 3 * 86_400.0


@dataclass
class LaterClock:
    """The gateway's clock, which can be made to have gone on."""

    seconds: float = 0.0

    def __call__(self) -> float:
        return time.time() + self.seconds


class Detour:
    """Sends requests of one step to where they fail for real: a closed port, an unknown name, a port without TLS."""

    def __init__(self, fault: str, stack: ExitStack) -> None:
        if fault == "dns":
            self.origin = "https://nonexistent.invalid"
        elif fault == "tls":
            self.origin = stack.enter_context(ScriptedGateway(answer(), hasty=True)).base_url.replace("http:", "https:")
        else:
            with socket.create_server(("127.0.0.1", 0)) as listener:
                self.origin = f"http://127.0.0.1:{listener.getsockname()[1]}"

    def url(self, url: str) -> str:
        return self.origin + urlsplit(url).path


class SpoiltDisk:
    """A journal's file on a disk that takes no more."""

    def __init__(self, sound: Any, problem: str) -> None:
        self._sound, self._problem = sound, problem

    def execute(self, statement: Any, **values: Any) -> None:
        raise JournalError(self._problem)

    def change(self, *statements: Any, **values: Any) -> None:
        raise JournalError(self._problem)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sound, name)


class Provocation:
    """One fault at one step, striking once or going on until it is healed."""

    def __init__(
        self,
        cell: Cell,
        goes_on: bool,
        gateway: RehearsalGateway,
        clock: LaterClock,
        user: Path,
        place: Place | None,
        stack: ExitStack,
    ) -> None:
        self.cell, self.step, self.fault = cell, cell.step, cell.fault
        self._goes_on, self._gateway, self._clock, self._user, self._place = goes_on, gateway, clock, user, place
        self._lock = threading.Lock()
        self._struck, self._healed = 0, False
        self._jump_seconds = 0.0
        self._detour = Detour(self.fault, stack) if self.fault in ("refused", "dns", "tls") else None
        self.bench: harness.Bench | None = None
        self._undo: list[Callable[[], None]] = []
        if self.step == PUT and self.fault in SLOW:
            stack.enter_context(patch.object(connections, "SILENCE_SECONDS", 0.7))
        if self._by_gateway:
            (gateway.always if goes_on else gateway.script)(self.step, self.fault)
        if self.fault in OF_A_REST:
            # Of both addresses: something to continue.
            gateway.faults.clear()
            gateway.script("download", "cut", "cut", self.fault)
            if goes_on:
                gateway.always("download", self.fault)
        elif self.fault.startswith("clock") and self.step == CREATE:
            # The paid request has to be repeated for its age to matter.
            gateway.script("create", "drop-after")
        elif self.fault == "read-only" and self.step in (ADDRESS, DOWNLOAD):
            self._block(user / ("uploads" if self.step == ADDRESS else "results"))

    @property
    def _by_gateway(self) -> bool:
        return self.fault not in HERE and (self.step, self.fault) != (DOWNLOAD, HUGE)

    def wiring(self) -> harness.Wiring:
        clocks = harness.quick_clocks(wall=lambda: time.time() + self._jump_seconds)
        return harness.Wiring(
            place=self._place,
            timeouts=IMPATIENT if self.fault in SLOW else harness.PATIENT,
            clocks=clocks,
            session=self._session,
            put=self._put,
            download=self._download,
            observe=self._observe,
        )

    def order(self) -> Order:
        if self.step not in (ADDRESS, PUT):
            return harness.text_order()
        order = harness.picture_order()
        picture = order.media[0]

        def write(folder: Path, stop: Stop) -> MediumFile:
            self._local(ADDRESS, "disk full", "clock forward", "clock back")
            return picture.write(folder, stop)

        return replace(order, references=(Medium(picture.digest, write),))

    def struck(self) -> int:
        """How often the fault has struck."""
        played = sum(request.fault is not None for request in self._gateway.record.of(self.step))
        return self._struck + played

    def heal(self) -> None:
        """From here on all is well."""
        with self._lock:
            self._healed = True
            self._jump_seconds = 0.0
        if self.fault == "busy":
            self._clock.seconds += BUSY_SECONDS
        self._gateway.faults.clear()
        for undo in self._undo:
            undo()

    def _strikes(self) -> bool:
        with self._lock:
            if self._healed or (self._struck and not self._goes_on):
                return False
            self._struck += 1
            return True

    def _local(self, step: str, *kinds: str) -> None:
        """A fault of this machine, when `step` is the cell's and its fault one of `kinds`."""
        if step != self.step or self.fault not in kinds or not self._strikes():
            return
        if self.fault.startswith("clock"):
            self._jump_seconds = THREE_DAYS_SECONDS if self.fault == "clock forward" else -THREE_DAYS_SECONDS
        elif step in (ADDRESS, DOWNLOAD):
            raise OSError(errno.ENOSPC, "No space left on device")
        else:
            self._spoil_journal()

    def _spoil_journal(self) -> None:
        assert self.bench is not None
        journal: Any = self.bench.journal
        sound = journal._store
        read_only = self.fault == "read-only"
        problem = "attempt to write a readonly database" if read_only else "database or disk is full"
        for part, name in ((journal, "_store"), (journal._writer, "store")):
            setattr(part, name, SpoiltDisk(sound, problem))
            self._undo.append(functools.partial(setattr, part, name, sound))

    def _block(self, folder: Path) -> None:
        # Permissions do not stop an administrator; a file where the folder should be stops everybody.
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.touch()
        self._struck = 1
        self._undo.append(folder.unlink)

    def _observe(self, event: Event, job: Job) -> None:
        if event is Event.ALLOWED:
            self._local(CREATE, "disk full", "read-only")
        elif event is Event.SENT:
            self._local(CREATE, "clock forward", "clock back")
        elif event is Event.ANSWERED:
            self._local(CREATE, "disk full after")
        elif event is Event.ACCEPTED:
            self._local(POLL, "clock forward", "clock back")
        elif event is Event.FINISHED:
            self._local(POLL, "disk full", "read-only")

    def _session(self, base_url: str) -> requests.Session:
        session = open_session(base_url)
        straight = session.request

        def request(method: str, url: str, **named: Any) -> requests.Response:
            if self._detour and _step_of(method, url) == self.step and self._strikes():
                url = self._detour.url(url)
            return straight(method, url, **named)

        session.request = request  # type: ignore[method-assign, assignment]
        return session

    def _put(self, url: str, file: Path, kind: str, *, loopback_origin: str | None = None) -> Stored:
        self._local(PUT, "clock forward", "clock back")
        if self._detour and self.step == PUT and self._strikes():
            return put(self._detour.url(url), file, kind, loopback_origin=self._near())
        return put(url, file, kind, loopback_origin=loopback_origin)

    def _download(self, url: str, part: Path, **named: Any) -> Any:
        self._local(DOWNLOAD, "disk full", "clock forward", "clock back")
        if self._detour and self.step == DOWNLOAD and self._strikes():
            return download(self._detour.url(url), part, **(named | {"loopback_origin": self._near()}))
        if self.step == DOWNLOAD and self.fault in SLOW:
            named["deadline_seconds"] = 0.7
        if (self.step, self.fault) == (DOWNLOAD, HUGE) and self._strikes():
            named["largest_bytes"] = 1000
        return download(url, part, **named)

    def _near(self) -> str | None:
        assert self._detour is not None
        return None if self.fault == "dns" else self._detour.origin


def _step_of(method: str, url: str) -> str:
    if method == "GET":
        return POLL
    return CREATE if url.endswith("/generate") else ADDRESS


@dataclass(frozen=True)
class Seen:
    """What came of a cell, to be compared with its outcome."""

    result: str
    charge: str
    posts: int
    told: str


def play(cell: Cell, goes_on: bool, folder: Path, place: Place | None = None) -> None:
    """Provoke, compare, heal, queue again, and count the money. `place`: the journal's, None for a file of `folder`."""
    expected = cell.on if goes_on else cell.once
    assert expected is not None
    user = folder / "user"
    with ExitStack() as stack:
        clock = LaterClock()
        gateway = stack.enter_context(harness.rehearsal(folder / "gateway", clock=clock))
        provocation = Provocation(cell, goes_on, gateway, clock, user, place, stack)
        bench = provocation.bench = stack.enter_context(harness.bench(user, gateway.base_url, provocation.wiring()))
        order = provocation.order()
        ticket = bench.runner.submit(order)
        seen = _seen(provocation, ticket, expected, gateway)
        assert (seen.result, seen.charge, seen.posts) == (expected.result, expected.charge.value, expected.posts), seen
        assert expected.told in seen.told, seen.told
        assert provocation.struck(), "the fault was never played"
        # What a row remembers is what its user was told.
        if not expected.waits and cell.fault != "disk full after":
            assert bench.journal.get(ticket.work.job.id).charge is expected.charge
        provocation.heal()
        _queue_again(bench, order, expected, gateway)
        _count_the_money(expected, gateway, bench.journal.place)


def _seen(provocation: Provocation, ticket: Ticket, expected: Outcome, gateway: RehearsalGateway) -> Seen:
    if expected.waits:
        enough = expected.posts if provocation.step == CREATE else 2
        harness.eventually(lambda: provocation.struck() >= enough, "the fault strikes")
        if provocation.step == CREATE:
            harness.eventually(lambda: "again soon" in ticket.status().text, "the pause before the next attempt")
        failure: APIMallError = ticket.leave("You stopped the wait")
        return _of(failure, gateway)
    harness.ended(ticket)
    try:
        result = ticket.result()
    except APIMallError as problem:
        return _of(problem, gateway)
    assert result.path.read_bytes().startswith(harness.tiny_clip())
    return Seen("delivered", result.job.charge.value, len(gateway.record.posts), ticket.status().text)


def _of(failure: APIMallError, gateway: RehearsalGateway) -> Seen:
    words = failure.charge.words(failure.credits_used, failure.credits_refunded)
    assert words in str(failure)
    if failure.task_id:
        assert failure.task_id in str(failure)
    assert (wrong := harness.untrue_of_money(failure, gateway)) is None, wrong
    return Seen(type(failure).__name__, failure.charge.value, len(gateway.record.posts), str(failure))


def _queue_again(bench: harness.Bench, order: Order, expected: Outcome, gateway: RehearsalGateway) -> None:
    before, posted = gateway.record.count(), len(gateway.record.posts)
    known = {request.headers["Idempotency-Key"] for request in gateway.record.posts}
    if expected.again is Again.SPENT:
        with pytest.raises(TaskFailed, match=expected.told) as told:
            bench.make(order).result()
        assert (wrong := harness.untrue_of_money(told.value, gateway)) is None, wrong
        assert len(gateway.record.posts) == posted
        return
    result = bench.make(order).result()
    posts = gateway.record.posts[posted:]
    keys = {request.headers["Idempotency-Key"] for request in posts}
    if expected.again is Again.DISK:
        assert gateway.record.count() == before
        assert not result.downloaded
    elif expected.again is Again.RESUME:
        assert posts == []
    elif expected.again is Again.SEND:
        assert known == set()
        assert len(posts) == 1
    elif expected.again is Again.SAME:
        assert posts
        assert keys == known
    else:
        assert len(posts) == 1
        assert not keys & known
    assert result.path.read_bytes().startswith(harness.tiny_clip())


def _count_the_money(expected: Outcome, gateway: RehearsalGateway, journal: Place) -> None:
    harness.eventually(lambda: harness.books_agree(journal, gateway), "the journal and the gateway's book agree")
    kept = [task for task in gateway.record.tasks if task.credits_refunded < task.credits_used]
    assert len(kept) == 1, "one job, one charge"
    refunded = expected.result == "TaskFailed" and expected.again is Again.NEW
    assert len(gateway.record.tasks) == 1 + refunded
    bodies: dict[str, set[bytes]] = {}
    whole = [request for request in gateway.record.posts if request.fault != "reset"]
    for request in whole:
        bodies.setdefault(request.headers["Idempotency-Key"], set()).add(request.body)
    assert all(len(found) == 1 for found in bodies.values()), "one key, one body"
