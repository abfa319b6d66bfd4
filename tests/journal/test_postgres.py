"""A journal that machines share: its address, its server, and what happens when either or the way to it is gone."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from nodes.gateway.errors import DatabaseAway, SetupError
from nodes.journal import migrations, postgres, shared_database
from nodes.journal.errors import JournalAway, JournalError, JournalRefused
from nodes.journal.postgres import Address
from nodes.journal.reads import Records
from nodes.journal.rows import Job
from nodes.journal.shared_database import Database
from nodes.journal.verbs import Journal
from tests.journal.steps import finished, sent
from tests.support import postgres as server_of
from tests.support.cut_line import Line, line_to
from tests.support.harness import eventually, jobs_of, text_order
from tests.support.pooler import pooler_to

PASSWORD = "pw-4f1d-canary-93c7"
NOWHERE = Path("unused")

pytestmark = pytest.mark.usefixtures("quick_looks")


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


# The server


def _as_user(uri: str, user: str) -> Address:
    from psycopg.conninfo import make_conninfo

    return Address(make_conninfo(uri, user=user))


@pytest.fixture
def users(uri: str) -> Iterator[None]:
    """`writer` may write an existing journal and make nothing, `reader` may read it, `stranger` knows the server."""
    names = ("writer", "reader", "stranger")
    server_of.asked(uri, *(f"CREATE ROLE {name} LOGIN" for name in names))
    yield
    server_of.asked(uri, *(statement for name in names for statement in (f"DROP OWNED BY {name}", f"DROP ROLE {name}")))


def test_a_user_who_may_write_its_tables_and_make_none_is_at_work_on_a_journal(uri: str, users: None) -> None:
    Journal(Address(uri)).close()
    server_of.asked(
        uri,
        "GRANT USAGE ON SCHEMA apimall TO writer",
        "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA apimall TO writer",
    )
    journal = Journal(_as_user(uri, "writer"))
    assert finished(journal).delivered_at is not None
    journal.presence(NOWHERE).close()
    journal.close()


def test_a_user_without_rights_is_told_what_they_are_needed_for(uri: str, users: None) -> None:
    with pytest.raises(SetupError, match="permission denied for database") as cannot_make:
        Journal(_as_user(uri, "stranger"))
    Journal(Address(uri)).close()
    server_of.asked(
        uri, "GRANT USAGE ON SCHEMA apimall TO reader", "GRANT SELECT ON ALL TABLES IN SCHEMA apimall TO reader"
    )
    journal = Journal(_as_user(uri, "reader"))
    with pytest.raises(JournalRefused, match="permission denied for table jobs") as cannot_write:
        journal.intend(text_order().intent("a"))
    journal.close()
    assert "the user of APIMALL_JOURNAL may read and write" in str(cannot_make.value)
    assert "the user of APIMALL_JOURNAL may read and write" in cannot_write.value.advice
    assert not isinstance(cannot_make.value, DatabaseAway), "asking again changes nothing"


def test_a_database_that_cannot_hold_every_prompt_is_refused() -> None:
    address = Address(server_of.new_database(options="ENCODING 'LATIN1' TEMPLATE template0 LOCALE 'C'"))
    with pytest.raises(SetupError, match=r"keeps text as LATIN1.*createdb --encoding UTF8"):
        Journal(address)


def test_the_text_of_a_prompt_is_kept_whatever_the_machine_usually_writes(
    address: Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGCLIENTENCODING", "LATIN1")
    journal = Journal(address)
    prompt = "\u706f\u53f0 \U0001f5fc"
    assert journal.current(journal.intend(text_order(prompt).intent("a"))).prompt == prompt
    journal.close()


def test_a_server_too_old_is_named_with_the_version_that_will_do(
    address: Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_database, "OLDEST_VERSION", 99)
    with pytest.raises(SetupError, match=r"is PostgreSQL \d\d, and version 99"):
        Journal(address)


def test_what_a_server_has_set_for_others_keeps_no_machine_from_writing(uri: str) -> None:
    import psycopg

    name = psycopg.conninfo.conninfo_to_dict(uri)["dbname"]
    for setting in ("default_transaction_isolation = 'serializable'", "lock_timeout = '1ms'"):
        server_of.asked(uri, f"ALTER DATABASE {name} SET {setting}")
    opened = [Journal(Address(uri)) for _ in range(4)]
    start, wrong = threading.Barrier(4), []

    def ask(journal: Journal) -> None:
        start.wait()
        try:
            for take in range(10):
                journal.intend(text_order(take=take).intent("a"))
        except JournalError as problem:
            wrong.append(str(problem))

    threads = [threading.Thread(target=ask, args=(journal,)) for journal in opened]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rows = jobs_of(opened[0], "a")
    for journal in opened:
        journal.close()
    assert (wrong, len(rows)) == ([], 10)


def test_an_idle_machine_keeps_its_connection_whatever_the_server_thinks_of_idle_ones(uri: str) -> None:
    import psycopg

    name = psycopg.conninfo.conninfo_to_dict(uri)["dbname"]
    server_of.asked(uri, f"ALTER DATABASE {name} SET idle_session_timeout = '1s'")
    session = postgres.Session(Address(uri))
    told = session.run("SHOW idle_session_timeout")[0]["idle_session_timeout"]
    session.close()
    assert told == "0"


def test_a_table_that_another_program_keeps_locked_is_a_database_that_is_away_for_a_while(
    uri: str, open_journal: Callable[[], Journal], monkeypatch: pytest.MonkeyPatch
) -> None:
    import psycopg

    monkeypatch.setattr(postgres, "_MANNERS", postgres._MANNERS.replace("'10s'", "'300ms'"))
    journal = open_journal()
    job = journal.intend(text_order().intent("a"))
    with psycopg.connect(uri) as forgotten:
        forgotten.execute("LOCK TABLE apimall.jobs")
        with pytest.raises(JournalAway, match="keeps its tables locked"):
            journal.begin_post(job, 9, [])
    assert journal.get(job.id).posts == 0
    assert isinstance(journal.begin_post(job, 9, []), Job)


def test_a_database_that_takes_no_writes_any_more_is_away_until_it_does(
    uri: str, open_journal: Callable[[], Journal]
) -> None:
    import psycopg

    name = psycopg.conninfo.conninfo_to_dict(uri)["dbname"]
    journal = open_journal()
    job = journal.intend(text_order().intent("a"))
    server_of.asked(uri, f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    journal._store.session.sever()  # type: ignore[attr-defined]
    with pytest.raises(JournalAway, match="takes no writes"):
        journal.begin_post(job, 9, [])
    server_of.asked(uri, "SET default_transaction_read_only = off", f"ALTER DATABASE {name} RESET ALL")
    assert isinstance(journal.begin_post(job, 9, []), Job)


def test_a_database_without_the_journal_in_it_sends_nothing_new_and_is_waited_for(
    uri: str, open_journal: Callable[[], Journal]
) -> None:
    journal = open_journal()
    job = journal.intend(text_order().intent("a"))
    server_of.asked(uri, "ALTER SCHEMA apimall RENAME TO elsewhere")
    with pytest.raises(JournalAway, match="tables are not in it"):
        journal.begin_post(job, 9, [])
    server_of.asked(uri, "ALTER SCHEMA elsewhere RENAME TO apimall")
    assert isinstance(journal.begin_post(job, 9, []), Job)


def test_a_pooler_that_hands_connections_on_is_refused() -> None:
    if server_of.NAMED:
        pytest.skip("the server that APIMALL_TEST_POSTGRES names is no file of this machine")
    address, server = server_of.address(), server_of._shared()
    assert server is not None
    name = address.parameters()["dbname"]
    with pooler_to(server.socket) as pooler:
        through = Address(f"postgresql://postgres@127.0.0.1:{pooler.port}/{name}")
        with pytest.raises(SetupError, match="pooler that hands one connection to many"):
            Journal(through)


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ('root certificate file "/home/somebody/.postgresql/root.crt" does not exist', "no encrypted connection"),
        ('FATAL:  database "refused" does not exist', "no such database or user"),
        ('FATAL:  role "a" is not permitted to log in', "refuses the user"),
        ('FATAL:  permission denied for database "a"', "refuses the user"),
        ('FATAL:  too many connections for role "a"', "no connection left"),
        ('server at "h" failed: session is read-only', "takes no writes"),
        ('invalid sslmode value: "bogus"', "part of its address"),
        ('definition of service "studio" not found', "part of its address"),
        ("failed to resolve host 'ssl.invalid': Name or service not known", "its host is not known"),
        ('connection to server at "ssl error" failed: Connection refused', "nothing answers there"),
        ('no pg_hba.conf entry for host "h", user "u", database "d", SSL off', "refuses the user"),
    ],
)
def test_why_there_is_no_connection_is_told_in_words_of_our_own(said: str, told: str) -> None:
    assert told in postgres._reason(Exception(said))


def test_what_was_committed_survives_whatever_the_servers_own_default_is(open_journal: Callable[[], Journal]) -> None:
    store = open_journal()._store
    assert isinstance(store, Database)
    assert store.session.run("SHOW synchronous_commit")[0]["synchronous_commit"] == "on"


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
