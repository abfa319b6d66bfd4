"""When to ask: the pace of one job, the budget of all, and who goes first."""

from __future__ import annotations

import threading

import pytest

from nodes.jobs.pace import Agenda, Budget, Errand, Lane, Learned, next_look, spread
from tests.support.jobs import SPEED, quick_clocks


@pytest.mark.parametrize(
    ("elapsed", "watched", "seconds"),
    [(0, True, 3), (6, True, 6), (48, True, 26), (74, True, 6), (154, True, 10), (6000, True, 15)]
    + [(0, False, 3), (60, False, 15), (6000, False, 60)],
)
def test_a_job_of_an_unknown_kind_is_looked_at_more_closely_when_such_jobs_begin_to_be_done(
    elapsed: float, watched: bool, seconds: float
) -> None:
    assert next_look(elapsed, None, watched=watched) == seconds


def test_pauses_are_spread_by_seconds_at_most_and_never_grow() -> None:
    assert [spread(300.0, chance) for chance in (0.0, 0.5, 1.0)] == [300.0, 299.0, 298.0]
    assert spread(4.0, 1.0) == 3.0


def looks(learned: Learned | None, until: float) -> int:
    elapsed, count = 0.0, 0
    while elapsed < until:
        elapsed += next_look(elapsed, learned, watched=True)
        count += 1
    return count


def test_a_known_kind_of_job_is_left_alone_until_it_may_be_done() -> None:
    learned = Learned.of([100, 105, 110, 108, 104])
    assert learned is not None
    assert looks(learned, 100) < looks(None, 100) / 2


def test_what_was_learned_can_be_wrong_without_silence_for_hours() -> None:
    learned = Learned.of([30_000.0] * 5)
    assert learned is not None
    assert next_look(10, learned, watched=True) <= 30
    assert next_look(3000, learned, watched=True) <= 300


def test_nothing_is_learned_from_too_few_runs() -> None:
    assert Learned.of([100, 110]) is None


def test_progress_never_lies() -> None:
    learned = Learned(90, 100, 120, 10)
    assert learned.fraction(60) == 0.5
    assert learned.fraction(120) is None


def test_a_budget_lets_a_burst_go_and_then_one_a_second() -> None:
    budget = Budget(60, burst=2)
    for _ in range(2):
        assert budget.wait_seconds(0.0) == 0.0
        budget.spend(0.0)
    assert budget.wait_seconds(0.0) == pytest.approx(1.0)
    assert budget.wait_seconds(1.0) == pytest.approx(0.0)


def test_an_idle_hour_saves_up_no_more_than_a_burst() -> None:
    budget = Budget(60, burst=2)
    for _ in range(2):
        assert budget.wait_seconds(3600.0) == 0.0
        budget.spend(3600.0)
    assert budget.wait_seconds(3600.0) > 0


def test_a_pause_asked_of_several_jobs_is_taken_once() -> None:
    budget = Budget(60, burst=10)
    for _ in range(5):
        budget.hold_off(0.0, 30.0)
    assert budget.wait_seconds(0.0) == pytest.approx(30.0)


def test_a_clock_that_steps_back_neither_frees_nor_freezes_the_budget() -> None:
    budget = Budget(60, burst=1)
    budget.spend(100.0)
    assert budget.wait_seconds(50.0) == pytest.approx(1.0)
    assert budget.wait_seconds(101.0) == pytest.approx(0.0)


def agenda(budget: Budget | None = None) -> Agenda:
    clocks = quick_clocks()
    return Agenda(budget or Budget(6000, 1000), clocks.monotonic, wait=clocks.wait)


def test_no_minute_sees_more_than_sixty_requests_however_many_jobs_ask() -> None:
    budget, sent = Budget(), []
    for tick in range(3000):
        now = tick / 10
        if budget.wait_seconds(now) == 0:
            budget.spend(now)
            sent.append(now)
    assert max(sum(start <= at < start + 60 for at in sent) for start in sent) <= 60
    assert len(sent) > 200, "and yet it is no trickle"


def test_creates_go_before_looks_when_requests_are_scarce() -> None:
    clocks = quick_clocks()
    budget = Budget(60, burst=1)
    budget.hold_off(clocks.monotonic(), 10.0)
    board = agenda(budget)
    order: list[str] = []
    done = threading.Event()

    def go(name: str) -> None:
        order.append(name)
        if len(order) == 6:
            done.set()

    now = clocks.monotonic()
    for index in range(3):
        board.put(Errand(lambda: go("look"), now + index / SPEED, rank=2, cost=1))
    for index in range(3):
        board.put(Errand(lambda: go("create"), now + index / SPEED, rank=0, cost=1))
    assert done.wait(20)
    board.close()
    assert order == ["create"] * 3 + ["look"] * 3


def test_a_long_transfer_holds_up_no_call() -> None:
    board = agenda()
    release, called = threading.Event(), threading.Event()

    def transfer() -> None:
        release.wait(20)

    for _ in range(5):
        board.put(Errand(transfer, 0.0, Lane.TRANSFER))
    board.put(Errand(called.set, 0.0, Lane.CALL))
    assert called.wait(20)
    release.set()
    board.close()


def test_an_errand_that_goes_wrong_takes_no_thread_with_it() -> None:
    board = agenda()
    done = threading.Event()

    def stumble() -> None:
        raise RuntimeError("stumbled")

    for _ in range(10):
        board.put(Errand(stumble, 0.0))
    board.put(Errand(done.set, 0.0, rank=5))
    assert done.wait(20)
    board.close()


def test_a_hastened_errand_runs_before_its_time() -> None:
    board = agenda()
    done = threading.Event()
    errand = board.put(Errand(done.set, quick_clocks().monotonic() + 3600 * SPEED))
    assert not done.is_set()
    board.hasten(errand)
    assert done.wait(20)
    board.close()


def test_a_thousand_errands_share_a_handful_of_threads() -> None:
    board = agenda()
    seen: set[str] = set()
    left = threading.Semaphore(0)

    def run() -> None:
        seen.add(threading.current_thread().name)
        left.release()

    for _ in range(1000):
        board.put(Errand(run, 0.0))
        board.put(Errand(run, 0.0, Lane.TRANSFER))
    for _ in range(2000):
        assert left.acquire(timeout=20)
    board.close()
    assert len(seen) <= 7


def test_a_closed_agenda_starts_nothing_more() -> None:
    board = agenda()
    board.close()
    ran = threading.Event()
    board.put(Errand(ran.set, 0.0))
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("apimall-call") and ran.is_set()]
