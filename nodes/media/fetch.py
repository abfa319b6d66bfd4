"""Guarded download: a file from a URL that nobody vouches for, over https, from public addresses only.

Every name is looked up once, every address of the answer is checked, and the connection goes to a checked address: a
name server that changes its mind in between changes nothing. Redirects are followed here, one by one, each checked
like the first. Nothing of the user's goes along: no key, cookie, .netrc entry or referrer.

With a proxy from the environment (https only) the proxy looks the name up. What is checked then: the URL itself, and
the addresses this machine finds for the host, if it finds any. Where the proxy really connects to is the proxy's
matter; with a plain `socks5://` one the local look-up is made twice.

The network half runs in a thread of its own and hands pieces over; the calling thread watches the stop check and the
deadline. So a server (or name server) that says nothing at all holds nobody up.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import os
import queue
import re
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, TypeVar
from urllib.parse import urljoin

import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from .addresses import Target, check_url, is_number, parse_url, require_loopback, require_public
from .errors import NoRoom, Stop, Stopped, Tell, never_stop, tell_nobody
from .fetch_errors import FetchError, FetchFailed, FetchGone, FetchRefused, NotModified

__all__ = [
    "FetchError",
    "FetchFailed",
    "FetchGone",
    "FetchRefused",
    "Fetched",
    "NotModified",
    "check_url",
    "fetch",
]

LARGEST_BYTES = 2 * 1024**3
DEADLINE_SECONDS = 1800.0
_CONNECT_SECONDS = 10.0
_SILENCE_SECONDS = 30.0
_WATCH_SECONDS = 0.1
_PIECE_BYTES = 64 * 1024
_WAITING_PIECES = 64
_MOST_REDIRECTS = 5
_MOST_ADDRESSES_TRIED = 6
_REDIRECTS = (301, 302, 303, 307, 308)
_LATER = (408, 425, 429)
_LONGEST_VALIDATOR_CHARACTERS = 512
_LARGEST_RETRY_AFTER_SECONDS = 3600.0

_Item = TypeVar("_Item")

Validators = tuple[str | None, str | None]
"""The `etag` and `last_modified` of an earlier download."""

Resolver = Callable[[str, int], list[str]]
"""Host and port to IP addresses. Raises OSError."""

Dial = Callable[[str, int, float], socket.socket]
"""IP address, port and seconds to a connected socket. Raises OSError."""


@dataclass(frozen=True)
class Fetched:
    """A whole file at `path`, as long as the server said, on disk; `sha256` in hex. Whether it is a clip is not known.

    `content_type` is bare and lower case, "" when absent or odd. `final_url` may be signed: not for logs.
    """

    path: Path
    size_bytes: int
    sha256: str
    content_type: str
    etag: str | None
    last_modified: str | None
    final_url: str = field(repr=False)


def resolve(host: str, port: int) -> list[str]:
    """The addresses the system finds for a host."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def dial(address: str, port: int, seconds: float) -> socket.socket:
    """A TCP connection to exactly this IP address."""
    line = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
    try:
        line.settimeout(seconds)
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        line.connect((address, port))
    except BaseException:
        line.close()
        raise
    return line


def fetch(
    url: str,
    part: Path,
    *,
    loopback_origin: str | None = None,
    largest_bytes: int = LARGEST_BYTES,
    deadline_seconds: float = DEADLINE_SECONDS,
    stop: Stop = never_stop,
    tell: Tell = tell_nobody,
    validators: Validators = (None, None),
    resolver: Resolver = resolve,
    dial: Dial = dial,
) -> Fetched:
    """Download `url` to the file `part`, whole and flushed to disk; the caller verifies and renames it.

    `loopback_origin` is the one origin (scheme, host and port) that may be plain http and on this machine.
    `deadline_seconds` covers everything from the look-up to the last byte. With `validators` an unchanged file gives
    NotModified. Raises FetchRefused, FetchGone, FetchFailed, NotModified, Stopped or NoRoom; `part` is gone then.
    """
    target = parse_url(url, loopback_origin)
    line = _Line(resolver, dial)
    network = _Network(line, target, loopback_origin, validators, largest_bytes)
    watch = _Watch(stop, time.monotonic() + deadline_seconds, target.host)
    try:
        watch.check()
        network.start()
        head = network.head(watch)
        with _fresh_file(part) as file:
            size_bytes, sha256 = _save(network, head, file, watch, tell, largest_bytes)
    except BaseException as problem:
        network.leave()
        with contextlib.suppress(OSError):
            part.unlink()
        if isinstance(problem, OSError):
            # A NoRoom of its own: the pictures that wait for this file need not know about errno.
            raise NoRoom(f"The download could not be written to {part.parent} ({problem.strerror}).") from None
        raise
    network.leave()
    return Fetched(part, size_bytes, sha256, head.content_type, head.etag, head.last_modified, head.url)


