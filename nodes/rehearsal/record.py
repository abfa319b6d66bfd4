"""The record of every request that reached the stand-in: what tests, the demo and the curious look at."""

from __future__ import annotations

import base64
import threading
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from .ledger import Task
from .replies import Request

KEPT_REQUESTS = 20_000
KEPT_BODY_BYTES = 64 * 1024 * 1024


class Record:
    """Thread-safe; keeps the newest requests, and their bodies up to a budget (older bodies become empty)."""

    def __init__(self, tasks: Callable[[], list[Task]]) -> None:
        self._tasks = tasks
        self._changed = threading.Condition()
        self._requests: deque[Request] = deque()
        self._bodies: deque[int] = deque()
        self._body_bytes = 0
        self._dropped = 0
        self._counts: Counter[str | None] = Counter()

    def add(self, request: Request) -> None:
        with self._changed:
            self._requests.append(request)
            self._counts[request.step] += 1
            if request.body:
                self._bodies.append(self._dropped + len(self._requests) - 1)
                self._body_bytes += len(request.body)
            while self._body_bytes > KEPT_BODY_BYTES:
                self._forget_oldest_body()
            if len(self._requests) > KEPT_REQUESTS:
                gone = self._requests.popleft()
                if gone.body:
                    self._bodies.popleft()
                    self._body_bytes -= len(gone.body)
                self._dropped += 1
            self._changed.notify_all()

    def _forget_oldest_body(self) -> None:
        place = self._bodies.popleft() - self._dropped
        self._body_bytes -= len(self._requests[place].body)
        self._requests[place] = replace(self._requests[place], body=b"")

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
        return self._tasks()

    def charges(self) -> int:
        """Credits charged so far, refunds not subtracted."""
        return sum(task.credits_used for task in self.tasks)

    def refunds(self) -> int:
        """Credits refunded so far."""
        return sum(task.credits_refunded for task in self.tasks)

    def most_running(self) -> int:
        """The greatest number of unfinished tasks that one account has had at a time."""
        return max((task.beside for task in self.tasks), default=0)

    def view(self) -> dict[str, Any]:
        """The record as JSON values, for another process; keys are masked, bodies are base64."""
        return {
            "requests": [_request_view(request) for request in self.requests],
            "counts": {str(step): count for step, count in self._counts.items()},
            "tasks": [_task_view(task) for task in self.tasks],
            "charges": self.charges(),
            "refunds": self.refunds(),
            "most_running": self.most_running(),
        }


def _request_view(request: Request) -> dict[str, Any]:
    headers = {name.lower(): value for name, value in request.headers.items()}
    if "authorization" in headers:
        headers["authorization"] = headers["authorization"].split(" ")[0] + " (masked)"
    return {
        "step": request.step,
        "method": request.method,
        "path": request.path,
        "query": request.query,
        "headers": headers,
        "body_base64": base64.b64encode(request.body).decode(),
        "at": request.at,
        "fault": request.fault,
    }


def _task_view(task: Task) -> dict[str, Any]:
    names = (
        "task_id",
        "status",
        "type",
        "prompt",
        "duration",
        "resolution",
        "media",
        "credits_used",
        "credits_refunded",
    )
    return {**{name: getattr(task, name) for name in names}, "created_at": task.created_at, "beside": task.beside}
