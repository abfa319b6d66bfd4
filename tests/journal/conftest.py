"""A user folder, a stand-in gateway where a journal's clips are asked for, and a journal in each kind of place."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

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