@dataclass(frozen=True)
class _Head:
    """What an answer says about the file before its first byte."""

    url: str
    length: int | None
    content_type: str
    etag: str | None
    last_modified: str | None


@dataclass(frozen=True)
class _Watch:
    stop: Stop
    deadline: float
    host: str

    def check(self) -> None:
        if self.stop():
            raise Stopped
        if time.monotonic() > self.deadline:
            raise FetchFailed(f"The download from {self.host} took too long. Try again later.")


def _fresh_file(part: Path) -> BinaryIO:
    # Made anew, so that a link planted under this name is not written through.
    part.unlink(missing_ok=True)
    return part.open("xb")


def _save(
    network: _Network, head: _Head, file: BinaryIO, watch: _Watch, tell: Tell, largest_bytes: int
) -> tuple[int, str]:
    digest = hashlib.sha256()
    size_bytes = 0
    while piece := network.piece(watch):
        size_bytes += len(piece)
        if size_bytes > largest_bytes:
            raise _too_large(watch.host, largest_bytes)
        file.write(piece)
        digest.update(piece)
        if head.length:
            tell(min(size_bytes / head.length, 1.0))
    if head.length is not None and size_bytes != head.length:
        raise FetchFailed(f"The download from {watch.host} ended after {size_bytes} of {head.length} bytes. Try again.")
    file.flush()
    os.fsync(file.fileno())
    return size_bytes, digest.hexdigest()


class _Line:
    """Looks up, checks and connects; remembers what it opened, so that another thread can cut it."""

    def __init__(self, resolver: Resolver, dial: Dial) -> None:
        self.stage = "the preparation"
        self.target: Target | None = None
        self._resolver = resolver
        self._dial = dial
        self._lock = threading.Lock()
        self._handles: list[socket.socket] = []
        self._cut = False

    def look_up(self, host: str, port: int) -> list[str]:
        self.stage = "the look-up of its name"
        return [host] if is_number(host) else self._resolver(host, port)

    def to_target(self, host: str, port: int) -> socket.socket:
        """A connection to a checked address of the target; no other host is ever asked for."""
        target = self.target
        if target is None or (host, port) != (target.host, target.port):
            raise FetchRefused("The address was read in two different ways; it is not fetched.")
        addresses = self.look_up(host, port)
        if target.on_loopback:
            require_loopback(host, addresses)
        else:
            require_public(host, addresses)
        return self._connect(addresses, port)

    def to_proxy(self, host: str, port: int) -> socket.socket:
        """A connection to the proxy that the user set up: it may well be on this machine."""
        return self._connect(self.look_up(host, port), port)

    def cut(self) -> None:
        """End every connection, whatever any thread is waiting for on it."""
        with self._lock:
            self._cut = True
            handles, self._handles = self._handles, []
        for handle in handles:
            with contextlib.suppress(OSError):
                handle.shutdown(socket.SHUT_RDWR)
            handle.close()

    def _connect(self, addresses: list[str], port: int) -> socket.socket:
        self.stage = "the connection"
        failure = OSError("the name has no address")
        for address in addresses[:_MOST_ADDRESSES_TRIED]:
            try:
                line = self._dial(address, port, _CONNECT_SECONDS)
            except OSError as problem:
                failure = problem
                continue
            self._remember(line)
            self.stage = "the answer"
            return line
        raise failure

    def _remember(self, line: socket.socket) -> None:
        # A second handle on the same connection: TLS takes the first one over, and shutting down works through both.
        with self._lock:
            if self._cut:
                line.close()
                raise OSError("nobody waits for this any more")
            self._handles.append(line.dup())


