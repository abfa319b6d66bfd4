"""What the journal's verbs ask of whatever keeps its rows: the two seams between SQLite and PostgreSQL.

Mutual exclusion is `transaction`; presence, the other one, is in `presence`.
"""

from __future__ import annotations

from collections.abc import Collection
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from .postgres import Address
from .statements import Row, Statement

Place = Path | Address
"""An SQLite file, or where a PostgreSQL database is."""


class Store(Protocol):
    """Runs statements, for all threads of a process. What cannot be run is raised as JournalError."""

    @property
    def replacements(self) -> int:
        """How often something else took the place of what was open, as far as that can be told."""

    def select(self, statement: Statement, **values: object) -> list[Row]:
        """All rows of a question."""

    def execute(self, statement: Statement, **values: object) -> None:
        """Change something, inside `transaction`."""

    def change(self, change: Statement, notes: Collection[Statement], again: Statement, **values: object) -> list[Row]:
        """Make a change, write `notes` beside it, and give the row that `again` asks for; inside `transaction`."""

    def change_alone(self, change: Statement, again: Statement, **values: object) -> list[Row]:
        """Make a change that is a transaction of its own and says `in_turn`; gives its row, or, where there was nothing
        to change, what `again` finds.
        """

    def transaction(self) -> AbstractContextManager[None]:
        """All or nothing, and nobody else who shares the journal in between."""

    def require_sound(self, *, if_doubtful: bool = False) -> None:
        """Wait until it is certain that what is kept can be relied on; `if_doubtful`: only where that is in doubt."""

    def require_lasting(self) -> None:
        """Raises JournalError where what is written would be lost."""

    def close(self) -> None:
        """Nothing more is asked."""
