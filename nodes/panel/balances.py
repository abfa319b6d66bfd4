"""What is left on an account, as the gateway told it last."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from ..gateway.errors import AccessRefused, APIMallError, KeyRefused
from ..service import Service
from ..settings import Settings

BALANCE_SECONDS = 30.0

Verdict = Literal["right", "wrong", "unknown"]


@dataclass(frozen=True)
class Told:
    """A balance as the gateway told it at `at` (monotonic seconds); `problem` when it did not.

    `key`: whether the gateway takes the key, if that can be told from it.
    """

    at: float
    credits: float | None
    problem: str | None = None
    key: Verdict = "unknown"


AskBalance = Callable[[Service, Settings], float | None]
"""Gives the account's credits, or raises an APIMallError; blocking."""


class Balances:
    """The balance of the account in use: asked for by one request at a time, and kept for a while."""

    def __init__(self, service: Callable[[], Service], ask: AskBalance, clock: Callable[[], float]) -> None:
        self._service = service
        self._ask_gateway = ask
        self._clock = clock
        self._told: dict[str, Told] = {}
        self._lock = asyncio.Lock()

    async def of_account(self, oldest_seconds: float = BALANCE_SECONDS) -> dict[str, Any]:
        """The account's credits, asked for unless they were within `oldest_seconds`."""
        settings = await asyncio.to_thread(lambda: self._service().settings())
        async with self._lock:
            told = self._told.get(settings.account)
            if told is None or self._clock() - told.at > oldest_seconds:
                told = await asyncio.to_thread(self._ask, settings)
                self._told = {settings.account: told}
        age = self._clock() - told.at
        return {"credits": told.credits, "problem": told.problem, "key": told.key, "age_seconds": age}

    def learn(self, account: str, credits: float) -> None:
        """The gateway has just told the balance: nobody needs to ask for it."""
        self._told = {account: Told(self._clock(), credits, key="right")}

    def _ask(self, settings: Settings) -> Told:
        try:
            return Told(self._clock(), self._ask_gateway(self._service(), settings), key="right")
        except APIMallError as failure:
            verdict: Verdict = "wrong" if isinstance(failure, (KeyRefused, AccessRefused)) else "unknown"
            return Told(self._clock(), None, f"{failure.what.rstrip('.')}. {failure.advice}".strip(), verdict)


def ask_balance(service: Service, settings: Settings) -> float | None:
    """Credits of the account, asked of the gateway now; raises an APIMallError. Blocking."""
    from ..gateway.client import Gateway, Timeouts, open_session

    key = settings.require_key()
    base_url = service.base_url(settings)
    timeouts = Timeouts(connect_seconds=5.0, read_seconds=10.0, reply_seconds=15.0)
    with open_session(base_url) as session:
        return Gateway(base_url, key, session=lambda: session, timeouts=timeouts).balance().credits
