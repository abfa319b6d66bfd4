"""Stand-in: the interrupt flag."""

from __future__ import annotations

import threading

_lock = threading.Lock()
_interrupted = False


class InterruptProcessingException(BaseException):
    """An Exception in hosts before 0.20."""


def interrupt_current_processing(value: bool = True) -> None:
    global _interrupted  # noqa: PLW0603 - one flag for the process, as in ComfyUI
    with _lock:
        _interrupted = value


def processing_interrupted() -> bool:
    with _lock:
        return _interrupted


def throw_exception_if_processing_interrupted() -> None:
    global _interrupted  # noqa: PLW0603
    with _lock:
        if _interrupted:
            _interrupted = False
            raise InterruptProcessingException
