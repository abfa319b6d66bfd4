"""Faults of results: what a look at a task tells wrongly, and what a download brings instead of the clip."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

from .fault import HTML, Fault, data_of, edit_data
from .replies import Reply, storage_refusal


@dataclass(frozen=True)
class StatusWord(Fault):
    """This look at the task tells another status; the task itself goes on."""

    word: str = "unknown"

    def play(self, reply: Reply, step: str) -> Reply:
        unfinished = {"status": self.word, "video_url": None, "output": None, "completed_at": None}
        return edit_data(reply, unfinished)


@dataclass(frozen=True)
class CompletedWithoutUrl(Fault):
    """This look says completed but names no file."""

    def play(self, reply: Reply, step: str) -> Reply:
        return edit_data(reply, {"status": "completed", "video_url": None, "output": {"resultUrls": []}})


@dataclass(frozen=True)
class OnlyResultUrls(Fault):
    """A completed task names its file in output.resultUrls only."""

    def play(self, reply: Reply, step: str) -> Reply:
        return edit_data(reply, {"video_url": None})


@dataclass(frozen=True)
class ExpiredLink(Fault):
    """At query: links that have run out. At download: the answer that such a link gets."""

    status: int = 403

    def play(self, reply: Reply, step: str) -> Reply:
        if step == "download":
            return storage_refusal(self.status, "AccessDenied", "Request has expired")
        data = data_of(reply)
        if not data.get("video_url"):
            return reply
        old = f"?Expires=1&Status={self.status}"
        urls = [url + old for url in data["output"]["resultUrls"]]
        return edit_data(reply, {"video_url": data["video_url"] + old, "output": {"resultUrls": urls}})


@dataclass(frozen=True)
class FailTask(Fault):
    """The task fails: at create when its time has come, at query on the spot.

    `refund` is all, part (half), none, or later (all of it, but only from the second look at the failed task on).
    """

    refund: str = "all"
    message: str = "The provider could not generate this video"
    message_field: str = "error_message"


@dataclass(frozen=True)
class ShortBody(Fault):
    """Half of the file, with the whole file's Content-Length; the connection closes."""

    share: float = 0.5

    def play(self, reply: Reply, step: str) -> Reply:
        return reply.sent(cut_after_bytes=int(len(reply.body) * self.share))


@dataclass(frozen=True)
class CutClip(Fault):
    """Half of the file with a Content-Length that agrees: only its content tells."""

    share: float = 0.5

    def play(self, reply: Reply, step: str) -> Reply:
        return replace(reply, body=reply.body[: int(len(reply.body) * self.share)])


@dataclass(frozen=True)
class LongBody(Fault):
    """The file and `extra_bytes` more: past the stated Content-Length, or without one (`hide_length`)."""

    extra_bytes: int = 100_000
    hide_length: bool = False

    def play(self, reply: Reply, step: str) -> Reply:
        stated = None if self.hide_length else len(reply.body)
        longer = replace(reply, body=reply.body + bytes(self.extra_bytes))
        return longer.sent(stated_bytes=stated, hide_length=self.hide_length)


@dataclass(frozen=True)
class NotAClip(Fault):
    """A web page with status 200 where the file should be; `content_type` may lie."""

    content_type: str = "text/html; charset=utf-8"

    def play(self, reply: Reply, step: str) -> Reply:
        return Reply(200, HTML, self.content_type)


@dataclass(frozen=True)
class BrokenClip(Fault):
    """The file with its picture data overwritten: right length, right `ftyp`, and nothing that decodes."""

    def play(self, reply: Reply, step: str) -> Reply:
        start = reply.body.find(b"mdat") + 4
        noise = random.Random(len(reply.body)).randbytes(max(0, len(reply.body) - start))
        return replace(reply, body=reply.body[:start] + noise)
