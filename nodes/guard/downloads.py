"""Guarded download: a file from a URL that nobody vouches for, over https, from public addresses only.

Redirects are followed here, one by one, each checked like the first; `connections.py` tells what is checked.

The network half runs in a thread of its own and hands pieces over; the calling thread watches the stop check and the
deadline. So a server (or name server) that says nothing at all holds nobody up.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import http.client
import os
import queue
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, TypeVar
from urllib.parse import urljoin

import requests
import urllib3

from ..stopping import Stop, Stopped, Tell, never_stop, tell_nobody
from . import partial
from .allowed_hosts import Target, parse_url
from .connections import DEADLINE_SECONDS, Dial, GuardedConnection, Resolver, dial, resolve
from .errors import DiskFailed, DownloadFailed, DownloadForbidden, LinkGone, NotModified

LARGEST_BYTES = 2 * 1024**3
GLANCE_SECONDS = 8.0
_WATCH_SECONDS = 0.1
_PIECE_BYTES = 64 * 1024
_WAITING_PIECES = 64
_NOTE_BYTES = 4 * 1024**2
"""What may have to come again after a kill or a power cut."""
_MOST_REDIRECTS = 5
_REDIRECTS = (301, 302, 303, 307, 308)
_LATER = (408, 425, 429)
_LONGEST_VALIDATOR_CHARACTERS = 512

_Item = TypeVar("_Item")

Validators = tuple[str | None, str | None]
"""The `etag` and `last_modified` of an earlier download."""


@dataclass(frozen=True)
class Downloaded:
    """A whole file at `path`, as long as the server said, on disk; `sha256` in hex. Whether it is a clip is not known.

    `content_type` is bare and lower case, "" when absent or odd. `is_continued`: its beginning was kept of an earlier
    download.
    """

    path: Path
    size_bytes: int
    sha256: str
    content_type: str
    etag: str | None
    last_modified: str | None
    is_continued: bool = False


def download(
    url: str,
    part: Path,
    *,
    loopback_origin: str | None = None,
    gateway_hosts: Sequence[str] = (),
    largest_bytes: int = LARGEST_BYTES,
    deadline_seconds: float = DEADLINE_SECONDS,
    stop: Stop = never_stop,
    tell: Tell = tell_nobody,
    validators: Validators = (None, None),
    keep: bool = False,
    resolver: Resolver = resolve,
    dial: Dial = dial,
) -> Downloaded:
    """Download `url` to the file `part`, whole and flushed to disk; the caller verifies and renames it.

    `loopback_origin` is the one origin (scheme, host and port) that may be plain http and on this machine;
    `gateway_hosts` are the gateway's names, which tell whether this network makes addresses up (`connections.py`).
    `deadline_seconds` covers everything from the look-up to the last byte. With `validators` an unchanged file gives
    NotModified. Raises DownloadForbidden, LinkGone, DownloadFailed, NotModified, Stopped or DiskFailed; `part` is
    gone then, unless it was to `keep` what had come: the next download from this address continues it.
    """
    target = parse_url(url, loopback_origin)
    connection = GuardedConnection(gateway_hosts, resolver, dial)
    earlier = partial.read(part, target) if keep else None
    network = _Network(connection, target, loopback_origin, validators, largest_bytes, earlier)
    watch = _Watch(stop, time.monotonic() + deadline_seconds, target.host)
    head: _Head | None = None
    try:
        watch.check()
        network.start()
        head = network.head(watch)
        with _begin(part, earlier if head.begins_at else None) as (file, digest):
            note = functools.partial(partial.keep, part, target, head.etag) if keep else None
            size_bytes, sha256 = _save(network, head, file, digest, watch, tell, largest_bytes, note)
    except BaseException as problem:
        network.leave()
        if not (keep and _is_worth_keeping(problem, part, target, head, earlier)):
            partial.drop(part)
        if isinstance(problem, OSError):
            raise DiskFailed(f"The download could not be written to {part.parent} ({problem.strerror}).") from None
        raise
    with contextlib.suppress(OSError):
        partial.note_of(part).unlink()
    continued = head.begins_at > 0
    return Downloaded(part, size_bytes, sha256, head.content_type, head.etag, head.last_modified, continued)


@dataclass(frozen=True)
class Glance:
    """What an address gives out, at a first look: its bare type, as `Downloaded` has it, and its first bytes."""

    content_type: str
    beginning: bytes


def glance(
    url: str,
    *,
    loopback_origin: str | None = None,
    gateway_hosts: Sequence[str] = (),
    deadline_seconds: float = GLANCE_SECONDS,
    stop: Stop = never_stop,
    resolver: Resolver = resolve,
    dial: Dial = dial,
) -> Glance:
    """Ask for `url` as `download` does, and hang up once its first bytes are here. Nothing is written.

    Asked for with GET: an address signed for that answers nothing else. Raises what `download` does, but DiskFailed.
    """
    target = parse_url(url, loopback_origin)
    network = _Network(
        GuardedConnection(gateway_hosts, resolver, dial), target, loopback_origin, (None, None), LARGEST_BYTES, None
    )
    watch = _Watch(stop, time.monotonic() + deadline_seconds, target.host)
    try:
        watch.check()
        network.start()
        head = network.head(watch)
        return Glance(head.content_type, network.piece(watch))
    finally:
        network.leave()


@dataclass(frozen=True)
class _Head:
    """What an answer says about the file before its first byte."""

    length: int | None
    content_type: str
    etag: str | None
    last_modified: str | None
    begins_at: int = 0


@dataclass(frozen=True)
class _Watch:
    stop: Stop
    deadline: float
    host: str

    def check(self) -> None:
        if self.stop():
            raise Stopped
        if time.monotonic() > self.deadline:
            raise DownloadFailed(f"The download from {self.host} took too long. Try again later.")


@contextlib.contextmanager
def _begin(part: Path, earlier: partial.Partial | None) -> Iterator[tuple[BinaryIO, hashlib._Hash]]:
    if earlier is not None:
        file, digest = partial.reopen(part, earlier)
    else:
        # Made anew, so that a link planted under this name is not written through.
        partial.drop(part)
        file, digest = part.open("xb"), hashlib.sha256()
    with file:
        yield file, digest


def _is_worth_keeping(
    problem: BaseException, part: Path, target: Target, head: _Head | None, earlier: partial.Partial | None
) -> bool:
    """Whether what has come lies there for the next time: what broke, or was stopped, and did not turn out wrong."""
    if head is None and not isinstance(problem, _Other):
        # Nobody answered, or a fresh link is needed: what was kept before is as good as it was.
        return earlier is not None and isinstance(problem, (DownloadFailed, LinkGone, Stopped))
    if head is None or not isinstance(problem, (DownloadFailed, Stopped)):
        return False
    try:
        return partial.keep(part, target, head.etag)
    except OSError:
        return False


def _save(
    network: _Network,
    head: _Head,
    file: BinaryIO,
    digest: hashlib._Hash,
    watch: _Watch,
    tell: Tell,
    largest_bytes: int,
    note: Callable[[], object] | None,
) -> tuple[int, str]:
    size_bytes = noted = head.begins_at
    while piece := network.piece(watch):
        size_bytes += len(piece)
        if size_bytes > largest_bytes:
            raise _too_large(watch.host, largest_bytes)
        file.write(piece)
        digest.update(piece)
        if note is not None and size_bytes - noted >= _NOTE_BYTES:
            # A process that is killed keeps nothing by itself.
            file.flush()
            note()
            noted = size_bytes
        if head.length:
            tell(min(size_bytes / head.length, 1.0))
    if head.length is not None and size_bytes != head.length:
        raise DownloadFailed(
            f"The download from {watch.host} ended after {size_bytes} of {head.length} bytes. Try again."
        )
    if head.length is None and size_bytes == 0:
        # What an answer cut short within its headers looks like.
        raise DownloadFailed(f"{watch.host} sent nothing. Try again later.")
    file.flush()
    os.fsync(file.fileno())
    return size_bytes, digest.hexdigest()


class _Other(DownloadFailed):
    """Not the file whose beginning was kept: that is dropped."""


class _Network:
    """The half of a download that waits: it runs in a thread of its own and hands over head, pieces and end."""

    def __init__(
        self,
        connection: GuardedConnection,
        target: Target,
        loopback_origin: str | None,
        validators: Validators,
        largest_bytes: int,
        earlier: partial.Partial | None,
    ) -> None:
        self._connection = connection
        self._target = target
        self._loopback_origin = loopback_origin
        self._validators = validators
        self._largest_bytes = largest_bytes
        self._earlier = earlier
        self._heads: queue.Queue[_Head | Exception] = queue.Queue()
        self._pieces: queue.Queue[bytes | Exception] = queue.Queue(_WAITING_PIECES)
        self._left = threading.Event()
        self._thread = threading.Thread(target=self._run, name="apimall-download", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def head(self, watch: _Watch) -> _Head:
        """What the answer says, once it comes. Raises what went wrong in the network thread, or what `watch` found."""
        return _wait_for(self._heads, watch)

    def piece(self, watch: _Watch) -> bytes:
        """The next bytes of the file; empty at its end. Raises like `head`."""
        return _wait_for(self._pieces, watch)

    def leave(self) -> None:
        """Nobody listens any more. The thread ends by itself, at the latest when its look-up does."""
        self._left.set()
        self._connection.cut()

    def _run(self) -> None:
        try:
            self._follow()
        except (requests.RequestException, urllib3.exceptions.HTTPError, http.client.HTTPException, OSError) as problem:
            self._fail(self._connection.explain(problem, self._target.host))
        except Exception as problem:  # noqa: BLE001 - the calling thread raises it
            self._fail(problem)

    def _fail(self, problem: Exception) -> None:
        self._heads.put(problem)
        self._hand_over(problem)

    def _hand_over(self, piece: bytes | Exception) -> None:
        while not self._left.is_set():
            with contextlib.suppress(queue.Full):
                self._pieces.put(piece, timeout=_WATCH_SECONDS)
                return

    def _follow(self) -> None:
        for _ in range(_MOST_REDIRECTS + 1):
            with self._connection.ask(self._target, self._headers(), deadline_seconds=None) as response:
                if response.status_code not in _REDIRECTS:
                    self._receive(response)
                    return
                self._target = _redirected(self._target, response.headers.get("Location"), self._loopback_origin)
        raise DownloadForbidden(f"{self._target.host} redirects more than {_MOST_REDIRECTS} times.")

    def _headers(self) -> dict[str, str]:
        headers = {
            "Accept": "*/*",
            "Accept-Encoding": "identity",
            "Connection": "close",
            "User-Agent": "apimall-video",
        }
        etag, last_modified = map(_validator, self._validators)
        if etag:
            headers["If-None-Match"] = etag
        if last_modified:
            headers["If-Modified-Since"] = last_modified
        if self._earlier is not None:
            headers["Range"] = f"bytes={self._earlier.size_bytes}-"
            headers["If-Range"] = self._earlier.etag
        return headers

    def _receive(self, response: requests.Response) -> None:
        if response.status_code == 416 and self._earlier is not None:
            # The file is shorter than what was kept of it: another one.
            raise _Other(f"{self._target.host} gives out another file than before. Try again.")
        if response.status_code != 206 or self._earlier is None:
            _require_ok(response, self._target.host, asked_for_changes=any(map(_validator, self._validators)))
        head = _read_head(response, self._target)
        if response.status_code == 206 and self._earlier is not None:
            head = _continued(head, response.headers.get("Content-Range"), self._earlier, self._target.host)
        if head.length is not None and head.length > self._largest_bytes:
            raise _too_large(self._target.host, self._largest_bytes)
        self._heads.put(head)
        self._connection.stage = "the transfer"
        # Beneath urllib3, whose older releases read a chunk's size line without bound.
        read = getattr(response.raw, "_original_response", None) or response.raw
        remaining = self._largest_bytes + 1 if head.length is None else head.length - head.begins_at
        while remaining > 0 and not self._left.is_set():
            piece = read.read1(min(_PIECE_BYTES, remaining))
            if not piece:
                break
            remaining -= len(piece)
            self._hand_over(piece)
        self._hand_over(b"")


def _wait_for(items: queue.Queue[_Item | Exception], watch: _Watch) -> _Item:
    while True:
        watch.check()
        with contextlib.suppress(queue.Empty):
            item = items.get(timeout=_WATCH_SECONDS)
            if isinstance(item, Exception):
                raise item
            return item


def _redirected(target: Target, location: str | None, loopback_origin: str | None) -> Target:
    if not location:
        raise DownloadFailed(f"{target.host} redirects without saying where to. Try again later.")
    with contextlib.suppress(UnicodeError):
        location = location.encode("latin-1").decode("utf-8")
    if re.search(r"[\x00-\x20\x7f\\]", location):  # urljoin would drop some of these without a word
        raise DownloadForbidden(f"{target.host} redirects to an address with blanks or backslashes in it.")
    try:
        # Only the loopback origin may lead to itself: nobody out there can point a download at this machine.
        return parse_url(urljoin(target.url, location), loopback_origin if target.on_loopback else None)
    except (DownloadForbidden, ValueError) as problem:
        why = str(problem) if isinstance(problem, DownloadForbidden) else "It is not a web address."
    raise DownloadForbidden(f"{target.host} redirects to an address that is not fetched. {why}")


def _require_ok(response: requests.Response, host: str, *, asked_for_changes: bool) -> None:
    status = response.status_code
    if status == 200:
        return
    if status == 304 and asked_for_changes:
        raise NotModified("The file has not changed since it was downloaded.", status=status)
    if 400 <= status < 500 and status not in _LATER:
        raise LinkGone(f"{host} does not give out this file (any more): HTTP {status}.", status=status)
    raise DownloadFailed(
        f"{host} cannot give out the file now: HTTP {status}. Try again later.",
        status=status,
    )


def _read_head(response: requests.Response, target: Target) -> _Head:
    headers = response.headers
    if headers.get("Content-Encoding", "identity").strip().lower() not in ("", "identity"):
        raise DownloadForbidden(f"{target.host} sends the file compressed, though asked not to; it is not unpacked.")
    transfer = headers.get("Transfer-Encoding", "").strip().lower()
    length = headers.get("Content-Length")
    if transfer not in ("", "identity", "chunked") or (transfer == "chunked" and length is not None):
        raise DownloadFailed(f"{target.host} contradicts itself about how it sends the file. Try again later.")
    if length is not None and not re.fullmatch(r"[0-9]{1,18}", length):
        raise DownloadFailed(f"{target.host} gives a length that is none. Try again later.")
    kind = headers.get("Content-Type", "").partition(";")[0].strip().lower()
    return _Head(
        length=None if length is None else int(length),
        content_type=kind if re.fullmatch(r"[a-z0-9.+-]{1,64}/[a-z0-9.+-]{1,64}", kind) else "",
        etag=_validator(headers.get("ETag")),
        last_modified=_validator(headers.get("Last-Modified")),
    )


def _continued(head: _Head, content_range: str | None, earlier: partial.Partial, host: str) -> _Head:
    """The head of the whole file, from that of its rest."""
    told = re.fullmatch(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18})", (content_range or "").strip())
    first, last, whole = map(int, told.groups()) if told else (-1, -1, -1)
    wrong = first != earlier.size_bytes or last != whole - 1 or head.length not in (None, whole - first)
    # RFC 9110 has it name the ETag: one that does not may not have looked at it.
    if wrong or head.etag != earlier.etag:
        raise _Other(f"{host} contradicts itself about the rest of the file. Try again.")
    return replace(head, length=whole, begins_at=first)


def _validator(value: str | None) -> str | None:
    """A validator that may be sent back in a header; None for anything odd."""
    if value and re.fullmatch(r"[ -~]+", value) and len(value) <= _LONGEST_VALIDATOR_CHARACTERS:
        return value
    return None


def _too_large(host: str, largest_bytes: int) -> DownloadForbidden:
    return DownloadForbidden(f"The file at {host} is larger than {largest_bytes / 1024**2:,.0f} MB; it is not fetched.")
