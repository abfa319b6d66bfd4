"""The contract as pure functions: what a request may say, what it costs, and why it is refused.

Fields and types are the gateway's own (`docs/gateway.md`, "Create a task" and "Files"); limits that it leaves open are
what every host of the model accepts, so that what passes a rehearsal has the best chance to pass for real.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import ipaddress
import json
import mimetypes
import re
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import Message
from typing import Any
from urllib.parse import unquote, urlsplit

from ..gateway import models
from ..gateway.contract import is_loopback
from .book import ENDLESS

MEDIA_FIELDS = {"text-to-video": None, "image-to-video": "image_urls", "video-to-video": "video_url"}
LARGEST_IMAGES = 10
LARGEST_FILE_BYTES = 104_857_600
LARGEST_KEY_CHARACTERS = 255
LARGEST_FILENAME_CHARACTERS = 200
UPLOAD_SECONDS, UPLOAD_SECONDS_RANGE = 900, (60, 3600)
REFUSED_KEY = "sk-rehearsal-refused"
UNAPPROVED_KEY = "sk-rehearsal-unapproved"

# A price of the rehearsal's own, by lines and seconds: none is documented. 30 is the sample's number.
CREDITS_PER_720_LINES = 6.0

# Words that a user can put into a prompt to rehearse a bad end without scripting anything.
BLOCKED_WORD = "rehearse-blocked"
FATE_WORDS = {
    "rehearse-failed": "all",
    "rehearse-part-refund": "part",
    "rehearse-late-refund": "later",
    "rehearse-endless": ENDLESS,
}

CREATE, UPLOAD_URL, BASE64 = "/api/v1/videos/generate", "/api/v1/files/upload-url", "/api/v1/files/base64"
POLL, BALANCE = "/api/v1/videos/", "/api/v1/account/balances"
PUT, CDN = "/upload/", "/cdn/"
FIELD_TYPES: Mapping[str, type] = {
    "model": str,
    "type": str,
    "prompt": str,
    "image_urls": list,
    "video_url": str,
    "duration": str,
    "resolution": str,
}
JSON_TYPE_NAMES = {str: "a string", list: "an array", int: "an integer"}


def lines_of(resolution: str) -> int:
    """The lines of a tier: 720 of "720p"."""
    return int(resolution.rstrip("p"))


class Refused(Exception):
    """The contract refuses this request; carries what the reply needs."""

    def __init__(
        self, status: int, message: str | None = None, code: str | None = None, retry_after: str | None = None
    ) -> None:
        super().__init__(message or str(status))
        self.status, self.message, self.code, self.retry_after = status, message, code, retry_after


@dataclass(frozen=True)
class Asked:
    """A valid create request."""

    model: str
    type: str
    prompt: str
    duration: str
    resolution: str
    media: tuple[str, ...]

    @property
    def credits(self) -> int:
        """What it costs, charged at creation."""
        return round(CREDITS_PER_720_LINES * lines_of(self.resolution) / 720 * int(self.duration))

    @property
    def fate(self) -> str | None:
        """The bad end that the prompt asks for, if any."""
        return next((fate for word, fate in FATE_WORDS.items() if word in self.prompt.lower()), None)


@dataclass(frozen=True)
class UploadAsked:
    """A valid request for a presigned upload; with `data` the file came along as base64."""

    filename: str
    content_type: str
    file_size: int
    expires_in: int = 0
    data: bytes = b""


def step_of(method: str, path: str) -> str | None:
    """The step that a request belongs to (the names that faults are scripted by), or None."""
    exact = {("POST", CREATE): "create", ("POST", UPLOAD_URL): "upload_url", ("POST", BASE64): "base64"}
    below = {("GET", BALANCE): "balance", ("GET", POLL): "poll", ("GET", CDN): "download", ("PUT", PUT): "put"}
    found = (step for (verb, start), step in below.items() if verb == method and path.startswith(start))
    return exact.get((method, path)) or (next(found, None) if path != CREATE else None)


def bearer_key(headers: Message) -> str:
    """The API key of a request. 401 without one or with the refused one, 403 with the unapproved one."""
    scheme, _, key = (headers["Authorization"] or "").partition(" ")
    if scheme.lower() != "bearer" or not key.strip() or key.strip() == REFUSED_KEY:
        raise Refused(401)
    if key.strip() == UNAPPROVED_KEY:
        raise Refused(403, "API access not approved for this account")
    return key.strip()


def gateway_host(headers: Message) -> None:
    """403 unless the request was made to a loopback name, as the real one refuses other hosts than its own."""
    host = urlsplit("//" + (headers["Host"] or "")).hostname or ""
    if not is_loopback(host):
        raise Refused(403, "Request made on a non-gateway host")


def is_public(host: str) -> bool:
    """Whether a host might be public, by its looks alone: names like x.invalid or x.local are not."""
    try:
        return ipaddress.ip_address(host).is_global
    except ValueError:
        return "." in host and not host.lower().rstrip(".").endswith((".invalid", ".local", ".localhost", ".internal"))


def json_object(headers: Message, body: bytes) -> dict[str, Any]:
    if headers.get_content_type() != "application/json" or "Content-Type" not in headers:
        raise Refused(400, "Content-Type must be application/json")
    try:
        value = json.loads(body)
    except ValueError:
        raise Refused(400, "The body is not valid JSON") from None
    if not isinstance(value, dict):
        raise Refused(400, "The body must be a JSON object")
    return value


def only_fields(value: Mapping[str, Any], types: Mapping[str, type], required: tuple[str, ...]) -> None:
    """400 for an undocumented field, a wrong type (null is one) or a missing field."""
    for name, content in value.items():
        if name not in types:
            raise Refused(400, f"Unknown parameter: {name[:80]}")
        if not isinstance(content, types[name]) or isinstance(content, bool):
            raise Refused(400, f"{name} must be {JSON_TYPE_NAMES[types[name]]}")
    for name in required:
        if name not in value:
            raise Refused(400, f"{name} is required")


def create(headers: Message, body: bytes) -> Asked:
    """The create request that these bytes are, or Refused (400, 451)."""
    value = json_object(headers, body)
    only_fields(value, FIELD_TYPES, ("model",))
    kind, prompt = value.get("type", "text-to-video"), value.get("prompt", "")
    if not models.is_known(value["model"]):
        raise Refused(400, f"Unknown model: {value['model'][:80]}")
    offer = models.offer(value["model"], kind)
    if offer is None:
        raise Refused(400, f"Unknown type: {kind[:80]}")
    duration, resolution = value.get("duration", "5"), value.get("resolution", "720p")
    if duration not in offer.durations:
        raise Refused(400, f"duration must be one of {', '.join(offer.durations)} for {kind}")
    if resolution not in offer.resolutions:
        raise Refused(400, f"resolution must be one of {', '.join(offer.resolutions)}")
    if len(prompt) > offer.longest_prompt:
        raise Refused(400, f"prompt is longer than {offer.longest_prompt} characters")
    if kind == "text-to-video" and not prompt.strip():
        raise Refused(400, "prompt is required for text-to-video")
    if BLOCKED_WORD in prompt.lower():
        raise Refused(451)
    return Asked(value["model"], kind, prompt, duration, resolution, media_of(kind, value))


def media_of(kind: str, value: Mapping[str, Any]) -> tuple[str, ...]:
    """The media URLs of a create request, checked against its type."""
    wanted = MEDIA_FIELDS[kind]
    for name in ("image_urls", "video_url"):
        if name in value and name != wanted:
            raise Refused(400, f"{name} is not accepted for {kind}")
    if wanted is None:
        return ()
    if not value.get(wanted):
        raise Refused(400, f"{wanted} is required for {kind}")
    urls = value[wanted] if isinstance(value[wanted], list) else [value[wanted]]
    if not all(isinstance(url, str) and http_url(url) for url in urls):
        raise Refused(400, f"{wanted} must hold http or https URLs")
    if len(urls) > LARGEST_IMAGES:
        raise Refused(400, f"{wanted} holds more than {LARGEST_IMAGES} URLs")
    return tuple(urls)


def http_url(url: str) -> tuple[str, str, str] | None:
    """Scheme, host and path of an http(s) URL, or None when it is none."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return None
    return parts.scheme, parts.hostname, unquote(parts.path)


