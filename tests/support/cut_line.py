"""A line to a database that can be cut: at once, or so that nobody notices."""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Line:
    """Hands bytes on between a port of this machine and the socket of a server, as long as it is whole."""

    def __init__(self, server: str) -> None:
        """`server`: the path of its Unix socket."""
        self._server = server
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._silent = False
        self._refusing = False
        threading.Thread(target=self._accept, daemon=True).start()

    def swallow(self) -> None:
        """From here on every byte is taken and none is handed on: a black hole, which resets nothing."""
        self._silent = True

    def cut(self) -> None:
        """End all connections, and take no new ones."""
        self._refusing = True
        for pair in self._pairs:
            for end in pair:
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

    def mend(self) -> None:
        """The line is whole again, for new connections; what went into the black hole is lost, and its ends with it."""
        self.cut()
        self._silent = self._refusing = False

    def close(self) -> None:
        """No line any more."""
        self.cut()
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            if self._refusing:
                near.close()
                continue
            far = socket.socket(socket.AF_UNIX)
            try:
                far.connect(self._server)
            except OSError:  # the server is down
                far.close()
                near.close()
                continue
            self._pairs.append((near, far))
            threading.Thread(target=self._hand_on, args=(near, far), daemon=True).start()

    def _hand_on(self, near: socket.socket, far: socket.socket) -> None:
        other = {near: far, far: near}
        with selectors.DefaultSelector() as ready:
            for each in other:
                ready.register(each, selectors.EVENT_READ, each)
            with near, far:
                while True:
                    for key, _ in ready.select():
                        end: socket.socket = key.data
                        try:
                            told = end.recv(65536)
                            if told and not self._silent:
                                other[end].sendall(told)
                        except OSError:
                            return
                        if not told:
                            return


@contextmanager
def line_to(server: str) -> Iterator[Line]:
    """A line, closed at the end."""
    line = Line(server)
    try:
        yield line
    finally:
        line.close()
