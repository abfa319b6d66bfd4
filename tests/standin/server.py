"""Stand-in of ComfyUI's `server`: what a pack may send to browsers, and where it hooks itself in."""

from __future__ import annotations

import struct
import threading
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

from aiohttp import web

PromptHandler = Callable[[dict[str, Any]], dict[str, Any]]
_TEXT_EVENT = 3


class Sent(NamedTuple):
    """One message to browsers; `sid` None went to all of them."""

    event: str | int
    data: Any
    sid: str | None


class PromptServer:
    instance: ClassVar[PromptServer]

    def __init__(self) -> None:
        PromptServer.instance = self
        self.client_id: str | None = None
        self.on_prompt_handlers: list[PromptHandler] = []
        self.routes = web.RouteTableDef()
        self._sent: list[Sent] = []
        self._changed = threading.Condition()

    def add_on_prompt_handler(self, handler: PromptHandler) -> None:
        self.on_prompt_handlers.append(handler)

    def send_sync(self, event: str | int, data: Any, sid: str | None = None) -> None:
        with self._changed:
            self._sent.append(Sent(event, data, sid))
            self._changed.notify_all()

    def send_progress_text(self, text: str | bytes, node_id: str, sid: str | None = None) -> None:
        node = node_id.encode()
        body = text.encode() if isinstance(text, str) else bytes(text)
        self.send_sync(_TEXT_EVENT, struct.pack(">I", len(node)) + node + body, sid)

    @property
    def sent(self) -> list[Sent]:
        """Everything sent so far, oldest first."""
        with self._changed:
            return list(self._sent)

    def texts(self, client_id: str) -> list[tuple[str, str]]:
        """The status texts that a client got: (node id, text)."""
        return [_unpacked(data) for event, data, sid in self.sent if event == _TEXT_EVENT and sid in (client_id, None)]

    def await_sent(self, condition: Callable[[], bool], timeout_seconds: float) -> bool:
        """Wait until `condition` holds, asking after every message; False when the time is up."""
        with self._changed:
            return self._changed.wait_for(condition, timeout_seconds)


def _unpacked(data: bytes) -> tuple[str, str]:
    length = struct.unpack(">I", data[:4])[0]
    return data[4 : 4 + length].decode(), data[4 + length :].decode()