def idempotency_key(headers: Message) -> str | None:
    key = headers["Idempotency-Key"]
    if key is not None and not 0 < len(key) <= LARGEST_KEY_CHARACTERS:
        raise Refused(400, f"Idempotency-Key must have 1 to {LARGEST_KEY_CHARACTERS} characters")
    return key


def upload(headers: Message, body: bytes) -> UploadAsked:
    """The request for a presigned upload that these bytes are, or Refused."""
    value = json_object(headers, body)
    types = {"filename": str, "content_type": str, "file_size": int, "expires_in": int}
    only_fields(value, types, ("filename", "content_type", "file_size"))
    expires_in = value.get("expires_in", UPLOAD_SECONDS)
    if not UPLOAD_SECONDS_RANGE[0] <= expires_in <= UPLOAD_SECONDS_RANGE[1]:
        raise Refused(400, "expires_in must lie between 60 and 3600")
    return _upload(value["filename"], value["content_type"], value["file_size"], expires_in)


def base64_file(headers: Message, body: bytes) -> UploadAsked:
    """The file that these bytes carry, or Refused."""
    value = json_object(headers, body)
    only_fields(value, {"data": str, "filename": str, "content_type": str}, ("data",))
    declared, text = "", value["data"]
    if text.startswith("data:"):
        head, _, text = text[5:].partition(",")
        declared, _, encoding = head.partition(";")
        if encoding != "base64":
            raise Refused(400, "data must be base64")
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Refused(400, "data is not valid base64") from None
    filename = value.get("filename", "")
    content_type = value.get("content_type") or declared or mimetypes.guess_type(filename)[0] or ""
    # Unnamed files are named by their content, so that two of them never share an address.
    unnamed = hashlib.sha256(data).hexdigest()[:32] + (mimetypes.guess_extension(content_type) or "")
    return _upload(filename or unnamed, content_type, len(data), data=data)


def _upload(filename: str, content_type: str, file_size: int, expires_in: int = 0, data: bytes = b"") -> UploadAsked:
    if len(filename) > LARGEST_FILENAME_CHARACTERS or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", filename):
        raise Refused(400, "filename must be a plain file name")
    if not re.fullmatch(r"(image|video|audio)/[A-Za-z0-9.+-]+", content_type):
        raise Refused(400, "content_type must be image/*, video/* or audio/*")
    if not 0 < file_size <= LARGEST_FILE_BYTES:
        raise Refused(400, f"file_size must lie between 1 and {LARGEST_FILE_BYTES}")
    return UploadAsked(filename, content_type, file_size, expires_in, data)
