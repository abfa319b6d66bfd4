"""How many requests may go out, to what, and for how many processes."""

from __future__ import annotations

import random
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from nodes.jobs.budget import Budget, Share
from nodes.journal.request_budget import TokenFile
from tests.support.processes import ROOT

CREATE, POLL, UPLOAD = Share


def busiest_minute(sent: list[float]) -> int:
    return max(sum(start <= at < start + 60 for at in sent) for start in sent)


def test_a_budget_lets_a_burst_go_and_then_one_a_second() -> None:
    budget = Budget(60, burst=2)
    assert [budget.try_spend(POLL, 0.0) for _ in range(3)] == [0.0, 0.0, pytest.approx(1.0)]
    assert budget.try_spend(POLL, 1.0) == 0.0


def test_an_idle_hour_saves_up_no_more_than_a_burst() -> None:
    budget = Budget(60, burst=2)
    budget.try_spend(POLL, 0.0)
    assert [budget.try_spend(POLL, 3600.0) == 0.0 for _ in range(3)] == [True, True, False]


def test_a_pause_asked_of_several_jobs_is_taken_once() -> None:
    budget = Budget(60, burst=10)
    for _ in range(5):
        budget.hold_off(POLL, 0.0, 30.0)
    assert budget.try_spend(POLL, 0.0) == pytest.approx(30.0)


def test_a_clock_that_steps_back_neither_frees_nor_freezes_the_budget() -> None:
    budget = Budget(60, burst=1)
    budget.try_spend(POLL, 100.0)
    assert budget.try_spend(POLL, 50.0) == pytest.approx(1.0)
    assert budget.try_spend(POLL, 101.0) == 0.0


def test_who_asked_first_and_is_served_last_frees_nothing() -> None:
    budget = Budget(60, burst=10)
    gone = sum(budget.try_spend(POLL, moment) == 0 for _ in range(100) for moment in (100.0, 99.5))
    assert gone == 10


@pytest.mark.parametrize("held", list(Share))
def test_what_is_asked_of_one_share_delays_no_other(held: Share) -> None:
    budget = Budget()
    budget.hold_off(held, 0.0, 300.0)
    assert budget.try_spend(held, 0.0) > 200
    assert {budget.try_spend(share, 0.0) for share in Share if share is not held} == {0.0}


def test_when_a_pause_of_creates_ends_one_goes_and_polls_go_on() -> None:
    budget = Budget()
    budget.hold_off(CREATE, 0.0, 60.0)
    assert budget.try_spend(CREATE, 60.001) == 0.0
    assert budget.try_spend(CREATE, 60.001) > 0
    assert budget.try_spend(POLL, 60.001) == 0.0


def test_creates_that_come_again_and_again_leave_more_than_half_of_the_budget() -> None:
    budget, sent = Budget(), []
    for tick in range(6000):
        for share in (CREATE, POLL):
            if budget.try_spend(share, tick / 10) == 0:
                sent.append((share, tick / 10))
    polls = [at for share, at in sent if share is POLL]
    creates = [at for share, at in sent if share is CREATE]
    assert len(polls) > len(creates)
    assert len(creates) > 150, "and yet they are no trickle"
    assert busiest_minute([at for _, at in sent]) <= 60


def test_no_minute_sees_more_than_sixty_requests_of_two_processes(tmp_path: Path) -> None:
    budgets = [Budget(tokens=TokenFile(tmp_path / "requests.sqlite3"), account="one") for _ in range(2)]
    dice, sent = random.Random(7), []
    for tick in range(3000):
        if dice.choice(budgets).try_spend(dice.choice(list(Share)), tick / 10) == 0:
            sent.append(tick / 10)
    assert busiest_minute(sent) <= 60
    assert len(sent) > 200


def test_processes_agree_on_a_burst(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from nodes.jobs.budget import Budget, Share;"
        "from nodes.journal.request_budget import TokenFile;"
        "budget = Budget(tokens=TokenFile(Path(sys.argv[1])), account='one');"
        "print(sum(budget.try_spend(Share.POLL, 1000.0) == 0 for _ in range(20)))"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "requests.sqlite3")]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) for _ in range(3)]
    assert sum(int(process.communicate(timeout=60)[0]) for process in running) == 10


def test_accounts_have_a_budget_each(tmp_path: Path) -> None:
    one, other = (Budget(60, burst=1, tokens=TokenFile(tmp_path / "requests.sqlite3"), account=name) for name in "ab")
    assert (one.try_spend(POLL, 0.0), other.try_spend(POLL, 0.0)) == (0.0, 0.0)


def test_a_pace_that_cannot_be_shared_holds_up_nobody(tmp_path: Path) -> None:
    path = tmp_path / "requests.sqlite3"
    path.write_bytes(b"not a database, but long enough to be taken for one" * 100)
    budget = Budget(60, burst=1, tokens=TokenFile(path), account="one")
    assert budget.try_spend(POLL, 0.0) == 0.0
    assert budget.try_spend(POLL, 0.0) == pytest.approx(1.0)


def test_a_request_is_counted_without_waiting_for_the_disk(tmp_path: Path) -> None:
    tokens = TokenFile(tmp_path / "requests.sqlite3")
    Budget(tokens=tokens, account="one").try_spend(POLL, 0.0)
    connection = tokens._connection
    assert isinstance(connection, sqlite3.Connection)
    assert connection.execute("PRAGMA synchronous").fetchone() == (0,)
