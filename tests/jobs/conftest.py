"""A user folder, a stand-in gateway, and what they need."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from nodes.rehearsal.server import RehearsalGateway
from tests.support import jobs as lab
from tests.support.panel import desk

__all__ = ["desk", "gateway", "user"]


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[RehearsalGateway]:
    """A stand-in gateway that is up."""
    with lab.rehearsal(tmp_path / "gateway") as server:
        yield server


@pytest.fixture
def user(tmp_path: Path) -> Path:
    """The state folder of a user."""
    return tmp_path / "user"
