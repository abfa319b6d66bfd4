"""What a runner has to do, run at its time: few threads for all jobs, and one budget of requests that they share."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum

_log = logging.getLogger("apimall_video.jobs")

REQUESTS_PER_MINUTE = 60
_BURST_REQUESTS = 10
_IDLE_SECONDS = 20.0


class Budget:
    """Requests that may still go out now: `burst` at once, refilled evenly. Monotonic seconds. Not thread-safe.

    By default a burst and the refill of a minute together stay within `REQUESTS_PER_MINUTE`.
    """

    def __init__(
        self, refill_per_minute: float = REQUESTS_PER_MINUTE - _BURST_REQUESTS, burst: float = _BURST_REQUESTS
    ) -> None:
        self._rate = refill_per_minute / 60
        self._burst = burst
        self._left = burst
        self._since = 0.0

    def wait_seconds(self, now: float) -> float:
        """Seconds until one request may go out."""
        self._refill(now)
        return max(0.0, (1 - self._left) / self._rate)

    def spend(self, now: float) -> None:
        """One request goes out, allowed or not; debts are waited off by the next."""
        self._refill(now)
        self._left -= 1

    def give_back(self) -> None:
        """The request did not go out after all."""
        self._left = min(self._burst, self._left + 1)

    def hold_off(self, now: float, seconds: float) -> None:
        """The gateway asked for a pause: nothing goes out for `seconds`, for anybody."""
        self._refill(now)
        self._left = min(self._left, 1 - seconds * self._rate)

    def _refill(self, now: float) -> None:
        if now > self._since:
            self._left = min(self._burst, self._left + (now - self._since) * self._rate)
            self._since = now


class Lane(Enum):
    """Short calls never wait behind long transfers: each lane has threads of its own."""

    CALL = "call"
    TRANSFER = "transfer"


MOST_THREADS: Mapping[Lane, int] = {Lane.CALL: 4, Lane.TRANSFER: 3}
"""Each transfer has one more thread while it waits on the network (`guard.downloads`): ten at most."""


@dataclass
class Scheduled:
    """Something to do at `due` (monotonic seconds). Lower `rank` first; `cost`: requests it will send."""

    run: Callable[[], None]
    due: float
    lane: Lane = Lane.CALL
    rank: int = 1
    cost: int = 0


class Scheduler:
    """All that a runner has to do and the few threads that run them.

    Threads start when there is work and end after an idle while; they are daemons, since a host that is told to
    stop must not wait for a download: the journal knows how to go on.
    """

    def __init__(
        self,
        budget: Budget,
        clock: Callable[[], float],
        *,
        wait: Callable[[threading.Condition, float], bool] = threading.Condition.wait,
        threads: Mapping[Lane, int] = MOST_THREADS,
    ) -> None:
        self._budget = budget
        self._clock = clock
        self._wait = wait
        self._most_threads = threads
        self._changed = threading.Condition()
        self._waiting: dict[Lane, list[Scheduled]] = {lane: [] for lane in Lane}
        self._threads = dict.fromkeys(Lane, 0)
        self._idle = dict.fromkeys(Lane, 0)
        self._closed = False

    def put(self, scheduled: Scheduled) -> Scheduled:
        """Have `scheduled` run at its time."""
        with self._changed:
            self._waiting[scheduled.lane].append(scheduled)
            if not self._closed and self._idle[scheduled.lane] < len(self._waiting[scheduled.lane]):
                self._start_thread(scheduled.lane)
            self._changed.notify_all()
        return scheduled

    def hasten(self, scheduled: Scheduled) -> None:
        """Run what waits now rather than at its time; one that is running or done is left alone."""
        with self._changed:
            scheduled.due = min(scheduled.due, self._clock())
            self._changed.notify_all()

    def spend(self) -> None:
        """Count a request that is sent beyond its `cost`."""
        with self._changed:
            self._budget.spend(self._clock())

    def give_back(self) -> None:
        """The request that was counted did not go out."""
        with self._changed:
            self._budget.give_back()
            self._changed.notify_all()

    def hold_off(self, seconds: float) -> None:
        """No request for `seconds`, for any job."""
        with self._changed:
            self._budget.hold_off(self._clock(), seconds)

    def close(self) -> None:
        """Start nothing more; what runs may run out."""
        with self._changed:
            self._closed = True
            for waiting in self._waiting.values():
                waiting.clear()
            self._changed.notify_all()

    def _start_thread(self, lane: Lane) -> None:
        if self._threads[lane] < self._most_threads[lane]:
            self._threads[lane] += 1
            name = f"apimall-{lane.value}-{self._threads[lane]}"
            threading.Thread(target=self._work, args=(lane,), name=name, daemon=True).start()

    def _work(self, lane: Lane) -> None:
        while (scheduled := self._next(lane)) is not None:
            try:
                scheduled.run()
            except Exception:  # noqa: BLE001
                # A thread that died of its work would be missed by all the others.
                _log.exception("a scheduled step went wrong")

    def _next(self, lane: Lane) -> Scheduled | None:
        """The best of what is due and affordable; None when the thread may end."""
        with self._changed:
            self._idle[lane] += 1
            try:
                idle_until = self._clock() + _IDLE_SECONDS
                while not self._closed:
                    now = self._clock()
                    scheduled, pause = self._choose(lane, now)
                    if scheduled is not None:
                        return scheduled
                    if not self._waiting[lane] and now >= idle_until:
                        break
                    self._wait(self._changed, pause if self._waiting[lane] else idle_until - now)
                self._threads[lane] -= 1
                return None
            finally:
                self._idle[lane] -= 1

    def _choose(self, lane: Lane, now: float) -> tuple[Scheduled | None, float]:
        waiting = self._waiting[lane]
        budget_wait = self._budget.wait_seconds(now)
        ready = [each for each in waiting if each.due <= now and (budget_wait == 0 or not each.cost)]
        if ready:
            best = min(ready, key=lambda each: (each.rank, each.due))
            waiting.remove(best)
            for _ in range(best.cost):
                self._budget.spend(now)
            return best, 0.0
        pauses = [max(each.due - now, budget_wait if each.cost else 0.0) for each in waiting]
        return None, min(pauses, default=_IDLE_SECONDS)
