"""The guarded download against hostile name servers, servers and redirects, over real sockets on this machine.

The internet of these tests: public addresses are played by local servers, every other address by a trap. `tls/` holds
a certificate for cdn.example.com and the authority behind it, both made for these tests and worth nothing else.
"""

from __future__ import annotations

import contextlib
import functools
import gzip
import hashlib
import logging
import os
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from nodes.guard.allowed_hosts import parse_url
from nodes.guard.connections import GuardedConnection
from nodes.guard.downloads import Downloaded, download
from nodes.guard.errors import (
    DiskFailed,
    DownloadError,
    DownloadFailed,
    DownloadForbidden,
    GuardError,
    LinkGone,
    NotModified,
)
from nodes.stopping import Stopped

PUBLIC = "93.184.216.34"
OTHER_PUBLIC = "1.1.1.1"
URL = "https://cdn.example.com/clip.mp4?signature=canary"
CLIP = bytes(range(256)) * 2000
TLS = Path(__file__).parent / "tls"

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
        self._context = _server_context() if tls else None
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
        self.trap = Server(lambda talk: talk.send(_ok(b"secret")), tls=True)
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
def _server_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(TLS / "server.pem")
    return context


def _ok(body: bytes, *headers: str) -> bytes:
    lines = ["HTTP/1.1 200 OK", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def serve_clip(talk: Talk) -> None:
    talk.send(_ok(CLIP, "Content-Type: Video/MP4; x=y", 'ETag: "v1"', "Last-Modified: Thu, 01 Jan 2026 00:00:00 GMT"))


def say(*pieces: str | bytes) -> Answer:
    def answer(talk: Talk) -> None:
        for piece in pieces:
            talk.send(piece)

    return answer


def redirect(location: str, status: int = 302) -> Answer:
    return say(f"HTTP/1.1 {status} Elsewhere\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n")


def refuse_everything(talk: Talk) -> None:
    talk.send("HTTP/1.1 500 Unexpected\r\nContent-Length: 0\r\n\r\n")


@pytest.fixture
def internet(monkeypatch: pytest.MonkeyPatch) -> Iterator[Internet]:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(TLS / "authority.pem"))
    found = Internet()
    yield found
    for server in {found.trap, *found.servers.values()}:
        server.close()


@pytest.fixture
def serve() -> Iterator[Callable[[Answer], Server]]:
    servers: list[Server] = []

    def start(answer: Answer, **options: bool) -> Server:
        servers.append(Server(answer, **options))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def part(tmp_path: Path) -> Iterator[Path]:
    """Where a download goes. Afterwards nothing may be left of one that failed, and no thread of any."""
    (tmp_path / "downloads").mkdir()
    yield tmp_path / "downloads" / "clip.part"
    for thread in threading.enumerate():
        if thread.name == "apimall-download":
            thread.join(10)
            assert not thread.is_alive(), "a download goes on though nobody waits for it"


def download_local(server: Server, part: Path, **options: object) -> Downloaded:
    return download(f"{server.origin}/clip.mp4?signature=canary", part, loopback_origin=server.origin, **options)  # type: ignore[arg-type]


# What a download gives.


def test_a_download_over_tls_gives_the_whole_file_and_what_is_known_of_it(internet: Internet, part: Path) -> None:
    server = internet.serve(serve_clip)
    told: list[float] = []
    found = download(URL, part, resolver=internet.resolve, dial=internet.dial, tell=told.append)
    assert part.read_bytes() == CLIP
    assert (found.path, found.size_bytes) == (part, len(CLIP))
    assert found.sha256 == hashlib.sha256(CLIP).hexdigest()
    assert (found.content_type, found.etag) == ("video/mp4", '"v1"')
    assert found.last_modified == "Thu, 01 Jan 2026 00:00:00 GMT"
    assert "canary" not in repr(found)
    assert told == sorted(told)
    assert told[-1] == 1.0
    assert (internet.asked, internet.dialled, server.connections) == (["cdn.example.com"], [PUBLIC], 1)


def test_a_public_address_instead_of_a_name_works_too(internet: Internet, part: Path) -> None:
    internet.serve(serve_clip)
    assert internet.download(part, f"https://{PUBLIC}/clip.mp4") == CLIP
    assert (internet.asked, internet.dialled) == ([], [PUBLIC])


def test_the_next_address_is_tried_when_one_does_not_answer(internet: Internet, part: Path) -> None:
    internet.serve(serve_clip)
    internet.names["cdn.example.com"] = [["2606:4700::1111", PUBLIC]]

    def dial(address: str, port: int, seconds: float) -> socket.socket:
        if ":" in address:
            raise OSError("no IPv6 here")
        return internet.dial(address, port, seconds)

    download(URL, part, resolver=internet.resolve, dial=dial)
    assert part.read_bytes() == CLIP


def test_nothing_of_the_users_goes_along(
    internet: Internet, part: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine cdn.example.com login canary password canary\n", encoding="ascii")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    first = internet.serve(
        say("HTTP/1.1 302 x\r\nSet-Cookie: canary=1; Domain=example.com\r\nLocation: /two\r\nContent-Length: 0\r\n\r\n")
    )

    def second(talk: Talk) -> None:
        serve_clip(talk)

    first.answer = _one_after_the_other(first.answer, second)
    internet.download(part, "https://cdn.example.com/one")
    for head in first.heads:
        names = {line.partition(":")[0].lower() for line in head.split("\r\n")[1:] if line}
        assert names == {"host", "accept", "accept-encoding", "connection", "user-agent"}
        assert "accept-encoding: identity" in head.lower()
        assert "canary" not in head


