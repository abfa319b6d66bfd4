"""The stand-in gateway as a whole: one object to start, script, question and stop."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from . import contract, scenes
from .book import Book
from .clips import Clips, Render
from .contract import Refused
from .endpoints import Endpoints, Terms, account_of
from .faults import Fault
from .http_server import Server
from .messages import Reply, Request, as_json, refusal
from .record import Record
from .script import Said, Script
from .storage import Files

log = logging.getLogger("apimall_video.rehearsal")


class RehearsalGateway:
    """Speaks the gateway's documented contract over HTTP on loopback.

    `folder` holds its book, uploads and results and may be shared by several servers. `credits` is what every account
    begins with. `render` writes a scene's MP4 to a path. `most_running` and `requests_per_minute` are limits per
    account (None: no limit). Started again, it listens on the port it had. Raises OSError for an unusable folder.
    """

    def __init__(
        self,
        folder: Path,
        *,
        credits: int = 1000,
        seconds_per_task: float = 6.0,
        render: Render = scenes.render,
        faults: Script | None = None,
        clock: Callable[[], float] = time.time,
        port: int = 0,
        most_running: int | None = 5,
        requests_per_minute: int | None = None,
    ) -> None:
        self.faults = faults if faults is not None else Script()
        self._clock, self._port = clock, port
        self._book = Book(folder, credits, clock)
        files = Files(folder)
        self._clips = Clips(self._book, files, render)
        terms = Terms(seconds_per_task, most_running, requests_per_minute)
        self._endpoints = Endpoints(self._book, files, self._clips, terms, lambda: self.base_url)
        self.record = Record(self._book)
        self._server: Server | None = None

    @property
    def base_url(self) -> str:
        """Where it listens, without a slash at the end; known once it was started."""
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> str:
        """Starts listening; gives the base URL. Raises OSError when the port is taken."""
        if self._server is None:
            self._server = Server(self._port, self.faults.next_fault, self._answer, self.record, self._clock)
            self._port = self._server.server_port
            self._clips.start()
            threading.Thread(target=self._server.serve_forever, name="apimall-rehearsal", daemon=True).start()
        return self.base_url

    def stop(self) -> None:
        """Stops listening and breaks all connections; tasks go on by the clock and are known after the next start."""
        if self._server is not None:
            self._server.close_all()
            self._server = None
            self._clips.stop()
            self._book.close()

    def __enter__(self) -> RehearsalGateway:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def script(self, step: str, *said: Said) -> None:
        """Appends faults to a step's script (create, poll, upload_url, put, base64, download, balance)."""
        self.faults.script(step, *said)

    def always(self, step: str, said: Said) -> None:
        """What a step plays whenever its script is empty."""
        self.faults.play_until(step, said)

    def read_script(self, words: Mapping[str, Any]) -> None:
        """Takes a script in words, as `Script.read` has it. Raises ValueError."""
        self.faults.read(words, self._clock())

    def occupy(self, tasks: int, seconds: float) -> None:
        """Another client fills so much of every account's plan for so long by the server's clock."""
        self._endpoints.occupy(tasks, self._clock() + seconds)

    def revoke(self, api_key: str) -> None:
        """401 for this key from now on; the keys `sk-name.1` and `sk-name.2` open one account."""
        self._endpoints.revoke(api_key)

    def credits(self, api_key: str) -> int:
        """What the account of a key has left."""
        with self._book.open() as page:
            return page.credits(account_of(api_key))

    def grant(self, credits: int) -> None:
        """Adds credits to every account, durably."""
        with self._book.open() as page:
            page.grant(credits)

    def wait_for_clips(self, timeout_seconds: float = 60.0) -> bool:
        """Waits until every accepted task's clip is on disk (or has failed); False when the time is up first."""
        return self._clips.wait(timeout_seconds)

    def _answer(self, request: Request, fault: Fault) -> Reply:
        if request.path.startswith("/rehearsal/"):
            return self._control(request)
        proper = Reply(200)
        if fault.done:
            try:
                proper = self._endpoints.answer(request, fault)
            except Exception:  # the real one answers 500 too, instead of hanging up
                log.exception("the rehearsal gateway stumbled over a request")
                proper = refusal(500)
        return fault.play(proper, request.step or "")

    def _control(self, request: Request) -> Reply:
        """What is the stand-in's own: GET record; POST script, grant, occupy and clear (JSON, loopback names only)."""
        try:
            contract.gateway_host(request.headers)
            if (request.method, request.path) == ("GET", "/rehearsal/record"):
                return Reply(200, as_json(self.record.view()))
            body = contract.json_object(request.headers, request.body)
            return self._control_post(request.path if request.method == "POST" else "", body)
        except Refused as refused:
            return refusal(refused.status, refused.message)
        except (ValueError, TypeError, AttributeError) as error:
            return refusal(400, str(error))

    def _control_post(self, path: str, body: dict[str, Any]) -> Reply:
        if path == "/rehearsal/script":
            self.read_script(body)
        elif path == "/rehearsal/clear":
            self.faults.clear()
        elif path == "/rehearsal/grant":
            self.grant(int(body.get("credits", 0)))
        elif path == "/rehearsal/occupy":
            self.occupy(int(body.get("tasks", 0)), float(body.get("seconds", 0)))
        else:
            return refusal(404)
        return Reply(200, b"{}")
