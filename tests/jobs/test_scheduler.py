"""Who goes first, on which thread, within which budget of requests."""

from __future__ import annotations

import threading

import pytest

from nodes.jobs.scheduler import Budget, Lane, Scheduled, Scheduler
from tests.support.harness import SPEED, quick_clocks


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


def scheduler(budget: Budget | None = None) -> Scheduler:
    clocks = quick_clocks()
    return Scheduler(budget or Budget(6000, 1000), clocks.monotonic, wait=clocks.wait)


def test_no_minute_sees_more_than_sixty_requests_however_many_jobs_ask() -> None:
    budget, sent = Budget(), []
    for tick in range(3000):
        now = tick / 10
        if budget.wait_seconds(now) == 0:
            budget.spend(now)
            sent.append(now)
    assert max(sum(start <= at < start + 60 for at in sent) for start in sent) <= 60
    assert len(sent) > 200, "and yet it is no trickle"


def test_creates_go_before_polls_when_requests_are_scarce() -> None:
    clocks = quick_clocks()
    budget = Budget(60, burst=1)
    budget.hold_off(clocks.monotonic(), 10.0)
    running = scheduler(budget)
    order: list[str] = []
    done = threading.Event()

    def go(name: str) -> None:
        order.append(name)
        if len(order) == 6:
            done.set()

    now = clocks.monotonic()
    for index in range(3):
        running.put(Scheduled(lambda: go("poll"), now + index / SPEED, rank=2, cost=1))
    for index in range(3):
        running.put(Scheduled(lambda: go("create"), now + index / SPEED, rank=0, cost=1))
    assert done.wait(20)
    running.close()
    assert order == ["create"] * 3 + ["poll"] * 3


def test_a_long_transfer_holds_up_no_call() -> None:
    running = scheduler()
    release, called = threading.Event(), threading.Event()

    def transfer() -> None:
        release.wait(20)

    for _ in range(5):
        running.put(Scheduled(transfer, 0.0, Lane.TRANSFER))
    running.put(Scheduled(called.set, 0.0, Lane.CALL))
    assert called.wait(20)
    release.set()
    running.close()


def test_work_that_goes_wrong_takes_no_thread_with_it() -> None:
    running = scheduler()
    done = threading.Event()

    def stumble() -> None:
        raise RuntimeError("stumbled")

    for _ in range(10):
        running.put(Scheduled(stumble, 0.0))
    running.put(Scheduled(done.set, 0.0, rank=5))
    assert done.wait(20)
    running.close()


def test_what_is_hastened_runs_before_its_time() -> None:
    running = scheduler()
    done = threading.Event()
    scheduled = running.put(Scheduled(done.set, quick_clocks().monotonic() + 3600 * SPEED))
    assert not done.is_set()
    running.hasten(scheduled)
    assert done.wait(20)
    running.close()


def test_a_thousand_steps_share_a_handful_of_threads() -> None:
    running = scheduler()
    seen: set[str] = set()
    left = threading.Semaphore(0)

    def run() -> None:
        seen.add(threading.current_thread().name)
        left.release()

    for _ in range(1000):
        running.put(Scheduled(run, 0.0))
        running.put(Scheduled(run, 0.0, Lane.TRANSFER))
    for _ in range(2000):
        assert left.acquire(timeout=20)
    running.close()
    assert len(seen) <= 7


def test_a_closed_scheduler_starts_nothing_more() -> None:
    running = scheduler()
    running.close()
    ran = threading.Event()
    running.put(Scheduled(ran.set, 0.0))
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("apimall-call") and ran.is_set()]
