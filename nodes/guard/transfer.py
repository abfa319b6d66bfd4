"""The half of a download that waits on the network: it runs in a thread of its own and hands over what comes.

Redirects are followed here, one by one, each checked like the first; `connections.py` tells what is checked.
"""

from __future__ import annotations

import contextlib
import http.client
import queue
import re
import threading
import time
from dataclasses import dataclass, replace
from typing import TypeVar
from urllib.parse import urljoin

import requests
import urllib3

from ..remarks import remark
from ..stopping import Stop, Stopped
from ..troubles import Trouble
from .allowed_hosts import Target, parse_url
from .connections import GuardedConnection
from .errors import DownloadFailed, DownloadForbidden, LinkGone, NotModified
from .partial import Partial

LARGEST_BYTES = 2 * 1024**3
_WATCH_SECONDS = 0.1
_PIECE_BYTES = 64 * 1024
_WAITING_PIECES = 64
_MOST_REDIRECTS = 5
_REDIRECTS = (301, 302, 303, 307, 308)
_LATER = (408, 425, 429)
_LONGEST_VALIDATOR_CHARACTERS = 512

_Item = TypeVar("_Item")

Validators = tuple[str | None, str | None]
"""The `etag` and `last_modified` of an earlier download."""


@dataclass(frozen=True)
class Wanted:
    """What is asked for. `loopback_origin`: as `download` has it. `earlier`: what was kept of the file's beginning."""

    target: Target
    loopback_origin: str | None
    largest_bytes: int = LARGEST_BYTES
    validators: Validators = (None, None)
    earlier: Partial | None = None


@dataclass(frozen=True)
class Head:
    """What an answer says about the file before its first byte."""

    length: int | None
    content_type: str
    etag: str | None
    last_modified: str | None
    begins_at: int = 0


@dataclass(frozen=True)
class Watch:
    """What ends a download before its last byte."""

    stop: Stop
    deadline: float
    host: str

    def check(self) -> None:
        """Raises Stopped, DownloadFailed."""
        if self.stop():
            raise Stopped
        if time.monotonic() > self.deadline:
            raise DownloadFailed(remark(Trouble.DOWNLOAD_SLOW, host=self.host))


class OtherFile(DownloadFailed):
    """Not the file whose beginning was kept: that is dropped."""


