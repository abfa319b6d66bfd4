"""How many requests may go out, and to what: one budget for all processes that share a journal (rule 8).

Three shares of it, so that none can starve another: what the gateway asks of one is never asked of the others.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from dataclasses import replace
from enum import Enum

from ..journal.errors import JournalError
from ..journal.request_budget import OwnTokens, Tokens, TokenStore

_log = logging.getLogger("apimall_video.jobs")

REQUESTS_PER_MINUTE = 60
_ASK_AGAIN_SECONDS = 2.0
_OVERTAKEN_SECONDS = 15.0
"""Who asks may be served after others who asked later: that much, and a clock did not step back."""
_BURST_REQUESTS = 10
_LATE_REQUESTS = 2
"""Room for what leaves in one minute and arrives in the next: ways to the gateway are not all as long."""
_ALL = "all"
_ROUNDING_SECONDS = 1e-6
"""A pause that no clock could tell from none."""


class Share(Enum):
    """What a request is for."""

    CREATE = "create"
    POLL = "poll"
    UPLOAD = "upload"


# Creates are sent first, and those that a full plan turns away come back: were all of the budget theirs, no poll would
# ever see a token.
_PARTS = {
    _ALL: (1.0, 1.0),
    Share.CREATE.value: (0.4, 0.5),
    Share.POLL.value: (1.0, 1.0),
    Share.UPLOAD.value: (1.0, 1.0),
}
"""Of the refill and of the burst, by bucket."""


class Budget:
    """Requests that may still go out now: `burst` at once, refilled evenly. `now`: monotonic seconds. Thread-safe.

    By default what arrives in a minute, a burst and its refill, stays within `REQUESTS_PER_MINUTE`.
    """

    def __init__(
        self,
        refill_per_minute: float = REQUESTS_PER_MINUTE - _BURST_REQUESTS - _LATE_REQUESTS,
        burst: float = _BURST_REQUESTS,
        *,
        tokens: TokenStore | None = None,
        account: str = "",
    ) -> None:
        self._rates = {name: refill_per_minute / 60 * part for name, (part, _) in _PARTS.items()}
        self._bursts = {name: max(1.0, burst * part) for name, (_, part) in _PARTS.items()}
        self._store = tokens or OwnTokens()
        self._account = account

    def try_spend(self, share: Share, now: float) -> float:
        """Have one request go out: 0 when it may; else the seconds until it is worth asking again."""

        def change(tokens: dict[str, Tokens]) -> float:
            names = (_ALL, share.value)
            full = [self._refilled(tokens, name, now) for name in names]
            wait = max((1 - each.left) / self._rates[name] for name, each in zip(names, full, strict=True))
            if wait <= _ROUNDING_SECONDS:
                tokens.update({name: replace(each, left=each.left - 1) for name, each in zip(names, full, strict=True)})
            return wait if wait > _ROUNDING_SECONDS else 0.0

        try:
            return self._store.change(self._account, change)
        except JournalError as problem:
            _log.debug("nobody knows how many requests the other machines sent: %s", problem)
            return _ASK_AGAIN_SECONDS

    def spend(self, share: Share, now: float, requests: float = 1) -> None:
        """A request goes out, allowed or not; debts are waited off by the next. -1: one did not go out after all."""

        def change(tokens: dict[str, Tokens]) -> None:
            for name in (_ALL, share.value):
                full = self._refilled(tokens, name, now)
                tokens[name] = replace(full, left=min(self._bursts[name], full.left - requests))

        with suppress(JournalError):
            self._store.change(self._account, change)

    def hold_off(self, share: Share, now: float, seconds: float) -> None:
        """The gateway asked for a pause: for `seconds` nothing of this share goes out, for anybody; then one."""

        def change(tokens: dict[str, Tokens]) -> None:
            name = share.value
            full = self._refilled(tokens, name, now)
            tokens[name] = replace(full, left=min(full.left, 1 - seconds * self._rates[name]))

        with suppress(JournalError):
            self._store.change(self._account, change)

    def _refilled(self, tokens: dict[str, Tokens], name: str, now: float) -> Tokens:
        known = tokens.get(name)
        if known is None:
            return Tokens(self._bursts[name], now)
        passed = now - known.since
        if -_OVERTAKEN_SECONDS < passed < 0:
            # Refilled up to then already: from an earlier moment on, the time in between would count twice.
            return known
        # A clock that stepped back, or began anew with the machine, neither frees nor freezes anything.
        passed = max(0.0, passed)
        return Tokens(min(self._bursts[name], known.left + passed * self._rates[name]), now)
