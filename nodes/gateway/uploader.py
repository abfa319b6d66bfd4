"""Getting a local file to where the gateway can read it (`docs/gateway.md`, "Files" and "Uploads")."""

from __future__ import annotations

import base64
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, TypeVar
from urllib.parse import urlsplit

from ..remarks import Remark, remark
from ..troubles import Trouble
from .client import Gateway
from .contract import LARGEST_BASE64_BYTES, LARGEST_UPLOAD_BYTES, Stored, UploadAddress
from .errors import APIMallError, Charge, InputError, NotReached, Throttled, Unclear
from .retry import Call, may_repeat

_FAMILIES = ("image/", "video/")
_SUFFIXES = {"image/png": ".png", "image/jpeg": ".jpg", "video/mp4": ".mp4"}
_MISSING_ENDPOINT = (404, 405, 501)
_PUTS = 2
_STORAGE_ADVICE = {
    403: Trouble.CHECK_CLOCK,
    413: Trouble.SHRINK_LINKED,
}

T = TypeVar("T")


class Put(Protocol):
    """PUT a file to a presigned address: what the storage answered, or an OSError that says why nothing did.

    Sends `content_type`, a real Content-Length, no key, and follows no redirect.
    """

    def __call__(self, url: str, file: Path, content_type: str) -> Stored: ...


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
            url, trouble = self._presigned(file, name, content_type, size_bytes)
            return url or self._inside_json(file, name, content_type, trouble)
        except APIMallError as failure:
            # Whatever became of the upload, the paid request was never sent.
            failure.charge = Charge.NOT_SENT
            if isinstance(failure, Unclear):
                failure.advice = remark(Trouble.UPLOAD_AGAIN)
            raise

    def _presigned(self, file: Path, name: str, content_type: str, size_bytes: int) -> tuple[str | None, str]:
        """The public URL, or None and why a presigned upload is not to be had."""
        trouble = ""
        for _ in range(_PUTS):
            try:
                address = self._repeat(lambda: self._gateway.upload_address(name, content_type, size_bytes))
            except APIMallError as failure:
                if failure.status in _MISSING_ENDPOINT:
                    return None, remark(Trouble.UPLOAD_ADDRESS_REFUSED, status=str(failure.status))
                failure.what = remark(Trouble.NO_UPLOAD_ADDRESS, what=failure.what)
                raise
            trouble = self._trouble_of_storing(address, file)
            if not trouble:
                return address.public_url, ""
        return None, trouble

    def _trouble_of_storing(self, address: UploadAddress, file: Path) -> str:
        try:
            stored = self._put(address.upload_url, file, address.content_type)
        except OSError as problem:
            said = problem.args[0] if problem.args else ""
            return said if isinstance(said, Remark) else str(problem)
        if stored.done:
            return ""
        said = f"HTTP {stored.status}" + (f", {stored.words}" if stored.words else "")
        advice = remark(_STORAGE_ADVICE.get(stored.status, Trouble.TRY_LATER))
        host = str(urlsplit(address.upload_url).hostname)
        return remark(Trouble.STORAGE_ANSWERED, host=host, said=said, advice=advice)

    def _inside_json(self, file: Path, name: str, content_type: str, trouble: str) -> str:
        """The other way, for small files; a failure says why the first one did not work either."""
        if file.stat().st_size > LARGEST_BASE64_BYTES:
            raise NotReached(remark(Trouble.NOT_UPLOADED, trouble=trouble), advice=remark(Trouble.THEN_AGAIN))
        data = base64.b64encode(file.read_bytes()).decode()
        try:
            return self._repeat(lambda: self._gateway.upload_base64(data, name, content_type))
        except APIMallError as failure:
            failure.what = remark(Trouble.NOT_UPLOADED_EITHER, trouble=trouble, what=failure.what)
            raise

    def _repeat(self, call: Callable[[], T]) -> T:
        failures = 0
        while True:
            self._spend()
            try:
                return call()
            except APIMallError as failure:
                failures += 1
                pause = may_repeat(Call.UPLOAD, failure, failures)
                if pause is None or failure.status in _MISSING_ENDPOINT:
                    raise
                if isinstance(failure, Throttled):
                    self._hold_off(pause.seconds)
            self._pause(pause.seconds)


def check_upload(size_bytes: int, content_type: str) -> None:
    """Refuse what the gateway would refuse, before anything is sent: 100 MiB at most, pictures and videos only."""
    if not content_type.startswith(_FAMILIES):
        what = remark(Trouble.NO_UPLOAD_OF_TYPE, type=repr(content_type))
        raise InputError(what, advice=remark(Trouble.GIVE_PICTURE_OR_VIDEO))
    if not 0 < size_bytes <= LARGEST_UPLOAD_BYTES:
        told = {"megabytes": f"{size_bytes / 1e6:,.1f}", "most": f"{LARGEST_UPLOAD_BYTES / 1e6:,.1f}"}
        raise InputError(remark(Trouble.FILE_TOO_LARGE, **told), advice=remark(Trouble.SHORTEN_OR_SHRINK))
