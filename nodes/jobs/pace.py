"""When to ask: the pace of looks at one job, and the one budget of requests that all jobs share."""

from __future__ import annotations

import logging
import statistics
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

_log = logging.getLogger("apimall_video.jobs")

SHORTEST_PAUSE_SECONDS = 3.0
LONGEST_PAUSE_SECONDS = 15.0
LONGEST_UNWATCHED_PAUSE_SECONDS = 60.0
LONGEST_SILENCE_SECONDS = 300.0
_FIRST_SILENCE_SECONDS = 30.0
_CLOSE_PAUSE_SECONDS = 6.0
_USUAL_SECONDS = 74.0  # Wan 2.6 at other hosts: 50 to 250 s
_MOST_SPREAD_SECONDS = 2.0
REQUESTS_PER_MINUTE = 60
_BURST_REQUESTS = 10
_ENOUGH_RUNS = 3
_IDLE_SECONDS = 20.0


@dataclass(frozen=True)
class Learned:
    """How long jobs of one kind took, in seconds: an early, a middle and a late one of the last runs."""

    early: float
    median: float
    late: float
    runs: int

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Learned | None:
        """From past runs; None when there are too few to say anything honest."""
        if len(seconds) < _ENOUGH_RUNS:
            return None
        ordered = sorted(seconds)
        tenth = len(ordered) // 10
        return cls(ordered[tenth], statistics.median(ordered), ordered[-1 - tenth], len(ordered))

    def fraction(self, elapsed_seconds: float) -> float | None:
        """Progress that never lies: None once the job takes longer than a usual late one."""
        return elapsed_seconds / self.late if elapsed_seconds < self.late else None


def next_look(elapsed_seconds: float, learned: Learned | None, *, watched: bool) -> float:
    """Seconds until the next look at a job that was accepted `elapsed_seconds` ago.

    Unknown kinds: 3 s and doubling until jobs of this model begin to be done, then closely, and ever less so
    (`docs/gateway.md`, "Polling" and "Run times"). Known kinds: a few looks until an early run would be done, then
    closely until a late one would. Unwatched jobs (nobody waits) slow down to a minute.
    """
    if not watched:
        return min(max(elapsed_seconds / 4, SHORTEST_PAUSE_SECONDS), LONGEST_UNWATCHED_PAUSE_SECONDS)
    if learned is None:
        return _next_look_at_unknown(elapsed_seconds)
    if elapsed_seconds < SHORTEST_PAUSE_SECONDS:
        return SHORTEST_PAUSE_SECONDS
    if elapsed_seconds < learned.early:
        silence = min(max(elapsed_seconds, _FIRST_SILENCE_SECONDS), LONGEST_SILENCE_SECONDS)
        return max(min(learned.early - elapsed_seconds, silence), SHORTEST_PAUSE_SECONDS)
    wanted = (elapsed_seconds - learned.late) / 4
    if elapsed_seconds < learned.late:
        wanted = (learned.late - learned.early) / 8
    return min(max(wanted, SHORTEST_PAUSE_SECONDS), LONGEST_PAUSE_SECONDS)


def _next_look_at_unknown(elapsed_seconds: float) -> float:
    to_usual = _USUAL_SECONDS - elapsed_seconds
    if to_usual > _CLOSE_PAUSE_SECONDS:
        return min(max(elapsed_seconds, SHORTEST_PAUSE_SECONDS), to_usual)
    return min(max(-to_usual / 8, _CLOSE_PAUSE_SECONDS), LONGEST_PAUSE_SECONDS)


def spread(seconds: float, chance: float) -> float:
    """A pause made a little shorter by `chance` in [0, 1), so that jobs that began together are not asked together.

    Shorter and in seconds, not in percent: a minute of silence spread by a quarter would cost the artist that quarter.
    """
    return seconds - chance * min(_MOST_SPREAD_SECONDS, seconds / 4)


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
class Errand:
    """Something to do at `due` (monotonic seconds). Lower `rank` first; `cost`: requests it will send."""

    run: Callable[[], None]
    due: float
    lane: Lane = Lane.CALL
    rank: int = 1
    cost: int = 0


class Agenda:
    """All errands of a runner and the few threads that run them.

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
        self._errands: dict[Lane, list[Errand]] = {lane: [] for lane in Lane}
        self._threads = dict.fromkeys(Lane, 0)
        self._idle = dict.fromkeys(Lane, 0)
        self._closed = False

    def put(self, errand: Errand) -> Errand:
        """Have `errand` run at its time."""
        with self._changed:
            self._errands[errand.lane].append(errand)
            if not self._closed and self._idle[errand.lane] < len(self._errands[errand.lane]):
                self._start_thread(errand.lane)
            self._changed.notify_all()
        return errand

    def hasten(self, errand: Errand) -> None:
        """Run a waiting errand now rather than at its time; one that is running or done is left alone."""
        with self._changed:
            errand.due = min(errand.due, self._clock())
            self._changed.notify_all()

    def spend(self) -> None:
        """Count a request that an errand sends beyond its `cost`."""
        with self._changed:
            self._budget.spend(self._clock())

    def give_back(self) -> None:
        """An errand did not send the request it was counted for."""
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
            for errands in self._errands.values():
                errands.clear()
            self._changed.notify_all()

    def _start_thread(self, lane: Lane) -> None:
        if self._threads[lane] < self._most_threads[lane]:
            self._threads[lane] += 1
            name = f"apimall-{lane.value}-{self._threads[lane]}"
            threading.Thread(target=self._work, args=(lane,), name=name, daemon=True).start()

    def _work(self, lane: Lane) -> None:
        while (errand := self._next(lane)) is not None:
            try:
                errand.run()
            except Exception:  # noqa: BLE001
                # A thread that died of its errand would be missed by all the others.
                _log.exception("an errand went wrong")

    def _next(self, lane: Lane) -> Errand | None:
        """The best errand that is due and affordable; None when the thread may end."""
        with self._changed:
            self._idle[lane] += 1
            try:
                idle_until = self._clock() + _IDLE_SECONDS
                while not self._closed:
                    now = self._clock()
                    errand, pause = self._choose(lane, now)
                    if errand is not None:
                        return errand
                    if not self._errands[lane] and now >= idle_until:
                        break
                    self._wait(self._changed, pause if self._errands[lane] else idle_until - now)
                self._threads[lane] -= 1
                return None
            finally:
                self._idle[lane] -= 1

    def _choose(self, lane: Lane, now: float) -> tuple[Errand | None, float]:
        errands = self._errands[lane]
        poverty = self._budget.wait_seconds(now)
        ready = [errand for errand in errands if errand.due <= now and (poverty == 0 or not errand.cost)]
        if ready:
            best = min(ready, key=lambda errand: (errand.rank, errand.due))
            errands.remove(best)
            for _ in range(best.cost):
                self._budget.spend(now)
            return best, 0.0
        pauses = [max(errand.due - now, poverty if errand.cost else 0.0) for errand in errands]
        return None, min(pauses, default=_IDLE_SECONDS)
