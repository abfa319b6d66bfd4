"""Files of the stand-in: uploads and results on disk, and how /cdn/ serves them."""

from __future__ import annotations

import hashlib
import ipaddress
import os
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import formatdate
from pathlib import Path
from urllib.parse import parse_qs

from .ledger import Book, Task, Upload
from .replies import Reply, Request, storage_refusal
from .rules import Refused, is_loopback, urlsplit_or_none

GENERATED, UPLOADS = "/cdn/generated/", "/cdn/"


@dataclass(frozen=True)
class Found:
    """What a media URL leads to: a file of ours, or (path None) a foreign place that is never visited."""

    path: Path | None
    digest: str


class Shelf:
    """Finds, stores and serves files under one folder."""

    def __init__(self, folder: Path) -> None:
        self._uploads, self._results = folder / "uploads", folder / "results"
        for path in (self._uploads, self._results):
            path.mkdir(parents=True, exist_ok=True)

    def upload_path(self, upload: Upload) -> Path:
        return self._uploads / upload.token

    def result_path(self, task: Task) -> Path:
        return self._results / f"{task.scene}-{task.variation}.mp4"

    def store(self, upload: Upload, data: bytes) -> str:
        """Writes an upload's bytes, synced; gives their SHA-256."""
        write_whole(self.upload_path(upload), lambda part: part.write_bytes(data))
        return hashlib.sha256(data).hexdigest()

    def find(self, book: Book, url: str) -> Found:
        """The file behind a media URL. 400 media_unreachable when a provider could not fetch it.

        Any port will do for files of ours: a restarted stand-in has another one.
        """
        parts = urlsplit_or_none(url)
        if parts and is_loopback(parts[1]):
            located = self.locate(book, parts[2])
            if located is not None:
                return located
        elif parts and parts[0] == "https" and is_public(parts[1]):
            return Found(None, hashlib.sha256(url.encode()).hexdigest())
        raise Refused(400, f"The media could not be fetched: {url[:200]}", "media_unreachable")

    def locate(self, book: Book, path: str) -> Found | None:
        """The file behind a path under /cdn/."""
        if path.startswith(GENERATED):
            task = book.tasks.get(path[len(GENERATED) :].partition("/")[0])
            if task is None or task.status != "completed":
                return None
            file = self.result_path(task)
            return Found(file, f"{task.scene}-{task.variation}") if file.is_file() else None
        upload = book.upload_with_key(path[len(UPLOADS) :]) if path.startswith(UPLOADS) else None
        if upload is None or upload.sha256 is None:
            return None
        return Found(self.upload_path(upload), upload.sha256)

    def serve(self, book: Book, request: Request, path: str, now: float) -> Reply:
        """GET or HEAD of /cdn/: 200, 206, 304, 403 (link has run out), 404, 416."""
        expired = re.search(r"(?:^|&)Expires=(\d+)(?:&Status=(403|404|410))?(?:&|$)", request.query)
        if expired and int(expired[1]) < now:
            return storage_refusal(int(expired[2] or 403), "AccessDenied", "Request has expired")
        found = self.locate(book, path)
        if found is None or found.path is None:
            return storage_refusal(404, "NoSuchKey", "The specified key does not exist.")
        upload = book.upload_with_key(path[len(UPLOADS) :])
        return file_reply(request, found.path, upload.content_type if upload else "video/mp4")


def file_reply(request: Request, path: Path, content_type: str) -> Reply:
    """A file as an object store serves it, with validators and ranges."""
    data = path.read_bytes()
    etag = f'"{hashlib.sha256(data).hexdigest()[:32]}"'
    modified = formatdate(path.stat().st_mtime, usegmt=True)
    headers: tuple[tuple[str, str], ...] = (("ETag", etag), ("Last-Modified", modified), ("Accept-Ranges", "bytes"))
    asked = request.headers
    unmodified = asked["If-None-Match"] or (asked["If-Modified-Since"] == modified and etag)
    if unmodified and etag in unmodified:
        return Reply(304, b"", content_type, headers)
    span = re.fullmatch(r"bytes=(\d*)-(\d*)", asked["Range"] or "")
    if span is None or not any(span.groups()) or asked["If-Range"] not in (None, etag):
        return Reply(200, data, content_type, headers)
    if span[1]:
        first, last = int(span[1]), min(int(span[2] or len(data)), len(data) - 1)
    else:
        first, last = max(0, len(data) - int(span[2])), len(data) - 1
    if first > last:
        return Reply(416, b"", content_type, (*headers, ("Content-Range", f"bytes */{len(data)}")))
    headers = (*headers, ("Content-Range", f"bytes {first}-{last}/{len(data)}"))
    return Reply(206, data[first : last + 1], content_type, headers)


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Lets `write` make a file beside `path`, syncs it and moves it there: whole or not at all."""
    part = path.with_name(f"{path.stem}.{secrets.token_hex(6)}.part{path.suffix}")
    try:
        write(part)
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def is_public(host: str) -> bool:
    """Whether a host might be public, by its looks alone: names like x.invalid or x.local are not."""
    try:
        return ipaddress.ip_address(host).is_global
    except ValueError:
        return "." in host and not host.lower().rstrip(".").endswith((".invalid", ".local", ".localhost", ".internal"))


def put_refusal(message: str, code: str = "SignatureDoesNotMatch") -> Reply:
    """403 as a presigned address gives it for whatever does not match its signature."""
    return storage_refusal(403, code, message)


def check_put(upload: Upload | None, request: Request, now: float) -> Reply | None:
    """Why a PUT to a presigned address is refused, or None when it is in order."""
    query = parse_qs(request.query)
    if upload is None or query.get("signature") != [upload.signature]:
        return put_refusal("The request signature does not match.")
    if now > upload.expires_at:
        return put_refusal("Request has expired", "AccessDenied")
    if "Authorization" in request.headers:
        return put_refusal("Only one auth mechanism allowed", "InvalidArgument")
    if "Transfer-Encoding" in request.headers or "Content-Length" not in request.headers:
        return put_refusal("A real Content-Length is needed", "MissingContentLength")
    if request.headers["Content-Type"] != upload.content_type:
        return put_refusal("Content-Type is not the signed one")
    if len(request.body) != upload.file_size:
        return put_refusal("Content-Length is not the signed one")
    return None
