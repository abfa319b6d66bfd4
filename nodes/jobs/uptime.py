"""How long the machine has been up: a clock that nobody sets, and that goes on while the machine sleeps."""

from __future__ import annotations

import time
import uuid
from pathlib import Path

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def seconds_up() -> float:
    """Seconds since the machine was started; where the system has no clock that counts sleep, without it."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if clock is None else time.clock_gettime(clock)


def _boot() -> str:
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        # What another process noted by its clock cannot be told from what was noted before a restart.
        return uuid.uuid4().hex


BOOT = _boot()
"""Names this life of the machine: uptimes of another one cannot be compared."""
