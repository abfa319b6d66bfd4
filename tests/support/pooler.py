"""A pooler before a PostgreSQL server, as PgBouncer is in its `transaction` mode: connections are handed on."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.elsewhere import exactly

_NO_ENCRYPTION = (80877103, 80877104)
"""Asked for before a greeting: TLS, and GSSAPI."""


class Pooler:
    """Whoever asks gets the connection that became free last, for one transaction."""

    def __init__(self, server: str) -> None:
        """`server`: the path of its Unix socket."""
        self._server = server
        self._free: list[socket.socket] = []
        self._all: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """No pooler any more."""
        self._listener.close()
        for each in self._all:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._all.append(client)
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError, struct.error), client:
            greeting = _read_greeting(client)
            behind, said = self._connect(greeting)
            # The key by which a client may cancel is the pooler's own.
            own_key = struct.pack("!II", os.getpid(), 1)
            client.sendall(b"".join(_message(kind, own_key if kind == b"K" else told) for kind, told in said))
            self._free.append(behind)
            while True:
                kind, told = _read(client)
                if kind == b"X":
                    return
                behind = self._free.pop() if self._free else self._connect(greeting)[0]
                if self._hand_on(client, behind, kind, told):
                    self._free.append(behind)

    def _connect(self, greeting: bytes) -> tuple[socket.socket, list[tuple[bytes, bytes]]]:
        behind = socket.socket(socket.AF_UNIX)
        behind.connect(self._server)
        self._all.append(behind)
        behind.sendall(greeting)
        said = [_read(behind)]
        while said[-1][0] != b"Z":
            said.append(_read(behind))
        return behind, said

    def _hand_on(self, client: socket.socket, behind: socket.socket, kind: bytes, told: bytes) -> bool:
        """One transaction; False when the client says farewell in the middle of it."""
        while kind != b"X":
            behind.sendall(_message(kind, told))
            while kind in (b"Q", b"S"):
                answer, said = _read(behind)
                client.sendall(_message(answer, said))
                if answer == b"Z":
                    if said == b"I":
                        return True
                    break
            kind, told = _read(client)
        return False


def _read_greeting(client: socket.socket) -> bytes:
    while True:
        length = exactly(client, 4)
        told = exactly(client, struct.unpack("!I", length)[0] - 4)
        if struct.unpack("!I", told[:4])[0] not in _NO_ENCRYPTION:
            return length + told
        client.sendall(b"N")


def _read(end: socket.socket) -> tuple[bytes, bytes]:
    kind = exactly(end, 1)
    return kind, exactly(end, struct.unpack("!I", exactly(end, 4))[0] - 4)


def _message(kind: bytes, told: bytes) -> bytes:
    return kind + struct.pack("!I", len(told) + 4) + told


@contextmanager
def pooler_to(server: str) -> Iterator[Pooler]:
    """A pooler, closed at the end."""
    made = Pooler(server)
    try:
        yield made
    finally:
        made.close()
