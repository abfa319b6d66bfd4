"""The record of every request that reached the stand-in: what tests, the demo and the curious look at."""

from __future__ import annotations

import base64
import threading
from collections import Counter, deque
from dataclasses import asdict
from typing import Any

from .book import Book, Entry, Task, What
from .messages import Request

KEPT_REQUESTS = 20_000
KEPT_BODY_BYTES = 64 * 1024 * 1024


class Record:
    """The newest requests, and beside them the book. Thread-safe."""

    def __init__(self, book: Book) -> None:
        self._book = book
        self._changed = threading.Condition()
        self._requests: deque[Request] = deque()
        self._body_bytes = 0
        self._counts: Counter[str | None] = Counter()

    def add(self, request: Request) -> None:
        with self._changed:
            self._requests.append(request)
            self._counts[request.step] += 1
            self._body_bytes += len(request.body)
            while len(self._requests) > KEPT_REQUESTS or self._body_bytes > KEPT_BODY_BYTES:
                self._body_bytes -= len(self._requests.popleft().body)
            self._changed.notify_all()

    @property
    def requests(self) -> list[Request]:
        """All kept requests, oldest first."""
        with self._changed:
            return list(self._requests)

    def of(self, step: str) -> list[Request]:
        """The kept requests of one step."""
        return [request for request in self.requests if request.step == step]

    @property
    def posts(self) -> list[Request]:
        """The paid requests: every POST that would create a task."""
        return self.of("create")

    def count(self, step: str | None = None) -> int:
        """How many requests of a step (None: of all) have arrived, forgotten ones included."""
        with self._changed:
            return sum(self._counts.values()) if step is None else self._counts[step]

    def wait_for(self, step: str, count: int = 1, timeout_seconds: float = 10.0) -> bool:
        """Waits until `count` requests of a step have arrived; False when the time is up first."""
        with self._changed:
            return self._changed.wait_for(lambda: self._counts[step] >= count, timeout_seconds)

    @property
    def tasks(self) -> list[Task]:
        """Every task that was ever accepted, that is charged, in order; restarts included."""
        with self._book.open() as page:
            return page.tasks()

    @property
    def entries(self) -> list[Entry]:
        """The gateway's own book: every charge and refund with key, task id and credits."""
        with self._book.open() as page:
            return page.entries()

    def charges(self) -> int:
        """Credits charged so far, refunds not subtracted."""
        return sum(entry.credits for entry in self.entries if entry.what is What.CHARGE)

    def most_running(self) -> int:
        """The greatest number of unfinished tasks that one account has had at a time."""
        return max((task.beside for task in self.tasks), default=0)

    def view(self) -> dict[str, Any]:
        """The record as JSON values, for another process; keys are masked, bodies are base64."""
        return {
            "requests": [_view(request) for request in self.requests],
            "tasks": [asdict(task) for task in self.tasks],
            "entries": [asdict(entry) for entry in self.entries],
        }


def _view(request: Request) -> dict[str, Any]:
    headers = {name.lower(): value for name, value in request.headers.items()}
    if "authorization" in headers:
        headers["authorization"] = headers["authorization"].split(" ")[0] + " (masked)"
    told = {name: value for name, value in vars(request).items() if name not in ("headers", "body")}
    return {**told, "headers": headers, "body_base64": base64.b64encode(request.body).decode()}
