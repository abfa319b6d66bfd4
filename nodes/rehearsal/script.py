"""The script of faults: which is played when. In words or in JSON."""

from __future__ import annotations

import json
import re
import threading
from collections import deque
from collections.abc import Mapping
from typing import Any

from .faults import NO_FAULT, STEPS, Fault, parse

FOR_EVER = float("inf")
Said = str | Fault | None
"""A fault in words, a ready one, or None for a proper answer."""


class Script:
    """Faults by step. Those in order come first, one per request; then one that is played until a time. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._queues: dict[str, deque[Fault]] = {step: deque() for step in STEPS}
        self._lasting: dict[str, tuple[float, Fault]] = {}

    def script(self, step: str, *said: Said) -> None:
        """Appends to a step's script."""
        with self._lock:
            self._queue(step).extend(_fault(each) for each in said)

    def play_until(self, step: str, said: Said, until: float = FOR_EVER) -> None:
        """What a step plays whenever nothing is in order, until a time of the server's clock."""
        with self._lock:
            self._queue(step)
            self._lasting[step] = (until, _fault(said))

    def next_fault(self, step: str | None, now: float) -> Fault:
        """The fault to play now."""
        if step is None:
            return NO_FAULT
        with self._lock:
            if self._queue(step):
                return self._queue(step).popleft()
            until, fault = self._lasting.get(step, (now, NO_FAULT))
            return fault if now < until else NO_FAULT

    def clear(self) -> None:
        """From here on all is well."""
        with self._lock:
            self._lasting.clear()
            for queue in self._queues.values():
                queue.clear()

    def read(self, script: Mapping[str, Any], now: float) -> None:
        """Takes a script in words: {"create": ["503*3", "none", "drop-after"], "poll": "status:unknown*"}.

        `*3` at the end: three times; `*`: for ever; `~60`: for 60 seconds. Raises ValueError.
        """
        for step, words in script.items():
            for word in [words] if isinstance(words, str) else words:
                said, sign, much = re.fullmatch(r"(.*?)(?:([*~])([\d.]*))?", word.strip(), re.DOTALL).groups()  # type: ignore[union-attr]
                if sign == "~" or (sign and not much):
                    self.play_until(step, said, now + float(much) if much else FOR_EVER)
                else:
                    self.script(step, *[said] * int(much or 1))

    def _queue(self, step: str) -> deque[Fault]:
        if step not in self._queues:
            raise ValueError(f"There is no step {step!r}; the steps are {', '.join(STEPS)}.")
        return self._queues[step]


def _fault(said: Said) -> Fault:
    return parse(said or "none") if said is None or isinstance(said, str) else said


def parse_line(line: str) -> dict[str, list[str]]:
    """One --fault of the command line: `create=503,503,drop-after`. A JSON argument may not hold a comma here."""
    step, separator, words = line.partition("=")
    if not separator:
        raise ValueError(f"{line!r} is not step=fault,fault,...")
    return {step.strip(): [word for word in words.split(",") if word.strip()]}


def load(text: str) -> Mapping[str, Any]:
    """A script file's text (JSON) as a mapping. Raises ValueError."""
    value = json.loads(text)
    if not isinstance(value, dict):
        raise ValueError("A fault script is a JSON object: step -> list of faults.")
    return value
