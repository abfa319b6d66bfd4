"""The limit a user sets on a day's credits: a job that would pass it is refused before it is sent."""

from __future__ import annotations

import time
from collections.abc import Callable

from ..gateway.errors import SetupError
from ..journal.reads import Records
from ..journal.rows import Job


class DailyLimit:
    """To be asked before each first POST; raises SetupError (nothing was sent) when the day's limit stands in the way.

    `limit()`: credits a day, 0 for none. A job costs what the newest like it did; one of a kind that was never paid
    before is let through as long as anything is left. Days end at midnight of this machine.
    """

    def __init__(self, records: Records, limit: Callable[[], float], clock: Callable[[], float] = time.time) -> None:
        self._records = records
        self._limit = limit
        self._clock = clock

    def __call__(self, job: Job) -> None:
        limit = self._limit()
        if limit <= 0:
            return
        price = self._price(job)
        spent = self._records.sum_since(job.account, _midnight(self._clock())).credits
        # What is on its way but has no bill yet. Of two jobs that are asked about at once the older goes first.
        spent += sum(self._price(other) or 0.0 for other in self._records.unbilled(job.account, before=job.id))
        if spent + (price or 0.0) > limit or (price is None and spent >= limit):
            cost = "its price is not known yet" if price is None else f"it would cost about {price:g}"
            raise SetupError(
                f"This job would pass your limit of {limit:g} credits a day: {spent:g} were spent today, and {cost}",
                advice="Raise the limit in ComfyUI's settings under API Mall Video, or queue it again tomorrow.",
            )

    def _price(self, job: Job) -> float | None:
        return self._records.estimate(job.account, job.kind).credits


def _midnight(now: float) -> float:
    there = time.localtime(now)
    return time.mktime((there.tm_year, there.tm_mon, there.tm_mday, 0, 0, 0, 0, 0, -1))
