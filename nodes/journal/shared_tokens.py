"""What all machines that share a journal have asked of the gateway lately: one budget, by the database's clock."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import astuple
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from .errors import JournalError
from .postgres import Database
from .request_budget import Change, Tokens
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
    ).returning(tokens.c.version)


_WRITE = Statement(lambda say: _written())


class SharedTokens:
    """The tokens of all machines. Nobody locks: who finds that another was quicker begins its change again.

    `clock`: the seconds that a change counts in; they need not be those of another machine.
    """

    def __init__(self, database: Database, clock: Callable[[], float] = time.monotonic) -> None:
        self._session = database.session
        self._clock = clock

    def change(self, account: str, how: Change[T]) -> T:
        """One change, of all threads and machines. Raises JournalError."""
        for _ in range(_MOST_TRIES):
            row = self._session.run(*_READ.told(Tongue.POSTGRES, {"account": account}))[0]
            # What the database's clock said is told in seconds of ours, and back.
            ahead = self._clock() - row["now"]
            known = json.loads(row["buckets"] or "{}")
            buckets = {name: Tokens(left, since + ahead) for name, (left, since) in known.items()}
            before = dict(buckets)
            result = how(buckets)
            if buckets == before:
                return result
            left = {name: astuple(Tokens(each.left, each.since - ahead)) for name, each in buckets.items()}
            values = {"of": account, "left": json.dumps(left), "next": (row["version"] or 0) + 1}
            if self._session.run(*_WRITE.told(Tongue.POSTGRES, values)):
                return result
        raise JournalError("too many ask for their part of the requests at once")

    def close(self) -> None:
        """The connection is the journal's."""
