"""Who is wired to whom: a runner for each account, which follows what that account left."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from nodes.gateway.errors import SetupError
from nodes.journal.errors import JournalError
from nodes.journal.rows import Job
from nodes.rehearsal.server import RehearsalGateway
from nodes.service import Folders, Service
from tests.support import harness


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[RehearsalGateway]:
    with harness.rehearsal(tmp_path / "gateway") as server:
        yield server


@pytest.fixture
def service(tmp_path: Path, gateway: RehearsalGateway) -> Iterator[Service]:
    environ = {"APIMALL_API_KEY": harness.KEY, "APIMALL_BASE_URL": gateway.base_url}
    made = Service(Folders(tmp_path / "state", tmp_path / "results"), environ, clocks=harness.quick_clocks())
    yield made
    made.close()


def test_what_could_not_be_resumed_at_first_is_resumed_with_the_next_job(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = service.journal()
    sound = journal.resumable
    asked: list[str] = []

    def locked(account: str, since: float) -> list[Job]:
        raise JournalError("database is locked")

    def counted(account: str, since: float) -> list[Job]:
        asked.append(account)
        return sound(account, since)

    monkeypatch.setattr(journal, "resumable", locked)
    with pytest.raises(SetupError, match="locked"):
        service.runner()
    monkeypatch.setattr(journal, "resumable", counted)
    service.runner()
    service.runner()
    assert asked == [service.settings().account]


@pytest.mark.parametrize(
    ("in_settings", "in_environment", "counts"),
    [(0, "", 0), (9, "", 9), (0, "6", 6), (9, "6", 6), (3, "6", 3)],
)
def test_of_the_two_limits_of_a_day_the_smaller_counts(
    in_settings: float, in_environment: str, counts: float, tmp_path: Path
) -> None:
    environ = {"APIMALL_API_KEY": harness.KEY, "APIMALL_DAILY_CREDITS": in_environment}
    service = Service(Folders(tmp_path / "state", tmp_path / "results"), environ, daily_limit=lambda: in_settings)
    assert service._credits_a_day() == counts
