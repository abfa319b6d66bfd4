"""May this be repeated? The one place that answers (rule 7 of `docs/rules.md`)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from .errors import (
    AccessRefused,
    APIMallError,
    GatewayBroken,
    KeyConflict,
    KeyRefused,
    NotReached,
    ProviderBusy,
    Refused,
    TaskUnknown,
    Throttled,
    Unclear,
)

LONGEST_HINT_SECONDS = 300.0
"""A `Retry-After` beyond this is cut: a wrong clock at the gateway must not park a paid job for a day."""

_SURE_TRIES = 4
_NEW_TASK_TRIES = 4
_KEY_TRIES = 3
_CONFLICT_TRIES = 7
_LONGEST_PAUSE_SECONDS = 60.0


class Call(Enum):
    """What was asked of the gateway."""

    CREATE = "create"
    QUERY = "query"
    UPLOAD = "upload"
    BALANCE = "balance"


@dataclass(frozen=True)
class Pause:
    """Repeat after `seconds`. `hinted`: the gateway named the time, so only ever wait longer."""

    seconds: float
    hinted: bool = False

    def with_jitter(self, chance: float) -> float:
        """Seconds to wait, spread by `chance` in [0, 1)."""
        return self.seconds + chance if self.hinted else self.seconds * (0.75 + 0.5 * chance)


def may_repeat(call: Call, failure: APIMallError, failures: int, *, in_flight: bool = False) -> Pause | None:
    """The pause before `call` may be sent again after so many `failures` in a row, or None for never.

    A paid create is only ever repeated with the same key and the same bytes; that is the caller's duty. `in_flight`: an
    earlier create under this key may still be under way. A 429, or a provider that is busy, is no failure (rule 8), and
    nothing but the gateway's own word ends a query (rule 5).
    """
    if isinstance(failure, Throttled):
        return _pause(failure, 5.0, failures)
    if call is Call.QUERY:
        return _repeat_query(failure, failures)
    if call is Call.CREATE and isinstance(failure, ProviderBusy):
        return _pause(failure, 5.0, failures)
    if isinstance(failure, KeyConflict):
        return _repeat_conflict(failure, failures, in_flight) if call is Call.CREATE else None
    if isinstance(failure, NotReached | Unclear) and failures < _SURE_TRIES:
        return _pause(failure, 2.0, failures)
    return None


def _repeat_conflict(failure: KeyConflict, failures: int, in_flight: bool) -> Pause | None:
    if failures >= _CONFLICT_TRIES or not (in_flight or failure.retry_after_seconds is not None):
        return None
    hinted, own = _pause(failure, 5.0, failures), _own_pause(5.0, failures)
    # A hint of a second must not use up the few tries before a create of a minute has been worked off.
    return hinted if hinted.seconds >= own.seconds else own


def _repeat_query(failure: APIMallError, failures: int) -> Pause | None:
    if isinstance(failure, KeyConflict):
        return None
    if isinstance(failure, TaskUnknown):
        # A task may be a moment away from the database that answers queries.
        return _pause(failure, 2.0, failures) if failures < _NEW_TASK_TRIES else None
    if isinstance(failure, KeyRefused | AccessRefused):
        # One of several machines at the other end may know less than the others.
        return _pause(failure, 5.0, failures) if failures < _KEY_TRIES else None
    if isinstance(failure, Refused):
        return None
    return _pause(failure, 3.0 if isinstance(failure, GatewayBroken) else 2.0, failures)


def _pause(failure: APIMallError, first_seconds: float, failures: int) -> Pause:
    hint = failure.retry_after_seconds
    if hint is not None:
        return Pause(min(max(hint, 1.0), LONGEST_HINT_SECONDS), hinted=True)
    return _own_pause(first_seconds, failures)


def _own_pause(first_seconds: float, failures: int) -> Pause:
    return Pause(min(first_seconds * 2 ** min(failures - 1, 10), _LONGEST_PAUSE_SECONDS))
