"""What is paid for is followed for as long as it takes, and holds up nobody meanwhile (rules 5, 8 and 9)."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest

from nodes.gateway.errors import Charge, KeyConflict, NotDownloaded, ResultGone, StillRunning
from nodes.guard.downloads import download
from nodes.journal.errors import JournalError
from nodes.journal.reads import Records
from nodes.journal.rows import Job, Only, State
from nodes.rehearsal.server import RehearsalGateway
from tests.support import harness

DAY_SECONDS = 86_400.0


class Calendar:
    """A wall clock that a test turns forward."""

    def __init__(self) -> None:
        self.later_seconds = 0.0

    def wiring(self, speed: float = harness.SPEED) -> harness.Wiring:
        return harness.Wiring(clocks=harness.quick_clocks(lambda: time.time() + self.later_seconds, speed))


# Slots


def test_tasks_that_never_end_and_nobody_watches_keep_no_slot(gateway: RehearsalGateway, user: Path) -> None:
    gateway.script("create", *["endless"] * 3)
    with harness.bench(user, gateway.base_url) as bench:
        stuck = [bench.runner.submit(harness.text_order(take=take)) for take in range(3)]
        harness.eventually(lambda: all(ticket.status().accepted for ticket in stuck), "all slots are taken")
        for ticket in stuck:
            ticket.leave("nobody watches")
        assert bench.make(harness.text_order(take=99)).result().downloaded
        polls = gateway.record.count("poll")
        assert gateway.record.wait_for("poll", polls + 3, harness.PATIENCE_SECONDS), "they are followed all the same"
        assert all(bench.journal.get(number).state is State.RUNNING for number in (1, 2, 3))


def test_a_job_that_is_watched_keeps_its_slot_however_late_it_is(gateway: RehearsalGateway, user: Path) -> None:
    gateway.script("create", "endless")
    with harness.bench(user, gateway.base_url, harness.Wiring(max_jobs=1)) as bench:
        watched = bench.runner.submit(harness.text_order())
        harness.eventually(lambda: (watched.status().seconds or 0) > 900.0, "overdue")
        waiting = bench.runner.submit(harness.text_order(take=1))
        harness.eventually(lambda: waiting.status().slots is not None, "it waits for a slot")
        assert not waiting.status().done
        slots = waiting.status().slots
        assert slots is not None
        assert [(job_id, holder) for job_id, _, holder in slots.holders] == [(1, bench.holders.own)]


# Refusals while polling


@pytest.mark.parametrize("status", ["401", "403"])
def test_one_stray_refusal_does_not_end_the_following(gateway: RehearsalGateway, user: Path, status: str) -> None:
    gateway.script("poll", "status:processing", status)
    with harness.bench(user, gateway.base_url) as bench:
        assert bench.make(harness.text_order()).result().downloaded


def test_repeated_refusals_are_said_on_the_job(gateway: RehearsalGateway, user: Path) -> None:
    gateway.always("poll", "401")
    with harness.bench(user, gateway.base_url) as bench:
        told = harness.failure(bench.runner.submit(harness.text_order()))
        assert type(told) is StillRunning
        problem = bench.journal.get(1).problem
        assert problem is not None
        assert problem.status == 401
        gateway.faults.clear()
        assert bench.runner.resume() == 1, "as when settings change"
        harness.eventually(lambda: bench.journal.get(1).delivered_at, "home")
        assert len(gateway.record.tasks) == 1


def test_a_conflict_is_followed_after_a_restart_with_its_own_key(gateway: RehearsalGateway, user: Path) -> None:
    gateway.script("create", "409+done")
    with harness.bench(user, gateway.base_url) as bench:
        assert type(harness.failure(bench.runner.submit(harness.text_order()))) is KeyConflict
    with harness.bench(user, gateway.base_url) as later:
        assert later.runner.resume() == 1
        harness.eventually(lambda: later.journal.get(1).delivered_at, "home")
    assert len({request.headers["Idempotency-Key"] for request in gateway.record.posts}) == 1
    assert len(gateway.record.tasks) == 1


def test_what_was_sent_and_perhaps_never_arrived_is_not_sent_by_a_mere_start(
    gateway: RehearsalGateway, user: Path
) -> None:
    gateway.always("create", "drop-before")
    with harness.bench(user, gateway.base_url) as bench:
        harness.failure(bench.runner.submit(harness.text_order()))
    gateway.faults.clear()
    with harness.bench(user, gateway.base_url) as later:
        assert later.runner.resume() == 0


# Downloads


def test_an_outage_of_an_hour_costs_no_clip(gateway: RehearsalGateway, user: Path) -> None:
    gateway.script("download", *["503"] * 60)
    with harness.bench(user, gateway.base_url) as bench:
        assert bench.make(harness.text_order()).result().downloaded
    assert gateway.record.count("download") > 60


def test_a_full_disk_is_told_at_once_and_the_clip_is_fetched_when_there_is_room(
    gateway: RehearsalGateway, user: Path
) -> None:
    full = True

    def onto_disk(*args: Any, **named: Any) -> Any:
        if full:
            raise OSError(28, "No space left on device")
        return download(*args, **named)

    with harness.bench(user, gateway.base_url, harness.Wiring(download=onto_disk)) as bench:
        told = harness.failure(bench.runner.submit(harness.text_order()))
        assert type(told) is NotDownloaded
        assert "No space left" in str(told)
        full = False
        harness.eventually(lambda: bench.journal.get(1).delivered_at, "home, without anybody asking")
        requests = gateway.record.count()
        assert not bench.make(harness.text_order()).result().downloaded
        assert gateway.record.count() == requests


def test_a_download_goes_on_where_it_broke(gateway: RehearsalGateway, user: Path) -> None:
    gateway.script("download", "cut", "cut", "cut")
    with harness.bench(user, gateway.base_url) as bench:
        clip = bench.make(harness.text_order()).result().path
    asked = [request.headers["Range"] for request in gateway.record.of("download")]
    whole = clip.stat().st_size
    # There are two addresses of it.
    assert asked == [None, None, f"bytes={whole // 2}-", f"bytes={whole // 2}-"]
    assert [path.name for path in clip.parent.iterdir() if not path.name.startswith(".apimall")] == [clip.name]


@pytest.mark.parametrize("answer", ["changed", "no-range"])
def test_a_file_that_is_another_one_since_begins_anew(gateway: RehearsalGateway, user: Path, answer: str) -> None:
    gateway.script("download", "cut", "cut", answer)
    with harness.bench(user, gateway.base_url) as bench:
        clip = bench.make(harness.text_order()).result().path
    assert clip.read_bytes().startswith(harness.tiny_clip())
    assert gateway.record.of("download")[2].headers["If-Range"]


def test_a_broken_download_is_continued_after_a_restart(gateway: RehearsalGateway, user: Path) -> None:
    gateway.script("download", "cut")
    gateway.always("download", "503")
    with harness.bench(user, gateway.base_url) as bench:
        ticket = bench.runner.submit(harness.text_order())
        harness.eventually(lambda: "503" in ticket.status().text, "the connection broke")
    gateway.faults.clear()
    before = gateway.record.count("download")
    with harness.bench(user, gateway.base_url) as later:
        assert later.runner.resume() == 1
        harness.eventually(lambda: later.journal.get(1).delivered_at, "home")
    assert gateway.record.of("download")[before].headers["Range"]


def test_a_link_that_is_refused_on_the_first_day_is_no_end(gateway: RehearsalGateway, user: Path) -> None:
    gateway.always("download", "403")
    with harness.bench(user, gateway.base_url) as bench:
        assert type(harness.failure(bench.runner.submit(harness.text_order()))) is NotDownloaded
        gateway.faults.clear()
        harness.eventually(lambda: bench.journal.get(1).delivered_at, "home, without anybody asking")


def test_a_clip_that_is_no_longer_to_be_had_comes_to_an_end_with_honest_words(
    gateway: RehearsalGateway, user: Path
) -> None:
    calendar = Calendar()
    gateway.always("download", "403")
    with harness.bench(user, gateway.base_url, calendar.wiring(1000.0)) as bench:
        harness.failure(bench.runner.submit(harness.text_order()))
        calendar.later_seconds = 3 * DAY_SECONDS
        harness.eventually(lambda: bench.journal.get(1).state is State.EXPIRED, "refused for long")
        told = harness.failure(bench.runner.submit(harness.text_order()))
        assert type(told) is ResultGone
        assert told.charge is Charge.CHARGED
        assert "made and paid" in str(told)
        assert "Raise `take`" in str(told)
        assert "Nothing is lost" not in str(told)
        job = bench.journal.get(1)
        assert job.state is State.EXPIRED
        assert not job.unfinished
        assert Records(bench.journal.place).unfinished(harness.ACCOUNT) == 0
        assert bench.runner.collect(None) is None, "Poll Result has nothing to wait for"
        assert [each.id for each in Records(bench.journal.place).page(harness.ACCOUNT, only=Only.FAILED).jobs] == [1]
        gateway.faults.clear()
        assert bench.make(harness.text_order(take=1)).result().downloaded


def test_a_task_that_the_gateway_has_forgotten_is_gone_only_when_it_is_old(
    gateway: RehearsalGateway, user: Path
) -> None:
    calendar = Calendar()
    gateway.always("download", "503")
    with harness.bench(user, gateway.base_url, calendar.wiring(1000.0)) as bench:
        ticket = bench.runner.submit(harness.text_order())
        harness.eventually(lambda: "again soon" in ticket.status().text, "completed, not home")
    gateway.always("poll", "404")
    with harness.bench(user, gateway.base_url, calendar.wiring(1000.0)) as young:
        assert type(harness.failure(young.runner.submit(harness.text_order()))) is NotDownloaded
    calendar.later_seconds = 3 * DAY_SECONDS
    with harness.bench(user, gateway.base_url, calendar.wiring(1000.0)) as old:
        assert type(harness.failure(old.runner.submit(harness.text_order()))) is NotDownloaded, (
            "it may be a fault of a moment"
        )
        harness.eventually(lambda: old.journal.get(1).state is State.EXPIRED, "unknown for long")
        assert type(harness.failure(old.runner.submit(harness.text_order()))) is ResultGone


def test_a_storage_that_refuses_for_a_while_days_later_costs_no_clip(gateway: RehearsalGateway, user: Path) -> None:
    calendar = Calendar()
    gateway.always("download", "503")
    with harness.bench(user, gateway.base_url, calendar.wiring()) as bench:
        ticket = bench.runner.submit(harness.text_order())
        harness.eventually(lambda: "again soon" in ticket.status().text, "completed, not home")
    calendar.later_seconds = 2 * DAY_SECONDS
    gateway.always("download", "403")
    with harness.bench(user, gateway.base_url, calendar.wiring()) as later:
        assert type(harness.failure(later.runner.submit(harness.text_order()))) is NotDownloaded
        gateway.faults.clear()
        harness.eventually(lambda: later.journal.get(1).delivered_at, "home, without anybody asking")


def test_what_the_gateway_has_is_followed_on_after_the_journal_could_not_be_written(
    gateway: RehearsalGateway, user: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway.always("poll", "status:processing")
    with harness.bench(user, gateway.base_url) as bench:
        ticket = bench.runner.submit(harness.text_order())
        harness.eventually(lambda: ticket.status().accepted, "accepted")
        sound, refused = bench.journal.completed, threading.Event()

        def locked(*asked: object) -> Job:
            refused.set()
            raise JournalError("database is locked")

        monkeypatch.setattr(bench.journal, "completed", locked)
        gateway.faults.clear()
        assert "cannot be written" in str(harness.failure(ticket))
        assert refused.is_set()
        monkeypatch.setattr(bench.journal, "completed", sound)
        harness.eventually(lambda: bench.journal.get(1).delivered_at, "home, without anybody asking")
    assert len(gateway.record.posts) == 1


def test_a_task_from_elsewhere_that_was_seen_once_is_not_forgotten_over_a_stray_404(
    gateway: RehearsalGateway, user: Path
) -> None:
    gateway.always("poll", "status:processing")
    with harness.bench(user, gateway.base_url) as maker:
        made = maker.runner.submit(harness.text_order())
        harness.eventually(lambda: made.status().accepted, "accepted")
        task_id = made.status().job.task_id
    elsewhere = user.parent / "elsewhere"
    with harness.bench(elsewhere, gateway.base_url) as bench:
        ticket = bench.runner.collect(task_id)
        assert ticket is not None
        harness.eventually(lambda: ticket.status().polls, "seen")
    gateway.faults.clear()
    gateway.script("poll", *["404"] * 20)
    with harness.bench(elsewhere, gateway.base_url) as later:
        assert later.runner.resume() == 1
        harness.eventually(lambda: any(job.parked for job in harness.jobs_of(later.journal)), "on hold, not forgotten")


# Words nobody knows


def test_an_unknown_word_with_the_same_clip_again_and_again_is_a_finished_job(
    gateway: RehearsalGateway, user: Path
) -> None:
    gateway.always("poll", "finished-as:succeeded")
    with harness.bench(user, gateway.base_url) as bench:
        result = bench.make(harness.text_order()).result()
        assert result.downloaded
        assert bench.journal.get(1).state is State.COMPLETED
        assert gateway.record.count("poll") > 3, "once is no proof"


@pytest.mark.parametrize("fault", ["broken", "html:200", "404"])
def test_an_unknown_word_with_something_that_is_no_clip_is_polled_on(
    gateway: RehearsalGateway, user: Path, fault: str
) -> None:
    gateway.always("poll", "finished-as:almost")
    gateway.always("download", fault)
    with harness.bench(user, gateway.base_url) as bench:
        ticket = bench.runner.submit(harness.text_order())
        assert gateway.record.wait_for("download", 2, harness.PATIENCE_SECONDS)
        polls = gateway.record.count("poll")
        assert gateway.record.wait_for("poll", polls + 2, harness.PATIENCE_SECONDS)
        assert bench.journal.get(1).state is State.RUNNING
        assert not ticket.status().done
