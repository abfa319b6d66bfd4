"""Writing a file whole, making a rename durable, and telling what a file holds."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import secrets
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from .stopping import Stop, Stopped, never_stop

_CHUNK_BYTES = 1 << 20
_STALE_PART_SECONDS = 3600.0
_RENAME_PAUSES_SECONDS = (0.05, 0.1, 0.2, 0.4, 0.8, 1.0, 1.0, 1.0, 1.0)
_REFUSALS = frozenset(
    (errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EBADF, errno.EACCES, errno.EPERM, errno.EISDIR)
)


@contextlib.contextmanager
def whole(path: Path, part: Path | None = None) -> Iterator[Path]:
    """A file to write beside `path`; synced and renamed to `path` when the block ends well, gone when it does not.

    Without `part` each writer gets a name of its own: two that share one would swap each other's half-written file
    into place. What writers that were killed left behind is removed. Raises OSError.
    """
    own = part or path.with_name(f".{path.name}.{secrets.token_hex(8)}.part")
    _drop_stale_parts(path)
    try:
        yield own
        with own.open("rb+") as file:
            os.fsync(file.fileno())
        rename(own, path)
    finally:
        # Why it failed is worth more than why its rest could not be removed.
        with contextlib.suppress(OSError):
            own.unlink(missing_ok=True)
    sync_folder(path.parent)


def rename(part: Path, path: Path) -> None:
    """Give a file its name, in place of what has it. Raises OSError.

    On Windows a virus scanner, an indexer or a player may hold either of the two for a moment, and some shares behave
    alike: what is refused is tried again for some seconds.
    """
    for seconds in _RENAME_PAUSES_SECONDS:
        try:
            part.replace(path)
        except PermissionError:
            time.sleep(seconds)
        else:
            return
    part.replace(path)


def require_writable(folder: Path, name: str) -> None:
    """Raises OSError where a file of this name could not be written: no right, no room, too long a path."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / name).open("xb"):
        pass
    (folder / name).unlink()


def sync_folder(folder: Path) -> None:
    """Make the renames in a folder durable, as far as can be: Windows opens no folders, some shares sync none."""
    if os.name == "nt":
        return
    try:
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as refusal:
        if refusal.errno not in _REFUSALS:
            raise


def state_of(path: Path) -> tuple[int, int] | None:
    """Size and time of the last change: with another content another one. None where there is no such file."""
    try:
        now = path.stat()
    except OSError:
        return None
    return now.st_size, now.st_mtime_ns


def sha256_of(path: Path, stop: Stop = never_stop, most_bytes: int = sys.maxsize) -> str:
    """The SHA-256 of a file's content, or of its first `most_bytes`, hex. Raises OSError, Stopped."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(min(_CHUNK_BYTES, most_bytes)):
            if stop():
                raise Stopped
            digest.update(chunk)
            most_bytes -= len(chunk)
    return digest.hexdigest()


def _drop_stale_parts(path: Path) -> None:
    with contextlib.suppress(OSError):
        for part in path.parent.glob(f".{path.name}.*.part"):
            if time.time() - part.stat().st_mtime > _STALE_PART_SECONDS:
                part.unlink()
