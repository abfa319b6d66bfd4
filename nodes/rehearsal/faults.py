"""Faults: what the stand-in can be told to do wrong. Those of any step are here, those of results are beside.

A fault is a frozen value. The server asks it whether the request is carried out at all (`carries_out`) and lets it turn
the gateway's proper reply into the one that is sent (`play`). Faults are scripted per step and consumed in order; None
in a script is one proper answer.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

from .fault import HTML, Fault, data_of, edit_data
from .replies import Reply, refusal, storage_refusal
from .result_faults import (
    BrokenClip,
    CompletedWithoutUrl,
    CutClip,
    ExpiredLink,
    FailTask,
    LongBody,
    NotAClip,
    OnlyResultUrls,
    ShortBody,
    StatusWord,
)

__all__ = [
    "Answer",
    "BrokenClip",
    "CompletedWithoutUrl",
    "CutClip",
    "CutReply",
    "Drip",
    "DropAfter",
    "DropBefore",
    "EmptyBody",
    "ExpiredLink",
    "FailTask",
    "Fault",
    "Fields",
    "HideLength",
    "Html",
    "HugeBody",
    "LongBody",
    "NotAClip",
    "NotSuccess",
    "Nulls",
    "OnlyResultUrls",
    "RedirectTo",
    "ResetUnread",
    "ShortBody",
    "SlowBody",
    "Stall",
    "StallBefore",
    "StatusWord",
    "TruncateJson",
    "WrongShape",
]

STEPS = ("create", "query", "upload_url", "put", "base64", "download", "balance")
STORAGE_STEPS = ("put", "download")


@dataclass(frozen=True)
class Answer(Fault):
    """This answer instead of the proper one. `accepted`: the request was carried out nevertheless.

    `names_task` (a 409 that tells which task the key belongs to) implies `accepted`. Without `body` it is the
    gateway's envelope, or an object store's XML at the steps put and download.
    """

    status: int
    code: str | None = None
    message: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes | None = None
    content_type: str = "application/json"
    accepted: bool = False
    names_task: bool = False

    @property
    def carries_out(self) -> bool:
        return self.accepted or self.names_task

    def play(self, reply: Reply, step: str) -> Reply:
        if self.body is not None:
            return Reply(self.status, self.body, self.content_type, self.headers)
        if step in STORAGE_STEPS:
            refused = storage_refusal(self.status, self.code or "Error", self.message or "Error")
            return replace(refused, headers=self.headers)
        task_id = data_of(reply).get("task_id") if self.names_task else None
        return refusal(self.status, self.message, code=self.code, headers=self.headers, task_id=task_id)


@dataclass(frozen=True)
class DropBefore(Fault):
    """The request is read, nothing is done, and the connection closes without a reply."""

    @property
    def carries_out(self) -> bool:
        return False

    def play(self, reply: Reply, step: str) -> Reply:
        return reply.sent(lost=True)


@dataclass(frozen=True)
class ResetUnread(DropBefore):
    """The connection is reset before the request's body is read."""

    def play(self, reply: Reply, step: str) -> Reply:
        return reply.sent(lost=True, reset=True)


@dataclass(frozen=True)
class DropAfter(Fault):
    """The request is carried out, then the connection closes (or is reset) without a reply."""

    reset: bool = False

    def play(self, reply: Reply, step: str) -> Reply:
        return reply.sent(lost=True, reset=self.reset)


@dataclass(frozen=True)
class Stall(Fault):
    """The request is carried out at once; the reply leaves after `seconds`."""

    seconds: float

    def play(self, reply: Reply, step: str) -> Reply:
        return reply.sent(wait_seconds=self.seconds)


@dataclass(frozen=True)
class StallBefore(Fault):
    """The server waits for `seconds` first; when the client leaves meanwhile, the request has no effect."""

    seconds: float

    @property
    def waits_first(self) -> float:
        return self.seconds


