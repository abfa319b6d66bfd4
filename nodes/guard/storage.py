"""Small requests to addresses that others name: a file PUT to a presigned address, and a look whether one is readable.

Guarded like downloads (`connections.py`): public addresses over https, or the loopback origin; no key, no redirect.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import requests
import urllib3

from ..gateway.contract import Stored, is_seen
from .allowed_hosts import parse_url
from .connections import GuardedConnection
from .errors import DownloadError

_GONE = (401, 403, 404, 410)
_LOOK_SECONDS = 30.0
_HEADERS = {"User-Agent": "apimall-video"}
_LARGEST_REFUSAL_BYTES = 4096
_LONGEST_WORDS_CHARACTERS = 160


def put(
    url: str, file: Path, content_type: str, *, loopback_origin: str | None = None, gateway_hosts: Sequence[str] = ()
) -> Stored:
    """Store `file` at a presigned address. Raises OSError, in words for users, when no answer came.

    Sends the content type as given and the file's length: storage services sign both (`docs/gateway.md`, "Uploads").
    """
    headers = {**_HEADERS, "Content-Type": content_type}
    connection = GuardedConnection(gateway_hosts)
    try:
        target = parse_url(url, loopback_origin)
    except DownloadError as refusal:
        raise OSError(refusal.what) from None
    try:
        with file.open("rb") as body, connection.ask(target, headers, method="PUT", body=body) as response:
            return Stored(response.status_code, "" if response.ok else _words(response))
    except DownloadError as refusal:
        problem = refusal
    except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as trouble:
        problem = connection.explain(trouble, target.host)
    raise OSError(problem.what)


def is_readable(url: str, *, loopback_origin: str | None = None, gateway_hosts: Sequence[str] = ()) -> bool:
    """False when the address plainly no longer gives out its file; True for whatever is not plain."""
    try:
        target = parse_url(url, loopback_origin)
        with GuardedConnection(gateway_hosts).ask(
            target, _HEADERS, method="HEAD", deadline_seconds=_LOOK_SECONDS
        ) as response:
            return response.status_code not in _GONE
    except (DownloadError, OSError):
        return True


def _words(response: requests.Response) -> str:
    """What a storage of the S3 kind says of a refusal: its code and message, and nothing of the request it repeats."""
    try:
        page = response.raw.read(_LARGEST_REFUSAL_BYTES, decode_content=False).decode("utf-8", errors="replace")
    except (urllib3.exceptions.HTTPError, OSError):
        return ""
    parts = (re.search(rf"<{tag}>([^<]+)</{tag}>", page) for tag in ("Code", "Message"))
    words = ": ".join(part[1].strip() for part in parts if part)
    return "".join(c for c in words if is_seen(c))[:_LONGEST_WORDS_CHARACTERS].rstrip(". ")
