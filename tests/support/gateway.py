"""A server that answers with bytes written by scripted, and keeps what it was sent, byte for byte."""

from __future__ import annotations

import socket
import threading
from types import TracebackType

OK = b'{"success":true,"data":{"task_id":"vid_1","status":"pending"},"request_id":"req_1"}'


def answer(body: bytes = OK, status: str = "200 OK", *headers: str) -> bytes:
    """A whole HTTP reply."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


class ScriptedGateway:
    """Serves one connection after the other, each with the next of `replies`; the last one again and again."""

    def __init__(self, *replies: bytes, hasty: bool = False) -> None:
        """`hasty`: answers the first bytes it sees, whatever they are, as a web server does that is spoken TLS to."""
        self._replies = list(replies)
        self._hasty = hasty
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.requests: list[bytes] = []
        self.port: int = self._listener.getsockname()[1]
        self.base_url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def __enter__(self) -> ScriptedGateway:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                line, _ = self._listener.accept()
            except OSError:
                return
            with line:
                line.settimeout(5)
                try:
                    self.requests.append(line.recv(65536) if self._hasty else _read(line))
                    line.sendall(self._replies.pop(0) if len(self._replies) > 1 else self._replies[0])
                except OSError:
                    continue

    def head(self, number: int = 0) -> dict[str, str]:
        """The headers of a request, names in lower case; the request line under the name ''."""
        lines = self.requests[number].split(b"\r\n\r\n", 1)[0].decode("latin-1").split("\r\n")
        return {"": lines[0]} | {line.split(": ", 1)[0].lower(): line.split(": ", 1)[1] for line in lines[1:]}

    def body(self, number: int = 0) -> bytes:
        """The body of a request."""
        return self.requests[number].split(b"\r\n\r\n", 1)[1]


def _read(line: socket.socket) -> bytes:
    received = b""
    while b"\r\n\r\n" not in received:
        received += _more(line)
    head, body = received.split(b"\r\n\r\n", 1)
    lengths = [int(row.split(b":")[1]) for row in head.lower().split(b"\r\n") if row.startswith(b"content-length:")]
    while len(body) < sum(lengths):
        body += _more(line)
    return head + b"\r\n\r\n" + body


def _more(line: socket.socket) -> bytes:
    piece = line.recv(65536)
    if not piece:
        raise ConnectionAbortedError
    return piece
