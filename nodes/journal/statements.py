"""Statements in SQLAlchemy Core, as the text that a database's own driver is given.

A statement is compiled once for each dialect and number of values in its lists, and kept. What runs it is the driver:
what is asked for every job every second costs no more than that.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.dialects.sqlite.base import SQLiteCompiler

Given = sa.bindparam
"""A value that is given when the statement is run."""

Row = Any
"""A row by column name; plain values inside."""

TURN = "turn"
"""What a change that is a transaction of its own waits for, in PostgreSQL."""

Select = Callable[..., list[Row]]
"""Runs a question with its values, by name."""


class Tongue(Enum):
    """What a database speaks."""

    SQLITE = "sqlite"
    POSTGRES = "postgresql"


@dataclass(frozen=True)
class Saying:
    """How a statement is to be said: in which tongue, and with how many values in each of its lists."""

    tongue: Tongue
    counts: Mapping[str, int] = field(default_factory=dict)

    def each(self, name: str) -> list[sa.BindParameter[Any]] | sa.Select[Any]:
        """The values of the list `name`, one after the other."""
        if not self.counts[name]:
            return sa.select(sa.null()).where(sa.false())
        return [sa.bindparam(f"{name}_{number}") for number in range(self.counts[name])]

    def in_turn(self) -> sa.ColumnElement[bool]:
        """Holds once nobody else writes: for a change that is a transaction of its own (`Store.change_alone`)."""
        if self.tongue is Tongue.SQLITE:
            return sa.true()
        return sa.literal_column(f"EXISTS (SELECT 1 FROM {TURN})", sa.Boolean)

    def put(self, table: sa.Table, *key: str, keep: Collection[str] | None = None, given: str = "new") -> sa.Insert:
        """A row with all the values of the table, in place of the one with the same key. `keep`: of that one's, those
        that stay; None for the whole old row. `given`: what the names of the values begin with.
        """
        columns = [column for column in table.columns if column.name != "rowid"]
        values = {column.name: sa.bindparam(f"{given}_{column.name}", type_=column.type) for column in columns}
        changed = [column.name for column in columns if keep is not None and column.name not in {*key, *keep}]
        if self.tongue is Tongue.SQLITE:
            lite = sqlite.insert(table).values(values)
            if not changed:
                return lite.on_conflict_do_nothing(key)
            return lite.on_conflict_do_update(key, set_={name: lite.excluded[name] for name in changed})
        full = postgresql.insert(table).values(values)
        if not changed:
            return full.on_conflict_do_nothing(index_elements=key)
        return full.on_conflict_do_update(index_elements=key, set_={name: full.excluded[name] for name in changed})


class Statement:
    """Something to ask of a database, or to change in it."""

    def __init__(self, say: Callable[[Saying], sa.ClauseElement]) -> None:
        self._say = say
        self._known: dict[tuple[Tongue, tuple[tuple[str, int], ...]], tuple[str, dict[str, Any]]] = {}

    def told(self, tongue: Tongue, values: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """The text in this tongue, and the values that go with it: those of lists under names of their own."""
        counts = tuple((name, len(value)) for name, value in values.items() if _is_list(value))
        known = self._known.get((tongue, counts))
        if known is None:
            known = self._known[tongue, counts] = self._compiled(Saying(tongue, dict(counts)))
        text, constants = known
        if not counts:
            return text, constants | values
        told = dict(constants)
        for name, value in values.items():
            if _is_list(value):
                told |= {f"{name}_{number}": each for number, each in enumerate(value)}
            else:
                told[name] = value
        return text, told

    def _compiled(self, saying: Saying) -> tuple[str, dict[str, Any]]:
        """The text, and the values that stand in the statement itself."""
        compiled: Any = self._say(saying).compile(dialect=_DIALECTS[saying.tongue])
        constants = {name: bound.value for name, bound in compiled.binds.items() if bound.value is not None}
        return str(compiled), constants


def _is_list(value: object) -> bool:
    return isinstance(value, list | tuple | set | frozenset)


class _Hinting(SQLiteCompiler):
    """Says which index SQLite is to use, where it is told to; PostgreSQL knows by itself."""

    def get_from_hint_text(self, table: object, text: str | None) -> str | None:
        return text


def _dialect(kind: Callable[..., sa.Dialect], **how: Any) -> sa.Dialect:
    return kind(**how)


def _sqlite() -> sa.Dialect:
    made = _dialect(sqlite.dialect, paramstyle="named")
    made.statement_compiler = _Hinting
    return made


_DIALECTS: Mapping[Tongue, sa.Dialect] = {Tongue.SQLITE: _sqlite(), Tongue.POSTGRES: _dialect(PGDialect_psycopg)}
