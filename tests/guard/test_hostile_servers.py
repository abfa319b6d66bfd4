"""The guarded download against servers that redirect to where nobody may go, and against those that misbehave."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import pytest

from nodes.guard.downloads import download
from nodes.guard.errors import DownloadError, DownloadFailed, DownloadForbidden, LinkGone
from tests.support.internet import (
    CHUNKED,
    CLIP,
    OK,
    OTHER_PUBLIC,
    PUBLIC,
    URL,
    Answer,
    Internet,
    Server,
    Talk,
    assert_fit_to_be_shown,
    download_local,
    forever,
    ok,
    one_after_the_other,
    redirect,
    say,
    serve_clip,
    then_silence,
)

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
    assert_fit_to_be_shown(caught.value)


def test_the_public_internet_cannot_redirect_to_the_loopback_origin(
    internet: Internet, serve: Callable[[Answer], Server], part: Path
) -> None:
    local = serve(say(ok(b"secret")))
    internet.serve(redirect(f"{local.origin}/secret"))
    with pytest.raises(DownloadForbidden):
        download(URL, part, loopback_origin=local.origin, resolver=internet.resolve, dial=internet.dial)
    assert local.connections == 0


def test_the_loopback_origin_may_redirect_to_itself_and_to_no_other_port(
    serve: Callable[[Answer], Server], part: Path
) -> None:
    server = serve(serve_clip)
    server.answer = one_after_the_other(redirect("/two"), serve_clip)
    download_local(server, part)
    assert [head.split()[1] for head in server.heads] == ["/clip.mp4?signature=canary", "/two"]
    other = serve(say(ok(b"secret")))
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


MISBEHAVIOUR: dict[str, tuple[Answer, type[DownloadError]]] = {
    "endless body": (forever(b"x" * 65536, f"{OK}\r\n"), DownloadForbidden),
    "endless chunks": (forever(b"10\r\n" + b"x" * 16 + b"\r\n", CHUNKED), DownloadForbidden),
    "a length beyond the cap": (say(f"{OK}Content-Length: 5000000\r\n\r\n"), DownloadForbidden),
    "an absurd length": (say(f"{OK}Content-Length: {10**17}\r\n\r\n"), DownloadForbidden),
    "a gzip bomb": (say(ok(gzip.compress(b"\0" * 9_000_000), "Content-Encoding: gzip")), DownloadForbidden),
    "a body in brotli": (say(ok(b"x", "Content-Encoding: br")), DownloadForbidden),
    "a body compressed twice": (say(ok(b"x", "Content-Encoding: gzip, gzip")), DownloadForbidden),
    "a body said to be identity and gzip": (say(ok(b"x", "Content-Encoding: identity, gzip")), DownloadForbidden),
    "a gzip transfer": (say(f"{OK}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"), DownloadFailed),
    "chunks and a length": (say(ok(b"0\r\n\r\n", "Transfer-Encoding: chunked")), DownloadFailed),
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
    "a chunk size line without end": (forever(b"1" * 65536, CHUNKED), DownloadFailed),
    "a chunk extension without end": (forever(b"x" * 65536, f"{CHUNKED}5;"), DownloadFailed),
    "a header without end": (forever(b"x" * 65536, f"{OK}X: "), DownloadFailed),
    "headers without end": (forever(b"X-Y: z\r\n" * 1000, OK), DownloadFailed),
    "ten thousand headers": (say(OK, "X-Y: z\r\n" * 10_000, "\r\n"), DownloadFailed),
    "interim answers without end": (forever(b"HTTP/1.1 100 Continue\r\n\r\n" * 100, ""), DownloadFailed),
    "trailers without end": (forever(b"X-Y: z\r\n" * 1000, f"{CHUNKED}0\r\n"), DownloadFailed),
    "a status line without end": (forever(b"H" * 65536, "HTTP/1.1 200 "), DownloadFailed),
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
    "silence": (then_silence(""), DownloadFailed),
    "silence after the head": (then_silence(f"{OK}Content-Length: 9\r\n\r\n"), DownloadFailed),
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
    assert_fit_to_be_shown(caught.value)


def _deadline_of(kind: str) -> float:
    # Some can only be outwaited; the others must be noticed at once, long before this.
    return 0.4 if kind in ("silence", "silence after the head", *_OUTWAITED) else 60


_OUTWAITED = ("interim answers without end", "trailers without end")


def test_a_slow_drip_is_ended_by_the_deadline(serve: Callable[[Answer], Server], part: Path) -> None:
    def drip(talk: Talk) -> None:
        for byte in ok(b"x" * 1000):
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
    assert_fit_to_be_shown(caught.value)


def test_the_tables_are_as_large_as_promised() -> None:
    assert len(FORBIDDEN_LOCATIONS) >= 35
    assert len(MISBEHAVIOUR) >= 40
