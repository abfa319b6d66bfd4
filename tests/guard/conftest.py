"""Servers, names and a place for files, for the tests of the guard."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.elsewhere import TLS
from tests.support.internet import Answer, Internet, Server


@pytest.fixture
def internet(monkeypatch: pytest.MonkeyPatch) -> Iterator[Internet]:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(TLS / "authority.pem"))
    found = Internet()
    yield found
    for server in {found.trap, *found.servers.values()}:
        server.close()


@pytest.fixture
def serve() -> Iterator[Callable[[Answer], Server]]:
    servers: list[Server] = []

    def start(answer: Answer, **options: bool) -> Server:
        servers.append(Server(answer, **options))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def part(tmp_path: Path) -> Iterator[Path]:
    """Where a download goes. Afterwards nothing may be left of one that failed, and no thread of any."""
    (tmp_path / "downloads").mkdir()
    yield tmp_path / "downloads" / "clip.part"
    for thread in threading.enumerate():
        if thread.name == "apimall-download":
            thread.join(10)
            assert not thread.is_alive(), "a download goes on though nobody waits for it"
