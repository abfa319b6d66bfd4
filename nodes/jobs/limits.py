"""The limit a user sets on a day's credits: a job that would pass it is refused before it is sent (rule 11)."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

from ..gateway.errors import SetupError
from ..journal.rows import Allowance, Held
from ..remarks import Remark, remark
from ..troubles import Trouble


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
                told = {"limit": f"{self._limit:g}", "spent": f"{taken:g}", "cost": _cost(price)}
                raise SetupError(
                    remark(Trouble.JOB_OVER_PROMPT_LIMIT, **told), advice=remark(Trouble.RAISE_PROMPT_LIMIT)
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


def over_prompt_limit(limit: float, prices: Sequence[float | None]) -> Remark | None:
    """Why a prompt may not pay, from the prices of its new jobs (None: not known yet); None when it may."""
    known = sum(price for price in prices if price is not None)
    unknown = sum(price is None for price in prices)
    if not unknown and known <= limit:
        return None
    jobs = remark(Trouble.NEW_JOBS, count=len(prices)) if len(prices) > 1 else remark(Trouble.ONE_NEW_JOB)
    what = remark(Trouble.PROMPT_OVER_LIMIT, limit=f"{limit:g}", jobs=jobs, credits=f"{known:g}")
    return remark(Trouble.PROMPT_PRICE_UNKNOWN, what=what, unknown=unknown) if unknown else what


def over_limit(held: Held, allowance: Allowance) -> SetupError:
    """What to tell of a job that would pass the limit."""
    told = {"limit": f"{allowance.credits:g}", "spent": f"{held.spent:g}", "cost": _cost(held.price)}
    what = remark(Trouble.JOB_OVER_DAY_LIMIT, **told)
    if held.unsettled:
        return SetupError(remark(Trouble.DAY_UNSETTLED, what=what), advice=remark(Trouble.SETTLE_FIRST))
    return SetupError(what, advice=remark(Trouble.RAISE_DAY_LIMIT))


def _cost(price: float | None) -> Remark:
    return remark(Trouble.PRICE_UNKNOWN) if price is None else remark(Trouble.PRICE_ABOUT, price=f"{price:g}")


def _midnight(now: float, days_ahead: int) -> float:
    there = time.localtime(now)
    return time.mktime((there.tm_year, there.tm_mon, there.tm_mday + days_ahead, 0, 0, 0, 0, 0, -1))
