"""A PostgreSQL database as several machines reach it: one connection, made anew when it is lost.

A machine may be cut off at any moment. Nothing here waits for longer than `LONGEST_SECONDS`: the server gives up on a
statement, the system on a connection whose other end is gone, and a thread of ours on one that merely says nothing
(half open, behind a firewall that drops what it does not know).
"""

from __future__ import annotations

import logging
import os
import re
import socket
import threading
import time
import uuid
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from ..gateway.errors import SetupError
from ..remarks import remark
from ..troubles import Trouble
from .errors import JournalAway, JournalError, JournalRefused
from .statements import Row

if TYPE_CHECKING:
    import psycopg

_log = logging.getLogger("apimall_video.jobs")

VARIABLE = "APIMALL_JOURNAL"
CONNECT_SECONDS = 5
STATEMENT_SECONDS = 10
LONGEST_SECONDS = STATEMENT_SECONDS + 2.0
_LOOK_SECONDS = 1.0
_AT_ONCE_SECONDS = 1.0

SCHEMA = "apimall"
ENCODING = "UTF8"
SPACE = 0x4150494D
"""Tells this pack's advisory locks from those of other programs in the same database."""
WRITING, MIGRATING = 1, 2
# What was committed survives a power cut, and a look sees all that was committed before it, whatever the server's own
# defaults; a machine that froze or fell silent gives up what it holds, for the others, and one that is merely idle
# keeps it. Not every version knows each of these.
_MANNERS = "; ".join(
    (
        f"SET search_path TO {SCHEMA}",
        "SET synchronous_commit TO on",
        "SET default_transaction_isolation TO 'read committed'",
        f"SET statement_timeout TO '{STATEMENT_SECONDS}s'",
        "SET lock_timeout TO 0",
        "SET idle_in_transaction_session_timeout TO '15s'",
        "SET tcp_keepalives_idle TO 5",
        "SET tcp_keepalives_interval TO 3",
        "SET tcp_keepalives_count TO 3",
        "SELECT set_config(name, '0', false) FROM pg_settings"
        " WHERE name IN ('idle_session_timeout', 'transaction_timeout')",
    )
)
WRITER = "apimall.writer"
"""The setting by which a change tells whose it is."""
_BEGIN = f"BEGIN; SELECT pg_advisory_xact_lock({SPACE}, {WRITING})"
_USUAL: dict[str, Any] = {
    "connect_timeout": CONNECT_SECONDS,
    "keepalives": 1,
    "keepalives_idle": 5,
    "keepalives_interval": 3,
    "keepalives_count": 3,
    "tcp_user_timeout": STATEMENT_SECONDS * 1000,
    "application_name": "apimall-video",
    "target_session_attrs": "read-write",
}
# Not for the address to say: text that cannot be written is found out here, and not by a job.
_ALWAYS = {"client_encoding": ENCODING}
# The driver's own words may repeat parts of the address, and so of a password; names in them stand in quotes.
_QUOTED = re.compile("\"[^\"]*\"|'[^']*'")
_REASONS = (
    (("invalid ", "definition of service", "service file"), Trouble.ADDRESS_NOT_UNDERSTOOD),
    (
        ("password authentication", "no password supplied", "pg_hba.conf", "not permitted", "permission denied"),
        Trouble.USER_REFUSED,
    ),
    (("certificate", "ssl error", "support ssl", "ssl connection"), Trouble.NOT_ENCRYPTED),
    (("does not exist",), Trouble.NO_SUCH_DATABASE),
    (("translate host name", "resolve host", "name or service", "getaddrinfo"), Trouble.HOST_UNKNOWN),
    (("refused", "no such file"), Trouble.NOTHING_ANSWERS),
    (("timeout", "timed out"), Trouble.ANSWERS_LATE),
    (("read-only",), Trouble.TAKES_NO_WRITES_AT_ALL),
    (("starting up", "shutting down", "in recovery", "accepting connections"), Trouble.STARTING_OR_STOPPING),
    (("too many", "remaining connection slots"), Trouble.NO_CONNECTION_LEFT),
)
_ENDS_CONNECTION = ("08", "57P")
"""By the class of its code: the connection itself, or the server that stops."""
_TAKES_NO_WRITES = "25006"
# What a server says "no" with that may be a "yes" in a minute, by the beginning of its code.
_PASSING = (
    ("53100", Trouble.DATABASE_DISK_FULL),
    ("53300", Trouble.NO_CONNECTION_LEFT),
    ("53", Trouble.DATABASE_SHORT),
    ("57014", Trouble.DATABASE_BUSY),
    ("55P03", Trouble.TABLES_LOCKED),
    ("40", Trouble.WRITTEN_AT_ONCE),
    (_TAKES_NO_WRITES, Trouble.TAKES_NO_WRITES_NOW),
    ("42P01", Trouble.TABLES_MISSING),
    ("3F000", Trouble.TABLES_MISSING),
)


