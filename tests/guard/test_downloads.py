"""The guarded download over real sockets on this machine: what it gives, how it is stopped, what it leaves behind."""

from __future__ import annotations

import hashlib
import logging
import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from nodes.guard.downloads import download
from nodes.guard.errors import DiskFailed, DownloadFailed, DownloadForbidden, GuardError, NotModified
from nodes.stopping import Stopped
from tests.support.internet import (
    CHUNKED,
    CLIP,
    OK,
    PUBLIC,
    URL,
    Answer,
    Internet,
    Server,
    Talk,
    download_local,
    forever,
    ok,
    one_after_the_other,
    say,
    serve_clip,
)


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

    first.answer = one_after_the_other(first.answer, second)
    internet.download(part, "https://cdn.example.com/one")
    for head in first.heads:
        names = {line.partition(":")[0].lower() for line in head.split("\r\n")[1:] if line}
        assert names == {"host", "accept", "accept-encoding", "connection", "user-agent"}
        assert "accept-encoding: identity" in head.lower()
        assert "canary" not in head


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
    server = serve(say(ok(b"clip", "ETag: " + "e" * 5000, "Last-Modified: caf\xe9", "Content-Type: <b>/\x1b")))
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
    download_local(serve(say(ok(b""))), part)
    assert part.read_bytes() == b""


def test_a_file_may_be_as_large_as_the_cap_and_no_byte_larger(serve: Callable[[Answer], Server], part: Path) -> None:
    for body in (say(ok(b"x" * 1000)), say("HTTP/1.0 200 OK\r\n\r\n" + "x" * 1000)):
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
            forever(b"x" * 65536, f"{OK}Content-Length: {10**9}\r\n\r\n")(talk)
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
        download_local(serve(forever(b"x" * 65536, f"{OK}\r\n")), part, stop=stop)
    assert not part.exists()


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
    begun = ok(CLIP, 'ETag: "v1"')[: -len(CLIP)] + CLIP[:half]
    told = [f"Content-Length: {half}", f"Content-Range: bytes {half}-{2 * half - 1}/{2 * half}", etag]
    rest = "\r\n".join(["HTTP/1.1 206 Partial Content", *filter(None, told)]).encode() + b"\r\n\r\n" + bytes(half)
    server = serve(one_after_the_other(say(begun), say(rest), serve_clip))
    for _ in range(2):
        with pytest.raises(DownloadFailed):
            download_local(server, part, keep=True)
    assert not part.exists()
    assert not download_local(server, part, keep=True).is_continued
    assert part.read_bytes() == CLIP
    assert ["range:" in head.lower() for head in server.heads] == [False, True, False]
