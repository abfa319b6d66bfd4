"""Guarded download: a file from a URL that nobody vouches for, over https, from public addresses only.

The network half (`transfer.py`) runs in a thread of its own and hands pieces over; the calling thread watches the stop
check and the deadline. So a server (or name server) that says nothing at all holds nobody up.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from ..remarks import remark
from ..stopping import Stop, Stopped, Tell, never_stop, tell_nobody
from ..troubles import Trouble
from . import partial
from .allowed_hosts import Target, parse_url
from .connections import DEADLINE_SECONDS, Dial, GuardedConnection, Resolver, dial, resolve
from .errors import DiskFailed, DownloadFailed, LinkGone
from .transfer import LARGEST_BYTES, Head, OtherFile, Transfer, Validators, Wanted, Watch, too_large

GLANCE_SECONDS = 8.0
_NOTE_BYTES = 4 * 1024**2
"""What may have to come again after a kill or a power cut."""


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
    transfer = Transfer(connection, Wanted(target, loopback_origin, largest_bytes, validators, earlier))
    watch = Watch(stop, time.monotonic() + deadline_seconds, target.host)
    head: Head | None = None
    try:
        watch.check()
        transfer.start()
        head = transfer.head(watch)
        with _begin(part, earlier if head.begins_at else None) as (file, digest):
            note = functools.partial(partial.keep, part, target, head.etag) if keep else None
            size_bytes, sha256 = _save(transfer, head, file, digest, watch, tell, largest_bytes, note)
    except BaseException as problem:
        transfer.leave()
        if not (keep and _is_worth_keeping(problem, part, target, head, earlier)):
            partial.drop(part)
        if isinstance(problem, OSError):
            what = remark(Trouble.DOWNLOAD_NOT_WRITTEN, folder=str(part.parent), reason=str(problem.strerror))
            raise DiskFailed(what) from None
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
    transfer = Transfer(GuardedConnection(gateway_hosts, resolver, dial), Wanted(target, loopback_origin))
    watch = Watch(stop, time.monotonic() + deadline_seconds, target.host)
    try:
        watch.check()
        transfer.start()
        head = transfer.head(watch)
        return Glance(head.content_type, transfer.piece(watch))
    finally:
        transfer.leave()


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
    problem: BaseException, part: Path, target: Target, head: Head | None, earlier: partial.Partial | None
) -> bool:
    """Whether what has come lies there for the next time: what broke, or was stopped, and did not turn out wrong."""
    if head is None and not isinstance(problem, OtherFile):
        # Nobody answered, or a fresh link is needed: what was kept before is as good as it was.
        return earlier is not None and isinstance(problem, (DownloadFailed, LinkGone, Stopped))
    if head is None or not isinstance(problem, (DownloadFailed, Stopped)):
        return False
    try:
        return partial.keep(part, target, head.etag)
    except OSError:
        return False


def _save(
    transfer: Transfer,
    head: Head,
    file: BinaryIO,
    digest: hashlib._Hash,
    watch: Watch,
    tell: Tell,
    largest_bytes: int,
    note: Callable[[], object] | None,
) -> tuple[int, str]:
    size_bytes = noted = head.begins_at
    while piece := transfer.piece(watch):
        size_bytes += len(piece)
        if size_bytes > largest_bytes:
            raise too_large(watch.host, largest_bytes)
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
        raise DownloadFailed(remark(Trouble.DOWNLOAD_CUT, host=watch.host, bytes=size_bytes, all=head.length))
    if head.length is None and size_bytes == 0:
        # What an answer cut short within its headers looks like.
        raise DownloadFailed(remark(Trouble.SENT_NOTHING, host=watch.host))
    file.flush()
    os.fsync(file.fileno())
    return size_bytes, digest.hexdigest()
