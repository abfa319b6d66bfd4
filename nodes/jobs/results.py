"""Results on this disk: download at once, check, keep under a name of their own (money rule 9)."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ..files import require_writable, sha256_of, whole
from ..gateway.errors import SetupError
from ..guard.downloads import Downloaded
from ..guard.errors import DiskRefused, DownloadRefused, GuardError, LinkGone
from ..guard.paths import result_name, result_path
from ..journal.rows import Delivery, Job
from ..media.errors import MediaError, NotAClip

_LONGEST_ID = "x" * 1000


class Expired(Exception):
    """No address given still has the file: the gateway must be asked for fresh ones."""


class NotYet(Exception):
    """The download broke or is no video; it may go better in a moment."""


class NoRoom(Exception):
    """This disk refuses the file."""


class Unwelcome(Exception):
    """The gateway names only addresses that are not fetched; asking again changes nothing."""


class Downloader(Protocol):
    """A guarded download to `part`; raises GuardError, as `guard.errors` tells."""

    def __call__(self, url: str, part: Path, *, tell: Callable[[float], None]) -> Downloaded: ...


@dataclass(frozen=True)
class Download:
    """A file that arrived, and the address it came from."""

    delivery: Delivery
    url: str


class Results:
    """The results folder. `verify` raises NotAClip for a file that does not decode.

    `way()` raises SetupError where nothing could be fetched from the gateway's names.
    """

    def __init__(
        self,
        folder: Path,
        *,
        download: Downloader,
        verify: Callable[[Path], object],
        way: Callable[[], None] = lambda: None,
    ) -> None:
        self._way = way
        self._folder = folder
        self._download = download
        self._verify = verify

    def require_way(self) -> None:
        """Raises SetupError where no result could come home: not over this network, or not onto this disk.

        Asked before anything is paid: what cannot be brought home is not bought.
        """
        self._way()
        try:
            require_writable(self._folder, f".{result_name(_LONGEST_ID, owner=secrets.token_hex(8))}.part")
        except OSError as refusal:
            raise SetupError(
                f"The result could not be written to {self._folder} ({refusal.strerror or refusal})",
                advice="Check the folder's rights and free space (on Windows also the length of its path), then queue "
                "again.",
            ) from None

    def kept(self, job: Job) -> Path | None:
        """The delivered file if it is still the one that was paid for, else None.

        Unchanged size and time are taken as proof; otherwise its SHA-256 decides.
        """
        if not job.file or job.file_sha256 is None:
            return None
        path = self._folder / Path(job.file).name
        try:
            now = path.stat()
            if now.st_size != job.file_bytes:
                return None
            if now.st_mtime_ns != job.file_mtime_ns and sha256_of(path) != job.file_sha256:
                return None
        except OSError:
            return None
        return path

    def download(
        self, job: Job, urls: Sequence[str], *, tell: Callable[[float], None], observe: Callable[[str], None]
    ) -> Download:
        """Download the first of `urls` that gives a whole, decodable clip.

        Raises NotYet when one broke, else Expired when one is gone, else Unwelcome; NoRoom when this disk refuses.
        """
        problem: Exception | None = None
        for url in urls:
            try:
                return Download(self._download_one(job, url, tell, observe), url)
            except LinkGone as gone:
                problem = problem if isinstance(problem, NotYet) else Expired(str(gone))
            except DownloadRefused as refused:
                problem = problem or Unwelcome(str(refused))
            except DiskRefused as full:
                raise NoRoom(str(full)) from None
            except NotAClip:
                # Its own words speak of a file that a user chose.
                problem = NotYet("What came down is no video that can be played")
            except (GuardError, MediaError) as broken:
                problem = NotYet(str(broken))
            except OSError as full:
                raise NoRoom(f"The video could not be written to {self._folder} ({full.strerror or full})") from None
        raise problem or Expired("The gateway names no address")

    def _download_one(
        self, job: Job, url: str, tell: Callable[[float], None], observe: Callable[[str], None]
    ) -> Delivery:
        self._folder.mkdir(parents=True, exist_ok=True)
        owner = f"{job.account}/{job.identity}/{job.attempt}/"
        target = result_path(self._folder, job.task_id or "", owner=owner)
        # One name for each job, which only its holder downloads: what a kill left is written over.
        with whole(target, target.with_name(f".{target.name}.part")) as part:
            downloaded = self._download(url, part, tell=tell)
            self._verify(part)
            observe("downloaded")
        observe("renamed")
        return Delivery(Path(target.name), downloaded.size_bytes, target.stat().st_mtime_ns, downloaded.sha256)

    def path_of(self, delivery: Delivery) -> Path:
        """Where a delivery lies."""
        return self._folder / delivery.path.name
