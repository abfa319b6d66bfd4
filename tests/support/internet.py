"""An internet for tests: public addresses are played by servers on this machine, every other address by a trap.

`tls/` holds a certificate for cdn.example.com and the authority behind it, both made for these tests and worth nothing
else.
"""

from __future__ import annotations

import contextlib
import functools
import socket
import ssl
import threading
from collections.abc import Callable
from pathlib import Path

from nodes.guard.downloads import Downloaded, download
from tests.support.elsewhere import TLS

PUBLIC = "93.184.216.34"
OTHER_PUBLIC = "1.1.1.1"
URL = "https://cdn.example.com/clip.mp4?signature=canary"
CLIP = bytes(range(256)) * 2000

Answer = Callable[["Talk"], None]


class Talk:
    """One connection of a test server: the head of the request, and the line to answer on."""

    def __init__(self, line: socket.socket, server: Server) -> None:
        self.line = line
        self.server = server
        self.head = b""
        while b"\r\n\r\n" not in self.head:
            piece = line.recv(4096)
            if not piece:
                raise ConnectionError("hung up")
            self.head += piece

    def send(self, text: str | bytes) -> None:
        self.line.sendall(text if isinstance(text, bytes) else text.encode("latin-1"))

    def say_nothing(self) -> None:
        """Until the test is over."""
        self.server.over.wait(30)


class Server:
    """A server on loopback that counts its connections and answers as told."""

    def __init__(self, answer: Answer, *, tls: bool = False, first_word: bool = True) -> None:
        self.answer = answer
        self.heads: list[str] = []
        self.connections = 0
        self.reached = threading.Event()
        self.over = threading.Event()
        self._first_word = first_word
        self._context = server_context() if tls else None
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._lines: list[socket.socket] = []
        self.port = int(self._listener.getsockname()[1])
        self.origin = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self.over.set()
        for line in (self._listener, *self._lines):
            with contextlib.suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)
            line.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                line, _ = self._listener.accept()
                self.connections += 1
                self._lines.append(line)
                threading.Thread(target=self._serve, args=(line,), daemon=True).start()

    def _serve(self, line: socket.socket) -> None:
        with contextlib.suppress(OSError), contextlib.closing(line):
            if not self._first_word:
                self.reached.set()
                self.over.wait(30)
                return
            self.talk_on(self._context.wrap_socket(line, server_side=True) if self._context else line)

    def talk_on(self, line: socket.socket) -> None:
        with contextlib.closing(line):
            talk = Talk(line, self)
            self.heads.append(talk.head.decode("latin-1"))
            self.reached.set()
            self.answer(talk)


class Internet:
    """Names, addresses and the servers behind them; whatever is not public leads into a trap."""

    def __init__(self) -> None:
        self.trap = Server(lambda talk: talk.send(ok(b"secret")), tls=True)
        self.names: dict[str, list[list[str]]] = {}
        self.servers: dict[str, Server] = {}
        self.asked: list[str] = []
        self.dialled: list[str] = []

    def resolve(self, host: str, port: int) -> list[str]:
        """The answers for a name, in order; the last one stays."""
        self.asked.append(host)
        answers = self.names.get(host, [])
        if not answers:
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        return answers.pop(0) if len(answers) > 1 else answers[0]

    def dial(self, address: str, port: int, seconds: float) -> socket.socket:
        self.dialled.append(address)
        server = self.servers.get(address, self.trap)
        return socket.create_connection(("127.0.0.1", server.port), seconds)

    def serve(self, answer: Answer, name: str = "cdn.example.com", address: str = PUBLIC) -> Server:
        server = Server(answer, tls=True)
        self.names[name] = [[address]]
        self.servers[address] = server
        return server

    def download(self, part: Path, url: str = URL) -> bytes:
        gateway = ("gateway.example",)
        return download(url, part, gateway_hosts=gateway, resolver=self.resolve, dial=self.dial).path.read_bytes()


@functools.cache
def server_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(TLS / "server.pem")
    return context


def ok(body: bytes, *headers: str) -> bytes:
    lines = ["HTTP/1.1 200 OK", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def serve_clip(talk: Talk) -> None:
    talk.send(ok(CLIP, "Content-Type: Video/MP4; x=y", 'ETag: "v1"', "Last-Modified: Thu, 01 Jan 2026 00:00:00 GMT"))


def say(*pieces: str | bytes) -> Answer:
    def answer(talk: Talk) -> None:
        for piece in pieces:
            talk.send(piece)

    return answer


def redirect(location: str, status: int = 302) -> Answer:
    return say(f"HTTP/1.1 {status} Elsewhere\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n")


def one_after_the_other(*answers: Answer) -> Answer:
    waiting = list(answers)

    def answer(talk: Talk) -> None:
        following = waiting.pop(0) if len(waiting) > 1 else waiting[0]
        following(talk)

    return answer


def forever(piece: bytes, head: str) -> Answer:
    def answer(talk: Talk) -> None:
        talk.send(head)
        while not talk.server.over.is_set():
            talk.send(piece)

    return answer


def then_silence(sent: str) -> Answer:
    def answer(talk: Talk) -> None:
        talk.send(sent)
        talk.say_nothing()

    return answer


OK = "HTTP/1.1 200 OK\r\n"
CHUNKED = f"{OK}Transfer-Encoding: chunked\r\n\r\n"


def download_local(server: Server, part: Path, **options: object) -> Downloaded:
    return download(f"{server.origin}/clip.mp4?signature=canary", part, loopback_origin=server.origin, **options)  # type: ignore[arg-type]


class Proxy(Server):
    """Answers CONNECT and then plays the server behind it."""

    def __init__(self, answer: Answer, status: str = "200 Connected") -> None:
        self.behind = Server(answer)
        self.behind.close()
        self._status = status
        super().__init__(self._connect)

    def _connect(self, talk: Talk) -> None:
        talk.send(f"HTTP/1.1 {self._status}\r\n\r\n")
        if self._status.startswith("200"):
            self.behind.talk_on(server_context().wrap_socket(talk.line, server_side=True))


def assert_fit_to_be_shown(error: BaseException) -> None:
    """The message and everything chained to it: complete, short, without the query and without control characters."""
    message = str(error)
    assert message.endswith(".")
    assert len(message) < 400
    assert message.isprintable()
    assert "<b>" not in message
    link: BaseException | None = error
    while link is not None:
        assert "canary" not in f"{link!r} {vars(link)!r}"
        link = link.__cause__ or link.__context__
