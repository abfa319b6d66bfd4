"""A journal that machines share: who lives, who is told, what happens when the database or the way to it is gone."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from nodes.gateway.contract import Accepted
from nodes.gateway.errors import DatabaseAway, SetupError
from nodes.journal import migrations, postgres, shared_presence
from nodes.journal.errors import JournalAway, JournalError
from nodes.journal.postgres import Address, Database
from nodes.journal.presence import Presence, machine
from nodes.journal.reads import Records
from nodes.journal.rows import Job
from nodes.journal.verbs import Journal
from tests.journal.steps import ACCEPTED, finished, sent
from tests.support import postgres as server_of
from tests.support.cut_line import Line, line_to
from tests.support.harness import eventually, jobs_of, text_order

ROOT = Path(__file__).resolve().parents[2]
PASSWORD = "pw-4f1d-canary-93c7"
NOWHERE = Path("unused")


@pytest.fixture(autouse=True)
def _quick_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A death is looked for often: what comes of it is what is tested."""
    monkeypatch.setattr(shared_presence, "_LOOK_SECONDS", 0.5)


@pytest.fixture
def uri() -> str:
    return server_of.new_database()


@pytest.fixture
def address(uri: str) -> Address:
    return Address(uri)


@pytest.fixture
def open_journal(address: Address) -> Iterator[Callable[[], Journal]]:
    """Opens the journal once more, as another machine would."""
    opened: list[Journal] = []

    def opening() -> Journal:
        opened.append(Journal(address))
        return opened[-1]

    yield opening
    for journal in opened:
        journal.close()


@pytest.fixture
def line(monkeypatch: pytest.MonkeyPatch) -> Iterator[Line]:
    monkeypatch.setattr(postgres, "LONGEST_SECONDS", 1.0)
    monkeypatch.setattr(postgres, "CONNECT_SECONDS", 2)
    monkeypatch.setitem(postgres._USUAL, "connect_timeout", 2)
    if server_of.NAMED:
        pytest.skip("the server that APIMALL_TEST_POSTGRES names is no file of this machine")
    server_of.new_database()
    server = server_of._shared()
    assert server is not None
    with line_to(server.socket) as made:
        yield made


@pytest.fixture
def far(line: Line, uri: str) -> Iterator[Journal]:
    """A journal at the other end of a line."""
    name = uri.partition("?")[0].rpartition("/")[2]
    journal = Journal(Address(f"postgresql://postgres@127.0.0.1:{line.port}/{name}"))
    yield journal
    journal.close()


# The address


@pytest.mark.parametrize("text", ["postgresql://u:p%ZZ@h/d", "postgresql://[::1/d", "postgresql://h/d?no_such=1"])
def test_what_is_no_address_is_told_without_repeating_it(text: str) -> None:
    with pytest.raises(SetupError) as caught:
        Address(text.replace("u:p", f"u:{PASSWORD}"))
    assert "APIMALL_JOURNAL" in str(caught.value)
    assert PASSWORD not in str(caught.value)


def test_a_password_is_in_no_error_no_repr_and_no_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    address = Address(f"postgresql://user:{PASSWORD}@127.0.0.1:1/database")
    with pytest.raises(DatabaseAway) as caught:
        Journal(address)
    told = [
        repr(address),
        str(address),
        str(caught.value),
        repr(caught.value.__cause__),
        repr(caught.value.__context__),
    ]
    records = Records(address)
    with pytest.raises(JournalAway) as away:
        records.unfinished("a")
    told += [str(away.value), repr(away.value.__context__), *(record.getMessage() for record in caplog.records)]
    assert not [text for text in told if PASSWORD in text]
    assert "Nothing new is sent" in str(caught.value)


def test_without_the_driver_it_is_said_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(SetupError, match=r"pip install .psycopg\[binary\]"):
        Address("postgresql://user@host/database")


# Its tables


