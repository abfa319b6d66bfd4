"""Stand-in: which node is executing, also inside tasks and threads that it started through asyncio."""

from __future__ import annotations

import contextvars
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple


class ExecutionContext(NamedTuple):
    prompt_id: str
    node_id: str
    list_index: int | None


_current: contextvars.ContextVar[ExecutionContext | None] = contextvars.ContextVar("executing", default=None)


def get_executing_context() -> ExecutionContext | None:
    return _current.get()


@contextmanager
def executing(prompt_id: str, node_id: str, list_index: int | None) -> Iterator[None]:
    token = _current.set(ExecutionContext(prompt_id, node_id, list_index))
    try:
        yield
    finally:
        _current.reset(token)
