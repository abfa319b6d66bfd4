"""The stand-in gateway as a whole: one object to start, script, question and stop."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

from . import rules, scenes
from .desk import Desk, Terms, account_of
from .faults import Fault
from .ledger import Ledger, Task
from .record import Record
from .replies import Reply, Request, as_json, refusal
from .rules import Refused
from .script import Faults, load
from .shelf import Shelf
from .studio import Render, Studio
from .wire import Wire

log = logging.getLogger("apimall_video.rehearsal")


class RehearsalGateway:
    """Speaks the gateway's documented contract over HTTP on loopback.

    `folder` holds its ledger, uploads and results and may be shared by several servers. `credits` is what every
    account begins with. `render` writes a scene's MP4 to a path. `most_running` and `requests_per_minute` are limits
    per account (None: no limit). Started again, it listens on the port it had.
    """

    def __init__(
        self,
        folder: Path,
        *,
        credits: int = 1000,
        seconds_per_task: float = 6.0,
        render: Render = scenes.render,
        faults: Faults | None = None,
        clock: Callable[[], float] = time.time,
        port: int = 0,
        most_running: int | None = 5,
        requests_per_minute: int | None = None,
    ) -> None:
        self.faults = faults if faults is not None else Faults()
        self._clock, self._port = clock, port
        self._ledger = Ledger(folder, credits)
        shelf = Shelf(folder)
        self._studio = Studio(self._ledger, shelf, render, clock)
        terms = Terms(seconds_per_task, most_running, requests_per_minute)
        self._desk = Desk(self._ledger, shelf, self._studio, terms, clock, lambda: self.base_url)
        self.record = Record(self._tasks)
        self._wire: Wire | None = None

    @property
    def base_url(self) -> str:
        """Where it listens, without a slash at the end; known once it was started."""
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> str:
        """Starts listening; gives the base URL. Raises OSError when the port is taken."""
        if self._wire is None:
            self._wire = Wire(self._port, self.faults.take, self._answer, self.record, self._clock)
            self._port = self._wire.server_port
            self._studio.start()
            threading.Thread(target=self._wire.serve_forever, name="apimall-rehearsal", daemon=True).start()
        return self.base_url

    def stop(self) -> None:
        """Stops listening and breaks all connections; tasks go on by the clock and are known after the next start."""
        if self._wire is not None:
            self._wire.close_all()
            self._wire = None
            self._studio.stop()

    def __enter__(self) -> RehearsalGateway:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def script(self, step: str, *faults: Fault | None) -> None:
        """Appends faults to a step's script (create, query, upload_url, put, base64, download, balance)."""
        self.faults.script(step, *faults)

    def always(self, step: str, fault: Fault | None) -> None:
        """What a step plays whenever its script is empty."""
        self.faults.always(step, fault)

    def credits(self, api_key: str) -> int:
        """What the account of a key has left."""
        with self._ledger.open() as book:
            return book.credits(account_of(api_key))

    def grant(self, credits: int) -> None:
        """Adds credits to every account, durably."""
        with self._ledger.open() as book:
            book.grant(credits)

    def wait_for_clips(self, timeout_seconds: float = 60.0) -> bool:
        """Waits until every accepted task's clip is on disk (or has failed); False when the time is up first."""
        return self._studio.wait(timeout_seconds)

    def _tasks(self) -> list[Task]:
        with self._ledger.open() as book:
            return list(book.tasks.values())

    def _answer(self, request: Request, fault: Fault | None) -> Reply:
        if request.path.startswith("/rehearsal/"):
            return self._control(request)
        proper = Reply(200)
        if fault is None or fault.carries_out:
            try:
                proper = self._desk.answer(request, fault)
            except Exception:  # the real one answers 500 too, instead of hanging up
                log.exception("the rehearsal gateway stumbled over a request")
                proper = refusal(500)
        return fault.play(proper, request.step or "") if fault is not None else proper

    def _control(self, request: Request) -> Reply:
        """What is the stand-in's own: GET record; POST script, grant and clear (JSON, loopback names only)."""
        try:
            rules.gateway_host(request.headers)
            if (request.method, request.path) == ("GET", "/rehearsal/record"):
                return _plain(self.record.view())
            body = rules.json_object(request.headers, request.body)
            return self._control_post(request.path if request.method == "POST" else "", body)
        except Refused as refused:
            return refusal(refused.status, refused.message)
        except (ValueError, TypeError, AttributeError) as error:
            return refusal(400, str(error))

    def _control_post(self, path: str, body: dict[str, Any]) -> Reply:
        if path == "/rehearsal/script":
            self.faults.read(body)
        elif path == "/rehearsal/clear":
            self.faults.clear()
        elif path == "/rehearsal/grant":
            self.grant(int(body.get("credits", 0)))
        else:
            return refusal(404)
        return _plain({"left": {step: self.faults.left(step) for step in self.faults.steps}})

    def read_script(self, path: Path) -> None:
        """Takes a script of faults from a JSON file. Raises OSError, ValueError."""
        self.faults.read(load(path.read_text("utf-8")))


def _plain(value: Any) -> Reply:
    return Reply(200, as_json(value))
