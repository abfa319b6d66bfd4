"""A user folder, a stand-in gateway, and what they need."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from nodes.rehearsal.server import RehearsalGateway
from tests.support import harness
from tests.support.panel import site

__all__ = ["gateway", "site", "user"]


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[RehearsalGateway]:
    """A stand-in gateway that is up."""
    with harness.rehearsal(tmp_path / "gateway") as server:
        yield server


@pytest.fixture
def user(tmp_path: Path) -> Path:
    """The state folder of a user."""
    return tmp_path / "user"


@pytest.fixture
def bench(gateway: RehearsalGateway, user: Path) -> Iterator[harness.Bench]:
    """A runner at that gateway."""
    with harness.bench(user, gateway.base_url) as opened:
        yield opened