def _one_after_the_other(*answers: Answer) -> Answer:
    waiting = list(answers)

    def answer(talk: Talk) -> None:
        following = waiting.pop(0) if len(waiting) > 1 else waiting[0]
        following(talk)

    return answer


@pytest.mark.parametrize(
    ("validators", "sent"),
    [
        (('"v1"', None), ['if-none-match: "v1"']),
        ((None, "Thu, 01 Jan 2026 00:00:00 GMT"), ["if-modified-since: thu, 01 jan 2026 00:00:00 gmt"]),
        (('W/"v1"', "x"), ['if-none-match: w/"v1"', "if-modified-since: x"]),
    ],
)
def test_an_unchanged_file_is_not_sent_again(
    serve: Callable[[Answer], Server], part: Path, validators: tuple[str | None, str | None], sent: list[str]
) -> None:
    server = serve(say("HTTP/1.1 304 Not Modified\r\n\r\n"))
    with pytest.raises(NotModified):
        download_local(server, part, validators=validators)
    assert all(line in server.heads[0].lower() for line in sent)
    assert not part.exists()


def test_nothing_that_is_logged_holds_the_query_of_a_url(
    serve: Callable[[Answer], Server], part: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    download_local(serve(serve_clip), part)
    download_local(serve(say("HTTP/1.1 200 OK\r\nno header\r\n\r\nclip")), part)
    assert "canary" not in caplog.text
    logging.getLogger("urllib3.connectionpool").debug("of somebody else")
    assert "of somebody else" in caplog.text


def test_validators_that_would_break_the_request_are_left_out(serve: Callable[[Answer], Server], part: Path) -> None:
    server = serve(say(_ok(b"clip", "ETag: " + "e" * 5000, "Last-Modified: caf\xe9", "Content-Type: <b>/\x1b")))
    found = download(
        server.origin, part, loopback_origin=server.origin, validators=('"a"\r\nX-Evil: 1', "\u4e2d" + "x" * 9)
    )
    assert "if-" not in server.heads[0].lower()
    assert (found.etag, found.last_modified, found.content_type) == (None, None, "")


def test_a_chunked_file_without_a_length_arrives_whole(serve: Callable[[Answer], Server], part: Path) -> None:
    pieces = [CLIP[:70_000], CLIP[70_000:70_001], CLIP[70_001:]]
    chunks = b"".join(f"{len(piece):x};ext=1\r\n".encode() + piece + b"\r\n" for piece in pieces)
    download_local(serve(say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", chunks, b"0\r\n\r\n")), part)
    assert part.read_bytes() == CLIP


def test_a_file_up_to_the_end_of_the_connection_arrives_whole(serve: Callable[[Answer], Server], part: Path) -> None:
    download_local(serve(say("HTTP/1.0 200 OK\r\n\r\n", CLIP)), part)
    assert part.read_bytes() == CLIP


def test_a_server_that_keeps_the_connection_is_not_waited_for(serve: Callable[[Answer], Server], part: Path) -> None:
    def answer(talk: Talk) -> None:
        serve_clip(talk)
        talk.say_nothing()

    download_local(serve(answer), part)
    assert part.read_bytes() == CLIP


def test_an_empty_file_is_a_file(serve: Callable[[Answer], Server], part: Path) -> None:
    download_local(serve(say(_ok(b""))), part)
    assert part.read_bytes() == b""


# Name servers that lie.

FORBIDDEN_ADDRESSES = [
    "127.0.0.1",
    "127.8.8.8",
    "0.0.0.0",
    "10.0.0.1",
    "172.16.5.5",
    "192.168.0.10",
    "169.254.169.254",
    "100.64.0.1",
    "100.100.100.200",
    "168.63.129.16",
    "192.0.0.192",
    "198.18.0.7",
    "203.0.113.9",
    "224.0.0.251",
    "255.255.255.255",
    "::1",
    "::",
    "fe80::1",
    "fe80::1%2",
    "fd00:ec2::254",
    "fec0::1",
    "ff02::fb",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::a00:1",
    "2002:a00:1::1",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    "2001:db8::1",
    "2606:4700::5efe:a00:1",
    "not an address",
    "",
]


@pytest.mark.parametrize("address", FORBIDDEN_ADDRESSES)
@pytest.mark.parametrize("beside", [[], [PUBLIC]], ids=["alone", "behind a public one"])
def test_a_name_that_leads_inside_is_not_connected_to(
    internet: Internet, part: Path, address: str, beside: list[str]
) -> None:
    server = internet.serve(serve_clip)
    internet.names["cdn.example.com"] = [[*beside, address]]
    with pytest.raises(DownloadForbidden):
        internet.download(part)
    assert internet.dialled == []
    assert (internet.trap.connections, server.connections) == (0, 0)
    assert not part.exists()


def test_a_name_is_looked_up_once_and_the_checked_address_is_the_one_connected_to(
    internet: Internet, part: Path
) -> None:
    internet.serve(serve_clip)
    internet.names["cdn.example.com"] = [[PUBLIC], ["127.0.0.1"], ["10.0.0.1"]]
    assert internet.download(part) == CLIP
    assert (internet.asked, internet.dialled) == (["cdn.example.com"], [PUBLIC])


def test_a_name_that_changes_its_mind_between_two_redirects_is_refused(internet: Internet, part: Path) -> None:
    internet.serve(redirect("https://cdn.example.com/two"))
    internet.names["cdn.example.com"] = [[PUBLIC], ["169.254.169.254"]]
    with pytest.raises(DownloadForbidden):
        internet.download(part)
    assert (internet.dialled, internet.trap.connections) == ([PUBLIC], 0)


@pytest.mark.parametrize("answers", [[], [[]]], ids=["unknown", "without an address"])
def test_a_name_without_an_address_may_be_tried_again(internet: Internet, part: Path, answers: list[list[str]]) -> None:
    internet.names["cdn.example.com"] = answers
    with pytest.raises(DownloadFailed, match=r"cdn\.example\.com"):
        internet.download(part)
    assert internet.dialled == []


MADE_UP = ["198.18.0.7", "198.19.255.254", "fc00::7", "fdfe:dcba:9876::7"]


@pytest.mark.parametrize("address", MADE_UP)
def test_a_made_up_address_is_believed_where_the_gateways_name_has_one_too(
    internet: Internet, part: Path, address: str
) -> None:
    internet.serve(serve_clip, address=address)
    internet.names["gateway.example"] = [["198.18.0.1"] if "." in address else ["198.18.0.1", "fc00::1"]]
    assert internet.download(part) == CLIP
    assert internet.dialled == [address]


@pytest.mark.parametrize("address", MADE_UP)
@pytest.mark.parametrize("gateway", [[PUBLIC], ["10.0.0.1"], ["127.0.0.1"], None], ids=str)
def test_a_made_up_address_is_not_believed_where_the_gateways_name_has_none(
    internet: Internet, part: Path, address: str, gateway: list[str] | None
) -> None:
    internet.serve(serve_clip, address=address)
    if gateway:
        internet.names["gateway.example"] = [gateway]
    with pytest.raises(DownloadForbidden, match="HTTPS_PROXY"):
        internet.download(part)
    assert internet.dialled == []


@pytest.mark.parametrize(
    "found", [["198.18.0.7", "10.0.0.1"], ["10.0.0.1"], ["127.0.0.1"], ["169.254.169.254"], ["fc00::7"], ["fe80::1"]]
)
def test_where_addresses_are_made_up_every_other_inner_one_stays_forbidden(
    internet: Internet, part: Path, found: list[str]
) -> None:
    internet.names |= {"cdn.example.com": [found], "gateway.example": [["198.18.0.1"]]}
    with pytest.raises(DownloadForbidden):
        internet.download(part)
    assert internet.dialled == []


@pytest.mark.parametrize("host", ["198.18.0.7", "[fc00::7]", "[::ffff:198.18.0.7]"])
def test_a_made_up_address_that_somebody_wrote_is_refused_unasked(internet: Internet, part: Path, host: str) -> None:
    internet.names["gateway.example"] = [["198.18.0.1", "fc00::1"]]
    with pytest.raises(DownloadForbidden):
        internet.download(part, f"https://{host}/clip.mp4")
    assert (internet.asked, internet.dialled) == ([], [])


def test_a_redirect_to_a_made_up_address_is_refused_and_one_to_a_name_that_has_one_is_not(
    internet: Internet, part: Path
) -> None:
    internet.names["gateway.example"] = [["198.18.0.1"]]
    internet.serve(redirect("https://media.example.net/"), address="198.18.0.7")
    internet.serve(redirect("https://198.18.0.7/"), name="media.example.net", address="198.18.0.8")
    with pytest.raises(DownloadForbidden, match="redirects to an address that is not fetched"):
        internet.download(part)
    assert internet.dialled == ["198.18.0.7", "198.18.0.8"]


def test_the_gateway_is_looked_up_only_where_that_decides_something(internet: Internet, part: Path) -> None:
    internet.serve(serve_clip)
    internet.download(part)
    assert internet.asked == ["cdn.example.com"]


def test_fake_addresses_of_proxy_programs_are_named_in_the_refusal(internet: Internet, part: Path) -> None:
    internet.names["cdn.example.com"] = [["198.18.0.7"]]
    with pytest.raises(DownloadForbidden, match="HTTPS_PROXY"):
        internet.download(part)


@pytest.mark.parametrize("address", [PUBLIC, "10.0.0.1", "fe80::1"])
def test_a_loopback_origin_by_name_must_lead_to_this_machine(internet: Internet, part: Path, address: str) -> None:
    internet.names["localhost"] = [["127.0.0.1", address]]
    with pytest.raises(DownloadForbidden):
        download(
            "http://localhost:5000/clip.mp4",
            part,
            loopback_origin="http://localhost:5000",
            resolver=internet.resolve,
            dial=internet.dial,
        )
    assert internet.dialled == []


def test_a_certificate_for_another_name_is_not_accepted(internet: Internet, part: Path) -> None:
    server = internet.serve(serve_clip, name="www.example.com")
    with pytest.raises(DownloadFailed, match="certificate"):
        internet.download(part, "https://www.example.com/clip.mp4")
    assert server.heads == []


def test_a_certificate_nobody_vouches_for_is_not_accepted(
    internet: Internet, part: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    server = internet.serve(serve_clip)
    with pytest.raises(DownloadFailed, match="certificate"):
        internet.download(part)
    assert server.heads == []


# Redirects.


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize(
    "location",
    [
        "https://media.example.net/b.mp4",
        "//media.example.net/b.mp4",
        "HTTPS://MEDIA.EXAMPLE.NET:443/b.mp4#x",
        "https://media.example.net/\xe8\xa7\x86.mp4",
    ],
)
def test_a_redirect_to_a_public_place_is_followed(internet: Internet, part: Path, status: int, location: str) -> None:
    internet.serve(redirect(location, status))
    internet.serve(serve_clip, name="media.example.net", address=OTHER_PUBLIC)
    assert internet.download(part) == CLIP
    assert internet.dialled == [PUBLIC, OTHER_PUBLIC]


FORBIDDEN_LOCATIONS = [
    "http://cdn.example.com/clip.mp4",
    "http://media.example.net/",
    "https://127.0.0.1/",
    "https://127.1/",
    "https://0x7f000001/",
    "https://2130706433/",
    "https://localhost/",
    "https://[::1]/",
    "https://[::ffff:127.0.0.1]/",
    "https://[64:ff9b::7f00:1]/",
    "https://10.1.2.3/",
    "https://192.168.1.1/",
    "https://169.254.169.254/latest/meta-data/iam/",
    "http://169.254.169.254/latest/meta-data/iam/",
    "https://100.100.100.200/",
    "https://metadata.google.internal/",
    "//169.254.169.254/",
    "//localhost/",
    "https://inside.example.com/",
    "https://user:secret@media.example.net/",
    "https://media.example.net@10.0.0.1/",
    "https://media.example.net:8443/",
    "https://media.example.net\\@10.0.0.1/",
    "https://media.example.net\t/",
    "https://media.exam ple.net/",
    "/\\127.0.0.1/",
    "\\\\127.0.0.1\\x",
    "https:\\\\127.0.0.1",
    "file:///etc/passwd",
    "ftp://media.example.net/",
    "gopher://127.0.0.1:6379/_FLUSHALL",
    "data:video/mp4;base64,AAAA",
    "javascript:alert(1)",
    "https://[::1",
    "https://\xff\xfe/",
    "https://\xe2\x93\x9blocalhost/",
    "https://media.example.net/" + "a" * 20_000,
]


@pytest.mark.parametrize("location", FORBIDDEN_LOCATIONS, ids=[ascii(each)[:40] for each in FORBIDDEN_LOCATIONS])
def test_a_redirect_to_a_forbidden_place_is_refused(internet: Internet, part: Path, location: str) -> None:
    internet.serve(redirect(location))
    internet.serve(serve_clip, name="media.example.net", address=OTHER_PUBLIC)
    internet.names["inside.example.com"] = [["10.0.0.9"]]
    with pytest.raises(DownloadForbidden) as caught:
        internet.download(part)
    assert internet.dialled == [PUBLIC]
    assert internet.trap.connections == 0
    assert not part.exists()
    _assert_fit_to_be_shown(caught.value)


def test_the_public_internet_cannot_redirect_to_the_loopback_origin(
    internet: Internet, serve: Callable[[Answer], Server], part: Path
) -> None:
    local = serve(say(_ok(b"secret")))
    internet.serve(redirect(f"{local.origin}/secret"))
    with pytest.raises(DownloadForbidden):
        download(URL, part, loopback_origin=local.origin, resolver=internet.resolve, dial=internet.dial)
    assert local.connections == 0


def test_the_loopback_origin_may_redirect_to_itself_and_to_no_other_port(
    serve: Callable[[Answer], Server], part: Path
) -> None:
    server = serve(serve_clip)
    server.answer = _one_after_the_other(redirect("/two"), serve_clip)
    download_local(server, part)
    assert [head.split()[1] for head in server.heads] == ["/clip.mp4?signature=canary", "/two"]
    other = serve(say(_ok(b"secret")))
    with pytest.raises(DownloadForbidden):
        download_local(serve(redirect(f"{other.origin}/secret")), part)
    assert other.connections == 0


def test_redirects_end_after_five(internet: Internet, part: Path) -> None:
    server = internet.serve(redirect("/again"))
    with pytest.raises(DownloadForbidden, match="5 times"):
        internet.download(part)
    assert server.connections == 6


def test_the_body_of_a_redirect_is_not_waited_for(internet: Internet, part: Path) -> None:
    def endless(talk: Talk) -> None:
        talk.send("HTTP/1.1 302 x\r\nLocation: https://media.example.net/b\r\n\r\n")
        talk.say_nothing()

    internet.serve(endless)
    internet.serve(serve_clip, name="media.example.net", address=OTHER_PUBLIC)
    assert internet.download(part) == CLIP


# Servers that misbehave.


def _forever(piece: bytes, head: str) -> Answer:
    def answer(talk: Talk) -> None:
        talk.send(head)
        while not talk.server.over.is_set():
            talk.send(piece)

    return answer


def _then_silence(sent: str) -> Answer:
    def answer(talk: Talk) -> None:
        talk.send(sent)
        talk.say_nothing()

    return answer


OK = "HTTP/1.1 200 OK\r\n"
CHUNKED = f"{OK}Transfer-Encoding: chunked\r\n\r\n"

MISBEHAVIOUR: dict[str, tuple[Answer, type[DownloadError]]] = {
    "endless body": (_forever(b"x" * 65536, f"{OK}\r\n"), DownloadForbidden),
    "endless chunks": (_forever(b"10\r\n" + b"x" * 16 + b"\r\n", CHUNKED), DownloadForbidden),
    "a length beyond the cap": (say(f"{OK}Content-Length: 5000000\r\n\r\n"), DownloadForbidden),
    "an absurd length": (say(f"{OK}Content-Length: {10**17}\r\n\r\n"), DownloadForbidden),
    "a gzip bomb": (say(_ok(gzip.compress(b"\0" * 9_000_000), "Content-Encoding: gzip")), DownloadForbidden),
    "a body in brotli": (say(_ok(b"x", "Content-Encoding: br")), DownloadForbidden),
    "a body compressed twice": (say(_ok(b"x", "Content-Encoding: gzip, gzip")), DownloadForbidden),
    "a body said to be identity and gzip": (say(_ok(b"x", "Content-Encoding: identity, gzip")), DownloadForbidden),
    "a gzip transfer": (say(f"{OK}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"), DownloadFailed),
    "chunks and a length": (say(_ok(b"0\r\n\r\n", "Transfer-Encoding: chunked")), DownloadFailed),
    "chunks and a length that agree": (
        say(f"{OK}Content-Length: 2\r\n{CHUNKED[17:]}2\r\nxx\r\n0\r\n\r\n"),
        DownloadFailed,
    ),
    "a length too long": (say(f"{OK}Content-Length: 100\r\n\r\n", b"x" * 99), DownloadFailed),
    "nothing of the body": (say(f"{OK}Content-Length: 100\r\n\r\n"), DownloadFailed),
    "two lengths": (say(f"{OK}Content-Length: 1\r\nContent-Length: 2\r\n\r\nxx"), DownloadFailed),
    "a negative length": (say(f"{OK}Content-Length: -1\r\n\r\nxx"), DownloadFailed),
    "a length in words": (say(f"{OK}Content-Length: five\r\n\r\nxx"), DownloadFailed),
    "a length with a plus": (say(f"{OK}Content-Length: +2\r\n\r\nxx"), DownloadFailed),
    "a length in other digits": (say(f"{OK}Content-Length: \xb2\r\n\r\nxx"), DownloadFailed),
    "a length of a hundred digits": (say(f"{OK}Content-Length: {'9' * 100}\r\n\r\nxx"), DownloadFailed),
    "chunks cut short": (say(CHUNKED, "10\r\nxxxx"), DownloadFailed),
    "chunks without an end": (say(CHUNKED, "2\r\nxx\r\n"), DownloadFailed),
    "a chunk size that is none": (say(CHUNKED, "zz\r\nxx\r\n"), DownloadFailed),
    "a chunk size line without end": (_forever(b"1" * 65536, CHUNKED), DownloadFailed),
    "a chunk extension without end": (_forever(b"x" * 65536, f"{CHUNKED}5;"), DownloadFailed),
    "a header without end": (_forever(b"x" * 65536, f"{OK}X: "), DownloadFailed),
    "headers without end": (_forever(b"X-Y: z\r\n" * 1000, OK), DownloadFailed),
    "ten thousand headers": (say(OK, "X-Y: z\r\n" * 10_000, "\r\n"), DownloadFailed),
    "interim answers without end": (_forever(b"HTTP/1.1 100 Continue\r\n\r\n" * 100, ""), DownloadFailed),
    "trailers without end": (_forever(b"X-Y: z\r\n" * 1000, f"{CHUNKED}0\r\n"), DownloadFailed),
    "a status line without end": (_forever(b"H" * 65536, "HTTP/1.1 200 "), DownloadFailed),
    "no HTTP": (say("SSH-2.0-OpenSSH_9.9\r\n"), DownloadFailed),
    "HTTP 0.9": (say("<html>hello</html>"), DownloadFailed),
    "a status that is none": (say("HTTP/1.1 two hundred\r\n\r\n"), DownloadFailed),
    "a status of 999": (say("HTTP/1.1 999 x\r\n\r\n"), DownloadFailed),
    "nothing at all": (say(), DownloadFailed),
    "half a head": (say("HTTP/1.1 200 OK\r\nContent-"), DownloadFailed),
    "a head without its last line": (say("HTTP/1.1 200 OK\r\nServer: x\r\n"), DownloadFailed),
    "a line among the headers that is none": (
        say("HTTP/1.1 200 OK\r\n\x00<b>\r\nContent-Length: 2\r\n\r\n"),
        DownloadFailed,
    ),
    "silence": (_then_silence(""), DownloadFailed),
    "silence after the head": (_then_silence(f"{OK}Content-Length: 9\r\n\r\n"), DownloadFailed),
    "a partial answer": (say("HTTP/1.1 206 Partial\r\nContent-Length: 2\r\n\r\nxx"), DownloadFailed),
    "no content": (say("HTTP/1.1 204 No Content\r\n\r\n"), DownloadFailed),
    "not modified, unasked": (say("HTTP/1.1 304 Not Modified\r\n\r\n"), DownloadFailed),
    "a redirect to nowhere": (say("HTTP/1.1 302 x\r\nContent-Length: 0\r\n\r\n"), DownloadFailed),
    "several choices": (say("HTTP/1.1 300 x\r\nLocation: /b\r\nContent-Length: 0\r\n\r\n"), DownloadFailed),
    "use proxy": (say("HTTP/1.1 305 x\r\nLocation: /b\r\nContent-Length: 0\r\n\r\n"), DownloadFailed),
}


@pytest.mark.parametrize("kind", MISBEHAVIOUR)
def test_a_misbehaving_server_ends_in_a_clear_refusal(serve: Callable[[Answer], Server], part: Path, kind: str) -> None:
    answer, refusal = MISBEHAVIOUR[kind]
    with pytest.raises(refusal) as caught:
        download_local(serve(answer), part, largest_bytes=1_000_000, deadline_seconds=_deadline_of(kind))
    assert type(caught.value) is refusal
    assert not part.exists()
    _assert_fit_to_be_shown(caught.value)


def _deadline_of(kind: str) -> float:
    # Some can only be outwaited; the others must be noticed at once, long before this.
    return 0.4 if kind in ("silence", "silence after the head", *_OUTWAITED) else 60


_OUTWAITED = ("interim answers without end", "trailers without end")


def test_a_slow_drip_is_ended_by_the_deadline(serve: Callable[[Answer], Server], part: Path) -> None:
    def drip(talk: Talk) -> None:
        for byte in _ok(b"x" * 1000):
            talk.send(bytes([byte]))
            talk.server.over.wait(0.02)

    with pytest.raises(DownloadFailed, match="too long"):
        download_local(serve(drip), part, deadline_seconds=0.5)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        *[(status, LinkGone) for status in (400, 401, 402, 403, 404, 405, 410, 416, 451)],
        *[(status, DownloadFailed) for status in (408, 425, 429, 500, 502, 503, 504, 599)],
    ],
)
def test_a_status_says_whether_to_try_again(
    serve: Callable[[Answer], Server], part: Path, status: int, kind: type[DownloadError]
) -> None:
    server = serve(say(f"HTTP/1.1 {status} <b>canary</b>\r\nContent-Length: 6\r\n\r\ncanary"))
    with pytest.raises(DownloadError) as caught:
        download_local(server, part)
    assert (type(caught.value), caught.value.status) == (kind, status)
    _assert_fit_to_be_shown(caught.value)


def test_a_file_may_be_as_large_as_the_cap_and_no_byte_larger(serve: Callable[[Answer], Server], part: Path) -> None:
    for body in (say(_ok(b"x" * 1000)), say("HTTP/1.0 200 OK\r\n\r\n" + "x" * 1000)):
        download_local(serve(body), part, largest_bytes=1000)
        with pytest.raises(DownloadForbidden, match="larger"):
            download_local(serve(body), part, largest_bytes=999)


def test_a_refused_connection_may_be_tried_again(part: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        origin = f"http://127.0.0.1:{listener.getsockname()[1]}"
    with pytest.raises(DownloadFailed, match="connection failed"):
        download(f"{origin}/", part, loopback_origin=origin)


# Stopping.


def test_a_stop_is_heard_at_every_step(internet: Internet, serve: Callable[[Answer], Server], part: Path) -> None:
    waiting, over = threading.Event(), threading.Event()

    def never_resolve(host: str, port: int) -> list[str]:
        waiting.set()
        over.wait(30)
        raise OSError("late")

    def never_dial(address: str, port: int, seconds: float) -> socket.socket:
        waiting.set()
        over.wait(30)
        raise OSError("late")

    mute = Server(serve_clip, first_word=False)
    internet.names["cdn.example.com"] = [[PUBLIC]]
    internet.servers[PUBLIC] = mute
    with pytest.raises(Stopped):
        download(URL, part, resolver=never_resolve, dial=internet.dial, stop=waiting.is_set)
    waiting.clear()
    with pytest.raises(Stopped):
        download(URL, part, resolver=internet.resolve, dial=never_dial, stop=waiting.is_set)
    with pytest.raises(Stopped):
        download(URL, part, resolver=internet.resolve, dial=internet.dial, stop=mute.reached.is_set)
    over.set()
    assert not part.exists()


@pytest.mark.parametrize(
    "sent",
    ["", "HTTP/1.1 200 OK\r\nConte", f"{OK}Content-Length: 9\r\n\r\n", f"{OK}Content-Length: 9\r\n\r\nxx", CHUNKED],
    ids=["before the answer", "within the head", "before the body", "within the body", "between chunks"],
)
def test_a_stop_is_heard_while_the_server_says_nothing(internet: Internet, part: Path, sent: str) -> None:
    silent = threading.Event()

    def answer(talk: Talk) -> None:
        talk.send(sent)
        silent.set()
        talk.say_nothing()

    internet.serve(answer)
    with pytest.raises(Stopped):
        download(URL, part, resolver=internet.resolve, dial=internet.dial, stop=silent.is_set)
    assert not part.exists()


def test_a_stop_before_the_start_asks_nobody(internet: Internet, part: Path) -> None:
    internet.serve(serve_clip)
    with pytest.raises(Stopped):
        download(URL, part, resolver=internet.resolve, dial=internet.dial, stop=lambda: True)
    assert (internet.asked, internet.dialled) == ([], [])


def test_a_stopped_download_hangs_up(serve: Callable[[Answer], Server], part: Path) -> None:
    hung_up = threading.Event()

    def answer(talk: Talk) -> None:
        try:
            _forever(b"x" * 65536, f"{OK}Content-Length: {10**9}\r\n\r\n")(talk)
        except OSError:
            hung_up.set()

    server = serve(answer)
    with pytest.raises(Stopped):
        download_local(server, part, stop=lambda: part.exists() and part.stat().st_size > 100_000)
    assert hung_up.wait(20)
    assert not part.exists()


def test_what_the_stop_check_raises_comes_out_and_nothing_stays(serve: Callable[[Answer], Server], part: Path) -> None:
    class Interrupted(BaseException):
        pass

    def stop() -> bool:
        if part.exists():
            raise Interrupted
        return False

    with pytest.raises(Interrupted):
        download_local(serve(_forever(b"x" * 65536, f"{OK}\r\n")), part, stop=stop)
    assert not part.exists()


# Requests that are no downloads.


@pytest.mark.parametrize("piece", ["HTTP/1.1 100 Continue\r\n\r\n", "H"], ids=["interim answers", "a drip"])
def test_a_request_without_a_watcher_ends_by_its_deadline(serve: Callable[[Answer], Server], piece: str) -> None:
    def drip(talk: Talk) -> None:
        while not talk.server.over.wait(0.02):
            talk.send(piece)

    server = serve(drip)
    target = parse_url(server.origin, server.origin)
    with pytest.raises(OSError), GuardedConnection().ask(target, {}, deadline_seconds=0.3):
        pass


def test_a_request_with_a_body_leaves_by_the_same_guarded_way(internet: Internet, tmp_path: Path) -> None:
    def answer(talk: Talk) -> None:
        while not talk.head.endswith(b"\r\n\r\nclip"):
            talk.head += talk.line.recv(4096)
        talk.send("HTTP/1.1 403 x\r\nContent-Length: 0\r\n\r\n")

    server = internet.serve(answer)
    (tmp_path / "clip").write_bytes(b"clip")
    line = GuardedConnection((), internet.resolve, internet.dial)
    with (tmp_path / "clip").open("rb") as body, line.ask(parse_url(URL), {}, method="PUT", body=body) as response:
        assert response.status_code == 403
    assert "content-length: 4\r\n" in server.heads[0].lower()
    internet.names["cdn.example.com"] = [["10.0.0.1"]]
    with pytest.raises(DownloadForbidden), line.ask(parse_url(URL), {}, method="PUT", body=None):
        pass
    assert internet.dialled == [PUBLIC]


# Files.


def test_a_part_left_behind_is_replaced_and_a_link_is_not_written_through(
    serve: Callable[[Answer], Server], part: Path, tmp_path: Path
) -> None:
    server = serve(serve_clip)
    part.write_bytes(b"old" * 10**6)
    download_local(server, part)
    assert part.read_bytes() == CLIP
    if os.name == "posix":
        part.unlink()
        (tmp_path / "elsewhere").write_bytes(b"untouched")
        part.symlink_to(tmp_path / "elsewhere")
        download_local(server, part)
        assert (tmp_path / "elsewhere").read_bytes() == b"untouched"
        assert not part.is_symlink()


def test_a_folder_that_cannot_be_written_is_named(serve: Callable[[Answer], Server], part: Path) -> None:
    with pytest.raises(DiskFailed, match="gone") as caught:
        download_local(serve(serve_clip), part.parent / "gone" / "clip.part")
    assert isinstance(caught.value, GuardError)


def test_the_file_is_flushed_to_disk_before_it_is_handed_over(
    serve: Callable[[Answer], Server], part: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[int] = []
    sync = os.fsync

    def watched(descriptor: int) -> None:
        flushed.append(os.fstat(descriptor).st_size)
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", watched)
    download_local(serve(serve_clip), part)
    assert flushed == [len(CLIP)]


@pytest.mark.parametrize("etag", ["", 'ETag: "v2"', 'ETag: W/"v1"'])
def test_the_rest_of_a_file_that_does_not_name_the_very_etag_is_dropped_with_its_beginning(
    serve: Callable[[Answer], Server], part: Path, etag: str
) -> None:
    half = len(CLIP) // 2
    begun = _ok(CLIP, 'ETag: "v1"')[: -len(CLIP)] + CLIP[:half]
    told = [f"Content-Length: {half}", f"Content-Range: bytes {half}-{2 * half - 1}/{2 * half}", etag]
    rest = "\r\n".join(["HTTP/1.1 206 Partial Content", *filter(None, told)]).encode() + b"\r\n\r\n" + bytes(half)
    server = serve(_one_after_the_other(say(begun), say(rest), serve_clip))
    for _ in range(2):
        with pytest.raises(DownloadFailed):
            download_local(server, part, keep=True)
    assert not part.exists()
    assert not download_local(server, part, keep=True).is_continued
    assert part.read_bytes() == CLIP
    assert ["range:" in head.lower() for head in server.heads] == [False, True, False]


# Proxies.


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
            self.behind.talk_on(_server_context().wrap_socket(talk.line, server_side=True))


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Proxy]]:
    started: list[Proxy] = []

    def start(*, status: str = "200 Connected") -> Proxy:
        started.append(Proxy(serve_clip, status))
        monkeypatch.setenv("HTTPS_PROXY", f"http://me:canary@127.0.0.1:{started[-1].port}")
        monkeypatch.setenv("HTTP_PROXY", f"http://me:canary@127.0.0.1:{started[-1].port}")
        return started[-1]

    yield start
    for server in started:
        server.close()


@pytest.mark.parametrize("found", [[PUBLIC], None, ["198.18.0.7"], ["10.0.0.9"], ["127.0.0.1", "fc00::7"]], ids=str)
def test_a_proxy_from_the_environment_is_used_whatever_the_look_up_here_says(
    internet: Internet, proxy: Callable[..., Proxy], part: Path, found: list[str] | None
) -> None:
    between = proxy()
    internet.servers["127.0.0.1"] = between
    if found:
        internet.names["cdn.example.com"] = [found]
    assert internet.download(part) == CLIP
    assert internet.dialled == ["127.0.0.1"]
    assert between.heads[0].startswith("CONNECT cdn.example.com:443 ")
    assert "proxy-authorization" not in between.behind.heads[0].lower()


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "169.254.169.254", "localhost", "nas.local", "10.0.0.9", "198.18.0.7", "[fc00::7]"]
)
def test_a_proxy_is_not_asked_for_a_forbidden_host(
    internet: Internet, proxy: Callable[..., Proxy], part: Path, host: str
) -> None:
    between = proxy()
    internet.servers["127.0.0.1"] = between
    with pytest.raises(DownloadForbidden):
        internet.download(part, f"https://{host}/clip.mp4")
    assert (between.connections, internet.trap.connections) == (0, 0)


