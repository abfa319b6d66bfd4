"""Who goes first, on which thread, within which budget of requests."""

from __future__ import annotations

import threading

from nodes.jobs.budget import Budget, Share
from nodes.jobs.scheduler import Lane, Scheduled, Scheduler
from tests.support.harness import SPEED, quick_clocks


def scheduler(budget: Budget | None = None) -> Scheduler:
    clocks = quick_clocks()
    return Scheduler(budget or Budget(6000, 1000), clocks.monotonic, wait=clocks.wait)


def test_creates_go_before_polls_when_requests_are_scarce() -> None:
    clocks = quick_clocks()
    budget = Budget(60, burst=10)
    budget.spend(Share.UPLOAD, clocks.monotonic(), 200)  # seconds of debt: all are waiting before the first may go
    running = scheduler(budget)
    order: list[str] = []
    done = threading.Event()

    def go(name: str) -> None:
        order.append(name)
        if len(order) == 6:
            done.set()

    now = clocks.monotonic()
    for index in range(3):
        running.put(Scheduled(lambda: go("poll"), now + index / SPEED, rank=2, share=Share.POLL))
    for index in range(3):
        running.put(Scheduled(lambda: go("create"), now + index / SPEED, rank=0, share=Share.CREATE))
    assert done.wait(20)
    running.close()
    # A poll may wake the moment before a create does, so what is held is who goes first on the whole.
    positions = {name: sum(at for at, each in enumerate(order) if each == name) for name in ("create", "poll")}
    assert positions["create"] < positions["poll"]


def test_what_holds_creates_off_lets_polls_go() -> None:
    clocks = quick_clocks()
    running = scheduler(Budget())
    running.hold_off(Share.CREATE, 3600.0 * SPEED)
    polled, created = threading.Semaphore(0), threading.Event()
    running.put(Scheduled(created.set, 0.0, rank=0, share=Share.CREATE))
    for _ in range(30):
        running.put(Scheduled(polled.release, clocks.monotonic(), share=Share.POLL))
    assert all(polled.acquire(timeout=20) for _ in range(30))
    assert not created.is_set()
    running.close()


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
