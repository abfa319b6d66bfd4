"""A ComfyUI process in small: makes one job through the real runner, and dies on the spot where it is told to.

python -m tests.support.child '{"folder": ..., "base_url": ..., "kind": ..., "die_at": ...}'

With "database": an address, its journal is there. Prints a JSON object when it comes to an end alive. Dying is SIGKILL
(on Windows TerminateProcess): no handler, no `finally`, no flush.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nodes.gateway.contract import Stored
from nodes.gateway.errors import APIMallError
from nodes.guard.downloads import download
from nodes.guard.storage import put
from nodes.jobs.events import Event
from nodes.journal.postgres import Address
from nodes.journal.rows import Job
from tests.support import harness

# Moments between the runner's own events.
INTENDED, UPLOADING, STORED, FETCHING = "intended", "uploading", "stored", "fetching"
HALF_WAY = "half-way"

ORDERS: dict[str, Callable[[], Any]] = {
    "text": harness.text_order,
    "image": harness.picture_order,
    "video": harness.clip_order,
}


def die() -> None:
    """As by kill -9."""
    os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))
    threading.Event().wait()


class Dying:
    """Hooks that end the process when `die_at` comes."""

    def __init__(self, die_at: str) -> None:
        self._die_at = die_at

    def at(self, step: str) -> None:
        if step == self._die_at:
            die()

    def observe(self, event: Event, job: Job) -> None:
        self.at(event)

    def put(self, *args: Any, **named: Any) -> Stored:
        self.at(UPLOADING)
        stored = put(*args, **named)
        self.at(STORED)
        return stored

    def download(self, *args: Any, **named: Any) -> Any:
        tell = named.pop("tell")

        def told(fraction: float) -> None:
            tell(fraction)
            self.at(FETCHING)
            if fraction > 0.5:
                self.at(HALF_WAY)

        return download(*args, **named, tell=told)


def main(told: dict[str, Any]) -> dict[str, Any]:
    dying = Dying(told.get("die_at", ""))
    place = Address(told["database"]) if told.get("database") else None
    wiring = harness.Wiring(place=place, observe=dying.observe, put=dying.put, download=dying.download)
    with harness.bench(Path(told["folder"]), told["base_url"], wiring) as bench:
        if told["kind"] == "collect":
            ticket = bench.runner.collect(told.get("task_id"))
            assert ticket is not None, "there is nothing to collect"
        else:
            ticket = bench.runner.submit(ORDERS[told["kind"]](*told.get("prompt", ())))
        dying.at(INTENDED)
        harness.ended(ticket)
        try:
            result = ticket.result()
        except APIMallError as failure:
            return {"error": type(failure).__name__, "told": str(failure)}
        return {"path": str(result.path), "task_id": result.task_id, "downloaded": result.downloaded}


if __name__ == "__main__":
    print(json.dumps(main(json.loads(sys.argv[1]))), flush=True)  # noqa: T201 - read by the test
