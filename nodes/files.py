"""Writing a file whole, making a rename durable, and telling what a file holds."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import secrets
import time
from collections.abc import Iterator
from pathlib import Path

from .progress import Stop, Stopped, never_stop

_CHUNK_BYTES = 1 << 20
_STALE_PART_SECONDS = 3600.0
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
        own.replace(path)
    finally:
        # Why it failed is worth more than why its rest could not be removed.
        with contextlib.suppress(OSError):
            own.unlink(missing_ok=True)
    sync_folder(path.parent)


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


def sha256_of(path: Path, stop: Stop = never_stop) -> str:
    """The SHA-256 of a file's content, hex. Raises OSError, Stopped."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            if stop():
                raise Stopped
            digest.update(chunk)
    return digest.hexdigest()


def _drop_stale_parts(path: Path) -> None:
    with contextlib.suppress(OSError):
        for part in path.parent.glob(f".{path.name}.*.part"):
            if time.time() - part.stat().st_mtime > _STALE_PART_SECONDS:
                part.unlink()
