"""How quickly pictures follow each other, told from the times at which they are shown."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise

_CLEARLY_SOONER = 0.6  # half as long is; a camera's own jitter is not
_FEW = 2  # a camera that stumbled
_ONE_IN = 20
_JITTER_TICKS = 2  # containers that count milliseconds round each time


def usual_step(times: Sequence[int]) -> float:
    """The distance between most pictures, in ticks; 0 if there are fewer than two.

    The mean of those that differ from the median by rounding: in milliseconds, 30 a second are 33, 33 and 34 apart.
    """
    steps = [b - a for a, b in pairwise(times)]
    return _usual(steps) if steps else 0.0


def quick_step(times: Sequence[int]) -> float:
    """As `usual_step`, or the distance of those that follow each other clearly sooner, if they are more than a few.

    A screen that stands still for the most part moves at times: at the rate of most pictures that would not be seen.
    """
    steps = [b - a for a, b in pairwise(times) if a < b]  # of pictures that share a time one is seen
    step = _usual(steps) if steps else 0.0
    while len(sooner := [each for each in steps if each <= _CLEARLY_SOONER * step]) > max(_FEW, len(steps) // _ONE_IN):
        step = _usual(sooner)
    return step


def _usual(steps: Sequence[int]) -> float:
    median = statistics.median_low(steps)  # one of them, or none might be near it
    return statistics.fmean(step for step in steps if abs(step - median) <= jitter(median))


def jitter(step: float | Fraction) -> float:
    """By how many ticks a step of so many may be off by rounding alone."""
    return min(_JITTER_TICKS, float(step) / 2)