class Transfer:
    """One download's transfer: hands over head, pieces and end."""

    def __init__(self, connection: GuardedConnection, wanted: Wanted) -> None:
        self._connection = connection
        self._wanted = wanted
        self._target = wanted.target
        self._heads: queue.Queue[Head | Exception] = queue.Queue()
        self._pieces: queue.Queue[bytes | Exception] = queue.Queue(_WAITING_PIECES)
        self._left = threading.Event()
        self._thread = threading.Thread(target=self._run, name="apimall-download", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def head(self, watch: Watch) -> Head:
        """What the answer says, once it comes. Raises what went wrong in the network thread, or what `watch` found."""
        return _wait_for(self._heads, watch)

    def piece(self, watch: Watch) -> bytes:
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
                self._target = _redirected(self._target, response.headers.get("Location"), self._wanted.loopback_origin)
        raise DownloadForbidden(remark(Trouble.REDIRECTS_TOO_OFTEN, host=self._target.host, most=_MOST_REDIRECTS))

    def _headers(self) -> dict[str, str]:
        headers = {
            "Accept": "*/*",
            "Accept-Encoding": "identity",
            "Connection": "close",
            "User-Agent": "apimall-video",
        }
        etag, last_modified = map(_validator, self._wanted.validators)
        if etag:
            headers["If-None-Match"] = etag
        if last_modified:
            headers["If-Modified-Since"] = last_modified
        if self._wanted.earlier is not None:
            headers["Range"] = f"bytes={self._wanted.earlier.size_bytes}-"
            headers["If-Range"] = self._wanted.earlier.etag
        return headers

    def _receive(self, response: requests.Response) -> None:
        if response.status_code == 416 and self._wanted.earlier is not None:
            # The file is shorter than what was kept of it: another one.
            raise OtherFile(remark(Trouble.ANOTHER_FILE, host=self._target.host))
        if response.status_code != 206 or self._wanted.earlier is None:
            _require_ok(response, self._target.host, asked_for_changes=any(map(_validator, self._wanted.validators)))
        head = _read_head(response, self._target)
        if response.status_code == 206 and self._wanted.earlier is not None:
            head = _continued(head, response.headers.get("Content-Range"), self._wanted.earlier, self._target.host)
        if head.length is not None and head.length > self._wanted.largest_bytes:
            raise too_large(self._target.host, self._wanted.largest_bytes)
        self._heads.put(head)
        self._connection.stage = Trouble.TRANSFER
        # Beneath urllib3, whose older releases read a chunk's size line without bound.
        read = getattr(response.raw, "_original_response", None) or response.raw
        remaining = self._wanted.largest_bytes + 1 if head.length is None else head.length - head.begins_at
        while remaining > 0 and not self._left.is_set():
            piece = read.read1(min(_PIECE_BYTES, remaining))
            if not piece:
                break
            remaining -= len(piece)
            self._hand_over(piece)
        self._hand_over(b"")


def _wait_for(items: queue.Queue[_Item | Exception], watch: Watch) -> _Item:
    while True:
        watch.check()
        with contextlib.suppress(queue.Empty):
            item = items.get(timeout=_WATCH_SECONDS)
            if isinstance(item, Exception):
                raise item
            return item


def _redirected(target: Target, location: str | None, loopback_origin: str | None) -> Target:
    if not location:
        raise DownloadFailed(remark(Trouble.REDIRECTS_NOWHERE, host=target.host))
    with contextlib.suppress(UnicodeError):
        location = location.encode("latin-1").decode("utf-8")
    if re.search(r"[\x00-\x20\x7f\\]", location):  # urljoin would drop some of these without a word
        raise DownloadForbidden(remark(Trouble.REDIRECTS_ODDLY, host=target.host))
    try:
        # Only the loopback origin may lead to itself: nobody out there can point a download at this machine.
        return parse_url(urljoin(target.url, location), loopback_origin if target.on_loopback else None)
    except (DownloadForbidden, ValueError) as problem:
        why = problem.what if isinstance(problem, DownloadForbidden) else remark(Trouble.NOT_WEB_EITHER)
    raise DownloadForbidden(remark(Trouble.REDIRECTS_FORBIDDEN, host=target.host, why=why))


def _require_ok(response: requests.Response, host: str, *, asked_for_changes: bool) -> None:
    status = response.status_code
    if status == 200:
        return
    if status == 304 and asked_for_changes:
        raise NotModified("The file has not changed since it was downloaded.", status=status)
    if 400 <= status < 500 and status not in _LATER:
        raise LinkGone(remark(Trouble.LINK_GONE, host=host, status=status), status=status)
    raise DownloadFailed(remark(Trouble.NOT_GIVEN_NOW, host=host, status=status), status=status)


def _read_head(response: requests.Response, target: Target) -> Head:
    headers = response.headers
    if headers.get("Content-Encoding", "identity").strip().lower() not in ("", "identity"):
        raise DownloadForbidden(remark(Trouble.SENT_COMPRESSED, host=target.host))
    transfer = headers.get("Transfer-Encoding", "").strip().lower()
    length = headers.get("Content-Length")
    if transfer not in ("", "identity", "chunked") or (transfer == "chunked" and length is not None):
        raise DownloadFailed(remark(Trouble.CONTRADICTS_FORM, host=target.host))
    if length is not None and not re.fullmatch(r"[0-9]{1,18}", length):
        raise DownloadFailed(remark(Trouble.NO_LENGTH, host=target.host))
    kind = headers.get("Content-Type", "").partition(";")[0].strip().lower()
    return Head(
        length=None if length is None else int(length),
        content_type=kind if re.fullmatch(r"[a-z0-9.+-]{1,64}/[a-z0-9.+-]{1,64}", kind) else "",
        etag=_validator(headers.get("ETag")),
        last_modified=_validator(headers.get("Last-Modified")),
    )


def _continued(head: Head, content_range: str | None, earlier: Partial, host: str) -> Head:
    """The head of the whole file, from that of its rest."""
    told = re.fullmatch(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18})", (content_range or "").strip())
    first, last, whole = map(int, told.groups()) if told else (-1, -1, -1)
    wrong = first != earlier.size_bytes or last != whole - 1 or head.length not in (None, whole - first)
    # RFC 9110 has it name the ETag: one that does not may not have looked at it.
    if wrong or head.etag != earlier.etag:
        raise OtherFile(remark(Trouble.CONTRADICTS_REST, host=host))
    return replace(head, length=whole, begins_at=first)


def _validator(value: str | None) -> str | None:
    """A validator that may be sent back in a header; None for anything odd."""
    if value and re.fullmatch(r"[ -~]+", value) and len(value) <= _LONGEST_VALIDATOR_CHARACTERS:
        return value
    return None


def too_large(host: str, largest_bytes: int) -> DownloadForbidden:
    """What to tell of a file that is."""
    return DownloadForbidden(remark(Trouble.LARGER_THAN, host=host, most=f"{largest_bytes / 1024**2:,.0f}"))
