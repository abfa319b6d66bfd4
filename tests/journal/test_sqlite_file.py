"""The journal's file: readable after whatever happened to it, and shared by several processes."""

from __future__ import annotations

import contextlib
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from nodes.gateway.errors import Charge, SetupError
from nodes.journal import migrations, sqlite_file
from nodes.journal.errors import JournalError
from nodes.journal.rows import Job, State
from nodes.journal.verbs import Journal
from tests.journal.steps import finished
from tests.support.harness import jobs_of, pragma, text_order

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "user" / "journal.sqlite3"


@pytest.fixture
def journal(path: Path) -> Journal:
    return Journal(path)


def test_a_commit_is_on_disk_before_anything_is_sent(journal: Journal) -> None:
    names = ("journal_mode", "synchronous", "user_version")
    pragmas = [pragma(journal, name) for name in names]
    assert pragmas == ["wal", 2, len(migrations.SQLITE)]


# The file


def test_a_file_of_an_older_version_is_brought_forward(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(path)
    done = finished(journal)
    journal.close()
    monkeypatch.setattr(migrations, "SQLITE", (*migrations.SQLITE, "CREATE TABLE later (id INTEGER)"))
    newer = Journal(path)
    assert newer.get(done.id) == done
    assert pragma(newer, "table_info(later)") == 0


def test_a_migration_that_fails_leaves_the_file_as_it_was(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(path)
    done = finished(journal)
    journal.close()
    with monkeypatch.context() as patched:
        patched.setattr(migrations, "SQLITE", (*migrations.SQLITE, "CREATE TABLE later (id); CREATE TABLE jobs (id)"))
        with pytest.raises(SetupError):
            Journal(path)
    assert Journal(path).get(done.id) == done


def test_a_file_of_a_newer_version_is_refused_and_left_alone(path: Path) -> None:
    Journal(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(SetupError, match="newer version") as caught:
        Journal(path)
    assert caught.value.charge is Charge.NOT_SENT
    assert path.read_bytes() == before


def test_a_folder_in_the_place_of_the_file_is_told_plainly(path: Path) -> None:
    path.mkdir(parents=True)
    with pytest.raises(SetupError, match="cannot be opened"):
        Journal(path)


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "no database at all": lambda whole: b"this is no database" * 400,
    "head overwritten": lambda whole: b"\0" * 100 + whole[100:],
    "cut in half": lambda whole: whole[: len(whole) // 2],
    "a page overwritten": lambda whole: whole[:4096] + b"\xff" * 4096 + whole[8192:],
    "last pages overwritten": lambda whole: whole[:-8192] + b"\x55" * 8192,
}


@pytest.fixture(scope="module")
def forty_jobs(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A journal of forty finished jobs."""
    path = tmp_path_factory.mktemp("forty") / "journal.sqlite3"
    journal = Journal(path)
    for take in range(40):
        finished(journal, take)
    journal.close()
    return path.read_bytes()


def with_page_spoilt(whole: bytes, page: int) -> bytes:
    return whole[: page * 4096] + b"\xff" * 4096 + whole[(page + 1) * 4096 :]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_set_aside_under_a_name_of_its_own(damage: str, path: Path, forty_jobs: bytes) -> None:
    broken = DAMAGES[damage](forty_jobs)
    path.parent.mkdir()
    path.write_bytes(broken)
    again = Journal(path)
    again.require_sound()
    assert again.set_aside is not None
    assert again.set_aside.read_bytes() == broken, "kept, byte for byte"
    assert again.intend(text_order(take=1000).intent("a")).attempt == 1


@pytest.mark.parametrize("page", (2, 5, 8, 11, 16, 17, 20, 23))
def test_jobs_that_a_damaged_file_still_gives_out_are_not_paid_again(page: int, path: Path, forty_jobs: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(with_page_spoilt(forty_jobs, page))
    again = Journal(path)
    again.require_sound()
    states_now = [again.intend(text_order(take=take).intent("a")).state for take in range(40)]
    if again.set_aside is not None:
        # A page holds a handful of rows; all others are known as before.
        assert again.salvaged >= 25
        assert states_now.count(State.COMPLETED) == again.salvaged
    else:
        assert states_now == [State.COMPLETED] * 40
    assert not list(path.parent.glob("salvage-*"))


def test_a_sound_file_is_not_set_aside(path: Path) -> None:
    finished(Journal(path))
    again = Journal(path)
    again.require_sound()
    assert again.set_aside is None


def test_a_full_disk_is_told_before_anything_changes(journal: Journal) -> None:
    pages = pragma(journal, "page_count")
    pragma(journal, f"max_page_count = {pages}")
    with pytest.raises(JournalError, match="full"):
        for take in range(1000):
            journal.intend(text_order(prompt="x" * 3000, take=take).intent("a"))
    pragma(journal, "max_page_count = 1000000")
    assert pragma(journal, "quick_check") == "ok"
    assert journal.intend(text_order(prompt="x" * 3000, take=2000).intent("a")).state == State.INTENDED


CLAIMING = """
import sys
from pathlib import Path
from nodes.journal.verbs import Journal
from tests.support.harness import text_order
journal = Journal(Path(sys.argv[1]))
sys.stdin.readline()
won = [take for take in range(60) if (job := journal.intend(text_order(take=take).intent("a")))
       and journal.claim(job, sys.argv[2], {"one", "two"})]
print(*won)
"""


def test_two_processes_share_out_jobs_without_doubles(path: Path) -> None:
    Journal(path).close()
    children = [
        subprocess.Popen(
            [sys.executable, "-c", CLAIMING, str(path), name],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for name in ("one", "two")
    ]
    won = [child.communicate("go\n", timeout=60)[0].split() for child in children]
    assert sorted(map(int, won[0] + won[1])) == list(range(60))
    assert len(jobs_of(Journal(path), "a")) == 60


# Damage that is found later


def test_damage_that_shows_only_in_use_is_handled_as_damage_found_at_once(
    path: Path, forty_jobs: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Blind(sqlite_file.Check):
        def _run(self) -> None:
            """Finds nothing."""

    path.parent.mkdir()
    path.write_bytes(with_page_spoilt(forty_jobs, 14))
    monkeypatch.setattr(sqlite_file, "Check", Blind)
    journal = Journal(path)
    with pytest.raises(JournalError):
        for take in range(40):
            journal.intend(text_order(take=take).intent("a"))
    assert journal.intend(text_order(take=1).intent("a")).attempt == 1
    assert journal.set_aside is not None
    assert journal.notice is not None


def test_a_process_goes_on_with_the_file_that_another_one_began_anew(path: Path, forty_jobs: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(forty_jobs)
    first = Journal(path)
    first.require_sound()
    with path.open("r+b") as file:
        file.seek(16 * 4096)
        file.write(b"\xff" * 4096)
    second = Journal(path)
    second.require_sound()
    assert second.set_aside is not None
    job = first.intend(text_order(take=500).intent("a"))
    assert second.get(job.id).identity == job.identity


def test_after_an_unclean_end_nothing_is_sent_before_the_file_is_known_to_be_sound(
    path: Path, forty_jobs: bytes
) -> None:
    path.parent.mkdir()
    path.write_bytes(with_page_spoilt(forty_jobs, 16))
    path.with_name(f"{path.name}-wal").write_bytes(bytes(32))
    journal = Journal(path)
    # Who comes upon the damage before the check does fails, and finds the new file the next time.
    for _ in range(2):
        with contextlib.suppress(JournalError):
            journal.begin_post(journal.intend(text_order(take=700).intent("a")), 9, [])
    assert journal.set_aside is not None


def test_after_a_clean_end_the_first_job_waits_for_no_check_of_the_whole_file(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(path)
    finished(journal)
    journal.close()
    never = threading.Event()
    monkeypatch.setattr(sqlite_file.Check, "wait", lambda check: never.wait())
    again = Journal(path)
    asked = again.intend(text_order(take=700).intent("a"))
    assert isinstance(again.begin_post(again.set_body(asked, b"{}"), 9, []), Job)


def test_two_first_openings_at_the_same_moment_both_succeed(path: Path) -> None:
    opened: list[Journal] = []
    start = threading.Barrier(6)

    def open_it() -> None:
        start.wait()
        opened.append(Journal(path))

    threads = [threading.Thread(target=open_it) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(opened) == 6