class _GuardedAdapter(HTTPAdapter):
    """requests, with every connection made by a `_Line`."""

    def __init__(self, line: _Line) -> None:
        self._line = line
        super().__init__(max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = _pool_classes(self._line.to_target)

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **kwargs)
        if isinstance(manager, urllib3.ProxyManager):  # a SOCKS one connects in its own way
            manager.pool_classes_by_scheme = _pool_classes(self._line.to_proxy)
        return manager


def _pool_classes(connect: Callable[[str, int], socket.socket]) -> dict[str, type[HTTPConnectionPool]]:
    class PlainConnection(HTTPConnection):
        def _new_conn(self) -> socket.socket:
            return connect(self.host.strip("[]"), self.port)

    class SecureConnection(HTTPSConnection):
        def _new_conn(self) -> socket.socket:
            return connect(self.host.strip("[]"), self.port)

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = PlainConnection

    class SecurePool(HTTPSConnectionPool):
        ConnectionCls = SecureConnection

    return {"http": PlainPool, "https": SecurePool}


class _Network:
    """The half of a download that waits: it runs in a thread of its own and hands over head, pieces and end."""

    def __init__(
        self, line: _Line, target: Target, loopback_origin: str | None, validators: Validators, largest_bytes: int
    ) -> None:
        self._line = line
        self._target = target
        self._loopback_origin = loopback_origin
        self._validators = validators
        self._largest_bytes = largest_bytes
        self._heads: queue.Queue[_Head | Exception] = queue.Queue()
        self._pieces: queue.Queue[bytes | Exception] = queue.Queue(_WAITING_PIECES)
        self._left = threading.Event()
        self._thread = threading.Thread(target=self._run, name="apimall-fetch", daemon=True)

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
        self._line.cut()

    def _run(self) -> None:
        try:
            self._follow()
        except (requests.RequestException, urllib3.exceptions.HTTPError, http.client.HTTPException, OSError) as problem:
            self._fail(_explain(problem, self._line.stage, self._target.host))
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
            with contextlib.closing(_GuardedAdapter(self._line)) as adapter, self._ask(adapter) as response:
                if response.status_code not in _REDIRECTS:
                    self._receive(response)
                    return
                self._target = _redirected(self._target, response.headers.get("Location"), self._loopback_origin)
        raise FetchRefused(f"{self._target.host} redirects more than {_MOST_REDIRECTS} times.")

    def _ask(self, adapter: HTTPAdapter) -> requests.Response:
        target = self._line.target = self._target
        self._line.stage = "the preparation (proxy and certificate settings)"
        # Prepared and sent by hand: a session would add cookies and .netrc, and read the whole body of a redirect.
        request = requests.Request("GET", target.url, headers=self._headers()).prepare()
        with requests.Session() as session:
            surroundings = session.merge_environment_settings(target.url, {}, True, None, None)
        proxies = {} if target.on_loopback else surroundings["proxies"]
        if requests.utils.select_proxy(target.url, proxies):
            self._check_before_proxy(target)
        return adapter.send(
            request,
            stream=True,
            timeout=(_CONNECT_SECONDS, _SILENCE_SECONDS),
            verify=surroundings["verify"] or True,
            cert=None,
            proxies=proxies,
        )

    def _check_before_proxy(self, target: Target) -> None:
        try:
            addresses = self._line.look_up(target.host, target.port)
        except OSError:
            return  # names are often the proxy's business alone
        require_public(target.host, addresses, through_proxy=True)

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
        return headers

    def _receive(self, response: requests.Response) -> None:
        _require_ok(response, self._target.host, asked_for_changes=any(map(_validator, self._validators)))
        head = _read_head(response, self._target)
        if head.length is not None and head.length > self._largest_bytes:
            raise _too_large(self._target.host, self._largest_bytes)
        self._heads.put(head)
        self._line.stage = "the transfer"
        # Beneath urllib3, whose older releases read a chunk's size line without bound.
        read = getattr(response.raw, "_original_response", None) or response.raw
        remaining = head.length if head.length is not None else self._largest_bytes + 1
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
        raise FetchFailed(f"{target.host} redirects without saying where to. Try again later.")
    with contextlib.suppress(UnicodeError):
        location = location.encode("latin-1").decode("utf-8")
    if re.search(r"[\x00-\x20\x7f\\]", location):  # urljoin would drop some of these without a word
        raise FetchRefused(f"{target.host} redirects to an address with blanks or backslashes in it.")
    try:
        # Only the loopback origin may lead to itself: nobody out there can point a download at this machine.
        return parse_url(urljoin(target.url, location), loopback_origin if target.on_loopback else None)
    except (FetchRefused, ValueError) as problem:
        why = str(problem) if isinstance(problem, FetchRefused) else "It is not a web address."
    raise FetchRefused(f"{target.host} redirects to an address that is not fetched. {why}")


