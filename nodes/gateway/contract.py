"""The gateway's contract as plain data: what we send, exactly; what we accept, tolerantly.

What the gateway says is told in `docs/gateway.md`, "Key and envelope", "Create a task", "Poll a task", "Files" and
"Balance".
"""

from __future__ import annotations

import ipaddress
import json
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

CREATE_PATH = "/api/v1/videos/generate"
QUERY_PATH = "/api/v1/videos/"
BALANCE_PATH = "/api/v1/account/balances"
UPLOAD_URL_PATH = "/api/v1/files/upload-url"
BASE64_PATH = "/api/v1/files/base64"

COMPLETED = "completed"
FAILED = "failed"
"""The only two words that end a job (`docs/gateway.md`, "Statuses")."""

LARGEST_UPLOAD_BYTES = 104_857_600
LARGEST_BASE64_BYTES = 8_000_000

_LONGEST_TEXT = 600
_LONGEST_ID = 200
_MOST_CREDITS = 1e12
_LONGEST_URL = 4096
_LONGEST_RUN_SECONDS = 86_400.0


@dataclass(frozen=True)
class CreateRequest:
    """The documented fields of a paid request, and no others."""

    model: str
    type: str
    prompt: str
    duration: str
    resolution: str
    image_urls: tuple[str, ...] = ()
    video_url: str | None = None

    def body(self) -> bytes:
        """The JSON to send; `duration` stays a string. Equal requests give equal bytes."""
        fields: dict[str, object] = {"model": self.model, "type": self.type, "prompt": self.prompt}
        if self.image_urls:
            fields["image_urls"] = list(self.image_urls)
        if self.video_url is not None:
            fields["video_url"] = self.video_url
        fields |= {"duration": self.duration, "resolution": self.resolution}
        return json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode()


@dataclass(frozen=True)
class Stored:
    """What a storage answered to a file: the HTTP status, and its own words for a refusal ("" when it has none)."""

    status: int
    words: str = ""

    @property
    def done(self) -> bool:
        """Whether the file lies there now."""
        return 200 <= self.status < 300


@dataclass(frozen=True)
class Accepted:
    """The gateway took the job: `credits` are charged from here on."""

    task_id: str
    request_id: str | None = None
    provider_request_id: str | None = None
    credits_used: float | None = None
    remaining_credits: float | None = None


@dataclass(frozen=True)
class Task:
    """One look at a task. `video_urls` in order of preference: `video_url`, then `output.resultUrls`.

    `type` is not in the guide, and kept where it is told. `created_at`: seconds since the epoch. `run_seconds`: from
    creation to completion. Both by the gateway's clock, None where it does not say.
    """

    task_id: str
    status: str
    video_urls: tuple[str, ...] = ()
    error_message: str | None = None
    credits_used: float | None = None
    credits_refunded: float | None = None
    request_id: str | None = None
    model: str | None = None
    type: str | None = None
    created_at: float | None = None
    run_seconds: float | None = None


@dataclass(frozen=True)
class Balance:
    """Spendable API credits, None where the gateway does not say."""

    credits: float | None


@dataclass(frozen=True)
class UploadAddress:
    """Where to PUT a file (`upload_url`, secret until it expires) and where it will be readable by anybody."""

    upload_url: str
    public_url: str
    content_type: str


@dataclass(frozen=True)
class Refusal:
    """The error envelope: `{"success": false, "error": {"code", "message"}, "request_id"}`."""

    code: str | None
    message: str | None
    request_id: str | None
    task_id: str | None


def parse_object(raw: bytes, *, secret: str | None = None) -> dict[str, Any] | None:
    """The JSON object in `raw`, or None for anything else, however deep or broken.

    `secret` is taken out wherever the gateway echoes it, before anything is read, cut or kept.
    """
    try:
        value = json.loads(raw)
        if secret is not None:
            value = json.loads(_without(secret, json.dumps(value, ensure_ascii=False)))
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _without(secret: str, text: str) -> str:
    return text.replace(json.dumps(secret, ensure_ascii=False)[1:-1], "[key]")


def parse_accepted(envelope: Mapping[str, Any]) -> Accepted | None:
    """The reply to a create, or None when it names no task."""
    data = _object(envelope.get("data"))
    task_id = task_identifier(data.get("task_id"))
    if task_id is None:
        return None
    return Accepted(
        task_id=task_id,
        request_id=_identifier(envelope.get("request_id")),
        provider_request_id=_identifier(data.get("request_id")),
        credits_used=_credits(data.get("credits_used")),
        remaining_credits=_credits(data.get("remaining_credits")),
    )