def test_ten_machines_that_start_at_once_make_one_journal(address: Address) -> None:
    opened: list[Journal] = []
    start = threading.Barrier(10)

    def open_it() -> None:
        start.wait()
        opened.append(Journal(address))

    threads = [threading.Thread(target=open_it) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ids = {journal.intend(text_order().intent("a")).id for journal in opened}
    for journal in opened:
        journal.close()
    assert (len(opened), ids) == (10, {1})


def test_a_database_of_an_older_version_is_brought_forward_and_one_of_a_newer_is_left_alone(
    address: Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(address)
    done = finished(journal)
    journal.close()
    with monkeypatch.context() as patched:
        patched.setattr(migrations, "POSTGRES", (*migrations.POSTGRES, "CREATE TABLE later (id INTEGER)"))
        newer = Journal(address)
        assert newer.get(done.id) == done
        newer.close()
    with pytest.raises(SetupError, match="newer version"):
        Journal(address)


@pytest.mark.parametrize("version", range(1, len(migrations.POSTGRES)))
def test_a_database_of_each_earlier_version_is_brought_forward_with_its_jobs(
    address: Address, monkeypatch: pytest.MonkeyPatch, version: int
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(migrations, "POSTGRES", migrations.POSTGRES[:version])
        earlier = Journal(address)
        done = finished(earlier)
        earlier.close()
    journal = Journal(address)
    assert journal.current(done) == done
    assert journal.collected(done).collected_at is not None
    journal.close()


def test_what_was_committed_survives_whatever_the_servers_own_default_is(open_journal: Callable[[], Journal]) -> None:
    store = open_journal()._store
    assert isinstance(store, Database)
    assert store.session.run("SHOW synchronous_commit")[0]["synchronous_commit"] == "on"


# Who lives, and who is told

CHILD = """
import sys
from nodes.journal.postgres import Address
from nodes.journal.verbs import Journal
from tests.support.harness import text_order
journal = Journal(Address(sys.argv[1]))
holders = journal.presence(None)
job = journal.intend(text_order().intent("a"))
journal.claim(job, holders.own, holders.alive())
print(holders.own, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def machines(open_journal: Callable[[], Journal]) -> Iterator[list[tuple[Journal, Presence]]]:
    """Two machines at work on one journal."""
    journals = [open_journal(), open_journal()]
    made = [(journal, journal.presence(NOWHERE)) for journal in journals]
    yield made
    for _, presence in made:
        presence.close()


def test_machines_see_each_other_and_a_job_names_the_one_that_has_it(
    machines: list[tuple[Journal, Presence]],
) -> None:
    (journal, first), (_, second) = machines
    assert first.alive() == second.alive() == {first.own, second.own}
    job = journal.intend(text_order().intent("a"))
    claimed = journal.claim(job, first.own, first.alive())
    assert claimed is not None
    assert claimed.machine == machine()
    second.close()
    eventually(lambda: first.alive() == {first.own}, "the other one has left")


def test_a_machine_that_is_killed_loses_its_job_and_who_waits_for_it_is_told(
    uri: str, machines: list[tuple[Journal, Presence]]
) -> None:
    journal, ours = machines[0]
    heard: list[int | None] = []
    ours.watch(heard.append, lambda: True)
    process = subprocess.Popen(
        [sys.executable, "-c", CHILD, uri], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    theirs = process.stdout.readline().strip()
    assert theirs in ours.alive()
    assert journal.claim(journal.get(1), ours.own, ours.alive()) is None
    process.kill()
    process.communicate()
    eventually(lambda: None in heard, "their death is told")
    taken = journal.claim(journal.get(1), ours.own, ours.alive())
    assert taken is not None
    assert taken.holder == ours.own


def test_of_those_who_wait_one_looks_who_lives_and_all_hear_of_a_death(
    machines: list[tuple[Journal, Presence]], open_journal: Callable[[], Journal]
) -> None:
    third = open_journal().presence(NOWHERE)
    heard: list[list[int | None]] = [[], []]
    for (_, presence), told in zip(machines, heard, strict=True):
        assert third.own in presence.alive()
        presence.watch(told.append, lambda: True)
    third.close()
    for (_, presence), told in zip(machines, heard, strict=True):
        eventually(lambda told=told: None in told, "the death is told")  # type: ignore[misc]
        assert third.own not in presence.alive_lately()


def test_what_another_machine_writes_is_heard_at_once(machines: list[tuple[Journal, Presence]]) -> None:
    (journal, _), (_, second) = machines
    heard = threading.Event()
    second.watch(lambda job_id: heard.set() if job_id == 1 else None, lambda: False)
    journal.accepted(sent(journal), ACCEPTED)
    assert heard.wait(30.0)


def test_a_machine_hears_of_what_others_changed_and_of_nothing_of_its_own(
    machines: list[tuple[Journal, Presence]],
) -> None:
    (journal, first), (other, _) = machines
    heard: list[int | None] = []
    first.watch(heard.append, lambda: False)
    journal.accepted(sent(journal), ACCEPTED)
    other.accepted(sent(other, 1), Accepted("vid_2", "req_2"))
    eventually(lambda: bool(heard), "the other's job is heard of")
    assert heard == [2]


def test_whoever_loses_its_job_to_another_machine_hears_of_it_and_sends_nothing(
    machines: list[tuple[Journal, Presence]],
) -> None:
    (journal, first), (other, second) = machines
    job = journal.intend(text_order().intent("a"))
    heard: list[int | None] = []
    first.watch(heard.append, lambda: False)
    journal.claim(job, first.own, first.alive())
    assert other.claim(job, second.own, {second.own}) is not None, "the first was taken for dead"
    eventually(lambda: heard == [job.id], "the first hears of it")
    assert journal.begin_post(job, 9, first.alive(), holder=first.own) is None
    assert journal.get(job.id).posts == 0
    assert isinstance(other.begin_post(job, 9, second.alive(), holder=second.own), Job)


# When the database, or the way to it, is gone


def test_a_server_that_was_restarted_is_gone_on_with_and_everybody_is_alive_again() -> None:
    with server_of.running() as server:
        journal = Journal(Address(server_of.new_database(server.uri)))
        presence = journal.presence(NOWHERE)
        job = sent(journal)
        heard: list[int | None] = []
        presence.watch(heard.append, lambda: False)
        server.stop()
        with pytest.raises(JournalAway):
            journal.intend(text_order(take=1).intent("a"))
        server.start()
        assert journal.get(job.id).state is job.state, "it is asked again at once"
        eventually(lambda: None in heard, "it is back")
        other = Journal(journal.place)
        observer = other.presence(NOWHERE)
        assert presence.own in observer.alive()
        for each in (presence, observer, journal, other):
            each.close()


def test_a_black_hole_holds_no_thread_and_what_was_not_written_is_not_done(far: Journal, line: Line) -> None:
    job = far.intend(text_order().intent("a"))
    line.swallow()
    began = time.monotonic()
    with pytest.raises(JournalAway):
        far.begin_post(job, 9, [])
    # Promised are 30 seconds with the real patience; here it was set to one.
    assert time.monotonic() - began < 15
    line.mend()
    eventually(lambda: _answers(far), "the line is whole again")
    assert far.get(job.id).posts == 0
    assert isinstance(far.begin_post(job, 9, []), Job)


def test_a_line_that_is_cut_while_nobody_looks_is_made_anew_unnoticed(far: Journal, line: Line) -> None:
    job = far.intend(text_order().intent("a"))
    line.cut()
    line.mend()
    assert far.get(job.id) == job
    line.cut()
    line.mend()
    assert isinstance(far.begin_post(job, 9, []), Job)


def _answers(journal: Journal) -> bool:
    try:
        jobs_of(journal, "a")
        journal.get(1)
    except JournalError:
        return False
    return True


# Moving in, and out


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
