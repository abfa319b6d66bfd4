"""Faults that are left to chance."""

from __future__ import annotations

import random
import threading
from collections.abc import Mapping, Sequence

from nodes.rehearsal.faults import NO_FAULT, Fault, parse
from nodes.rehearsal.script import Script


class Dice(Script):
    """A script that, where it is empty, plays one of `choices[step]` with a probability; repeatable by its seed."""

    def __init__(self, choices: Mapping[str, Sequence[str]], probability: float, seed: int = 0) -> None:
        super().__init__()
        self._choices = {step: [parse(word) for word in words] for step, words in choices.items()}
        self._probability, self._dice, self._dice_lock = probability, random.Random(seed), threading.Lock()

    def next_fault(self, step: str | None, now: float) -> Fault:
        fault = super().next_fault(step, now)
        if fault is NO_FAULT and step in self._choices:
            with self._dice_lock:
                if self._dice.random() < self._probability:
                    return self._dice.choice(self._choices[step])
        return fault
