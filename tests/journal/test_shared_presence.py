"""Who is at work on a journal that machines share, and who is told of what others do."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from nodes.gateway.contract import Accepted
from nodes.journal.postgres import Address
from nodes.journal.presence import Presence, machine
from nodes.journal.rows import Job
from nodes.journal.shared_database import Database
from nodes.journal.verbs import Journal
from tests.journal.steps import ACCEPTED, sent
from tests.support.harness import eventually, text_order

ROOT = Path(__file__).resolve().parents[2]
NOWHERE = Path("unused")

pytestmark = pytest.mark.usefixtures("quick_looks")

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


@pytest.mark.parametrize(("written", "expected"), [("holder = 'another'", None), ("collected_at = 1", "ours")])
def test_who_takes_a_free_job_waits_for_whoever_writes_and_sees_what_was_written(
    open_journal: Callable[[], Journal], address: Address, written: str, expected: str | None
) -> None:
    journal, other = open_journal(), Database(address)
    job = journal.intend(text_order().intent("a"))
    taken: list[Job | None] = []
    claiming = threading.Thread(target=lambda: taken.append(journal.claim(job, "ours")))
    waiting = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    with other.transaction():
        claiming.start()
        eventually(lambda: bool(other.session.run(waiting)), "it waits for its turn")
        other.session.run(f"UPDATE jobs SET {written}")
    claiming.join()
    other.close()
    holder, collected_at = (taken[0].holder, taken[0].collected_at) if taken[0] else (None, None)
    assert (holder, collected_at) == (expected, 1 if expected else None)


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
