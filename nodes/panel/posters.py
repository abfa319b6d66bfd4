"""Small pictures that stand for clips: made once from each file, kept in the state folder."""

from __future__ import annotations

import hashlib
import logging
import threading
from pathlib import Path

from ..files import whole

_log = logging.getLogger("apimall_video.panel")

_AT_ONCE = 2
"""A page of clips asks for all its pictures together; decoding them all together would starve the nodes."""


class Posters:
    """`folder` keeps them. Thread-safe."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._room = threading.Semaphore(_AT_ONCE)

    def of(self, clip: Path) -> bytes | None:
        """The picture of a clip; None when it is gone or cannot be read. Blocking."""
        try:
            now = clip.stat()
            key = f"{clip.name}:{now.st_size}:{now.st_mtime_ns}"
            kept = self._folder / f"{hashlib.sha256(key.encode()).hexdigest()[:24]}.jpg"
            with self._room:
                return kept.read_bytes() if kept.is_file() else self._made(clip, kept)
        except OSError as problem:
            _log.debug("no picture of %s: %s", clip.name, problem)
            return None

    def _made(self, clip: Path, kept: Path) -> bytes | None:
        from ..media.errors import MediaError
        from ..media.poster import poster

        try:
            picture = poster(clip)
        except MediaError as problem:
            _log.debug("no picture of %s: %s", clip.name, problem)
            return None
        self._folder.mkdir(parents=True, exist_ok=True)
        with whole(kept) as part:
            part.write_bytes(picture)
        return picture
