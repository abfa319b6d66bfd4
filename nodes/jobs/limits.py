"""The limit a user sets on a day's credits: a job that would pass it is refused before it is sent (rule 11)."""

from __future__ import annotations

import time
from collections.abc import Callable

from ..gateway.errors import SetupError
from ..journal.rows import Allowance, Held

SETTLE_ADVICE = "Settle it in the API Mall panel, raise the limit, or queue it again tomorrow."
_ADVICE = "Raise the limit in ComfyUI's settings under API Mall Video, or queue it again tomorrow."


class DailyLimit:
    """Days end at midnight of this machine. `limit()`: credits a day, 0 for none; may raise SetupError."""

    def __init__(self, limit: Callable[[], float], clock: Callable[[], float] = time.time) -> None:
        self._limit = limit
        self._clock = clock

    def __call__(self) -> Allowance | None:
        """What may be spent today, None for anything."""
        credits = self._limit()
        if credits <= 0:
            return None
        now = self._clock()
        return Allowance(credits, _midnight(now, 0), _midnight(now, 1))


def over_limit(held: Held, allowance: Allowance) -> SetupError:
    """What to tell of a job that would pass the limit."""
    cost = "its price is not known yet" if held.price is None else f"it would cost about {held.price:g}"
    what = (
        f"This job would pass your limit of {allowance.credits:g} credits a day: {held.spent:g} were spent today, and "
        f"{cost}"
    )
    if held.unsettled:
        what += "; of a job of today nobody knows whether it was taken, and what it cost"
    return SetupError(what, advice=SETTLE_ADVICE if held.unsettled else _ADVICE)


def _midnight(now: float, days_ahead: int) -> float:
    there = time.localtime(now)
    return time.mktime((there.tm_year, there.tm_mon, there.tm_mday + days_ahead, 0, 0, 0, 0, 0, -1))
