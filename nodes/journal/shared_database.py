"""The journal's tables in a PostgreSQL database that several machines share: read, written, and made at first.

All writing is done under one advisory lock of the server.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import closing, contextmanager

from ..gateway.errors import DatabaseAway, SetupError
from ..remarks import remark
from ..troubles import Trouble
from . import migrations
from .errors import JournalAway, JournalError
from .postgres import ENCODING, MIGRATING, SCHEMA, SPACE, VARIABLE, WRITER, WRITING, Address, Session
from .statements import TURN, Row, Statement, Tongue

OLDEST_VERSION = 14
_LOOKS_AT_POOLER = 3


class Database:
    """The journal's tables in a PostgreSQL database. All writing is done under one advisory lock of the server."""

    def __init__(self, address: Address) -> None:
        """Raises SetupError where it cannot be reached, or is of a newer version."""
        self._address = address
        self.session = Session(address)
        try:
            _require_fit(self.session, self.another)
            _migrate(self.session)
        except JournalError as problem:
            self.session.close()
            raise unusable(problem) from None
        except BaseException:
            self.session.close()
            raise

    replacements = 0
    """A server does not tell that what it keeps was put back to before."""

    def another(self) -> Session:
        """A connection to the same database beside this one."""
        return Session(self._address)

    def select(self, statement: Statement, **values: object) -> list[Row]:
        """All rows of a question."""
        return self.session.run(*statement.told(Tongue.POSTGRES, values))

    def execute(self, statement: Statement, **values: object) -> None:
        """Change something, inside `transaction`."""
        self.session.run(*statement.told(Tongue.POSTGRES, values))

    def change(self, change: Statement, notes: Collection[Statement], again: Statement, **values: object) -> list[Row]:
        """Make a change, which gives its row itself, and write `notes` beside it: in one go. Inside `transaction`."""
        text, given = change.told(Tongue.POSTGRES, values)
        if not notes:
            return self.session.run(text, given)
        parts = [f"changed AS ({text})"]
        for number, note in enumerate(notes):
            noted, more = note.told(Tongue.POSTGRES, values)
            parts.append(f"noted_{number} AS ({noted})")
            given = {**given, **more}
        return self.session.run(f"WITH {', '.join(parts)} SELECT * FROM changed", given)

    def change_alone(self, change: Statement, again: Statement, **values: object) -> list[Row]:
        """A transaction in one statement, which waits for the lock before it changes anything; a row that was changed
        while it waited is looked at anew (READ COMMITTED). Gives the row that it changed, or what `again` found before.
        """
        text, given = change.told(Tongue.POSTGRES, values)
        asked, more = again.told(Tongue.POSTGRES, values)
        return self.session.run(
            f"WITH {TURN} AS MATERIALIZED (SELECT pg_advisory_xact_lock({SPACE}, {WRITING})), changed AS ({text}),"
            f" found AS ({asked}) SELECT * FROM changed UNION ALL"
            " SELECT * FROM found WHERE NOT EXISTS (SELECT 1 FROM changed)",
            {**given, **more},
        )

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing, and no other machine in between."""
        with self.session.transaction():
            yield

    def require_sound(self, *, if_doubtful: bool = False) -> None:
        """The server vouches for its own files."""

    def require_lasting(self) -> None:
        """And for what was committed."""

    def close(self) -> None:
        """Let go of the connection."""
        self.session.close()


class Reader:
    """The same for questions only, on a connection of its own: it waits for no writer and holds none up."""

    def __init__(self, address: Address) -> None:
        self._session = Session(address)

    def select(self, statement: Statement, **values: object) -> list[Row]:
        """All rows of a question."""
        return self._session.run(*statement.told(Tongue.POSTGRES, values))

    def close(self) -> None:
        """Let go of the connection."""
        self._session.close()


def unusable(problem: JournalError) -> SetupError:
    """What to tell where a shared journal cannot be opened."""
    kind = DatabaseAway if isinstance(problem, JournalAway) else SetupError
    return kind(remark(Trouble.DATABASE_UNUSABLE, problem=problem.what), advice=problem.advice)


def _require_fit(session: Session, another: Callable[[], Session]) -> None:
    """Raises SetupError for a server that no journal can be kept on, and for one that is not reached directly."""
    info = session.connection().info
    version, encoding = info.server_version // 10_000, info.parameter_status("server_encoding")
    if version < OLDEST_VERSION:
        raise SetupError(
            remark(Trouble.DATABASE_OLD, version=version, oldest=OLDEST_VERSION),
            advice=remark(Trouble.UPDATE_DATABASE, variable=VARIABLE),
        )
    if encoding != ENCODING:
        raise SetupError(
            remark(Trouble.DATABASE_ENCODING, encoding=str(encoding)),
            advice=remark(Trouble.MAKE_UTF8_DATABASE, variable=VARIABLE),
        )
    if session.run("SELECT pg_backend_pid() AS pid")[0]["pid"] != info.backend_pid:
        _require_own(session, another())


def _require_own(session: Session, other: Session) -> None:
    """A pooler is in between, which is well as long as each has a connection of its own: presence is known by it."""
    with closing(other):
        for _ in range(_LOOKS_AT_POOLER):
            other.run(f"SET {WRITER} TO '{other.name}'")
            # What was the other one's just now is taken by this one, where they share.
            with session.transaction("BEGIN"):
                known = other.run(f"SELECT current_setting('{WRITER}', true) AS name")[0]["name"]
            if known != other.name:
                raise SetupError(
                    remark(Trouble.DATABASE_POOLED, variable=VARIABLE), advice=remark(Trouble.NAME_DATABASE_ITSELF)
                )


def _migrate(session: Session) -> None:
    begin = f"BEGIN; SET LOCAL search_path TO {SCHEMA}; SELECT pg_advisory_xact_lock({SPACE}, {MIGRATING})"
    with session.transaction(begin):
        # Asked first: who may write the tables need not be allowed to make any.
        if session.run(f"SELECT to_regnamespace('{SCHEMA}') AS there")[0]["there"] is None:
            session.run(f"CREATE SCHEMA {SCHEMA}")
        if session.run(f"SELECT to_regclass('{SCHEMA}.versions')::text AS there")[0]["there"] is None:
            session.run("CREATE TABLE versions (number INTEGER PRIMARY KEY)")
        version = session.run("SELECT COALESCE(MAX(number), 0) AS newest FROM versions")[0]["newest"]
        if version > len(migrations.POSTGRES):
            raise SetupError(remark(Trouble.DATABASE_NEWER), advice=remark(Trouble.UPDATE_PACK_HERE))
        for number, script in enumerate(migrations.POSTGRES[version:], version + 1):
            for statement in migrations.statements(script):
                session.run(statement)
            session.run(f"INSERT INTO versions VALUES ({number})")
