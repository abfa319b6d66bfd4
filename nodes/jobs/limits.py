"""The limit a user sets on a day's credits: a job that would pass it is refused before it is sent (rule 11)."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

from ..gateway.errors import SetupError
from ..journal.rows import Allowance, Held

SETTLE_ADVICE = (
    "If that job is on hold in the API Mall panel, settle it there; else lift the limit (0 is none), or queue this one "
    "again tomorrow."
)
PROMPT_ADVICE = (
    "Raise the limit (ComfyUI's settings under API Mall Video, and APIMALL_PROMPT_CREDITS), or queue fewer new jobs at "
    "once. What was paid already is still served."
)
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


class PromptBudget:
    """What one prompt may newly cost, in credits: each of its jobs has its price reserved before it is sent.

    It sees what nobody can see when the prompt is queued: copies of a node, and media. Thread-safe.
    """

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._reserved: dict[str, float] = {}

    def reserve(self, key: str, price: float | None) -> None:
        """Room for the job with this key, once. Raises SetupError where there is none, and for an unknown price."""
        with self._lock:
            taken = sum(credits for other, credits in self._reserved.items() if other != key)
            if price is None or taken + price > self._limit:
                cost = "its price is not known yet" if price is None else f"it would cost about {price:g}"
                raise SetupError(
                    f"This job would pass your limit of {self._limit:g} credits a prompt: this prompt has spent "
                    f"{taken:g}, and {cost}",
                    advice=PROMPT_ADVICE,
                )
            self._reserved[key] = price

    def bill(self, key: str, credits: float) -> None:
        """What the job with this key cost, whatever was reserved for it."""
        with self._lock:
            if key in self._reserved:
                self._reserved[key] = credits

    def give_back(self, key: str) -> None:
        """The job is not sent, or was not taken."""
        with self._lock:
            self._reserved.pop(key, None)


def over_prompt_limit(limit: float, prices: Sequence[float | None]) -> str | None:
    """Why a prompt may not pay, from the prices of its new jobs (None: not known yet); None when it may."""
    known = sum(price for price in prices if price is not None)
    unknown = sum(price is None for price in prices)
    if not unknown and known <= limit:
        return None
    jobs = f"{len(prices)} new job{'s' if len(prices) > 1 else ''}"
    more = f", and the price of {unknown} of them is not known yet" if unknown else ""
    return f"This prompt would pass your limit of {limit:g} credits a prompt: {jobs}, about {known:g} credits{more}"


def over_limit(held: Held, allowance: Allowance) -> SetupError:
    """What to tell of a job that would pass the limit."""
    cost = "its price is not known yet" if held.price is None else f"it would cost about {held.price:g}"
    what = (
        f"This job would pass your limit of {allowance.credits:g} credits a day: {held.spent:g} were spent today, and "
        f"{cost}"
    )
    if held.unsettled:
        what += "; of a job of today nobody knows whether it was taken, or what it cost"
    return SetupError(what, advice=SETTLE_ADVICE if held.unsettled else _ADVICE)


def _midnight(now: float, days_ahead: int) -> float:
    there = time.localtime(now)
    return time.mktime((there.tm_year, there.tm_mon, there.tm_mday + days_ahead, 0, 0, 0, 0, 0, -1))
