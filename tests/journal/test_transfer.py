"""Jobs of one journal that another comes to know: a machine that moves into a shared one, and out again."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nodes.gateway.errors import BadRequest
from nodes.journal import transfer
from nodes.journal.reads import Records
from nodes.journal.rows import Job
from nodes.journal.verbs import Journal
from tests.journal.steps import ACCEPTED, finished, sent
from tests.support import postgres as server_of
from tests.support.harness import eventually, jobs_of, text_order


def test_the_jobs_of_a_file_are_taken_along_once_and_come_back_whole(
    tmp_path: Path, open_journal: Callable[[], Journal]
) -> None:
    own = Journal(tmp_path / "journal.sqlite3")
    done, waiting = finished(own), sent(own, 1)
    own.remember_upload("a", "digest", "https://cdn/1")
    shared = open_journal()
    theirs = finished(shared, 7)
    assert (shared.take_along(own), shared.take_along(own)) == (2, 0)
    found = {job.idempotency_key: job for job in jobs_of(shared, "a")}
    assert set(found) == {done.idempotency_key, waiting.idempotency_key, theirs.idempotency_key}
    assert found[waiting.idempotency_key].body == waiting.body
    assert found[waiting.idempotency_key].holder is None
    assert shared.deliveries(found[done.idempotency_key]) == own.deliveries(done)
    assert shared.uploaded("a", "digest", 0.0) == "https://cdn/1"
    steps = Records(shared.place).steps(found[done.idempotency_key])
    assert steps == Records(own.place).steps(done)
    assert [own.intend(text_order(take=take).intent("a")).id for take in (0, 1)] == [done.id, waiting.id], "kept"
    back = Journal(tmp_path / "back.sqlite3")
    assert back.take_along(shared) == 3


def test_a_job_that_two_machines_paid_for_before_they_shared_stays_known_twice(
    tmp_path: Path, open_journal: Callable[[], Journal]
) -> None:
    own, shared = Journal(tmp_path / "journal.sqlite3"), open_journal()
    ours, theirs = finished(own), finished(shared)
    shared.take_along(own)
    found = jobs_of(shared, "a")
    assert {job.idempotency_key for job in found} == {ours.idempotency_key, theirs.idempotency_key}
    assert sorted(job.attempt for job in found) == [1, 2]


def test_how_a_job_went_on_after_it_was_taken_along_is_told_the_next_time(
    tmp_path: Path, open_journal: Callable[[], Journal]
) -> None:
    own, shared = Journal(tmp_path / "journal.sqlite3"), open_journal()
    ours, theirs = (own.intend(text_order(take=take).intent("a")) for take in (0, 1))
    shared.take_along(own)
    done_here, done_there = finished(own), finished(shared, 1)
    assert (own.take_along(shared), shared.take_along(own)) == (0, 0), "none is new"
    for journal in (own, shared):
        known = [journal.intend(text_order(take=take).intent("a")) for take in (0, 1)]
        assert [job.idempotency_key for job in known] == [ours.idempotency_key, theirs.idempotency_key]
        assert [job.task_id for job in known] == [done_here.task_id, done_there.task_id], "nobody pays again"
        assert [len(journal.deliveries(job)) for job in known] == [1, 1]
        assert known[0].holder is None
    steps = [Records(journal.place).steps(done_here) for journal in (own, shared)]
    assert steps[0] == steps[1], "its history too, once"
    own.close()


def test_what_may_be_paid_is_never_told_to_be_anything_less(
    tmp_path: Path, open_journal: Callable[[], Journal]
) -> None:
    own, shared = Journal(tmp_path / "journal.sqlite3"), open_journal()
    jobs = [own.intend(text_order(take=take).intent("a")) for take in range(3)]
    shared.take_along(own)
    there = [sent(shared), shared.accepted(sent(shared, 1), ACCEPTED), finished(shared, 2)]
    own.close_job(jobs[0], [])
    own.rejected(sent(own, 1), BadRequest("no"))
    sent(own, 2)
    assert shared.take_along(own) == 0
    assert [shared.current(job) for job in there] == there
    own.close()


def test_whoever_moves_in_over_a_slow_line_lets_others_write_in_between(
    tmp_path: Path, uri: str, open_journal: Callable[[], Journal], monkeypatch: pytest.MonkeyPatch
) -> None:
    own, shared, other = Journal(tmp_path / "journal.sqlite3"), open_journal(), open_journal()
    for take in range(3):
        own.intend(text_order(take=take).intent("a"))
    written: list[Job] = []
    writer = threading.Thread(target=lambda: written.append(other.intend(text_order("another").intent("a"))))
    beside = transfer._put_beside

    def meanwhile(*told: Any) -> None:
        if not writer.ident:
            writer.start()
            eventually(
                lambda: server_of.asked(uri, "SELECT FROM pg_locks WHERE NOT granted"), "another one wants to write"
            )
        beside(*told)

    monkeypatch.setattr(transfer, "_TURN_SECONDS", 0.0)
    monkeypatch.setattr(transfer, "_put_beside", meanwhile)
    assert shared.take_along(own) == 3
    writer.join()
    own.close()
    assert written[0].id < max(job.id for job in jobs_of(shared, "a")), "it did not wait for all of them"
