"""What a piece of work costs, as the operating system counts it: wall time, CPU time, memory at its peak."""

from __future__ import annotations

import os
import sys
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

_STATUS = Path("/proc/self/status")
_MEMORY = Path("/proc/meminfo")
_CLEAR = Path("/proc/self/clear_refs")
_CLEAR_PEAK = "5"
_PAGE_BYTES = 4096
_KEPT_FREE_BYTES = 3 << 30


class Warmth:
    """Memory that is touched and given back right before a clock starts, so that a virtual machine has it.

    Its host takes free memory back within seconds, and lends a page again at twenty times the cost of a first touch.
    """

    size_bytes = 0

    @classmethod
    def spread(cls) -> None:
        """Touch it, or what of it the machine and the limit of address space have to spare."""
        size = min(cls.size_bytes, _available_bytes() - _KEPT_FREE_BYTES)
        while size > 0:
            try:
                np.empty(size, np.uint8)[::_PAGE_BYTES] = 1
            except MemoryError:
                size = size * 9 // 10
            else:
                return


@dataclass
class Cost:
    """Seconds and bytes of one run. peak_bytes: the most resident memory at a time over what there was before,
    children's included; None where the system does not tell.
    """

    wall: float = 0.0
    user: float = 0.0
    system: float = 0.0
    peak_bytes: int | None = None

    @property
    def cpu(self) -> float:
        return self.user + self.system


class Meter:
    """A context manager around the work; `cost` is filled in when it ends."""

    def __init__(self) -> None:
        self.cost = Cost()

    def __enter__(self) -> Meter:
        Warmth.spread()
        self._rss_before = _reset_peak()
        self._times = os.times()
        self._began = time.perf_counter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.cost.wall = time.perf_counter() - self._began
        now, then = os.times(), self._times
        self.cost.user = now.user - then.user + now.children_user - then.children_user
        self.cost.system = now.system - then.system + now.children_system - then.children_system
        peak = _peak()
        if peak is not None and self._rss_before is not None:
            self.cost.peak_bytes = peak - self._rss_before + _peak_of_children()

    def sample(self, **more: Any) -> dict[str, Any]:
        """The cost and whatever else was found, as JSON values."""
        return {**asdict(self.cost), **more}


def _reset_peak() -> int | None:
    """Forget the peak so far, where that can be done (Linux); gives the resident bytes now."""
    with suppress(OSError):
        _CLEAR.write_text(_CLEAR_PEAK)
    return _status("VmRSS") if _STATUS.exists() else _peak()


def _peak() -> int | None:
    if _STATUS.exists():
        return _status("VmHWM")
    if sys.platform == "win32":
        return None
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _peak_of_children() -> int:
    if sys.platform == "win32":
        return 0
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * unit


def _status(field: str) -> int:
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith(field + ":"))
    return int(line.split()[1]) * 1024


def _available_bytes() -> int:
    """What the machine can spare; 0 where that is not told (elsewhere than on Linux), so that nothing is warmed."""
    if not _MEMORY.exists():
        return 0
    line = next(line for line in _MEMORY.read_text().splitlines() if line.startswith("MemAvailable:"))
    return int(line.split()[1]) * 1024
