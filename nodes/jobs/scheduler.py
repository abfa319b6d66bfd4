"""What a runner has to do, run at its time: few threads for all jobs, and one budget of requests that they share."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum

from .budget import Budget, Share

_log = logging.getLogger("apimall_video.jobs")

_IDLE_SECONDS = 20.0


class Lane(Enum):
    """Short calls never wait behind long transfers: each lane has threads of its own."""

    CALL = "call"
    TRANSFER = "transfer"


MOST_THREADS: Mapping[Lane, int] = {Lane.CALL: 4, Lane.TRANSFER: 3}
"""Each transfer has one more thread while it waits on the network (`guard.transfer`): ten at most."""


@dataclass
class Scheduled:
    """Something to do at `due` (monotonic seconds). Lower `rank` first; `share`: of the request it will send."""

    run: Callable[[], None]
    due: float
    lane: Lane = Lane.CALL
    rank: int = 1
    share: Share | None = None


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
        self._held_until = dict.fromkeys(Share, 0.0)
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

    def spend(self, share: Share) -> None:
        """Count a request that is sent beyond the one of its `share`."""
        self._budget.spend(share, self._clock())

    def give_back(self, share: Share) -> None:
        """The request that was counted did not go out."""
        self._budget.spend(share, self._clock(), -1)
        with self._changed:
            self._held_until[share] = 0.0
            self._changed.notify_all()

    def hold_off(self, share: Share, seconds: float) -> None:
        """No request of this share for `seconds`, for any job."""
        self._budget.hold_off(share, self._clock(), seconds)

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
        while (scheduled := self._wait_for_due(lane)) is not None:
            # Outside of the lock: other processes ask for their part of the budget too, and nobody waits for them here.
            held = 0.0 if scheduled.share is None else self._budget.try_spend(scheduled.share, self._clock())
            if not held:
                return scheduled
            self._put_back(scheduled, held)
        return None

    def _wait_for_due(self, lane: Lane) -> Scheduled | None:
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

    def _put_back(self, scheduled: Scheduled, seconds: float) -> None:
        assert scheduled.share is not None, "only a request can be too much"
        with self._changed:
            self._held_until[scheduled.share] = self._clock() + seconds
            if not self._closed:
                self._waiting[scheduled.lane].append(scheduled)

    def _choose(self, lane: Lane, now: float) -> tuple[Scheduled | None, float]:
        def from_when(each: Scheduled) -> float:
            return max(each.due, self._held_until[each.share]) if each.share else each.due

        waiting = self._waiting[lane]
        ready = [each for each in waiting if from_when(each) <= now]
        if ready:
            best = min(ready, key=lambda each: (each.rank, each.due))
            waiting.remove(best)
            return best, 0.0
        return None, min((from_when(each) - now for each in waiting), default=_IDLE_SECONDS)
