"""When to ask about a job again, from how long it has run and how long others like it took."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

SHORTEST_PAUSE_SECONDS = 3.0
LONGEST_PAUSE_SECONDS = 15.0
LONGEST_UNWATCHED_PAUSE_SECONDS = 60.0
LONGEST_SILENCE_SECONDS = 300.0
_FIRST_SILENCE_SECONDS = 30.0
_CLOSE_PAUSE_SECONDS = 6.0
_MOST_SPREAD_SECONDS = 2.0
_ENOUGH_RUNS = 3
_OVERDUE_TIMES = 8
_SHORTEST_OVERDUE_SECONDS = 600.0


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


def next_poll(elapsed_seconds: float, learned: Learned | None, usual_seconds: float, *, watched: bool) -> float:
    """Seconds until the next poll of a job that was accepted `elapsed_seconds` ago.

    Unknown kinds: 3 s and doubling until such jobs begin to be done (`usual_seconds`), then closely, and ever less so
    (`docs/gateway.md`, "Polling" and "Run times"). Known kinds: a few polls until an early run would be done, then
    closely until a late one would. Unwatched jobs (nobody waits) slow down to a minute.
    """
    if not watched:
        return min(max(elapsed_seconds / 4, SHORTEST_PAUSE_SECONDS), LONGEST_UNWATCHED_PAUSE_SECONDS)
    if learned is None:
        return _next_poll_of_unknown(elapsed_seconds, usual_seconds)
    if elapsed_seconds < SHORTEST_PAUSE_SECONDS:
        return SHORTEST_PAUSE_SECONDS
    if elapsed_seconds < learned.early:
        silence = min(max(elapsed_seconds, _FIRST_SILENCE_SECONDS), LONGEST_SILENCE_SECONDS)
        return max(min(learned.early - elapsed_seconds, silence), SHORTEST_PAUSE_SECONDS)
    wanted = (elapsed_seconds - learned.late) / 4
    if elapsed_seconds < learned.late:
        wanted = (learned.late - learned.early) / 8
    return min(max(wanted, SHORTEST_PAUSE_SECONDS), LONGEST_PAUSE_SECONDS)


def _next_poll_of_unknown(elapsed_seconds: float, usual_seconds: float) -> float:
    to_usual = usual_seconds - elapsed_seconds
    if to_usual > _CLOSE_PAUSE_SECONDS:
        return min(max(elapsed_seconds, SHORTEST_PAUSE_SECONDS), to_usual)
    return min(max(-to_usual / 8, _CLOSE_PAUSE_SECONDS), LONGEST_PAUSE_SECONDS)


def is_overdue(elapsed_seconds: float, learned: Learned | None, usual_seconds: float) -> bool:
    """Whether a job has run so much longer than others of its kind that it may never end."""
    usual = usual_seconds if learned is None else learned.late
    return elapsed_seconds > max(usual * _OVERDUE_TIMES, _SHORTEST_OVERDUE_SECONDS)


def spread(seconds: float, chance: float) -> float:
    """A pause made a little shorter by `chance` in [0, 1), so that jobs that began together are not asked together.

    Shorter and in seconds, not in percent: a minute of silence spread by a quarter would cost the artist that quarter.
    """
    return seconds - chance * min(_MOST_SPREAD_SECONDS, seconds / 4)
