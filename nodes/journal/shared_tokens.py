"""What all machines that share a journal have asked of the gateway lately: one budget, by the database's clock."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import astuple, dataclass
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from ..remarks import remark
from ..troubles import Trouble
from .errors import JournalError
from .request_budget import Change, Tokens
from .shared_database import Database
from .statements import Given, Statement, Tongue
from .tables import tokens

_MOST_TRIES = 20

T = TypeVar("T")

CLOCK = "extract(epoch FROM clock_timestamp())::double precision"
"""What the database's clock says, in seconds."""


def _read() -> sa.Select[Any]:
    """Always one row."""
    known = (
        sa.select(column).where(tokens.c.account == Given("account")).scalar_subquery().label(column.name)
        for column in (tokens.c.buckets, tokens.c.version)
    )
    return sa.select(sa.literal_column(CLOCK, sa.Double).label("now"), *known)


_READ = Statement(lambda say: _read())


def _written() -> sa.ClauseElement:
    new = postgresql.insert(tokens).values(
        account=Given("of"), buckets=Given("left", type_=sa.Text), version=Given("next", type_=sa.BigInteger)
    )
    return new.on_conflict_do_update(
        index_elements=["account"],
        set_={"buckets": new.excluded.buckets, "version": new.excluded.version},
        where=tokens.c.version == new.excluded.version - 1,
    ).returning(sa.literal_column(CLOCK, sa.Double).label("now"))


_WRITE = Statement(lambda say: _written())


@dataclass(frozen=True)
class _Known:
    """What the database has, or had. `ahead`: of the database's clock is ours."""

    buckets: dict[str, Tokens]
    version: int
    ahead: float


class SharedTokens:
    """The tokens of all machines. Nobody locks: who finds that another was quicker begins its change again.

    `clock`: the seconds that a change counts in; they need not be those of another machine.
    """

    def __init__(self, database: Database, clock: Callable[[], float] = time.monotonic) -> None:
        self._session = database.session
        self._clock = clock
        self._written: dict[str, _Known] = {}

    def change(self, account: str, how: Change[T]) -> T:
        """One change, of all threads and machines. Raises JournalError."""
        # What we wrote last may still stand: the database says so by taking what comes next. A "no" is told only of
        # what was just read.
        known = self._written.pop(account, None)
        if known is not None:
            buckets = dict(known.buckets)
            result = how(buckets)
            if buckets != known.buckets and self._write(account, known, buckets):
                return result
        for _ in range(_MOST_TRIES):
            known = self._read(account)
            buckets = dict(known.buckets)
            result = how(buckets)
            if buckets == known.buckets or self._write(account, known, buckets):
                return result
        raise JournalError(remark(Trouble.TOO_MANY_ASK))

    def _read(self, account: str) -> _Known:
        row = self._session.run(*_READ.told(Tongue.POSTGRES, {"account": account}))[0]
        # What the database's clock said is told in seconds of ours, and back.
        ahead = self._clock() - row["now"]
        told = json.loads(row["buckets"] or "{}")
        buckets = {name: Tokens(left, since + ahead) for name, (left, since) in told.items()}
        return _Known(buckets, row["version"] or 0, ahead)

    def _write(self, account: str, known: _Known, buckets: dict[str, Tokens]) -> bool:
        """Whether nobody was quicker."""
        left = {name: astuple(Tokens(each.left, each.since - known.ahead)) for name, each in buckets.items()}
        version = known.version + 1
        values = {"of": account, "left": json.dumps(left), "next": version}
        rows = self._session.run(*_WRITE.told(Tongue.POSTGRES, values))
        if rows:
            # Both clocks may be set, or stand still while the machine sleeps.
            moved = self._clock() - rows[0]["now"] - known.ahead
            shifted = {name: Tokens(each.left, each.since + moved) for name, each in buckets.items()}
            self._written[account] = _Known(shifted, version, known.ahead + moved)
        return bool(rows)

    def close(self) -> None:
        """The connection is the journal's."""