@pytest.mark.parametrize("location", ["https://10.0.0.9/", "https://198.18.0.7/", "http://cdn.example.com/", "//nas/"])
def test_a_redirect_behind_a_proxy_is_checked_too(
    internet: Internet, proxy: Callable[..., Proxy], part: Path, location: str
) -> None:
    between = proxy()
    between.behind.answer = redirect(location)
    internet.servers["127.0.0.1"] = between
    with pytest.raises(DownloadForbidden):
        internet.download(part)
    assert (between.connections, internet.trap.connections) == (1, 0)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("ALL_PROXY", "socks://me:canary@127.0.0.1:7890"),
        ("HTTPS_PROXY", "no proxy canary"),
        ("REQUESTS_CA_BUNDLE", "/nowhere/canary.pem"),
    ],
)
def test_a_variable_that_cannot_work_is_named(
    internet: Internet, part: Path, variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    internet.serve(serve_clip)
    monkeypatch.setenv(variable, value)
    with pytest.raises(DownloadForbidden, match=variable) as caught:
        internet.download(part)
    _assert_fit_to_be_shown(caught.value)
    assert internet.dialled == []


def test_variables_that_cannot_work_do_not_touch_the_loopback_origin(
    serve: Callable[[Answer], Server], part: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks://127.0.0.1:7890")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere/company.pem")
    download_local(serve(serve_clip), part)


@pytest.mark.parametrize("status", ["407 Proxy Authentication Required", "502 Bad Gateway", "403 <b>canary</b>"])
def test_a_proxy_that_refuses_is_named_without_its_password(
    internet: Internet, proxy: Callable[..., Proxy], part: Path, status: str
) -> None:
    internet.servers["127.0.0.1"] = proxy(status=status)
    with pytest.raises(DownloadFailed, match="proxy") as caught:
        internet.download(part)
    _assert_fit_to_be_shown(caught.value)


def test_a_proxy_is_never_asked_for_the_loopback_origin(
    serve: Callable[[Answer], Server], proxy: Callable[..., Proxy], part: Path
) -> None:
    between = proxy()
    download_local(serve(serve_clip), part)
    assert between.connections == 0


def test_a_host_that_is_excepted_from_the_proxy_is_guarded_as_usual(
    internet: Internet, proxy: Callable[..., Proxy], part: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    between = proxy()
    monkeypatch.setenv("NO_PROXY", "cdn.example.com")
    internet.serve(serve_clip)
    assert internet.download(part) == CLIP
    internet.names["cdn.example.com"] = [["10.0.0.1"]]
    with pytest.raises(DownloadForbidden):
        internet.download(part)
    assert (between.connections, internet.dialled) == (0, [PUBLIC])


def test_the_tables_are_as_large_as_promised() -> None:
    assert len(FORBIDDEN_ADDRESSES) >= 30
    assert len(FORBIDDEN_LOCATIONS) >= 35
    assert len(MISBEHAVIOUR) >= 40


def _assert_fit_to_be_shown(error: BaseException) -> None:
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