class Address:
    """Where a shared journal is. It may hold a password: only the driver is given it, and nothing shows it."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        """Raises SetupError for what is no address, and where there is no driver."""
        self._text = text
        del text  # there are tools that tell an error with the variables of its frames
        self.parameters()

    def parameters(self) -> dict[str, Any]:
        """What the driver connects with."""
        given = self._parsed()
        if given is None:
            raise SetupError(remark(Trouble.NO_DATABASE_ADDRESS, name=VARIABLE), advice=remark(Trouble.WRITE_DATABASE))
        return {**_USUAL, **given, **_ALWAYS}

    def _parsed(self) -> dict[str, Any] | None:
        parse, wrong = _driver().conninfo.conninfo_to_dict, _driver().Error
        try:
            given: dict[str, Any] = parse(self._text)
        except (wrong, UnicodeError):
            return None
        # An @ in these is from a password that was not written as %XX: no server of names is asked for the rest of it.
        return None if "@" in given.get("host", "") + given.get("dbname", "") else given

    def __repr__(self) -> str:
        return "Address(hidden)"

    def __reduce_ex__(self, protocol: object) -> str:
        raise TypeError("an address is not written anywhere")


class Session:
    """One connection for all threads that use it, made anew when it is lost. Raises JournalAway while there is none."""

    def __init__(self, address: Address) -> None:
        self.name = uuid.uuid4().hex
        self.lock = threading.RLock()
        self.busy_since: float | None = None
        self._address = address
        self._connection: psycopg.Connection[Any] | None = None
        self._in_transaction = False
        self._refused_at = -1.0
        self._refusal = ""
        self._closed = False
        _watchdog.watch(self)

    def run(self, text: str, values: dict[str, Any] | None = None) -> list[Row]:
        """Run a statement; gives its rows."""
        with self._turn():
            begun = time.monotonic()
            try:
                return self._run(text, values)
            except JournalAway:
                # Lost while nobody looked, it seems: then it can be had again at once.
                took_long = time.monotonic() - begun > _AT_ONCE_SECONDS
                if self._in_transaction or self._is_open() or took_long or self._refused_at >= begun:
                    raise
            return self._run(text, values)

    @contextmanager
    def transaction(self, begin: str = _BEGIN) -> Iterator[None]:
        """All or nothing."""
        with self._turn():
            try:
                self.run(begin)
                self._in_transaction = True
                yield
                self.run("COMMIT")
            except BaseException:
                with suppress(JournalError):
                    self._in_transaction = True
                    self.run("ROLLBACK")
                raise
            finally:
                self._in_transaction = False

    def connection(self) -> psycopg.Connection[Any]:
        """The living connection, made if need be."""
        with self.lock:
            return self._connection if self._is_open() and self._connection else self._connect()

    def sever(self) -> None:
        """Have whatever waits on the connection wait no longer; from any thread."""
        connection = self._connection
        with suppress(OSError, _driver().Error):
            if connection is not None and not connection.closed:
                made = socket.socket(fileno=connection.fileno())
                try:
                    made.shutdown(socket.SHUT_RDWR)
                finally:
                    made.detach()

    def close(self) -> None:
        """No connection from here on."""
        self._closed = True
        self.sever()
        with self.lock:
            self._drop()

    def leave_to_parent(self) -> None:
        """In a forked child: what it inherited must not keep alive what its parent holds."""
        connection = self._connection
        if connection is not None and not connection.closed:
            nothing = os.open(os.devnull, os.O_RDWR)
            os.dup2(nothing, connection.fileno())
            os.close(nothing)
        self._closed = True

    @contextmanager
    def told(self) -> Iterator[None]:
        """What the driver raises, as JournalError."""
        try:
            yield
        except _driver().Error as problem:
            raise self._error(problem) from None

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Alone with the connection. Where it could not be made while we waited, that is our answer, too: were each to
        try for itself, they would wait as long, one after another.
        """
        asked = time.monotonic()
        with self.lock:
            if self._refused_at > asked:
                raise JournalAway(self._refusal)
            yield

    @contextmanager
    def _soon(self) -> Iterator[None]:
        """While an answer must come soon, or the connection is cut."""
        self.busy_since = time.monotonic()
        try:
            with self.told():
                yield
        finally:
            self.busy_since = None

    def _run(self, text: str, values: dict[str, Any] | None) -> list[Row]:
        connection = self.connection()
        with self._soon():
            cursor = connection.execute(text, values)
            while cursor.nextset():
                pass
            return cursor.fetchall() if cursor.description else []

    def _is_open(self) -> bool:
        return self._connection is not None and not self._connection.closed and not self._connection.broken

    def _connect(self) -> psycopg.Connection[Any]:
        if self._closed:
            raise JournalAway(remark(Trouble.DATABASE_CLOSED))
        if self._in_transaction:
            raise JournalAway(remark(Trouble.DATABASE_LOST))
        self._drop()
        driver = _driver()
        try:
            self._connection = driver.Connection.connect(
                **self._address.parameters(), autocommit=True, row_factory=driver.rows.dict_row
            )
            with self._soon():
                self._connection.execute(f"{_MANNERS}; SET {WRITER} TO '{self.name}'")
        except (driver.Error, JournalAway) as problem:
            self._refusal = problem.what if isinstance(problem, JournalAway) else _reason(problem)
            self._refused_at = time.monotonic()
        else:
            return self._connection
        # Not out of the `except`: what the driver raised keeps the password among the variables of its frames.
        raise JournalAway(self._refusal)

    def _error(self, problem: psycopg.Error) -> JournalError:
        connection, code = self._connection, problem.sqlstate or ""
        if connection is None or connection.closed or connection.broken or code.startswith(_ENDS_CONNECTION):
            self._drop()
            return JournalAway(remark(Trouble.DATABASE_LOST))
        if code.startswith(_TAKES_NO_WRITES):
            # Another of the hosts may: it is looked for anew.
            self._drop()
        reason = next((reason for beginning, reason in _PASSING if code.startswith(beginning)), None)
        if reason is not None:
            return JournalAway(remark(reason))
        return JournalRefused(
            remark(Trouble.DATABASE_SAYS, message=problem.diag.message_primary or type(problem).__name__)
        )

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(OSError, _driver().Error):
                connection.close()


