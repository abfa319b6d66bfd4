"""Results on this disk: download at once, check, keep under a name of their own (money rule 9)."""

from __future__ import annotations

import hashlib
import logging
import re
import secrets
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from ..files import require_writable, sha256_of, whole
from ..gateway.errors import SetupError
from ..guard import partial
from ..guard.downloads import Downloaded
from ..guard.errors import DiskFailed, DownloadFailed, DownloadForbidden, GuardError, LinkGone
from ..guard.paths import result_name, result_path
from ..journal.presence import machine
from ..journal.rows import Delivery, Job
from ..media.errors import MediaError, NotAClip
from ..media.imprint import imprint
from ..remarks import remark
from ..stopping import Stop
from ..troubles import Trouble
from .events import Event
from .origin import Origin, Origins, receipt

_log = logging.getLogger("apimall_video.jobs")

FOLDER_FILE = ".apimall-folder"
"""Holds the id of a results folder, so that a journal knows it again wherever it is mounted."""

_LONGEST_ID = "x" * 1000
_OWN_CHARACTERS = 12
_MOST_ADDRESSES = 4


class NotBrought(Exception):
    """A clip did not come about on this disk. `what`: why, for its user."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what


class Expired(NotBrought):
    """No address given still has the file: the gateway must be asked for fresh ones."""


class NotYet(NotBrought):
    """The download broke or is no video; it may go better in a moment."""


class NotWritable(NotBrought):
    """This disk refuses the file."""


class NoAllowedAddress(NotBrought):
    """The gateway names only addresses that are not fetched; asking again changes nothing."""


class Downloader(Protocol):
    """A guarded download to `part`, continued where it broke. Raises GuardError, as `guard.errors` tells; Stopped."""

    def __call__(self, url: str, part: Path, *, tell: Callable[[float], None], stop: Stop) -> Downloaded: ...


class Verify(Protocol):
    """Raises NotAClip for a file that does not decode: its first picture, or `to_the_end` every one."""

    def __call__(self, path: Path, *, to_the_end: bool = False) -> object: ...


@dataclass(frozen=True)
class Download:
    """A file that arrived, and the address it came from."""

    delivery: Delivery
    url: str


class Results:
    """The results folder.

    `check_network()` raises SetupError where nothing could be downloaded from the gateway's names.
    """

    def __init__(
        self,
        folder: Path,
        *,
        download: Downloader,
        verify: Verify,
        origins: Origins,
        check_network: Callable[[], None] = lambda: None,
    ) -> None:
        self._origins = origins
        self._check_network = check_network
        self._folder = folder
        self._download = download
        self._verify = verify

    def require_deliverable(self) -> None:
        """Raises SetupError where no result could be delivered: not over this network, or not onto this disk.

        Asked before anything is paid: what cannot be delivered is not bought.
        """
        self._check_network()
        try:
            name = result_name(_LONGEST_ID, owner=secrets.token_hex(8))
            require_writable(self._folder, f".{name}.{'x' * _OWN_CHARACTERS}.part0.json")
        except OSError as refusal:
            raise SetupError(
                remark(Trouble.RESULT_NOT_WRITTEN, folder=str(self._folder), reason=str(refusal.strerror or refusal)),
                advice=remark(Trouble.CHECK_RESULTS_FOLDER),
            ) from None

    def note_origin(self, job: Job, origin: Origin | None) -> None:
        """The clip of a job is to say what asked for it; None: it is not."""
        if origin is not None:
            self._origins.keep(job, origin)

    def forget_origins_before(self, moment: float) -> None:
        """No clip of a job from before `moment`, seconds since the epoch, will come any more."""
        self._origins.forget_before(moment)

    def kept(self, job: Job, deliveries: Sequence[Delivery]) -> Delivery | None:
        """The clip in this folder if it is still the one that was paid for, as a delivery to this folder; else None.

        `deliveries`: all that were made of it, to whatever folder: where the clip lies is asked of the disk. Unchanged
        size and time are taken as proof, otherwise its SHA-256 decides. A clip that no delivery tells of, under the
        name that it would be given, was renamed in a process that died before it could write so.
        """
        try:
            if deliveries:
                here = next(filter(None, map(self._still_here, deliveries)), None)
                if here is None:
                    self._tell_apart(deliveries)
                return here
            return self._unwritten(job) if job.task_id else None
        except (OSError, GuardError, MediaError):
            return None

    def _still_here(self, delivery: Delivery) -> Delivery | None:
        path = self.path_of(delivery)
        if not path.is_file() or (now := path.stat()).st_size != delivery.size_bytes:
            return None
        if now.st_mtime_ns != delivery.mtime_ns and sha256_of(path) != delivery.sha256:
            return None
        return replace(delivery, folder=self._folder_id(), mtime_ns=now.st_mtime_ns)

    def _tell_apart(self, deliveries: Sequence[Delivery]) -> None:
        """A folder that has not what was brought to one of its name may be a copy, as of a machine's image: from here
        on it has a name of its own, or each would tell of its clips in the place of the other's.
        """
        if any(delivery.folder and delivery.folder == self._folder_id() for delivery in deliveries):
            (self._folder / FOLDER_FILE).write_text(uuid.uuid4().hex, encoding="ascii")

    def _unwritten(self, job: Job) -> Delivery | None:
        target = self._target(job)
        if not target.is_file():
            return None
        self._verify(target)
        now = target.stat()
        return self._delivery(target.name, now.st_size, now.st_mtime_ns, sha256_of(target))

    def download(
        self,
        job: Job,
        urls: Sequence[str],
        *,
        tell: Callable[[float], None],
        observe: Callable[[Event], None],
        stop: Stop,
    ) -> Download:
        """Download the first of `urls` that gives a whole, decodable clip.

        Raises NotYet when one broke, else Expired when one is gone, else NoAllowedAddress; NotWritable when this disk
        refuses; Stopped.
        """
        problem: Exception | None = None
        for number, url in enumerate(urls[:_MOST_ADDRESSES]):
            try:
                return Download(self._download_one(job, url, number, tell, observe, stop), url)
            except LinkGone as gone:
                problem = problem if isinstance(problem, NotYet) else Expired(gone.what)
            except DownloadForbidden as refused:
                problem = problem or NoAllowedAddress(refused.what)
            except DiskFailed as full:
                raise NotWritable(full.what) from None
            except NotAClip:
                # Its own words speak of a file that a user chose.
                problem = NotYet(remark(Trouble.NO_PLAYABLE_VIDEO))
            except (GuardError, MediaError) as broken:
                problem = NotYet(broken.what)
            except OSError as full:
                told = {"folder": str(self._folder), "reason": str(full.strerror or full)}
                raise NotWritable(remark(Trouble.VIDEO_NOT_WRITTEN, **told)) from None
        raise problem or Expired(remark(Trouble.NO_ADDRESS_NAMED))

    def _download_one(
        self,
        job: Job,
        url: str,
        number: int,
        tell: Callable[[float], None],
        observe: Callable[[Event], None],
        stop: Stop,
    ) -> Delivery:
        self._folder.mkdir(parents=True, exist_ok=True)
        target = self._target(job)
        part = _part(target, job, number)
        downloaded = self._download(url, part, tell=tell, stop=stop)
        with whole(target, _own(target, job, "part")) as checked:
            _take(part, downloaded, checked)
            # Its end came in another answer than its beginning, perhaps from another file.
            self._verify(checked, to_the_end=downloaded.is_continued)
            written_behind = self._imprint(job, checked)
            sha256 = sha256_of(checked) if written_behind else downloaded.sha256
            now = checked.stat()
            observe(Event.DOWNLOADED)
        observe(Event.RENAMED)
        self.forget(job)
        return self._delivery(target.name, now.st_size, now.st_mtime_ns, sha256)

    def _imprint(self, job: Job, path: Path) -> bool:
        """Write behind a clip what asked for it, if that is known. A clip without it is still the one that was paid."""
        texts = self._origins.texts(job)
        try:
            if texts:
                imprint(path, receipt(job), texts)
        except (MediaError, OSError) as problem:
            _log.info("the workflow of job %s is not in its clip: %s", job.id, problem)
            return False
        return bool(texts)

    def _delivery(self, name: str, size_bytes: int, mtime_ns: int, sha256: str) -> Delivery:
        return Delivery(self._folder_id(), name, size_bytes, mtime_ns, sha256, machine(), str(self._folder))

    def path_of(self, delivery: Delivery) -> Path:
        """Where a delivery lies."""
        return self._folder / Path(delivery.file).name

    def forget(self, job: Job) -> None:
        """What was kept of broken downloads is of no use any more."""
        for number in range(_MOST_ADDRESSES):
            partial.drop(_part(self._target(job), job, number))

    def _target(self, job: Job) -> Path:
        owner = f"{job.account}/{job.identity}/{job.attempt}/"
        return result_path(self._folder, job.task_id or "", owner=owner)

    def _folder_id(self) -> str:
        """What this folder is called wherever it is mounted; made when it is first needed, empty where it cannot be."""
        path = self._folder / FOLDER_FILE
        try:
            try:
                with path.open("x", encoding="ascii") as file:
                    file.write(uuid.uuid4().hex)
            except FileExistsError:
                if not path.stat().st_size:
                    # Whoever made it was killed, or the disk was full, before it was written.
                    path.write_text(uuid.uuid4().hex, encoding="ascii")
            known = path.read_text(encoding="ascii", errors="replace")[:64].strip()
        except OSError:
            return ""
        return known if re.fullmatch(r"[0-9a-f]{32}", known) else ""


def _part(target: Path, job: Job, number: int) -> Path:
    """One name for each of a job's addresses, and only its holder downloads: what broke there is continued there."""
    return _own(target, job, f"part{number}")


def _own(target: Path, job: Job, suffix: str) -> Path:
    """The row's own name beside `target`, which another journal gives the clip of the same task, too."""
    own = hashlib.sha256(job.idempotency_key.encode()).hexdigest()[:_OWN_CHARACTERS]
    return target.with_name(f".{target.name}.{own}.{suffix}")


def _take(part: Path, downloaded: Downloaded, path: Path) -> None:
    """Name what was received `path`. Raises DownloadFailed where something else lies there, as of a copied journal."""
    try:
        part.replace(path)
    except FileNotFoundError:
        raise DownloadFailed(remark(Trouble.TAKEN_AWAY)) from None
    if path.stat().st_size != downloaded.size_bytes or sha256_of(path) != downloaded.sha256:
        raise DownloadFailed(remark(Trouble.WRITTEN_INTO))
