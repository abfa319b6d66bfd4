"""The media of an order, uploaded once: a cache by content, in the journal, for each account."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from ..gateway.client import Gateway
from ..gateway.errors import InputError, SetupError
from ..gateway.uploader import Put, Uploader
from ..journal.verbs import Journal
from ..media.errors import MediaError, NoRoom
from ..remarks import remark
from ..stopping import Stop, Stopped
from ..troubles import Trouble
from .order import Medium, MediumFile, Order

KEEP_SECONDS = 12 * 3600.0
"""How long an uploaded URL is trusted; nobody says how long the gateway keeps uploads, a day is the worst guess."""

_TICK_SECONDS = 0.2


class Withdrawn(Exception):
    """Nobody waits for this job any more, and it was not sent."""


@dataclass(frozen=True)
class Uploaded:
    """One public URL for each reference of an order; `cached`: digests that were not uploaded now."""

    urls: tuple[str, ...]
    cached: tuple[str, ...]


class Uploads:
    """Uploads of one account. `readable(url)`: False when an earlier upload can no longer be read by anybody."""

    def __init__(
        self,
        journal: Journal,
        account: str,
        folder: Path,
        *,
        put: Put,
        readable: Callable[[str], bool],
        wall: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._journal = journal
        self._account = account
        self._folder = folder
        self._put = put
        self._readable = readable
        self._wall = wall
        self._sleep = sleep

    def upload_all(
        self,
        gateway: Gateway,
        order: Order,
        *,
        stop: Stop,
        tell: Callable[[float, str], None],
        spend: Callable[[], None],
        hold_off: Callable[[float], None],
    ) -> Uploaded:
        """Public URLs for all references, in order. Raises Withdrawn when `stop` says so.

        Raises InputError for a medium that cannot be made, SetupError when this disk refuses it, else what the
        gateway said.
        """
        uploader = Uploader(
            gateway, self._put, pause=lambda seconds: self._pause(seconds, stop), spend=spend, hold_off=hold_off
        )
        urls: list[str] = []
        cached: list[str] = []
        for index, reference in enumerate(order.references):
            tell(index / len(order.references), "")
            if isinstance(reference, str):
                urls.append(reference)
                continue
            earlier = self._earlier(reference.digest)
            if earlier is not None:
                cached.append(reference.digest)
            urls.append(earlier or self._upload(uploader, reference, stop, tell))
        return Uploaded(tuple(urls), tuple(cached))

    def clear_leftovers(self, alive: Collection[str]) -> None:
        """Remove what processes that died left half-way; each has a folder of its own, named as its holder."""
        try:
            left = [path for path in self._folder.parent.iterdir() if path.name not in alive]
        except OSError:
            return
        for path in left:
            with contextlib.suppress(OSError):
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path)
                elif self._wall() - path.stat().st_mtime > KEEP_SECONDS:
                    # Of a version that had one folder for all; it may be at work still.
                    path.unlink()

    def forget(self, digests: tuple[str, ...]) -> None:
        """The gateway could not use these: upload them anew next time."""
        for digest in digests:
            self._journal.forget_upload(self._account, digest)

    def _earlier(self, digest: str) -> str | None:
        url = self._journal.uploaded(self._account, digest, self._wall() - KEEP_SECONDS)
        if url is None or self._readable(url):
            return url
        self.forget((digest,))
        return None

    def _upload(self, uploader: Uploader, medium: Medium, stop: Stop, tell: Callable[[float, str], None]) -> str:
        self._pause(0, stop)
        made = self._made(medium, stop)
        try:
            for note in made.notes:
                tell(0.0, str(note))
            self._pause(0, stop)
            url = uploader.upload(made.path, made.content_type)
        finally:
            if made.ours:
                made.path.unlink(missing_ok=True)
        self._journal.remember_upload(self._account, medium.digest, url)
        return url

    def _made(self, medium: Medium, stop: Stop) -> MediumFile:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            return medium.write(self._folder, stop)
        except Stopped:
            raise Withdrawn from None
        except (NoRoom, OSError) as full:
            raise SetupError(
                remark(
                    Trouble.UPLOAD_NOT_WRITTEN,
                    folder=str(self._folder),
                    reason=full.what if isinstance(full, NoRoom) else str(full),
                ),
                advice=remark(Trouble.CHECK_USER_FOLDER),
            ) from None
        except MediaError as problem:
            raise InputError(remark(Trouble.LINKED_NOT_SENT, problem=problem.what)) from None

    def _pause(self, seconds: float, stop: Stop) -> None:
        """Wait in small steps: whoever stops waiting must not be kept."""
        left = seconds
        while not stop():
            if left <= 0:
                return
            self._sleep(min(left, _TICK_SECONDS))
            left -= _TICK_SECONDS
        raise Withdrawn
