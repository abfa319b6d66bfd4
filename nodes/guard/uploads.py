"""Small requests to addresses that others name: a file PUT to a presigned address, and a look whether one is readable.

Guarded like downloads (`connections.py`): public addresses over https, or the loopback origin; no key, no redirect.
"""

from __future__ import annotations

from pathlib import Path

from .addresses import parse_url
from .connections import Line
from .errors import FetchError

_GONE = (401, 403, 404, 410)
_LOOK_SECONDS = 30.0
_HEADERS = {"User-Agent": "apimall-video"}


def put(url: str, file: Path, content_type: str, *, loopback_origin: str | None = None) -> int:
    """Store `file` at a presigned address; gives the HTTP status. Raises OSError when no answer came.

    Sends the content type as given and the file's length: storage services sign both (`docs/gateway.md`, "Uploads").
    """
    headers = {**_HEADERS, "Content-Type": content_type}
    try:
        target = parse_url(url, loopback_origin)
        with file.open("rb") as body, Line().ask(target, headers, method="PUT", body=body) as response:
            return int(response.status_code)
    except FetchError as refusal:
        raise OSError(str(refusal)) from None


def is_readable(url: str, *, loopback_origin: str | None = None) -> bool:
    """False when the address plainly no longer gives out its file; True for whatever is not plain."""
    try:
        target = parse_url(url, loopback_origin)
        with Line().ask(target, _HEADERS, method="HEAD", deadline_seconds=_LOOK_SECONDS) as response:
            return response.status_code not in _GONE
    except (FetchError, OSError):
        return True