@dataclass(frozen=True)
class TruncateJson(Fault):
    """Half of the proper body, with a Content-Length that agrees."""

    def play(self, reply: Reply, step: str) -> Reply:
        return replace(reply, body=reply.body[: len(reply.body) // 2])


@dataclass(frozen=True)
class CutReply(Fault):
    """The connection breaks in the middle of the proper reply's body."""

    share: float = 0.5

    def play(self, reply: Reply, step: str) -> Reply:
        return reply.sent(cut_after_bytes=int(len(reply.body) * self.share))


@dataclass(frozen=True)
class WrongShape(Fault):
    """A 200 that is valid JSON (`text`) of a shape that the contract does not know; the request was carried out."""

    text: str = '{"success":true,"data":[]}'

    def play(self, reply: Reply, step: str) -> Reply:
        return replace(reply, status=200, body=self.text.encode())


@dataclass(frozen=True)
class NotSuccess(Fault):
    """`success: false` under a status of 200; nothing was done unless `accepted`."""

    code: str = "internal_error"
    message: str = "Internal server error"
    accepted: bool = False

    @property
    def carries_out(self) -> bool:
        return self.accepted

    def play(self, reply: Reply, step: str) -> Reply:
        return replace(refusal(200, self.message, code=self.code), status=200)


@dataclass(frozen=True)
class Nulls(Fault):
    """The proper reply with every field of `data` null but those kept."""

    keep: tuple[str, ...] = ("task_id", "status", "video_url")

    def play(self, reply: Reply, step: str) -> Reply:
        return edit_data(reply, {name: None for name in data_of(reply) if name not in self.keep})


@dataclass(frozen=True)
class Fields(Fault):
    """The proper reply with some fields of `data` set to other JSON values (unknown names, wrong types, new words)."""

    text: str

    def play(self, reply: Reply, step: str) -> Reply:
        return edit_data(reply, json.loads(self.text))


@dataclass(frozen=True)
class Html(Fault):
    """A proxy's HTML page instead of an answer; nothing was done unless `accepted`."""

    status: int = 502
    accepted: bool = False

    @property
    def carries_out(self) -> bool:
        return self.accepted

    def play(self, reply: Reply, step: str) -> Reply:
        return Reply(self.status, HTML, "text/html; charset=utf-8")


@dataclass(frozen=True)
class HugeBody(Fault):
    """The proper reply, followed by blanks up to `size_bytes` (still valid JSON)."""

    size_bytes: int = 64 * 1024 * 1024

    def play(self, reply: Reply, step: str) -> Reply:
        return replace(reply, body=reply.body.ljust(self.size_bytes))


@dataclass(frozen=True)
class SlowBody(Fault):
    """The proper reply at so many bytes a second: no single read times out, the whole takes long."""

    bytes_per_second: float = 100_000.0

    def play(self, reply: Reply, step: str) -> Reply:
        return reply.sent(bytes_per_second=self.bytes_per_second)


@dataclass(frozen=True)
class Drip(SlowBody):
    """SlowBody for small replies: byte by byte."""

    bytes_per_second: float = 20.0


@dataclass(frozen=True)
class RedirectTo(Fault):
    """A redirect instead of an answer; nothing was done."""

    url: str
    status: int = 307

    @property
    def carries_out(self) -> bool:
        return False

    def play(self, reply: Reply, step: str) -> Reply:
        return Reply(self.status, b"", headers=(("Location", self.url),))


@dataclass(frozen=True)
class HideLength(Fault):
    """The proper reply without a Content-Length; the closing connection ends it."""

    def play(self, reply: Reply, step: str) -> Reply:
        return reply.sent(hide_length=True)


@dataclass(frozen=True)
class EmptyBody(Fault):
    """A 200 with nothing in it; the request was carried out."""

    def play(self, reply: Reply, step: str) -> Reply:
        return replace(reply, status=200, body=b"")
