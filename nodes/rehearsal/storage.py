"""Files of the stand-in: uploads and results on disk, and how /cdn/ and presigned addresses treat them."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from email.utils import formatdate
from pathlib import Path
from urllib.parse import parse_qs

from ..files import whole
from ..gateway.contract import is_loopback
from .book import COMPLETED, Page, Task, Upload
from .contract import CDN, Refused, http_url, is_public
from .messages import Reply, Request

GENERATED = CDN + "generated/"


class StorageRefused(Exception):
    """The object store refuses this request, in its own manner."""

    def __init__(self, message: str, code: str = "SignatureDoesNotMatch", status: int = 403) -> None:
        super().__init__(message)
        self.code, self.status = code, status


@dataclass(frozen=True)
class Found:
    """What a media URL leads to: a file of ours, or (path None) a foreign place that is never visited."""

    path: Path | None
    digest: str


class Files:
    """Finds and stores files under one folder."""

    def __init__(self, folder: Path) -> None:
        self._uploads, self._results = folder / "uploads", folder / "results"
        for path in (self._uploads, self._results):
            path.mkdir(parents=True, exist_ok=True)

    def result_path(self, task: Task) -> Path:
        return self._results / f"{task.scene}-{task.variation}.mp4"

    def store(self, upload: Upload, data: bytes) -> str:
        """Writes an upload's bytes, synced; gives their SHA-256."""
        with whole(self._uploads / upload.token) as part:
            part.write_bytes(data)
        return hashlib.sha256(data).hexdigest()

    def find(self, page: Page, url: str) -> Found:
        """The file behind a media URL. 400 media_unreachable when a provider could not fetch it.

        Any port will do for files of ours: a restarted stand-in has another one.
        """
        scheme, host, path = http_url(url) or ("", "", "")
        if is_loopback(host):
            upload, task = self._upload(page, path), self._task(page, path)
            if upload is not None:
                return Found(self._uploads / upload.token, str(upload.sha256))
            if task is not None:
                return Found(self.result_path(task), f"{task.scene}-{task.variation}")
        elif scheme == "https" and is_public(host):
            return Found(None, hashlib.sha256(url.encode()).hexdigest())
        raise Refused(400, f"The media could not be fetched: {url[:200]}", "media_unreachable")

    def asked_for(self, page: Page, path: str, query: str) -> tuple[Path, str]:
        """File and content type behind a path under /cdn/. Raises StorageRefused: run out (403), gone (404)."""
        expired = re.search(r"(?:^|&)Expires=(\d+)(?:&Status=(403|404|410))?(?:&|$)", query)
        if expired and int(expired[1]) < page.now:
            raise StorageRefused("Request has expired", "AccessDenied", int(expired[2] or 403))
        upload, task = self._upload(page, path), self._task(page, path)
        if upload is not None:
            return self._uploads / upload.token, upload.content_type
        if task is not None:
            return self.result_path(task), "video/mp4"
        raise StorageRefused("The specified key does not exist.", "NoSuchKey", 404)

    def _upload(self, page: Page, path: str) -> Upload | None:
        upload = page.upload_with_key(path.removeprefix(CDN))
        return upload if upload is not None and upload.sha256 is not None else None

    def _task(self, page: Page, path: str) -> Task | None:
        task = page.task(path.removeprefix(GENERATED).partition("/")[0])
        return task if task is not None and task.status == COMPLETED and self.result_path(task).is_file() else None


def file_reply(request: Request, path: Path, content_type: str, *, ranged: bool = True) -> Reply:
    """A file as an object store serves it, with validators and, where it is `ranged`, from a place on."""
    data = path.read_bytes()
    etag = f'"{hashlib.sha256(data).hexdigest()[:32]}"'
    modified = formatdate(path.stat().st_mtime, usegmt=True)
    headers: tuple[tuple[str, str], ...] = (("ETag", etag), ("Last-Modified", modified), ("Accept-Ranges", "bytes"))
    asked = request.headers
    unmodified = asked["If-None-Match"] or (asked["If-Modified-Since"] == modified and etag)
    if unmodified and etag in unmodified:
        return Reply(304, b"", content_type, headers)
    rest = re.fullmatch(r"bytes=(\d+)-", asked["Range"] or "")
    if not ranged or rest is None or asked["If-Range"] not in (None, etag):
        return Reply(200, data, content_type, headers)
    first = int(rest[1])
    if first >= len(data):
        return Reply(416, b"", content_type, (*headers, ("Content-Range", f"bytes */{len(data)}")))
    headers = (*headers, ("Content-Range", f"bytes {first}-{len(data) - 1}/{len(data)}"))
    return Reply(206, data[first:], content_type, headers)


def check_put(upload: Upload | None, request: Request, now: float) -> Upload:
    """The upload that a PUT to a presigned address brings. Raises StorageRefused for what does not match it."""
    query = parse_qs(request.query)
    if upload is None or query.get("signature") != [upload.signature]:
        raise StorageRefused("The request signature does not match.")
    if now > upload.expires_at:
        raise StorageRefused("Request has expired", "AccessDenied")
    if "Authorization" in request.headers:
        raise StorageRefused("Only one auth mechanism allowed", "InvalidArgument")
    if "Transfer-Encoding" in request.headers or "Content-Length" not in request.headers:
        raise StorageRefused("A real Content-Length is needed", "MissingContentLength")
    if request.headers["Content-Type"] != upload.content_type:
        raise StorageRefused("Content-Type is not the signed one")
    if len(request.body) != upload.file_size:
        raise StorageRefused("Content-Length is not the signed one")
    return upload
