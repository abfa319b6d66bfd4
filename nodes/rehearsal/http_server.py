"""Connections: requests are read off them and replies put on them, properly or as badly as a fault wants."""

from __future__ import annotations

import contextlib
import logging
import os
import selectors
import socket
import socketserver
import struct
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from .contract import LARGEST_FILE_BYTES, step_of
from .faults import NO_FAULT, Fault
from .messages import Reply, Request, refusal
from .record import Record

log = logging.getLogger("apimall_video.rehearsal")

IDLE_SECONDS = 75.0
LARGEST_BODY_BYTES = LARGEST_FILE_BYTES * 4 // 3 + 65_536
LARGEST_CHUNK_LINE_BYTES = 1024
PIECES_PER_SECOND = 20
LOOK_SECONDS = 0.1


class Server(ThreadingHTTPServer):
    """A threading HTTP server on loopback that can be stopped while clients hold connections."""

    daemon_threads = True
    block_on_close = False
    # On Windows this option would let another program take the port while it is in use.
    allow_reuse_address = os.name != "nt"
    request_queue_size = 128

    def __init__(
        self,
        port: int,
        next_fault: Callable[[str | None, float], Fault],
        answer: Callable[[Request, Fault], Reply],
        record: Record,
        clock: Callable[[], float],
    ) -> None:
        self.next_fault, self.answer, self.record, self.clock = next_fault, answer, record, clock
        self.stopping = threading.Event()
        self._open: set[socket.socket] = set()
        self._open_lock = threading.Lock()
        super().__init__(("127.0.0.1", port), Handler)

    def server_bind(self) -> None:
        # HTTPServer's own version looks the machine's name up, which can take seconds.
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def finish_request(self, request: Any, client_address: Any) -> None:
        with self._open_lock:
            self._open.add(request)
        try:
            super().finish_request(request, client_address)
        finally:
            with self._open_lock:
                self._open.discard(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        log.debug("a rehearsal connection ended badly", exc_info=True)

    def close_all(self) -> None:
        """Stops listening and breaks every connection, as a server does that goes down."""
        self.stopping.set()
        stopper = threading.Thread(target=self.shutdown, name="apimall-rehearsal-stop", daemon=True)
        stopper.start()
        # The accepting thread looks up twice a second only; a visitor makes it look now.
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", self.server_port), 1.0).close()
        stopper.join()
        self.server_close()
        with self._open_lock:
            for connection in self._open:
                shut(connection)


def shut(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        log.debug("a rehearsal connection was closed already")


class Handler(BaseHTTPRequestHandler):
    """One connection; `_serve` is one request."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = IDLE_SECONDS
    server: Server

    def _serve(self) -> None:
        path, _, query = self.path.partition("?")
        step, now = step_of(self.command, path), self.server.clock()
        fault = self.server.next_fault(step, now)
        try:
            body = b"" if fault.unread else self._read_body()
            played = None if fault is NO_FAULT else fault.word
            request = Request(self.command, path, self.headers, body, now, query, step, played)
            if not path.startswith("/rehearsal/"):
                self.server.record.add(request)
            if fault.wait_seconds and not self._client_waits(fault.wait_seconds):
                self.close_connection = True
                return
            self._send(self.server.answer(request, fault))
        except _TooLarge:
            self.close_connection = True
            self._send(refusal(413))
        except (ConnectionError, TimeoutError):
            self.close_connection = True

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = _serve

    def _read_body(self) -> bytes:
        if "chunked" in (self.headers["Transfer-Encoding"] or "").lower():
            return self._read_chunks()
        stated = self.headers["Content-Length"] or "0"
        if not stated.isdigit() or int(stated) > LARGEST_BODY_BYTES:
            raise _TooLarge
        body = self.rfile.read(int(stated))
        if len(body) < int(stated):
            raise ConnectionAbortedError
        return body

    def _read_chunks(self) -> bytes:
        chunks = bytearray()
        while size := int(self.rfile.readline(LARGEST_CHUNK_LINE_BYTES).split(b";")[0].strip() or b"0", 16):
            if len(chunks) + size > LARGEST_BODY_BYTES:
                raise _TooLarge
            chunks += self.rfile.read(size)
            self.rfile.readline(LARGEST_CHUNK_LINE_BYTES)
        self.rfile.readline(LARGEST_CHUNK_LINE_BYTES)
        return bytes(chunks)

    def _client_waits(self, seconds: float) -> bool:
        """Waits; False as soon as the client has left or the server stops."""
        ends = time.monotonic() + seconds
        with selectors.DefaultSelector() as selector:
            selector.register(self.connection, selectors.EVENT_READ)
            while (left := ends - time.monotonic()) > 0:
                if self.server.stopping.is_set():
                    return False
                if selector.select(min(left, LOOK_SECONDS)):
                    return bool(self.connection.recv(1, socket.MSG_PEEK)) and not self.server.stopping.wait(left)
        return True

    def _send(self, reply: Reply) -> None:
        way = reply.delivery
        if way.wait_seconds and not self._client_waits(way.wait_seconds):
            self.close_connection = True
            return
        if way.lost:
            self._hang_up(reset=way.reset)
            return
        stated = len(reply.body) if way.stated_bytes is None else way.stated_bytes
        headers = [("Content-Type", reply.content_type), *reply.headers]
        if not way.hide_length:
            headers.append(("Content-Length", str(stated)))
        if way.hide_length or stated != len(reply.body) or way.cut_after_bytes is not None or self.close_connection:
            self.close_connection = True
            headers.append(("Connection", "close"))
        lines = [f"{self.protocol_version} {reply.status} {self.responses.get(reply.status, ('',))[0]}"]
        lines += [f"{name}: {value}" for name, value in [*headers, ("Date", self.date_time_string())]]
        self._write("\r\n".join([*lines, "", ""]).encode("latin-1"), way.head_bytes_per_second)
        if self.command != "HEAD":
            self._write(reply.body[: way.cut_after_bytes], way.body_bytes_per_second)

    def _write(self, data: bytes, bytes_per_second: float | None) -> None:
        if bytes_per_second is None:
            self.wfile.write(data)
            return
        piece = max(1, int(bytes_per_second / PIECES_PER_SECOND))
        for start in range(0, len(data), piece):
            self.wfile.write(data[start : start + piece])
            if self.server.stopping.wait(piece / bytes_per_second):
                raise ConnectionAbortedError

    def _hang_up(self, *, reset: bool) -> None:
        self.close_connection = True
        if not reset:
            shut(self.connection)
            return
        # Closing with an empty linger time sends RST; the buffered files hold the socket open until they are closed.
        linger = struct.pack("hh" if os.name == "nt" else "ii", 1, 0)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.rfile.close()
        self.wfile.close()
        self.connection.close()

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: request lines hold signatures."""


class _TooLarge(Exception):
    """The body is larger than anything the contract allows."""