class _Watchdog:
    """Cuts connections on which an answer is overdue. One thread for all, as long as there are any."""

    def __init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._sessions: weakref.WeakSet[Session] = weakref.WeakSet()
        self._runs = False

    def watch(self, session: Session) -> None:
        """Look at this one too."""
        with self._lock:
            self._sessions.add(session)
            if not self._runs:
                self._runs = True
                threading.Thread(target=self._run, name="journal-watchdog", daemon=True).start()

    def forked(self) -> None:
        """In a child: the thread is the parent's, and so are the connections."""
        for session in list(self._sessions):
            session.leave_to_parent()
        self._begin()

    def _run(self) -> None:
        while True:
            time.sleep(_LOOK_SECONDS)
            with self._lock:
                sessions = list(self._sessions)
                if not sessions:
                    self._runs = False
                    return
            for session in sessions:
                since = session.busy_since
                if since is not None and time.monotonic() - since > LONGEST_SECONDS:
                    _log.warning("the journal's database says nothing: the connection is cut")
                    session.sever()


_watchdog = _Watchdog()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_watchdog.forked)


def _driver() -> Any:
    try:
        import psycopg
    except ImportError:
        raise SetupError(
            remark(Trouble.NO_DRIVER, variable=VARIABLE),
            advice=remark(Trouble.INSTALL_DRIVER, command='pip install "psycopg[binary]"'),
        ) from None
    return psycopg


def _reason(problem: Exception) -> str:
    said = _QUOTED.sub("", str(problem)).lower()
    for words, reason in _REASONS:
        if any(word in said for word in words):
            return remark(reason)
    return remark(Trouble.NOT_TO_BE_REACHED, kind=type(problem).__name__)
