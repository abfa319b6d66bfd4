"""A small sample of the fleet (`nox -s fleet` runs the whole)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fleet.fleet import Fleet
from tests.support import postgres

pytestmark = pytest.mark.soak


def test_machines_that_die_and_a_database_that_comes_and_goes_lose_no_job_and_pay_none_twice(tmp_path: Path) -> None:
    with postgres.running() as server:
        balance = Fleet(tmp_path, server, jobs=30, percent=10).run(kills=2, restarts=1, partitions=1)
    assert balance.is_sound, balance.lines()
    assert balance.peak_threads <= 12
