"""A user folder, a stand-in gateway where a journal's clips are asked for, and a journal in each kind of place."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from nodes.journal import shared_presence
from nodes.journal.postgres import Address
from nodes.journal.store import Place
from nodes.journal.verbs import Journal
from tests.jobs.conftest import gateway, user
from tests.support import postgres

__all__ = ["gateway", "user"]


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """Where a journal may be: whatever is promised of one is promised of the other."""
    return tmp_path / "user" / "journal.sqlite3" if request.param == "sqlite" else postgres.address()


@pytest.fixture
def journal(place: Place) -> Iterator[Journal]:
    """A journal that is empty."""
    opened = Journal(place)
    yield opened
    opened.close()


@pytest.fixture
def uri() -> str:
    """An empty database."""
    return postgres.new_database()


@pytest.fixture
def address(uri: str) -> Address:
    """The same, as a journal is told of it."""
    return Address(uri)


@pytest.fixture
def open_journal(address: Address) -> Iterator[Callable[[], Journal]]:
    """Opens the journal once more, as another machine would."""
    opened: list[Journal] = []

    def opening() -> Journal:
        opened.append(Journal(address))
        return opened[-1]

    yield opening
    for journal in opened:
        journal.close()


@pytest.fixture
def quick_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A death is looked for often: what comes of it is what is tested."""
    monkeypatch.setattr(shared_presence, "_LOOK_SECONDS", 0.5)