def parse_task(envelope: Mapping[str, Any], task_id: str) -> Task | None:
    """The reply to a query of `task_id`, or None when it has no status word.

    The reason of a failure goes by two names (`docs/gateway.md`, "Where the guide disagrees with itself").
    """
    data = _object(envelope.get("data"))
    status = clean_text(data.get("status"), 40)
    if not status:
        return None
    message = clean_text(data.get("error_message")) or clean_text(data.get("failMsg"))
    return Task(
        task_id=task_id,
        status=status.lower(),
        video_urls=_urls(data),
        error_message=message or None,
        credits_used=_credits(data.get("credits_used")),
        credits_refunded=_credits(data.get("credits_refunded")),
        request_id=_identifier(envelope.get("request_id")),
        model=clean_text(data.get("model"), 80) or None,
        type=clean_text(data.get("type"), 80) or None,
        created_at=_moment(data.get("created_at")),
        run_seconds=_span(data.get("created_at"), data.get("completed_at")),
    )


def parse_refusal(envelope: Mapping[str, Any]) -> Refusal:
    """The error envelope, tolerant of a bare string in `error` and of a task id in `data`."""
    error = envelope.get("error")
    fields = _object(error)
    message = clean_text(fields.get("message")) or clean_text(error) or clean_text(envelope.get("message"))
    return Refusal(
        code=clean_text(fields.get("code"), 80) or None,
        message=message or None,
        request_id=_identifier(envelope.get("request_id")),
        task_id=task_identifier(_object(envelope.get("data")).get("task_id")),
    )


def parse_balance(envelope: Mapping[str, Any]) -> Balance:
    """`api_credits` is what the API can spend; `credits` where only that is given."""
    data = _object(envelope.get("data"))
    spendable = _credits(data.get("api_credits"))
    return Balance(_credits(data.get("credits")) if spendable is None else spendable)


def parse_upload_address(envelope: Mapping[str, Any], content_type: str) -> UploadAddress | None:
    """The reply of `/files/upload-url`, or None when an address is missing."""
    data = _object(envelope.get("data"))
    upload_url, public_url = _url(data.get("upload_url")), _url(data.get("public_url"))
    if upload_url is None or public_url is None:
        return None
    return UploadAddress(upload_url, public_url, clean_text(data.get("content_type"), 80) or content_type)


def parse_file_url(envelope: Mapping[str, Any]) -> str | None:
    """The public address in the reply of `/files/base64`."""
    return _url(_object(envelope.get("data")).get("url"))


def is_loopback(host: str | None) -> bool:
    """True for a host that is this machine, the only kind ever spoken to in plain http. Nothing is looked up."""
    if not host:
        return False
    if host.lower() == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    # Before Python 3.13 an IPv4 address in IPv6 clothes was no loopback address.
    return bool((getattr(address, "ipv4_mapped", None) or address).is_loopback)


def task_identifier(value: object) -> str | None:
    """A task id, opaque; None for what cannot be one (empty, very long, with blanks inside, or a step in a path)."""
    found = _identifier(value)
    return None if found is None or found in (".", "..") or re.search(r"\s", found) else found


def clean_text(value: object, longest: int = _LONGEST_TEXT) -> str:
    """Untrusted text made fit to show: one line, no control, bidi or invisible characters, cut at `longest`."""
    if not isinstance(value, str):
        return ""
    head = value[: longest * 4]
    shown = "".join(character if is_seen(character) else " " for character in head)
    line = " ".join(shown.split())
    return line if len(line) <= longest else line[: longest - 3] + "..."


def is_seen(character: str) -> bool:
    """False for controls, marks of direction, halves of characters, line breaks and what has no meaning."""
    return unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")


def _object(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _identifier(value: object) -> str | None:
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else clean_text(value, _LONGEST_ID + 1)
    return text if 0 < len(text) <= _LONGEST_ID else None


def _credits(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    # Beyond any price there is; sums of what is larger would be no numbers any more.
    return number if 0 <= number <= _MOST_CREDITS else None


def _span(start: object, end: object) -> float | None:
    """Seconds between two ISO-8601 times."""
    begun, done = _moment(start), _moment(end)
    if begun is None or done is None:
        return None
    return done - begun if 0 < done - begun < _LONGEST_RUN_SECONDS else None


def _moment(text: object) -> float | None:
    """An ISO-8601 time as seconds since the epoch; one that names no zone is UTC."""
    try:
        told = datetime.fromisoformat(str(text).strip().replace("Z", "+00:00"))
        return (told if told.tzinfo else told.replace(tzinfo=timezone.utc)).timestamp()
    except (ValueError, TypeError, OverflowError, OSError):
        return None


def _urls(data: Mapping[str, Any]) -> tuple[str, ...]:
    listed = _object(data.get("output")).get("resultUrls")
    candidates = [data.get("video_url"), *(listed[:4] if isinstance(listed, list) else [])]
    found = [url for url in map(_url, candidates) if url is not None]
    return tuple(dict.fromkeys(found))


def _url(value: object) -> str | None:
    """An address, without blanks around it; None for what no address can be: empty, endless, or not all visible."""
    url = value.strip() if isinstance(value, str) and len(value) <= _LONGEST_URL else ""
    return url if url and all(is_seen(character) and not character.isspace() for character in url) else None
