"""What is left of a download that broke, and the note beside it that tells whether it may be continued."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import stat
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

from .allowed_hosts import Target


@dataclass(frozen=True)
class Partial:
    """The first `size_bytes` of what `address` (a digest) gives out under the strong ETag `etag`."""

    address: str
    etag: str
    size_bytes: int


def note_of(part: Path) -> Path:
    """Where the note to a partial file lies."""
    return part.with_name(f"{part.name}.json")


def read(part: Path, target: Target) -> Partial | None:
    """What was kept of this very address, if as much of it still lies there."""
    try:
        noted = json.loads(note_of(part).read_text(encoding="utf-8"))
        partial = Partial(str(noted["address"]), str(noted["etag"]), int(noted["size_bytes"]))
        found = part.lstat()
    except (OSError, ValueError, TypeError, KeyError):
        return None
    # What came after the note, before a kill, may not be on disk as it came.
    whole = stat.S_ISREG(found.st_mode) and found.st_size >= partial.size_bytes > 0
    return partial if whole and partial.address == _digest(target) else None


def keep(part: Path, target: Target, etag: str | None) -> bool:
    """Note what has come so far, once it is on disk; False where it is not worth it. Raises OSError."""
    if etag is None or etag.startswith("W/") or not part.stat().st_size:
        return False
    with part.open("rb+") as file:
        os.fsync(file.fileno())
    partial = Partial(_digest(target), etag, part.stat().st_size)
    note_of(part).write_text(json.dumps(asdict(partial)), encoding="utf-8")
    return True


def drop(part: Path) -> None:
    """Remove what was kept, as far as the disk lets us."""
    for path in (part, note_of(part)):
        with contextlib.suppress(OSError):
            path.unlink()


def reopen(part: Path, partial: Partial) -> tuple[BinaryIO, hashlib._Hash]:
    """The file, ready for its next bytes, and the digest of those it has. Raises OSError."""
    # A link planted under this name is not written through.
    handle = os.open(part, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0))
    file = os.fdopen(handle, "rb+")
    digest = hashlib.sha256()
    left = partial.size_bytes
    while left and (piece := file.read(min(left, 1 << 20))):
        digest.update(piece)
        left -= len(piece)
    file.truncate(partial.size_bytes)
    return file, digest


def _digest(target: Target) -> str:
    # Without the query: it may be a signature, which is another one in each fresh link to the same file.
    return hashlib.sha256(target.url.partition("?")[0].encode()).hexdigest()
