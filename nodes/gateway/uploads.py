"""Getting a local file to where the gateway can read it (`docs/gateway.md`, "Files" and "Uploads")."""

from __future__ import annotations

import base64
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, TypeVar

from .client import Gateway
from .contract import LARGEST_BASE64_BYTES, LARGEST_UPLOAD_BYTES, UploadSlot
from .errors import APIMallError, Charge, InputError, NotReached, Throttled, Unclear
from .retry import Call, may_repeat

_FAMILIES = ("image/", "video/")
_SUFFIXES = {"image/png": ".png", "image/jpeg": ".jpg", "video/mp4": ".mp4"}
_MISSING_ENDPOINT = (404, 405, 501)
_PUTS = 2

T = TypeVar("T")


class Put(Protocol):
    """PUT a file to a presigned address: its HTTP status, or an OSError when it did not get through.

    Sends `content_type`, a real Content-Length, no key, and follows no redirect.
    """

    def __call__(self, url: str, file: Path, content_type: str) -> int: ...


class Uploader:
    """Uploads files for one account. `pause(seconds)` waits, and may raise to give up; `spend()` counts a request;
    `hold_off(seconds)` is told when the gateway asks everybody for a pause.
    """

    def __init__(
        self,
        gateway: Gateway,
        put: Put,
        *,
        pause: Callable[[float], None],
        spend: Callable[[], None],
        hold_off: Callable[[float], None],
    ) -> None:
        self._gateway = gateway
        self._put = put
        self._pause = pause
        self._spend = spend
        self._hold_off = hold_off

    def upload(self, file: Path, content_type: str) -> str:
        """The public URL of `file`, under a random name: uploads can be read by anybody who has the URL.

        Raises InputError when the file is too large or no picture or video, else what the gateway said; in every
        case nothing was charged, since nothing paid was sent yet.
        """
        size_bytes = file.stat().st_size
        check_upload(size_bytes, content_type)
        name = uuid.uuid4().hex + _SUFFIXES.get(content_type, "")
        try:
            url = self._by_slot(file, name, content_type, size_bytes)
            if url is not None:
                return url
            if size_bytes > LARGEST_BASE64_BYTES:
                raise NotReached("The file could not be stored at the address the gateway gave")
            data = base64.b64encode(file.read_bytes()).decode()
            return self._repeat(lambda: self._gateway.upload_base64(data, name, content_type))
        except APIMallError as failure:
            # Whatever became of the upload, the paid request was never sent.
            failure.charge = Charge.NOT_SENT
            if isinstance(failure, Unclear):
                failure.advice = "Queue again: the file is uploaded anew, and paid is only what comes after it."
            raise

    def _by_slot(self, file: Path, name: str, content_type: str, size_bytes: int) -> str | None:
        """The public URL, or None when a presigned upload is not to be had."""
        for _ in range(_PUTS):
            try:
                slot = self._repeat(lambda: self._gateway.upload_slot(name, content_type, size_bytes))
            except APIMallError as failure:
                if failure.status in _MISSING_ENDPOINT:
                    return None
                raise
            if self._stored(slot, file):
                return slot.public_url
        return None

    def _stored(self, slot: UploadSlot, file: Path) -> bool:
        try:
            return 200 <= self._put(slot.upload_url, file, slot.content_type) < 300
        except OSError:
            return False

    def _repeat(self, call: Callable[[], T]) -> T:
        attempt = 0
        while True:
            attempt += 1
            self._spend()
            try:
                return call()
            except APIMallError as failure:
                pause = may_repeat(Call.UPLOAD, failure, attempt)
                if pause is None or failure.status in _MISSING_ENDPOINT:
                    raise
                if isinstance(failure, Throttled):
                    self._hold_off(pause.seconds)
            self._pause(pause.seconds)


def check_upload(size_bytes: int, content_type: str) -> None:
    """Refuse what the gateway would refuse, before anything is sent: 100 MiB at most, pictures and videos only."""
    if not content_type.startswith(_FAMILIES):
        raise InputError(f"A file of type {content_type!r} cannot be uploaded", advice="Give a picture or a video.")
    if not 0 < size_bytes <= LARGEST_UPLOAD_BYTES:
        raise InputError(
            f"The file has {size_bytes / 1e6:,.1f} MB; the gateway takes up to {LARGEST_UPLOAD_BYTES / 1e6:,.1f} MB",
            advice="Shorten or shrink it.",
        )
