"""When to ask about a job again."""

from __future__ import annotations

import pytest

from nodes.jobs.pace import Learned, next_poll, spread


@pytest.mark.parametrize(
    ("elapsed", "watched", "seconds"),
    [(0, True, 3), (6, True, 6), (48, True, 26), (74, True, 6), (154, True, 10), (6000, True, 15)]
    + [(0, False, 3), (60, False, 15), (6000, False, 60)],
)
def test_a_job_of_an_unknown_kind_is_polled_more_closely_when_such_jobs_begin_to_be_done(
    elapsed: float, watched: bool, seconds: float
) -> None:
    assert next_poll(elapsed, None, 74.0, watched=watched) == seconds


def test_pauses_are_spread_by_seconds_at_most_and_never_grow() -> None:
    assert [spread(300.0, chance) for chance in (0.0, 0.5, 1.0)] == [300.0, 299.0, 298.0]
    assert spread(4.0, 1.0) == 3.0


def polls(learned: Learned | None, until: float) -> int:
    elapsed, count = 0.0, 0
    while elapsed < until:
        elapsed += next_poll(elapsed, learned, 74.0, watched=True)
        count += 1
    return count


def test_a_known_kind_of_job_is_left_alone_until_it_may_be_done() -> None:
    learned = Learned.of([100, 105, 110, 108, 104])
    assert learned is not None
    assert polls(learned, 100) < polls(None, 100) / 2


def test_what_was_learned_can_be_wrong_without_silence_for_hours() -> None:
    learned = Learned.of([30_000.0] * 5)
    assert learned is not None
    assert next_poll(10, learned, 74.0, watched=True) <= 30
    assert next_poll(3000, learned, 74.0, watched=True) <= 300


def test_nothing_is_learned_from_too_few_runs() -> None:
    assert Learned.of([100, 110]) is None


def test_progress_never_lies() -> None:
    learned = Learned(90, 100, 120, 10)
    assert learned.fraction(60) == 0.5
    assert learned.fraction(120) is None
