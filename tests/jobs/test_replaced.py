"""A backup of the journal that is put in the place of the live one while jobs run: numbers of rows begin anew."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from nodes.jobs.work import Result
from nodes.journal.postgres import Address
from nodes.journal.rows import State
from nodes.journal.store import Place
from nodes.rehearsal.book import What
from nodes.rehearsal.server import RehearsalGateway
from tests.support import harness, postgres
from tests.support.harness import Wiring

TABLES = "jobs, steps, uploads, deliveries"


class Backup:
    """What a journal holds now, to be put in its place later."""

    def __init__(self, place: Place, folder: Path) -> None:
        self._place = place
        self._kept: list[tuple[object, ...]] = []
        self._file = folder / "backup"
        if isinstance(place, Address):
            with self._server() as server:
                self._kept = server.execute("SELECT * FROM jobs ORDER BY id").fetchall()
        else:
            with closing(sqlite3.connect(place)) as source, closing(sqlite3.connect(self._file)) as target:
                source.backup(target)

    def put_back(self, *, without_log: bool = False) -> None:
        """As its owner would, with the journal in use."""
        if isinstance(self._place, Address):
            with self._server() as server:
                server.execute(f"TRUNCATE {TABLES} RESTART IDENTITY")
                for row in self._kept:
                    server.execute(f"INSERT INTO jobs VALUES ({', '.join(['%s'] * len(row))})", row)
                server.execute("SELECT setval(pg_get_serial_sequence('jobs', 'id'), max(id)) FROM jobs")
            return
        for ending in ("-wal", "-shm") if without_log else ():
            self._place.with_name(self._place.name + ending).unlink()
        moved = Path(shutil.copy(self._file, self._file.with_name("moved")))
        moved.replace(self._place)

    def _server(self) -> Any:
        import psycopg

        assert isinstance(self._place, Address)
        return psycopg.connect(**self._place.parameters(), options="-c search_path=apimall")


Backing = Callable[[Place], Backup]


@pytest.fixture
def backup(tmp_path: Path) -> Backing:
    return lambda place: Backup(place, tmp_path)


@pytest.fixture(params=["sqlite", "postgresql"])
def wiring(request: pytest.FixtureRequest, user: Path) -> Wiring:
    """A process on a journal in each kind of place."""
    user.mkdir()
    return Wiring(place=user / "journal.sqlite3" if request.param == "sqlite" else postgres.address())


@pytest.fixture(params=["with its log", "without its log"])
def without_log(request: pytest.FixtureRequest) -> bool:
    """Whether the owner took away what SQLite keeps beside the file, too."""
    return bool(request.param == "without its log")


def shown_by(result: Result) -> str:
    """The prompt of the clip that lies there."""
    note = result.path.read_bytes().rpartition(b"text-to-video ")[2].decode()
    return note.rpartition(" ")[0]


def charges(gateway: RehearsalGateway) -> int:
    return sum(entry.what is What.CHARGE for entry in gateway.record.entries)


def test_everybody_gets_the_clip_that_they_paid(
    wiring: Wiring, gateway: RehearsalGateway, user: Path, backup: Backing, without_log: bool
) -> None:
    with harness.bench(user, gateway.base_url, wiring) as bench:
        before = bench.make(harness.text_order("before")).result()
        kept = backup(bench.journal.place)
        gateway.always("poll", "status:processing")
        first = bench.runner.submit(harness.text_order("first"))
        harness.eventually(lambda: first.status().accepted, "accepted")
        kept.put_back(without_log=without_log)
        second = bench.runner.submit(harness.text_order("second"))
        harness.eventually(lambda: second.status().accepted, "accepted, too")
        gateway.faults.clear()
        assert shown_by(before) == "before"
        assert [shown_by(harness.ended(ticket).result()) for ticket in (first, second)] == ["first", "second"]
        assert harness.books_agree(bench.journal.place, gateway)
    assert charges(gateway) == 3


def test_a_job_that_the_backup_does_not_tell_of_is_not_paid_again_while_somebody_has_it_in_hand(
    wiring: Wiring, gateway: RehearsalGateway, user: Path, backup: Backing
) -> None:
    with harness.bench(user, gateway.base_url, wiring) as bench:
        bench.make(harness.text_order(take=9)).result()
        kept = backup(bench.journal.place)
        gateway.always("poll", "status:processing")
        first = bench.runner.submit(harness.text_order())
        harness.eventually(lambda: first.status().accepted, "accepted")
        kept.put_back()
        again = bench.runner.submit(harness.text_order())
        by_id = bench.runner.collect(first.status().job.task_id)
        gateway.faults.clear()
        assert by_id is not None
        assert len({harness.ended(ticket).result().path for ticket in (first, again, by_id)}) == 1
        assert not bench.make(harness.text_order()).result().downloaded, "served from disk"
        assert harness.books_agree(bench.journal.place, gateway)
    assert charges(gateway) == 2


def test_a_job_that_the_backup_knows_as_not_sent_keeps_its_key_its_bytes_and_its_task(
    wiring: Wiring, gateway: RehearsalGateway, user: Path, backup: Backing
) -> None:
    gateway.always("poll", "status:processing")
    with harness.bench(user, gateway.base_url, wiring) as bench:
        bench.journal.intend(harness.picture_order().intent(harness.ACCOUNT))
        kept = backup(bench.journal.place)
        ticket = bench.runner.submit(harness.picture_order())
        harness.eventually(lambda: ticket.status().accepted, "accepted")
        kept.put_back()
        gateway.faults.clear()
        result = harness.ended(ticket).result()
        assert result.task_id == gateway.record.tasks[0].task_id
        assert len(gateway.record.posts) == 1
        assert harness.books_agree(bench.journal.place, gateway)


def test_who_watches_a_job_of_another_process_goes_on_with_it_and_with_no_other(
    wiring: Wiring, gateway: RehearsalGateway, user: Path, backup: Backing
) -> None:
    with harness.bench(user, gateway.base_url, wiring) as one, harness.bench(user, gateway.base_url, wiring) as two:
        one.make(harness.text_order("before")).result()
        kept = backup(one.journal.place)
        gateway.always("poll", "status:processing")
        first = one.runner.submit(harness.text_order("first"))
        harness.eventually(lambda: first.status().accepted, "accepted")
        watched = two.runner.submit(harness.text_order("first"))
        harness.eventually(lambda: "another ComfyUI" in watched.status().text, "watched")
        kept.put_back()
        second = two.runner.submit(harness.text_order("second"))
        gateway.faults.clear()
        results = [harness.ended(ticket).result() for ticket in (first, watched, second)]
        assert [shown_by(result) for result in results] == ["first", "first", "second"]
        assert harness.books_agree(one.journal.place, gateway)
    assert charges(gateway) == 3


def test_what_the_backup_says_this_process_holds_takes_no_slot_for_ever(
    gateway: RehearsalGateway, user: Path, backup: Backing
) -> None:
    wiring = Wiring(max_jobs=1)
    with harness.bench(user, gateway.base_url, wiring) as bench:
        gateway.always("poll", "status:processing")
        tickets = [bench.runner.submit(harness.text_order(take=take)) for take in range(3)]
        harness.eventually(lambda: all(ticket.status().slots for ticket in tickets[1:]), "two wait for the slot")
        kept = backup(bench.journal.place)
        gateway.faults.clear()
        for ticket in tickets:
            harness.ended(ticket).result()
        kept.put_back()
        assert harness.ended(bench.runner.submit(harness.text_order(take=7))).result().path.is_file()
        states = {job.take: (job.state, job.holder) for job in harness.jobs_of(bench.journal)}
        assert states[1] == states[2] == (State.INTENDED, None)


def test_a_number_means_no_other_job_to_who_read_it_before(
    wiring: Wiring, gateway: RehearsalGateway, user: Path, backup: Backing
) -> None:
    with harness.bench(user, gateway.base_url, wiring) as bench:
        bench.make(harness.text_order(take=9)).result()
        kept = backup(bench.journal.place)
        old = bench.make(harness.text_order(take=1)).result().job
        kept.put_back()
        new = bench.make(harness.text_order(take=2)).result().job
        assert new.id == old.id, "or this test shows nothing"
        assert bench.journal.deliveries(old) == []
        starred = bench.journal.star(old, True)
        assert starred.take == 1
        assert bench.journal.current(new).starred_at is None
