"""Where a journal may lie: on a disk of this machine, where locks and shared memory hold.

SQLite's write-ahead log needs memory that all its users share and locks that the system keeps; over a network neither
holds, so two machines would each believe that they alone pay (SQLite, "Write-Ahead Logging", "Use over a network").
"""

from __future__ import annotations

import errno
import logging
import os
import re
import secrets
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from ..gateway.errors import SetupError
from ..remarks import remark
from ..troubles import Trouble

if sys.platform == "win32":
    import msvcrt

    def lock(file: BinaryIO) -> None:
        """Lock a file for this process, at once or not at all. Raises OSError."""
        file.seek(0)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def lock(file: BinaryIO) -> None:
        """Lock a file for this process, at once or not at all. Raises OSError."""
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


_log = logging.getLogger("apimall_video.jobs")

MOUNTS = Path("/proc/self/mountinfo")
"""What is mounted where, on Linux: `proc(5)`."""

_NETWORK = frozenset(
    (
        *("nfs", "nfs4", "cifs", "smb2", "smb3", "smbfs", "ncpfs", "afs", "coda", "davfs", "lustre", "beegfs", "ceph"),
        *("glusterfs", "gpfs", "gfs2", "ocfs2", "orangefs", "pvfs2", "panfs", "wekafs", "moosefs"),
        *("fuse.sshfs", "fuse.rclone", "fuse.s3fs", "fuse.gcsfuse", "fuse.goofys", "fuse.blobfuse", "fuse.blobfuse2"),
        *("fuse.mount-s3", "fuse.glusterfs", "fuse.juicefs", "fuse.ceph", "fuse.ceph-fuse", "fuse.mfs"),
        *("fuse.mfsmount", "fuse.davfs", "fuse.davfs2", "fuse.curlftpfs", "fuse.seaweedfs", "fuse.lizardfs"),
    )
)
_LOCK_SECONDS = 20.0
_LOCK_PAUSE_SECONDS = 0.01
_HELD = (errno.EAGAIN, errno.EACCES, errno.EDEADLK)  # by another; Windows says one of the latter two
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL, errno.ENOTTY)


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Alone among all processes with the journal's file itself: to open it, or to put another in its place.

    Held for moments. Who has waited too long, or where nothing can be locked, goes on without.
    """
    file = _locked(path.with_name(f"{path.stem}.lock"))
    try:
        yield
    finally:
        if file is not None:
            file.close()


def _locked(path: Path) -> BinaryIO | None:
    try:
        file = path.open("ab")
    except OSError:
        return None
    deadline = time.monotonic() + _LOCK_SECONDS
    while True:
        try:
            lock(file)
        except OSError as refusal:
            if refusal.errno not in _HELD or time.monotonic() > deadline:
                return file
            time.sleep(_LOCK_PAUSE_SECONDS)
        else:
            return file


def require_own_disk(folder: Path) -> None:
    """Raises SetupError for a folder on a network share, as far as the system tells."""
    real = os.path.realpath(folder)
    kind = "a share" if is_share(real) else file_system_of(real, _mounts())
    if kind == "a share" or kind in _NETWORK:
        raise SetupError(
            remark(Trouble.JOURNAL_ON_SHARE, folder=str(folder), kind=kind),
            advice=remark(Trouble.STATE_DIR_ON_THIS_MACHINE),
        )


def make_folder(folder: Path) -> None:
    """The journal's folder, made if it is not there. Raises SetupError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as refusal:
        raise SetupError(
            remark(Trouble.JOURNAL_FOLDER_NOT_MADE, folder=str(folder), reason=str(refusal.strerror)),
            advice=remark(Trouble.ANOTHER_STATE_DIR),
        ) from None


def unusable(path: Path, problem: BaseException) -> SetupError:
    """What to tell when the journal's file cannot be opened: the reason found on the spot, not SQLite's words."""
    _log.warning("the journal %s cannot be opened: %s", path, problem)
    if getattr(problem, "sqlite_errorname", "").startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return SetupError(remark(Trouble.JOURNAL_LOCKED, path=str(path)), advice=remark(Trouble.CLOSE_IT))
    try:
        _try_out(path)
    except OSError as refusal:
        if lacks_locks(refusal):
            return without_locks(path.parent)
        return SetupError(
            remark(Trouble.JOURNAL_NOT_OPENED, path=str(path), reason=str(refusal.strerror)),
            advice=remark(Trouble.CHECK_FOLDER),
        )
    return SetupError(
        remark(Trouble.JOURNAL_NO_DATABASE, path=str(path)), advice=remark(Trouble.STATE_DIR_ON_THIS_MACHINE)
    )


def without_locks(folder: Path) -> SetupError:
    """What to tell about a file system that has no locks at all."""
    return SetupError(
        remark(Trouble.JOURNAL_NO_LOCKS, folder=str(folder)), advice=remark(Trouble.STATE_DIR_ON_THIS_MACHINE)
    )


def lacks_locks(refusal: OSError) -> bool:
    """Whether a lock was refused because there are none, and not because another process holds it."""
    return refusal.errno in _NO_LOCKS


def is_share(path: str) -> bool:
    """Whether a real Windows path lies on another machine: mapped drives have become `\\\\server\\share` in it."""
    return path.startswith("\\\\") and not re.match(r"\\\\[?.]\\(?!UNC\\)", path, re.IGNORECASE)


def file_system_of(path: str, mounts: str) -> str:
    """The type of the file system that a real path lies on, by the system's list of mounts; "" where it is silent."""
    best, kind = "", ""
    for line in mounts.splitlines():
        fields, separator, rest = line.partition(" - ")
        point = _unescaped(fields.split(" ")[4]) if separator and fields.count(" ") >= 4 else ""
        # Of two on the same place the later one covers the earlier.
        if point and len(point) >= len(best) and (path == point or path.startswith(point.rstrip("/") + "/")):
            best, kind = point, rest.split(" ")[0]
    return kind


def _unescaped(field: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), field)


def _mounts() -> str:
    try:
        return MOUNTS.read_text("utf-8", errors="surrogateescape")
    except OSError:
        return ""


def _try_out(path: Path) -> None:
    """Do by hand what a database needs. Raises OSError."""
    if path.exists():
        path.open("r+b").close()
    probe = path.parent / f".{secrets.token_hex(8)}.part"
    try:
        with probe.open("xb") as file:
            file.write(b"x" * 4096)
            file.flush()
            os.fsync(file.fileno())
            lock(file)
    finally:
        probe.unlink(missing_ok=True)
