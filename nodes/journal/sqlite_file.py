"""The journal's file: how it is opened, read and written. The only module that speaks to SQLite, beside salvage."""

from __future__ import annotations

import functools
import logging
import sqlite3
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from ..gateway.errors import SetupError
from ..remarks import remark
from ..troubles import Trouble
from . import migrations
from .errors import JournalDamaged, JournalError
from .location import exclusive, require_own_disk, unusable
from .statements import Row, Statement, Tongue

_log = logging.getLogger("apimall_video.jobs")

_BESIDE = ("-wal", "-shm")
_WRITER_WAITS_SECONDS = 20.0
_READER_WAITS_SECONDS = 5.0


class Database:
    """One connection for all threads of a process. What SQLite raises leaves it as JournalError.

    WAL with `synchronous=FULL`: what was committed survives a power cut. A damaged file is given to `repair`, which
    puts another in its place, whenever the damage is found: on opening, by a check in the background, or in use (that
    call fails, the next one finds the new file). Raises SetupError for a file of a newer version, one on a network
    drive and one that cannot be opened.
    """

    def __init__(self, path: Path, repair: Callable[[JournalDamaged], None]) -> None:
        require_own_disk(path.parent)
        self._path = path
        self._repair = repair
        self._lock = threading.RLock()
        self._damage: JournalDamaged | None = None
        self.replacements = 0
        with exclusive(path):
            self._doubtful = _has_log(path)
            try:
                self._connect()
            except JournalDamaged as damage:
                repair(damage)
                self._connect()
        self._check = Check(path, self._note)

    def select(self, statement: Statement, **values: object) -> list[Row]:
        """All rows of a question."""
        with self._ready():
            return self._connection.execute(*statement.told(Tongue.SQLITE, values)).fetchall()

    def execute(self, statement: Statement, **values: object) -> None:
        """Change something, inside `transaction`."""
        with self._ready():
            self._connection.execute(*statement.told(Tongue.SQLITE, values))

    def change(self, change: Statement, notes: Collection[Statement], again: Statement, **values: object) -> list[Row]:
        """Make a change, write `notes` beside it, and give the row that `again` asks for; inside `transaction`."""
        for each in (change, *notes):
            self.execute(each, **values)
        return self.select(again, **values)

    def change_alone(self, change: Statement, again: Statement, **values: object) -> list[Row]:
        """Make a change that is a transaction of its own, and give the row that `again` asks for."""
        with self.transaction():
            return self.change(change, (), again, **values)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing, and no other process in between."""
        with self._ready():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                # A full disk has rolled back already; a second rollback would fail and hide why.
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    def require_sound(self, *, if_doubtful: bool = False) -> None:
        """Wait until the whole file was read once; a damaged one is replaced before this returns.

        `if_doubtful`: only where somebody was writing to it when it was opened, or when its last user died.
        """
        if self._doubtful or not if_doubtful:
            self._check.wait()
        with self._ready():
            pass

    def require_lasting(self) -> None:
        """Raises JournalError where what is written would be lost: the file was removed, or its disk unmounted.

        SQLite writes on into a file without a name, and says nothing.
        """
        if _identity(self._path) is None:
            raise JournalError(remark(Trouble.FILE_IS_GONE))
        if self._is_replaced():
            raise JournalError(remark(Trouble.FILE_WAS_REPLACED))

    def close(self) -> None:
        self._check.stop()
        with self._lock, told():
            self._connection.close()

    @contextmanager
    def _ready(self) -> Iterator[None]:
        with self._lock:
            try:
                with told():
                    if not self._connection.in_transaction:
                        self._refresh()
                    yield
            except JournalDamaged as damage:
                self._note(damage)
                raise

    def _note(self, damage: JournalDamaged) -> None:
        self._damage = damage

    def _refresh(self) -> None:
        """Go on with another file where ours is damaged, or was replaced by another process that found it so."""
        if self._damage is None and not self._is_replaced():
            return
        with exclusive(self._path):
            damage, self._damage = self._damage, None
            replaced = self._is_replaced()
            with told():
                if replaced:
                    self._take_log_along()
                self._connection.close()
            if damage is not None and not replaced:
                self._repair(damage)
            self._connect()
            if replaced:
                self._doubt()

    def _take_log_along(self) -> None:
        """Leave nothing of ours beside another file: SQLite takes the log that lies there for that one's own.

        What stands in the log goes into the file that it belongs to, wherever that is now.
        """
        with suppress(sqlite3.Error):
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        for ending, ours in self._beside.items():
            path = self._path.with_name(self._path.name + ending)
            if ours is not None and _identity(path) == ours:
                with suppress(OSError):
                    path.unlink()

    def _doubt(self) -> None:
        """Nobody knows where the other file comes from."""
        _log.warning("the journal was replaced by another file; jobs that it does not tell of would be paid again")
        self.replacements += 1
        self._check.stop()
        self._doubtful, self._check = True, Check(self._path, self._note)

    def _connect(self) -> None:
        try:
            with told():
                self._connection = _open(self._path)
        except JournalDamaged:
            raise
        except JournalError as problem:
            raise unusable(self._path, problem.__cause__ or problem) from None
        self._opened = _identity(self._path)
        self._beside = {ending: _identity(self._path.with_name(self._path.name + ending)) for ending in _BESIDE}

    def _is_replaced(self) -> bool:
        now = _identity(self._path)
        return now is not None and now != self._opened


class Check:
    """Reads a whole file once, in the background and on a connection of its own; `tell` hears of damage."""

    def __init__(self, path: Path, tell: Callable[[JournalDamaged], None]) -> None:
        self._path = path
        self._tell = tell
        self._connection: sqlite3.Connection | None = None
        self._lock = threading.Lock()
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="journal-check", daemon=True)
        self._thread.start()

    def wait(self) -> None:
        """Until it is known whether the file is sound."""
        self._thread.join()

    def stop(self) -> None:
        """Nobody wants to know any more."""
        with self._lock:
            self._stopped = True
            if self._connection is not None:
                self._connection.interrupt()
        self._thread.join()

    def _run(self) -> None:
        try:
            with told(), closing(_connect_to_read(self._path)) as connection:
                with self._lock:
                    if self._stopped:
                        return
                    self._connection = connection
                verdict = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
                with self._lock:
                    self._connection = None
                if verdict != "ok":
                    self._tell(JournalDamaged(verdict))
        except JournalDamaged as damage:
            self._tell(damage)
        except JournalError as problem:
            _log.debug("the journal was not checked to its end: %s", problem)


class Reader:
    """The file as it is, never written: in WAL mode that neither waits for a writer nor holds one up."""

    def __init__(self, path: Path) -> None:
        with told():
            self._connection = _connect_to_read(path)
            self._connection.row_factory = sqlite3.Row

    def select(self, statement: Statement, **values: object) -> list[Row]:
        """All rows of a question."""
        with told():
            return self._connection.execute(*statement.told(Tongue.SQLITE, values)).fetchall()

    def close(self) -> None:
        self._connection.close()


@contextmanager
def told() -> Iterator[None]:
    """What SQLite raises, as JournalError."""
    try:
        yield
    except sqlite3.Error as problem:
        # A malformed file is told by the bare class; its children are locks, full disks and mistakes.
        kind = JournalDamaged if type(problem) is sqlite3.DatabaseError else JournalError
        raise kind(str(problem)) from problem


def _has_log(path: Path) -> bool:
    """Whether writes lie beside the file: whoever closes it as its last user leaves none."""
    try:
        return path.with_name(f"{path.name}-wal").stat().st_size > 0
    except OSError:
        return False


def _identity(path: Path) -> tuple[int, int] | None:
    """Which file lies there, None when none does."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _connect_to_read(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(
        _to_read(path), uri=True, timeout=_READER_WAITS_SECONDS, isolation_level=None, check_same_thread=False
    )


@functools.cache
def _to_read(path: Path) -> str:
    """SQLite's address of a file that is not written; every question of the panel asks for it."""
    return path.absolute().as_uri() + "?mode=ro"


def _open(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=_WRITER_WAITS_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        connection.row_factory = sqlite3.Row
        mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
        if mode != "wal":
            raise sqlite3.OperationalError(f"the journal mode stays {mode}")
        connection.execute("PRAGMA synchronous = FULL")
        _migrate(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    connection.execute("BEGIN IMMEDIATE")
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if version > len(migrations.SQLITE):
        connection.execute("ROLLBACK")
        raise SetupError(remark(Trouble.JOURNAL_NEWER, path=str(path)), advice=remark(Trouble.UPDATE_PACK))
    for number, script in enumerate(migrations.SQLITE[version:], version + 1):
        for statement in migrations.statements(script):
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {number}")
    connection.execute("COMMIT")
