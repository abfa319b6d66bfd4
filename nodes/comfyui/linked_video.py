"""A linked VIDEO as a file: what it shows, not what may lie under it."""

from __future__ import annotations

import hashlib
import threading
import uuid
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..files import rename, sha256_of, whole
from ..stopping import Stopped
from . import host
from .host import StoredSpan

if TYPE_CHECKING:
    from comfy_api.latest import Input

    from ..stopping import Stop

_FOLDER = "apimall"
_LOOK_SECONDS = 0.1
_written: dict[int, tuple[weakref.ref[Any], Path]] = {}
"""By the `id` of a VIDEO: of other packs' objects some have no hash, and some are equal that show different things."""


@dataclass(frozen=True)
class LinkedVideo:
    """What is linked: `given`, by which it is known again, and `own`, which nobody else reads."""

    given: Input.Video
    own: Input.Video


def linked_video(video: Input.Video | None) -> LinkedVideo | None:
    """To be called where the prompt runs. None where nothing is linked."""
    return None if video is None else LinkedVideo(video, host.own_copy(video))


def clip_of(video: LinkedVideo, stop: Stop) -> StoredSpan:
    """The file that a VIDEO shows, or the part of it. Raises InputError, Stopped.

    A file that is shown as it is stays where it is, wherever another node found it. Anything else (cropped, joined,
    in memory, of another pack's own kind) is written once, into ComfyUI's temp folder, under a name made of its
    content: so equal ones are one file, and ComfyUI clears them away when it starts.
    """
    host.require_video(video.given)
    span = host.stored_span(video.own)
    if span is not None:
        return span
    # One at a time: it may take all processors, and the second node with the same VIDEO finds it done.
    with alone_with(temp_clips(), stop):
        path = _written_before(video.given)
        if path is None:
            path = _write(video.own, stop)
            _remember(video.given, path)
    return StoredSpan(path)


def _written_before(video: Input.Video) -> Path | None:
    seen, path = _written.get(id(video), (None, None))
    return path if seen is not None and seen() is video and path is not None and path.is_file() else None


def _remember(video: Input.Video, path: Path) -> None:
    key = id(video)
    with suppress(TypeError):  # some objects cannot be watched: they are written again each time
        _written[key] = weakref.ref(video, lambda _: _written.pop(key, None)), path


def temp_clips() -> Path:
    """Where clips lie that ComfyUI clears away when it starts; created."""
    return host.created(host.temp_folder() / _FOLDER)


def key_of(path: Path, *settings: object) -> str:
    """What tells a file that is made of another, as that is now, from every other."""
    source = path.stat()
    return hashlib.sha256(repr((str(path), source.st_size, source.st_mtime_ns, *settings)).encode()).hexdigest()


def made_once(key: str, make: Callable[[Path], object], stop: Stop, suffix: str = ".mp4") -> Path:
    """The temporary clip of that key, which `make` writes unless it is there: whole or not at all. Raises Stopped."""
    path = temp_clips() / f"{key[:24]}{suffix}"
    with alone_with(path, stop):
        if not path.exists():
            with whole(path) as part:
                make(part)
    return path


def _write(video: Input.Video, stop: Stop) -> Path:
    folder = temp_clips()
    part = folder / f".{uuid.uuid4().hex}.mp4"
    try:
        data = host.stored_bytes(video)
        if data is None:
            host.save_video(video, part)
        else:
            part.write_bytes(data)
        path = folder / f"{sha256_of(part, stop)[:24]}.mp4"
        rename(part, path)
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)
    return path


_locks: dict[Path, threading.Lock] = {}


@contextmanager
def alone_with(path: Path, stop: Stop) -> Iterator[None]:
    """Nodes of one prompt run at the same time, and may want the same file. Raises Stopped."""
    lock = _locks.setdefault(path, threading.Lock())
    while not lock.acquire(timeout=_LOOK_SECONDS):
        if stop():
            raise Stopped
    try:
        yield
    finally:
        lock.release()
