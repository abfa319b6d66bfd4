"""Which machines are at work on a shared journal, told by a lock that the database drops when their connection dies.

No clock and no heartbeat: a lock belongs to a connection, and a connection ends with its process, with its machine, or
with the network between. On the same connection the database tells of jobs that others changed.
"""

from __future__ import annotations

import hashlib
import logging
import os
import random
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

import sqlalchemy as sa

from ..remarks import remark
from ..troubles import Trouble
from .errors import JournalError
from .presence import Tell, machine
from .shared_database import Database, unusable
from .statements import Given, Row, Statement, Tongue
from .tables import holders

if TYPE_CHECKING:
    import psycopg

_log = logging.getLogger("apimall_video.jobs")

CHANNEL = "apimall_jobs"
_LOOK_SECONDS = 4.0
"""How often it is looked whether those live whose jobs others wait for: one looks for all, and says what it saw."""
_LATER = (1.05, 1.2)
"""Times longer, by chance, until another one looks in the place of one that says nothing any more."""
_AGAIN_SECONDS = 1.0
_WATCHED_SECONDS = 300.0
"""The database tells of changes, and a connection that was lost of all that may have been: nobody needs to look."""

_LISTEN = Statement(lambda say: sa.text(f"LISTEN {CHANNEL}"))
_IS_HELD = sa.text(
    "EXISTS (SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1 AND granted"
    " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    " AND (classid::bigint << 32 | objid::bigint) = holders.lock)"
)
_ALIVE = Statement(lambda say: sa.select(holders.c.holder).where(_IS_HELD))
_SAW = "alive "
_LOOK = Statement(
    lambda say: sa.text(
        f"WITH alive AS MATERIALIZED (SELECT holder FROM holders WHERE {_IS_HELD.text}), told AS MATERIALIZED"
        f" (SELECT pg_notify('{CHANNEL}', '{_SAW}' || encode(sha256(convert_to("
        "COALESCE(string_agg(holder, ' ' ORDER BY holder COLLATE \"C\"), ''), 'UTF8')), 'hex')) FROM alive)"
        " SELECT alive.holder FROM alive, told"
    )
)
"""Who lives; whoever listens is told a fingerprint of it."""
_FORGET_DEAD = Statement(lambda say: sa.delete(holders).where(sa.text(f"NOT {_IS_HELD.text}")))
_JOIN = Statement(lambda say: say.put(holders, "lock"))
_TAKE = Statement(lambda say: sa.select(sa.func.pg_try_advisory_lock(Given("lock", type_=sa.BigInteger)).label("ours")))
# Our own connection of before, whose end the server has not noticed yet.
_END_OLD = Statement(
    lambda say: sa.text(
        "SELECT pg_terminate_backend(pid, 2000) FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1 AND granted"
        " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        " AND (classid::bigint << 32 | objid::bigint) = :lock"
    ).bindparams(Given("lock", type_=sa.BigInteger))
)


class SharedHolders:
    """The processes at work on a shared journal. `database` answers who lives; the lock has a connection of its own."""

    watched_seconds = _WATCHED_SECONDS
    tells = True

    def __init__(self, database: Database) -> None:
        """Raises SetupError where the database cannot be reached."""
        name = uuid.uuid4().hex
        self.own = f"{os.getpid()}-{machine()}-{name}"
        self._lock = int(name[:15], 16)
        self._database = database
        self._session = database.another()
        self._tellers: list[tuple[Tell, Callable[[], bool]]] = []
        self._closed = threading.Event()
        self._seen: frozenset[str] = frozenset()
        self._look_at = 0.0
        self._believed_until = 0.0
        self._seen_lock = threading.Lock()
        try:
            self._enter()
        except JournalError as problem:
            self._session.close()
            raise unusable(problem) from None
        threading.Thread(target=self._listen, name="journal-presence", daemon=True).start()

    def alive(self) -> frozenset[str]:
        """The holders that live now, this one included."""
        alive = frozenset((self.own, *(row["holder"] for row in self._database.select(_ALIVE))))
        with self._seen_lock:
            self._seen |= alive
            self._believed_until = time.monotonic() + 2 * _LOOK_SECONDS
        return alive

    def alive_lately(self) -> frozenset[str]:
        """The holders that lived when somebody looked last, as long as looks come."""
        with self._seen_lock:
            if time.monotonic() < self._believed_until:
                return self._seen
        return self.alive()

    def watch(self, tell: Tell, is_watching: Callable[[], bool]) -> None:
        """Have `tell` called with the id of a job that changed, or with None when any may have; off any lock of ours.

        `is_watching`: whether somebody waits for what another machine has.
        """
        self._tellers.append((tell, is_watching))

    def close(self) -> None:
        """Give up everything held, as dying would."""
        self._closed.set()
        self._session.close()

    def _enter(self) -> None:
        """Take the lock, then say whose it is: a name without its lock is a dead one's."""
        with self._session.transaction("BEGIN"):
            self._run(_END_OLD, lock=self._lock)
            if not self._run(_TAKE, lock=self._lock)[0]["ours"]:
                raise JournalError(remark(Trouble.EARLIER_CONNECTION))
            self._run(_JOIN, new_lock=self._lock, new_holder=self.own)
            self._run(_FORGET_DEAD)
            self._run(_LISTEN)

    def _run(self, statement: Statement, **values: object) -> list[Row]:
        return self._session.run(*statement.told(Tongue.POSTGRES, values))

    def _listen(self) -> None:
        connection = self._session.connection()
        while not self._closed.is_set():
            try:
                if connection is not self._session.connection():
                    self._enter()
                    connection = self._session.connection()
                    _log.info("this machine is at work on the shared journal again")
                    self._tell(None)
                self._hear()
                self._miss()
            except JournalError as problem:
                _log.debug("the shared journal does not answer: %s", problem)
                self._closed.wait(_AGAIN_SECONDS)

    def _hear(self) -> None:
        connection = self._session.connection()
        with self._session.told():
            for note in connection.notifies(timeout=max(0.0, self._look_at - time.monotonic())):
                if note.payload.startswith(_SAW):
                    self._saw(note, connection.info.backend_pid)
                    continue
                number, _, writer = note.payload.partition(" ")
                if writer != self._database.session.name:
                    with suppress(ValueError):
                        self._tell(int(number))

    def _saw(self, note: psycopg.Notify, own_pid: int) -> None:
        """Another one looked: if that is what we know, too, we need not. Else we do when it is our turn."""
        with self._seen_lock:
            known = hashlib.sha256(" ".join(sorted(self._seen)).encode()).hexdigest()
        if note.pid != own_pid and note.payload == _SAW + known:
            self._believe(random.uniform(*_LATER))

    def _believe(self, times: float = 1.0) -> None:
        now = time.monotonic()
        self._look_at, self._believed_until = now + times * _LOOK_SECONDS, now + 2 * _LOOK_SECONDS

    def _miss(self) -> None:
        """Tell of holders that have gone since somebody looked: nobody else would."""
        if time.monotonic() < self._look_at:
            return
        if not any(is_watching() for _, is_watching in self._tellers):
            self._look_at = time.monotonic() + _LOOK_SECONDS
            return
        alive = frozenset((self.own, *(row["holder"] for row in self._run(_LOOK))))
        with self._seen_lock:
            gone, self._seen = self._seen - alive, alive
        self._believe()
        if gone:
            self._tell(None)

    def _tell(self, job_id: int | None) -> None:
        for tell, _ in list(self._tellers):
            tell(job_id)
