"""A create that a full plan turns away delays no clip that is ready (rule 8), on simulated time."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.lateness import lateness, neighbours, nobody


@pytest.mark.parametrize(
    ("plan", "others"),
    [(3, nobody), (1, nobody), (5, neighbours)],
    ids=["a smaller plan", "a plan of one", "a plan that others fill"],
)
def test_a_full_plan_makes_no_clip_late(plan: int, others: Callable[[float], int], tmp_path: Path) -> None:
    free = lateness(tmp_path / "free", plan=1000, jobs=16)
    full = lateness(tmp_path / "full", plan=plan, others=others, jobs=16)
    assert statistics.median(full) <= statistics.median(free) + 5.0, (free, full)
