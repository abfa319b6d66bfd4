"""What travels: requests as they arrived, replies as they are to be sent, and the gateway's JSON envelope."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from email.message import Message
from typing import Any

CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

# insufficient_credits, unauthorized and not_found are words that the pages show; the others are in their manner.
CODES: Mapping[int, tuple[str, str]] = {
    400: ("invalid_request", "Invalid request parameters"),
    401: ("unauthorized", "API key required or invalid API key"),
    402: ("insufficient_credits", "Insufficient credits"),
    403: ("forbidden", "API access not approved or request made on a non-gateway host"),
    404: ("not_found", "Resource not found"),
    405: ("method_not_allowed", "Method not allowed"),
    408: ("request_timeout", "Request timed out"),
    409: ("idempotency_conflict", "Idempotency-Key conflict"),
    413: ("payload_too_large", "Request body is too large"),
    425: ("too_early", "Too early"),
    429: ("rate_limited", "Rate limit exceeded or too many concurrent jobs"),
    451: ("content_blocked", "Prompt blocked by content moderation"),
    500: ("internal_error", "Internal server error"),
    501: ("not_implemented", "Not implemented"),
    502: ("bad_gateway", "Bad gateway"),
    503: ("upstream_unavailable", "Upstream provider is busy or temporarily unavailable"),
    504: ("gateway_timeout", "Gateway timed out"),
}


@dataclass(frozen=True)
class Request:
    """A request as it arrived.

    `path` is the target without its query; `headers` looks names up in any case and gives None for a missing one;
    `body` is the raw bytes; `at` is the server's clock in seconds; `fault` is the fault that was played, in words.
    """

    method: str
    path: str
    headers: Message
    body: bytes
    at: float
    query: str = ""
    step: str | None = None
    fault: str | None = None

    @property
    def json(self) -> Any:
        """The body as JSON; raises ValueError when it is none."""
        return json.loads(self.body)


@dataclass(frozen=True)
class Delivery:
    """How a reply travels; the usual one is whole, at once, and states its true length."""

    lost: bool = False
    reset: bool = False
    wait_seconds: float = 0.0
    cut_after_bytes: int | None = None
    stated_bytes: int | None = None
    hide_length: bool = False
    head_bytes_per_second: float | None = None
    body_bytes_per_second: float | None = None


@dataclass(frozen=True)
class Reply:
    """A reply, ready to be sent."""

    status: int
    body: bytes = b""
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()
    delivery: Delivery = field(default_factory=Delivery)

    @property
    def data(self) -> Mapping[str, Any]:
        """`data` of the gateway's envelope, empty where there is none."""
        try:
            value = json.loads(self.body)
        except ValueError:
            return {}
        data = value.get("data") if isinstance(value, dict) else None
        return data if isinstance(data, dict) else {}

    def sent(self, **changes: Any) -> Reply:
        """The same reply, travelling another way (fields of Delivery)."""
        return replace(self, delivery=replace(self.delivery, **changes))


def new_id(prefix: str, now: float | None = None) -> str:
    """A prefixed ULID, as the gateway's samples show them."""
    number = (int((time.time() if now is None else now) * 1000) << 80) | secrets.randbits(80)
    return prefix + "".join(CROCKFORD[(number >> shift) & 31] for shift in range(125, -1, -5))


def iso(at: float) -> str:
    """A time in seconds as the gateway writes it: ISO-8601, UTC, milliseconds."""
    return datetime.fromtimestamp(at, timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def as_json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def success(data: Mapping[str, Any], request_id: str | None = None, headers: tuple[tuple[str, str], ...] = ()) -> Reply:
    """A 200 in the gateway's envelope."""
    document = {"success": True, "data": data, "request_id": request_id or new_id("req_")}
    return Reply(200, as_json(document), headers=headers)


def refusal(
    status: int,
    message: str | None = None,
    *,
    code: str | None = None,
    headers: tuple[tuple[str, str], ...] = (),
    task_id: str | None = None,
) -> Reply:
    """A refusal in the gateway's envelope; code and message default to those of the status."""
    usual_code, usual_message = CODES.get(status, ("error", "Error"))
    document: dict[str, Any] = {
        "success": False,
        "error": {"code": code or usual_code, "message": message or usual_message},
        "request_id": new_id("req_"),
    }
    if task_id is not None:
        document["data"] = {"task_id": task_id}
    return Reply(status, as_json(document), headers=headers)


def storage_refusal(status: int, code: str, message: str) -> Reply:
    """A refusal as object stores write it: XML, not the gateway's envelope (S3 and R2 practice)."""
    body = f'<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code><Message>{message}</Message></Error>'
    return Reply(status, body.encode(), "application/xml")
