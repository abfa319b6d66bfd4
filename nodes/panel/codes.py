"""The one-time code that lets a browser on another machine set key or rehearsal.

It is printed where ComfyUI runs, and whoever types it has shown that this machine is theirs. It goes to the process's
own error output, not through ComfyUI's log: that one is handed to every browser that reaches ComfyUI
(`/internal/logs`), where a code would prove nothing.
"""

from __future__ import annotations

import contextlib
import logging
import secrets
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

CODE_SECONDS = 600.0
MOST_TRIES = 5
_LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ"  # without those that look like digits
_CODE_LETTERS = 8
_PAUSE_SECONDS = 30.0

_log = logging.getLogger("apimall_video.code")


class WrongCode(Exception):
    """The code is not, or no longer, the one that was printed; the text is for whoever typed it."""


@dataclass
class _Printed:
    letters: str
    at: float
    tries_left: int = MOST_TRIES


class OneTimeCode:
    """One code at a time: eight letters, good for ten minutes, five tries and one use. Asked from one thread.

    `show` prints a line where ComfyUI runs.
    """

    def __init__(self, show: Callable[[str], None] | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._show = show or show_where_comfyui_runs
        self._clock = clock
        self._printed: _Printed | None = None
        self._printed_at: float | None = None

    def ask(self) -> float:
        """Have a code printed, unless one is good already; gives the seconds it is good for. Raises WrongCode."""
        now = self._clock()
        if self._is_good(now):
            assert self._printed is not None
            return self._printed.at + CODE_SECONDS - now
        if self._printed_at is not None and now - self._printed_at < _PAUSE_SECONDS:
            # Whoever can reach ComfyUI can ask: the log is not theirs to fill.
            raise WrongCode("A code was printed a moment ago. Wait half a minute, then ask for another.")
        letters = "".join(secrets.choice(_LETTERS) for _ in range(_CODE_LETTERS))
        self._printed, self._printed_at = _Printed(letters, now), now
        self._show(
            f"API Mall Video: the code to set key or rehearsal in a browser on another machine is {letters[:4]}-"
            f"{letters[4:]}. It is good for ten minutes and one use. If you did not ask for it, ignore it."
        )
        return CODE_SECONDS

    @contextlib.contextmanager
    def used(self, given: str) -> Iterator[None]:
        """The code is spent on the block; it is good again if that fails. Raises WrongCode, and counts the tries."""
        used = self._spend(given)
        try:
            yield
        except BaseException:
            self._printed = self._printed or used
            raise

    def _spend(self, given: str) -> _Printed:
        printed = self._printed
        if printed is None or not self._is_good(self._clock()):
            raise WrongCode("No code is good any more. Have a new one printed.")
        typed = "".join(character for character in given.upper() if character not in " -")
        if secrets.compare_digest(typed.encode("utf-8", "replace"), printed.letters.encode()):
            self._printed = None
            return printed
        printed.tries_left -= 1
        if not printed.tries_left:
            raise WrongCode(f"That was not the code, {MOST_TRIES} times. Have a new one printed.")
        raise WrongCode(f"That is not the code that was printed where ComfyUI runs ({printed.tries_left} tries left).")

    def _is_good(self, now: float) -> bool:
        printed = self._printed
        return printed is not None and printed.tries_left > 0 and now - printed.at < CODE_SECONDS


def show_where_comfyui_runs(line: str) -> None:
    """To the terminal, the container's log, the service's journal: wherever the process's error output goes."""
    if sys.__stderr__ is None:  # started without any output, as by pythonw: then the log is all there is
        _log.warning(line)
        return
    handler = logging.StreamHandler(sys.__stderr__)
    handler.emit(logging.LogRecord(_log.name, logging.WARNING, __file__, 0, line, None, None))
    handler.flush()
