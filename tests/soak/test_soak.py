"""A small sample of the soak (`nox -s soak` runs the whole)."""

from __future__ import annotations

from pathlib import Path

from tests.soak.soak import Soak


def test_faults_and_kills_lose_no_job_and_pay_none_twice(tmp_path: Path) -> None:
    balance = Soak(tmp_path, jobs=30, percent=20, kills=2).run()
    assert (balance.charges, balance.lost, balance.doubled) == (30, 0, 0), balance.lines()
    assert balance.faults_played > 5
    assert balance.peak_threads <= 12
    assert balance.busiest_minute <= 60, "of both processes together"
