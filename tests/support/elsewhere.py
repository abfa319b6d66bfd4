"""Hosts out on the internet, played on this machine: TLS with a certificate for two public names, real bytes behind."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

TLS = Path(__file__).parent / "tls"
GATEWAY = "media.example.net"
CDN = "cdn.example.com"
"""Names that `tls/server.pem` is good for; `tls/authority.pem` vouches for it."""


class Listener:
    """Has each connection to a port of its own served in a thread."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def serve(self, line: socket.socket) -> None:
        """One connection."""
        raise NotImplementedError

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                line, _ = self._listener.accept()
                threading.Thread(target=self.serve, args=(line,), daemon=True).start()


class Front(Listener):
    """An https host on loopback that hands every request on to the plain http server at `behind`.

    Each connection carries one request. `heads`: what was asked, one head a request.
    """

    def __init__(self, behind: str) -> None:
        self._behind = urlsplit(behind)
        self.heads: list[str] = []
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(TLS / "server.pem")
        super().__init__()

    def serve(self, line: socket.socket) -> None:
        """One connection, from its TLS handshake on; whoever does not believe the certificate hangs up."""
        with contextlib.suppress(OSError), self._context.wrap_socket(line, server_side=True) as asked:
            head, body = read_request(asked)
            self.heads.append(head.decode("latin-1"))
            host = f"Host: {self._behind.netloc}\r\nConnection: close\r\n".encode()
            head = re.sub(rb"(?im)^(host|connection):.*\r\n", b"", head).replace(b"\r\n", b"\r\n" + host, 1)
            with socket.create_connection((self._behind.hostname or "", self._behind.port or 80), 10) as behind:
                behind.sendall(head + body)
                _pour(behind, asked)


class Between(Listener):
    """A proxy that looks names up by itself: in `known`, and nowhere else. `asked`: the names it was to connect to."""

    def __init__(self, known: dict[str, int]) -> None:
        self._known = known
        self.asked: list[str] = []
        super().__init__()
        self.address = f"127.0.0.1:{self.port}"

    def serve(self, line: socket.socket) -> None:
        with contextlib.suppress(OSError), line:
            name = self._read_name(line)
            self.asked.append(name)
            if name not in self._known:
                line.sendall(self._no)
                return
            with socket.create_connection(("127.0.0.1", self._known[name]), 10) as behind:
                line.sendall(self._yes)
                there = threading.Thread(target=_pour, args=(line, behind), daemon=True)
                there.start()
                _pour(behind, line)
                # A number of a closed connection may be a file's in the next moment: nobody may still read by it.
                line.shutdown(socket.SHUT_RDWR)
                there.join()

    _yes = b""
    _no = b""

    def _read_name(self, line: socket.socket) -> str:
        raise NotImplementedError


class ConnectProxy(Between):
    """An http proxy."""

    _yes = b"HTTP/1.1 200 Connected\r\n\r\n"
    _no = b"HTTP/1.1 502 Bad Gateway\r\n\r\n"

    def _read_name(self, line: socket.socket) -> str:
        method, name, _ = read_head(line).decode("latin-1").split(maxsplit=2)
        return name.removesuffix(":443") if method == "CONNECT" else ""


class SocksProxy(Between):
    """A SOCKS5 proxy without a password (RFC 1928); an address in place of a name is asked for as it is written."""

    _yes = b"\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00"
    _no = b"\x05\x04\x00\x01\x00\x00\x00\x00\x00\x00"

    def _read_name(self, line: socket.socket) -> str:
        _, methods = exactly(line, 2)
        exactly(line, methods)
        line.sendall(b"\x05\x00")
        _, _, _, kind = exactly(line, 4)
        name = exactly(line, exactly(line, 1)[0]) if kind == 3 else exactly(line, 4 if kind == 1 else 16)
        exactly(line, 2)
        return name.decode() if kind == 3 else name.hex()


def exactly(line: socket.socket, count: int) -> bytes:
    """So many bytes; ConnectionError when they do not come."""
    found = b""
    while len(found) < count:
        piece = line.recv(count - len(found))
        if not piece:
            raise ConnectionError("hung up")
        found += piece
    return found


def read_head(line: socket.socket) -> bytes:
    """Up to the blank line, and what came with it; ConnectionError when there is none."""
    head = b""
    while b"\r\n\r\n" not in head:
        head += _more(line)
    return head


def read_request(line: socket.socket) -> tuple[bytes, bytes]:
    """Head and whole body of a request."""
    head, separator, body = read_head(line).partition(b"\r\n\r\n")
    length = re.search(rb"(?im)^content-length: *([0-9]+)", head)
    while length and len(body) < int(length[1]):
        body += _more(line)
    return head + separator, body


def _more(line: socket.socket) -> bytes:
    piece = line.recv(65536)
    if not piece:
        raise ConnectionError("hung up")
    return piece


def _pour(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while piece := source.recv(65536):
            sink.sendall(piece)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


class Tunnel:
    """A machine whose traffic a proxy program takes over: names get the addresses in `names`, made up by it, and a
    connection to one of them comes out at the server on loopback that `ports` says. Any other name is unknown.
    """

    def __init__(self) -> None:
        self.names: dict[str, list[str]] = {}
        self.ports: dict[str, int] = {}
        self.asked: list[str] = []
        self.dialled: list[str] = []


@pytest.fixture
def tunnel(monkeypatch: pytest.MonkeyPatch) -> Iterator[Tunnel]:
    """The tunnel under this very process: everything that looks a name up and connects goes through it."""
    made = Tunnel()
    look_up, connect = socket.getaddrinfo, socket.socket.connect

    def getaddrinfo(host: str, port: int, *rest: int, **options: int) -> list[tuple[object, ...]]:
        if host in ("127.0.0.1", "localhost", "::1"):
            return look_up(host, port, *rest, **options)  # type: ignore[return-value]
        made.asked.append(host)
        if host not in made.names:
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        return [
            (socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))
            for address in made.names[host]
        ]

    def connect_through(line: socket.socket, address: tuple[str, int]) -> None:
        if address[0] not in made.ports:
            connect(line, address)
            return
        made.dialled.append(address[0])
        with socket.socket(socket.AF_INET) as out:
            out.settimeout(line.gettimeout())
            connect(out, ("127.0.0.1", made.ports[address[0]]))
            # Whoever holds `line`, be it one for IPv6, goes on with this connection.
            os.dup2(out.fileno(), line.fileno())

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    monkeypatch.setattr(socket.socket, "connect", connect_through)
    yield made
