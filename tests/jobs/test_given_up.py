"""What was made and paid, and could not be had: when it is given up for lost, and how it is found all the same."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from nodes.gateway.errors import Charge, NotDownloaded, ResultGone, TaskFailed
from nodes.jobs import failures
from nodes.jobs.runner import Runner
from nodes.jobs.work import Result, Ticket
from nodes.journal.reads import Records
from nodes.journal.rows import Job, State
from nodes.panel.job_facts import card, trouble
from nodes.rehearsal.server import RehearsalGateway
from tests.support import harness, postgres
from tests.support.harness import Wiring

DAY_SECONDS = 86_400.0
FAILED_AFTER_ALL = 'fields:{"status": "failed", "credits_used": 30, "credits_refunded": 30}'


class Calendar:
    """A wall clock that a test sets."""

    def __init__(self) -> None:
        self.ahead_seconds = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead_seconds


@pytest.fixture
def calendar() -> Calendar:
    return Calendar()


@pytest.fixture(params=["sqlite", "postgresql"])
def wiring(request: pytest.FixtureRequest, user: Path, calendar: Calendar) -> Wiring:
    """A process on a journal in each kind of place."""
    user.mkdir()
    place = user / "journal.sqlite3" if request.param == "sqlite" else postgres.address()
    return Wiring(place=place, clocks=harness.quick_clocks(calendar))


@pytest.fixture
def made(wiring: Wiring, gateway: RehearsalGateway, user: Path) -> Job:
    """A job that is completed, and whose clip no storage gave out yet."""
    gateway.always("download", "503")
    with harness.bench(user, gateway.base_url, wiring) as bench:
        ticket = bench.runner.submit(harness.text_order())
        harness.eventually(lambda: "again soon" in ticket.status().text, "completed, not home")
        job = bench.journal.get(1)
    gateway.faults.clear()
    return job


# It was given up


@pytest.fixture
def lost(made: Job, wiring: Wiring, gateway: RehearsalGateway, user: Path, calendar: Calendar) -> Job:
    """It was given up, as any version of the pack wrote it; it is three days later."""
    calendar.ahead_seconds = 3 * DAY_SECONDS
    with harness.bench(user, gateway.base_url, wiring) as bench:
        return bench.journal.expired(made, failures.gone(made, "404"))


def _queued_again(runner: Runner, job: Job) -> Ticket:
    return runner.submit(harness.text_order())


def _collected_by_its_id(runner: Runner, job: Job) -> Ticket:
    ticket = runner.collect(job.task_id)
    assert ticket is not None
    return ticket


@dataclass(frozen=True)
class Look:
    """What the gateway says when a job that was given up is asked for, and what comes of it."""

    polls: str
    downloads: str
    told: type[Exception] | None
    state: State


LOOKS = {
    "it has the clip": Look("none", "none", None, State.COMPLETED),
    "it does not know the task": Look("404", "none", ResultGone, State.EXPIRED),
    "the link is dead": Look("none", "403", ResultGone, State.EXPIRED),
    "the file is away": Look("none", "404", ResultGone, State.EXPIRED),
    "it names no address": Look("no-url", "none", ResultGone, State.EXPIRED),
    "it says a word that is no end": Look("status:unknown", "none", ResultGone, State.EXPIRED),
    "it refuses the key": Look("401", "none", NotDownloaded, State.EXPIRED),
    "it failed, and was refunded": Look(FAILED_AFTER_ALL, "none", TaskFailed, State.FAILED),
}


@pytest.mark.parametrize("asked", [_queued_again, _collected_by_its_id])
@pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS.keys())
def test_what_was_given_up_is_looked_for_once_when_it_is_asked_for_and_not_paid_again(
    look: Look,
    asked: Callable[[Runner, Job], Ticket],
    lost: Job,
    wiring: Wiring,
    gateway: RehearsalGateway,
    user: Path,
) -> None:
    gateway.always("poll", look.polls)
    gateway.always("download", look.downloads)
    with harness.bench(user, gateway.base_url, wiring) as bench:
        ticket = harness.ended(asked(bench.runner, lost))
        if look.told is None:
            assert isinstance(ticket.result(), Result)
        else:
            assert type(harness.failure(ticket)) is look.told
        job = bench.journal.get(1)
        assert job.state is look.state
        assert (job.delivered_at is not None) == (look.told is None)
        assert not job.unfinished, "nobody follows it any more"
        assert bench.runner.resume() == 0
    assert len(gateway.record.posts) == 1


def test_one_that_is_found_after_all_is_a_job_like_any_other(
    lost: Job, wiring: Wiring, gateway: RehearsalGateway, user: Path
) -> None:
    assert trouble(lost) is not None
    with harness.bench(user, gateway.base_url, wiring) as bench:
        path = bench.make(harness.text_order()).result().path
        found = bench.journal.get(1)
        assert (card(found)["state"], card(found)["error"], trouble(found)) == ("delivered", None, None)
        requests = gateway.record.count()
        assert bench.make(harness.text_order()).result().path == path
        assert gateway.record.count() == requests, "served from disk"
    assert wiring.place is not None
    assert harness.books_agree(wiring.place, gateway)


def test_one_that_is_found_is_followed_by_the_next_start_when_its_process_dies(
    lost: Job, wiring: Wiring, gateway: RehearsalGateway, user: Path
) -> None:
    gateway.always("download", "503")
    with harness.bench(user, gateway.base_url, wiring) as bench:
        ticket = bench.runner.submit(harness.text_order())
        harness.eventually(lambda: "again soon" in ticket.status().text, "the gateway has it")
    gateway.faults.clear()
    with harness.bench(user, gateway.base_url, wiring) as later:
        assert later.runner.resume() == 1
        harness.eventually(lambda: later.journal.get(1).delivered_at, "home, without anybody asking")
    assert len(gateway.record.posts) == 1


def test_another_process_has_a_look_of_its_own(
    lost: Job, wiring: Wiring, gateway: RehearsalGateway, user: Path
) -> None:
    gateway.always("poll", "404")
    with (
        harness.bench(user, gateway.base_url, wiring) as one,
        harness.bench(user, gateway.base_url, replace(wiring, results="elsewhere")) as other,
    ):
        assert type(harness.failure(one.runner.submit(harness.text_order()))) is ResultGone
        gateway.faults.clear()
        tickets = [each.runner.submit(harness.text_order()) for each in (one, other)]
        assert all(harness.ended(ticket).result().downloaded for ticket in tickets)
    assert len(gateway.record.posts) == 1


def test_nobody_asks_for_it_unasked(lost: Job, wiring: Wiring, gateway: RehearsalGateway, user: Path) -> None:
    requests = gateway.record.count()
    with harness.bench(user, gateway.base_url, wiring) as bench:
        assert bench.runner.resume() == 0
        assert bench.runner.collect(None) is None
        assert Records(bench.journal.place).unfinished(harness.ACCOUNT) == 0
    assert gateway.record.count() == requests


def test_only_another_take_pays_for_another_one(
    lost: Job, wiring: Wiring, gateway: RehearsalGateway, user: Path
) -> None:
    gateway.always("poll", "404")
    with harness.bench(user, gateway.base_url, wiring) as bench:
        told = harness.failure(bench.runner.submit(harness.text_order()))
        assert told.charge is Charge.CHARGED
        assert "pays nothing" in str(told) and "Raise `take`" in str(told)
        gateway.faults.clear()
        assert bench.make(harness.text_order(take=1)).result().downloaded
    assert len(gateway.record.posts) == 2


# It is not given up


@pytest.mark.parametrize("days", [-400, 3, 400])
@pytest.mark.parametrize("refusal", [("poll", "404"), ("download", "403")])
def test_a_refusal_of_a_moment_loses_nothing_whatever_the_wall_clock_says(
    refusal: tuple[str, str],
    days: int,
    made: Job,
    wiring: Wiring,
    gateway: RehearsalGateway,
    user: Path,
    calendar: Calendar,
) -> None:
    calendar.ahead_seconds = days * DAY_SECONDS
    gateway.always(*refusal)
    with harness.bench(user, gateway.base_url, wiring) as bench:
        assert type(harness.failure(bench.runner.submit(harness.text_order()))) is NotDownloaded
        gateway.faults.clear()
        harness.eventually(lambda: bench.journal.get(1).delivered_at, "home, without anybody asking")
    assert len(gateway.record.posts) == 1


def test_a_clip_whose_file_was_lost_is_not_given_up_for_a_refusal_of_a_moment(
    wiring: Wiring, gateway: RehearsalGateway, user: Path, calendar: Calendar
) -> None:
    with harness.bench(user, gateway.base_url, wiring) as bench:
        bench.make(harness.text_order()).result().path.unlink()
        calendar.ahead_seconds = 400 * DAY_SECONDS
        gateway.always("poll", "404")
        assert type(harness.failure(bench.runner.submit(harness.text_order()))) is NotDownloaded
        gateway.faults.clear()
        harness.eventually(lambda: list((user / "results").glob("*.mp4")), "home, without anybody asking")
    assert len(gateway.record.posts) == 1


def test_whoever_asks_again_and_again_makes_no_hour_of_a_moment(
    made: Job, wiring: Wiring, gateway: RehearsalGateway, user: Path, calendar: Calendar
) -> None:
    calendar.ahead_seconds = 3 * DAY_SECONDS
    gateway.always("poll", "404")
    with harness.bench(user, gateway.base_url, wiring) as bench:
        for _ in range(8):
            assert type(harness.failure(bench.runner.submit(harness.text_order()))) is NotDownloaded


def test_an_hour_of_other_troubles_is_no_hour_of_refusals(
    made: Job, wiring: Wiring, gateway: RehearsalGateway, user: Path, calendar: Calendar
) -> None:
    calendar.ahead_seconds = 3 * DAY_SECONDS
    gateway.always("poll", "401")
    hasty = replace(wiring, clocks=harness.quick_clocks(calendar, 1000.0))
    with harness.bench(user, gateway.base_url, hasty) as bench:
        polls = gateway.record.count("poll")
        bench.runner.submit(harness.text_order())
        assert gateway.record.wait_for("poll", polls + 22, harness.PATIENCE_SECONDS), "set back for more than an hour"
        gateway.always("poll", "404")
        assert type(harness.failure(bench.runner.submit(harness.text_order()))) is NotDownloaded


def test_an_hour_begins_anew_when_the_clip_was_there_in_between(
    made: Job, wiring: Wiring, gateway: RehearsalGateway, user: Path, calendar: Calendar
) -> None:
    calendar.ahead_seconds = 3 * DAY_SECONDS
    gateway.always("poll", "404")
    hasty = replace(wiring, clocks=harness.quick_clocks(calendar, 1000.0))
    with harness.bench(user, gateway.base_url, hasty) as bench:
        assert type(harness.failure(bench.runner.submit(harness.text_order()))) is NotDownloaded
        gateway.faults.clear()
        gateway.always("download", "503")
        assert hasty.clocks is not None
        over = hasty.clocks.monotonic() + 4000.0
        harness.eventually(lambda: hasty.clocks and hasty.clocks.monotonic() > over, "for more than an hour")
        gateway.always("download", "403")
        assert type(harness.failure(bench.runner.submit(harness.text_order()))) is NotDownloaded


@pytest.mark.parametrize("days", [3, 400])
def test_what_was_refused_for_an_hour_and_is_old_is_given_up(
    days: int, made: Job, wiring: Wiring, gateway: RehearsalGateway, user: Path, calendar: Calendar
) -> None:
    calendar.ahead_seconds = days * DAY_SECONDS
    gateway.always("poll", "404")
    hasty = replace(wiring, clocks=harness.quick_clocks(calendar, 1000.0))
    with harness.bench(user, gateway.base_url, hasty) as bench:
        assert type(harness.failure(bench.runner.submit(harness.text_order()))) is NotDownloaded
        harness.eventually(lambda: bench.journal.get(1).state is State.EXPIRED, "refused for an hour")
        assert type(harness.failure(bench.runner.submit(harness.text_order()))) is ResultGone
