"""Whoever stops waiting does so at once, in every phase; the job lives on, is told as what it is, and is paid once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from nodes.gateway.contract import Stored
from nodes.gateway.errors import Charge, Detached
from nodes.guard.downloads import download
from nodes.guard.storage import put
from nodes.jobs.events import Event
from nodes.jobs.order import Order
from nodes.jobs.work import Phase, Ticket
from nodes.journal.rows import Job
from nodes.rehearsal.server import RehearsalGateway
from tests.support import harness


class Gate:
    """Something that does not return until the test lets it."""

    def __init__(self) -> None:
        self.reached, self.opened = threading.Event(), threading.Event()

    def pass_through(self) -> None:
        self.reached.set()
        assert self.opened.wait(harness.PATIENCE_SECONDS)


class Scene:
    """A job that is held up in one phase."""

    def __init__(self, bench: harness.Bench, ticket: Ticket, order: Order, let_go: Callable[[], None]) -> None:
        self.bench, self.ticket, self.order, self.let_go = bench, ticket, order, let_go


@contextmanager
def held(phase: Phase, gateway: RehearsalGateway, user: Path) -> Iterator[Scene]:
    gate = Gate()

    def observe(event: Event, job: Job) -> None:
        if (phase, event) == (Phase.SUBMITTING, Event.SENT):
            gate.pass_through()

    def slow_put(*args: Any, **named: Any) -> Stored:
        if phase is Phase.UPLOADING:
            gate.pass_through()
        return put(*args, **named)

    def slow_download(*args: Any, **named: Any) -> Any:
        if phase is Phase.DOWNLOADING:
            gate.pass_through()
        return download(*args, **named)

    def let_go() -> None:
        gate.opened.set()
        gateway.faults.clear()

    wiring = harness.Wiring(observe=observe, put=slow_put, download=slow_download, max_jobs=1)
    order = harness.picture_order() if phase is Phase.UPLOADING else harness.text_order()
    with ExitStack() as stack:
        bench = stack.enter_context(harness.bench(user, gateway.base_url, wiring))
        if phase in (Phase.WAITING, Phase.PENDING, Phase.PROCESSING, Phase.ELSEWHERE):
            word = "pending" if phase is Phase.PENDING else "processing"
            gateway.always("poll", f"status:{word}")
        if phase is Phase.WAITING:
            first = bench.runner.submit(harness.text_order("somebody else's"))
            harness.eventually(lambda: first.status().accepted, "the only place is taken")
        if phase is Phase.ELSEWHERE:
            other = stack.enter_context(harness.bench(user, gateway.base_url))
            theirs = other.runner.submit(order)
            # Its own waiters know of the task before others can read of it.
            row = theirs.status().job.id
            harness.eventually(lambda: other.journal.get(row).task_id, "another process has the job")
        ticket = bench.runner.submit(order)
        harness.eventually(lambda: ticket.status().phase is phase, phase.value)
        if phase in (Phase.SUBMITTING, Phase.UPLOADING, Phase.DOWNLOADING):
            assert gate.reached.wait(harness.PATIENCE_SECONDS)
        try:
            yield Scene(bench, ticket, order, let_go)
        finally:
            let_go()


TOLD = {
    Phase.UPLOADING: (Charge.NOT_SENT, "Queue the node again to start it"),
    Phase.WAITING: (Charge.NOT_SENT, "Queue the node again to start it"),
    Phase.SUBMITTING: (Charge.UNCERTAIN, "queue the same node again to continue"),
    Phase.PENDING: (Charge.RUNNING, "Poll Result with the task id"),
    Phase.PROCESSING: (Charge.RUNNING, "Poll Result with the task id"),
    Phase.DOWNLOADING: (Charge.CHARGED, "Nothing is lost"),
    Phase.ELSEWHERE: (Charge.RUNNING, "Poll Result with the task id"),
}


@pytest.mark.parametrize("phase", TOLD)
def test_leaving_is_noticed_at_once_and_the_job_lives_on(phase: Phase, gateway: RehearsalGateway, user: Path) -> None:
    charge, told = TOLD[phase]
    with held(phase, gateway, user) as scene:
        # Nothing has been let go: were leaving to wait for the phase to end, it would wait for ever.
        left = scene.ticket.leave("You stopped the wait")
        assert type(left) is Detached
        assert left.charge is charge
        assert told in str(left)
        scene.let_go()
        assert scene.bench.make(scene.order).result().path.is_file()
    mine = [task for task in gateway.record.tasks if task.prompt == scene.order.prompt]
    assert len(mine) == 1


@pytest.mark.parametrize("phase", [Phase.SUBMITTING, Phase.PENDING, Phase.PROCESSING, Phase.DOWNLOADING])
def test_a_job_that_was_sent_comes_home_though_nobody_waits(
    phase: Phase, gateway: RehearsalGateway, user: Path
) -> None:
    with held(phase, gateway, user) as scene:
        scene.ticket.leave("You stopped the wait")
        scene.let_go()
        harness.ended(scene.ticket)
        assert scene.bench.journal.get(scene.ticket.work.job.id).delivered_at


@pytest.mark.parametrize("phase", [Phase.UPLOADING, Phase.WAITING])
def test_a_job_that_was_not_sent_is_not_sent_when_nobody_waits(
    phase: Phase, gateway: RehearsalGateway, user: Path
) -> None:
    with held(phase, gateway, user) as scene:
        scene.ticket.leave("You stopped the wait")
        scene.let_go()
        harness.ended(scene.ticket)
        assert scene.bench.journal.get(scene.ticket.work.job.id).state == "intended"
    assert not [task for task in gateway.record.tasks if task.prompt == scene.order.prompt]


def test_one_waiter_that_leaves_takes_nothing_from_the_other(gateway: RehearsalGateway, user: Path) -> None:
    with held(Phase.WAITING, gateway, user) as scene:
        stays = scene.bench.runner.submit(scene.order)
        scene.ticket.leave("You stopped the wait")
        scene.let_go()
        assert harness.ended(stays).result().path.is_file()


@pytest.mark.parametrize("phase", TOLD)
def test_closing_tells_everybody_who_waits(phase: Phase, gateway: RehearsalGateway, user: Path) -> None:
    with held(phase, gateway, user) as scene:
        scene.bench.runner.close()
        assert scene.ticket.wait(harness.PATIENCE_SECONDS)
        with pytest.raises(Detached, match="closing") as caught:
            scene.ticket.result()
        assert caught.value.charge is TOLD[phase][0]


def test_a_closed_runner_leaves_its_jobs_to_the_next(gateway: RehearsalGateway, user: Path) -> None:
    with held(Phase.PROCESSING, gateway, user) as scene:
        scene.bench.close()
    with harness.bench(user, gateway.base_url) as later:
        assert later.runner.resume() == 1
        harness.eventually(lambda: later.journal.get(1).delivered_at, "home")
    assert len(gateway.record.posts) == 1