def _require_ok(response: requests.Response, host: str, *, asked_for_changes: bool) -> None:
    status = response.status_code
    if status == 200:
        return
    if status == 304 and asked_for_changes:
        raise NotModified("The file has not changed since it was fetched.", status=status)
    if 400 <= status < 500 and status not in _LATER:
        raise FetchGone(f"{host} does not give out this file (any more): HTTP {status}.", status=status)
    raise FetchFailed(
        f"{host} cannot give out the file now: HTTP {status}. Try again later.",
        status=status,
        retry_after_seconds=_retry_after(response.headers.get("Retry-After")),
    )


def _read_head(response: requests.Response, target: Target) -> _Head:
    headers = response.headers
    if headers.get("Content-Encoding", "identity").strip().lower() not in ("", "identity"):
        raise FetchRefused(f"{target.host} sends the file compressed, though asked not to; it is not unpacked.")
    transfer = headers.get("Transfer-Encoding", "").strip().lower()
    length = headers.get("Content-Length")
    if transfer not in ("", "identity", "chunked") or (transfer == "chunked" and length is not None):
        raise FetchFailed(f"{target.host} contradicts itself about how it sends the file. Try again later.")
    if length is not None and not re.fullmatch(r"[0-9]{1,18}", length):
        raise FetchFailed(f"{target.host} gives a length that is none. Try again later.")
    kind = headers.get("Content-Type", "").partition(";")[0].strip().lower()
    return _Head(
        url=target.url,
        length=None if length is None else int(length),
        content_type=kind if re.fullmatch(r"[a-z0-9.+-]{1,64}/[a-z0-9.+-]{1,64}", kind) else "",
        etag=_validator(headers.get("ETag")),
        last_modified=_validator(headers.get("Last-Modified")),
    )


def _validator(value: str | None) -> str | None:
    """A validator that may be sent back in a header; None for anything odd."""
    if value and re.fullmatch(r"[ -~]+", value) and len(value) <= _LONGEST_VALIDATOR_CHARACTERS:
        return value
    return None


def _retry_after(value: str | None) -> float | None:
    if value and re.fullmatch(r"[0-9]{1,6}", value):
        return min(float(value), _LARGEST_RETRY_AFTER_SECONDS)
    return None


def _too_large(host: str, largest_bytes: int) -> FetchRefused:
    return FetchRefused(f"The file at {host} is larger than {largest_bytes / 1024**2:,.0f} MB; it is not fetched.")


def _explain(problem: Exception, stage: str, host: str) -> FetchFailed:
    """Network trouble in words. Nothing of `problem` is kept: its text holds the whole URL, proxy password and all."""
    if isinstance(problem, requests.exceptions.ProxyError):
        what = "The proxy did not connect to"
        return FetchFailed(f"{what} {host}. Check the proxy settings (HTTPS_PROXY, NO_PROXY), then try again.")
    if isinstance(problem, requests.exceptions.SSLError):
        return FetchFailed(f"{host} has no valid certificate for its name, or TLS failed. Try another network.")
    if isinstance(problem, (requests.exceptions.InvalidSchema, requests.exceptions.InvalidProxyURL)):
        return FetchFailed(f"The proxy set for {host} cannot be used. Check HTTPS_PROXY and ALL_PROXY.")
    how = "took too long" if isinstance(problem, (requests.Timeout, TimeoutError)) else "failed"
    return FetchFailed(f"The download from {host} did not work: {stage} {how}. Check the network, then try again.")
