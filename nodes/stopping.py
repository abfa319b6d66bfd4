"""How long work is stopped, and told of: the two callbacks that every long step takes."""

from __future__ import annotations

from collections.abc import Callable

Stop = Callable[[], bool]
"""Asked often, from one thread at a time; True ends the work with Stopped within 0.3 s."""

Tell = Callable[[float], None]
"""Told the finished fraction, 0..1, never falling."""


class Stopped(Exception):
    """The stop check asked for an end. Partial files are gone."""

    def __init__(self) -> None:
        super().__init__("Stopped: the work was interrupted.")


def never_stop() -> bool:
    """The stop check of a caller that does not stop."""
    return False


def tell_nobody(fraction: float) -> None:
    """The progress listener of a caller that does not listen."""
