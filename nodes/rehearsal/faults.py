"""The vocabulary of faults: what the stand-in can be told to do wrong, in words and parameters.

Scripts, the command line and tests all say a fault as a word: `503`, `429:7`, `drop-after`, `status:unknown`. A word
becomes a frozen value that tells the server whether the request is carried out and turns the proper reply into the one
that is sent. `none` is one proper answer.
"""

from __future__ import annotations

import json
import random
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from email.utils import formatdate
from typing import Any

from .book import ENDLESS, Fate
from .messages import CODES, Reply, as_json, refusal, storage_refusal

STEPS = ("create", "poll", "upload_url", "put", "base64", "download", "balance")
STORAGE_STEPS = ("put", "download")
HTML = b"<!DOCTYPE html><html><head><title>Error</title></head><body><h1>Something went wrong</h1></body></html>"
KEPT_BY_NULLS = ("task_id", "status", "video_url")

Play = Callable[[Reply, str], Reply]


def properly(reply: Reply, step: str) -> Reply:
    return reply


@dataclass(frozen=True)
class Fault:
    """One misbehaviour at one request; what is not said is as in a proper answer.

    `done`: the request has its effect (a task is created and charged, a file is stored). `unread`: the connection is
    reset before the body is read. `wait_seconds`: before the request is carried out; a client that leaves meanwhile is
    not served. `fate` and `busy_seconds`: of the task, see `book.Task`. `ranged`: a Range is honoured. `play`: the
    reply to send, from the proper one (an empty one if nothing was done) and the step.
    """

    word: str = "none"
    done: bool = True
    unread: bool = False
    wait_seconds: float = 0.0
    fate: str | None = None
    busy_seconds: float = 0.0
    ranged: bool = True
    play: Play = field(default=properly, compare=False, repr=False)


NO_FAULT = Fault()


@dataclass(frozen=True)
class Kind:
    """An entry of the vocabulary: `argument` is what may follow its colon, `usual` what counts when nothing does."""

    meaning: str
    build: Callable[[str], Fault]
    argument: str = ""
    usual: str = ""


def instead(
    status: int,
    *,
    code: str | None = None,
    message: str | None = None,
    headers: tuple[tuple[str, str], ...] = (),
    body: bytes | None = None,
    content_type: str = "application/json",
    done: bool = False,
) -> Fault:
    """This answer instead of the proper one; without a body in the gateway's envelope, or an object store's XML."""

    def play(reply: Reply, step: str) -> Reply:
        if body is not None:
            return Reply(status, body, content_type, headers)
        if step in STORAGE_STEPS:
            return replace(storage_refusal(status, code or "Error", message or "Error"), headers=headers)
        return refusal(status, message, code=code, headers=headers)

    return Fault(str(status), done=done, play=play)


def _sent(**way: Any) -> Play:
    return lambda reply, step: reply.sent(**way)


def _edited(changes: Callable[[Mapping[str, Any]], Mapping[str, Any]]) -> Play:
    """Other fields in a reply's `data`; a refusal, and what has no data, stays as it is."""

    def play(reply: Reply, step: str) -> Reply:
        data = reply.data
        if reply.status != 200 or not data:
            return reply
        return replace(reply, body=as_json({**json.loads(reply.body), "data": {**data, **changes(data)}}))

    return play


def _status(word: str) -> Fault:
    unfinished = {"status": word, "video_url": None, "output": None, "completed_at": None}
    return Fault(play=_edited(lambda data: unfinished))


def _finished_as(word: str) -> Fault:
    return Fault(play=_edited(lambda data: {"status": word} if data.get("video_url") else {}))


def _expired(status: str) -> Fault:
    old = f"?Expires=1&Status={status}"

    def links(data: Mapping[str, Any]) -> Mapping[str, Any]:
        if not data.get("video_url"):
            return {}
        urls = [url + old for url in data["output"]["resultUrls"]]
        return {"video_url": data["video_url"] + old, "output": {"resultUrls": urls}}

    def play(reply: Reply, step: str) -> Reply:
        if step == "download":
            return storage_refusal(int(status), "AccessDenied", "Request has expired")
        return _edited(links)(reply, step)

    return Fault(play=play)


def _fails(how: str) -> Fault:
    Fate.of(how)
    return Fault(fate=how)


def _half(reply: Reply, step: str) -> Reply:
    return replace(reply, body=reply.body[: len(reply.body) // 2])


def _cut(reply: Reply, step: str) -> Reply:
    return reply.sent(cut_after_bytes=len(reply.body) // 2)


def _longer(extra_bytes: str) -> Fault:
    def play(reply: Reply, step: str) -> Reply:
        return replace(reply, body=reply.body + bytes(int(extra_bytes))).sent(stated_bytes=len(reply.body))

    return Fault(play=play)


def _broken(reply: Reply, step: str) -> Reply:
    start = reply.body.find(b"mdat") + 4
    return replace(reply, body=reply.body[:start] + random.Random(start).randbytes(max(0, len(reply.body) - start)))


def _changed(reply: Reply, step: str) -> Reply:
    return replace(reply, headers=tuple((n, '"changed"' if n == "ETag" else v) for n, v in reply.headers))


def _body(text: str) -> Fault:
    return Fault(play=lambda reply, step: replace(reply, status=200, body=text.encode()))


def _redirect(url: str) -> Fault:
    return Fault(done=False, play=lambda reply, step: Reply(307, headers=(("Location", url),)))


def _not_success(code: str) -> Fault:
    refused = replace(refusal(200, CODES[500][1], code=code), status=200)
    return Fault(done=False, play=lambda reply, step: refused)


def _html(status: str) -> Fault:
    return instead(int(status), body=HTML, content_type="text/html; charset=utf-8")


VOCABULARY: Mapping[str, Kind] = {
    "reset": Kind(
        "connection reset before the request was read",
        lambda _: Fault(done=False, unread=True, play=_sent(lost=True, reset=True)),
    ),
    "drop-before": Kind(
        "connection closed after the request was read, nothing done", lambda _: Fault(done=False, play=_sent(lost=True))
    ),
    "drop-after": Kind("carried out, then the connection breaks", lambda _: Fault(play=_sent(lost=True))),
    "reset-after": Kind(
        "carried out, then the connection is reset", lambda _: Fault(play=_sent(lost=True, reset=True))
    ),
    "stall-before": Kind(
        "no answer in time, nothing done", lambda text: Fault(wait_seconds=float(text)), "seconds", "30"
    ),
    "stall": Kind(
        "carried out, the answer comes too late",
        lambda text: Fault(play=_sent(wait_seconds=float(text))),
        "seconds",
        "30",
    ),
    "busy": Kind(
        "carried out, then the connection breaks; 409 to the same key while the request is in work",
        lambda text: Fault(busy_seconds=float(text), play=_sent(lost=True)),
        "seconds",
        "60",
    ),
    "not-success": Kind("200 with success: false", _not_success, "code", "internal_error"),
    "html": Kind("a web page of a proxy", _html, "status", "502"),
    "redirect": Kind("a redirect to another place", _redirect, "url", "https://elsewhere.example/"),
    "shape": Kind("JSON of another shape", _body, "json", '{"success":true,"data":[]}'),
    "empty": Kind("200 with nothing in it", lambda _: _body("")),
    "nulls": Kind(
        "nulls in all fields but the id, status and address",
        lambda _: Fault(play=_edited(lambda data: {name: None for name in data if name not in KEPT_BY_NULLS})),
    ),
    "fields": Kind(
        "fields replaced or added", lambda text: Fault(play=_edited(lambda data: json.loads(text))), "json", "{}"
    ),
    "huge": Kind(
        "a body far too large",
        lambda text: Fault(play=lambda reply, step: replace(reply, body=reply.body.ljust(int(text)))),
        "bytes",
        "67108864",
    ),
    "truncate": Kind("half of the body, with a length that agrees", lambda _: Fault(play=_half)),
    "cut": Kind("half of the body, then the connection breaks", lambda _: Fault(play=_cut)),
    "long": Kind("more bytes than stated", _longer, "bytes", "100000"),
    "no-length": Kind("no length stated", lambda _: Fault(play=_sent(hide_length=True))),
    "drip": Kind(
        "an answer that drips",
        lambda text: Fault(play=_sent(body_bytes_per_second=float(text))),
        "bytes/s",
        "20",
    ),
    "drip-headers": Kind(
        "headers that drip", lambda text: Fault(play=_sent(head_bytes_per_second=float(text))), "bytes/s", "20"
    ),
    "status": Kind("another status, without links", _status, "word", "unknown"),
    "finished-as": Kind("completed is called something else, links are given", _finished_as, "word", "succeeded"),
    "no-url": Kind(
        "completed, without an address",
        lambda _: Fault(
            play=_edited(lambda data: {"status": "completed", "video_url": None, "output": {"resultUrls": []}})
        ),
    ),
    "only-result-urls": Kind(
        "completed, address in `output.resultUrls` only",
        lambda _: Fault(play=_edited(lambda data: {"video_url": None})),
    ),
    "expired": Kind("links that have run out", _expired, "status", "403"),
    "fail": Kind("the task fails: refund, seconds until it is told, null until then", _fails, "refund/s/null", "all"),
    "endless": Kind("the task never ends", lambda _: Fault(fate=ENDLESS)),
    "broken": Kind("an MP4 that does not decode", lambda _: Fault(play=_broken)),
    "changed": Kind("the file is another one since", lambda _: Fault(ranged=False, play=_changed)),
    "no-range": Kind("the whole file, whatever Range asks for", lambda _: Fault(ranged=False)),
}
STATUS_MEANING = (
    "this status in the gateway's envelope; 429:7 adds Retry-After: 7, 429:date+7 the same as a date;\n"
    "409:task names the task of the key"
)


def parse(word: str) -> Fault:
    """The fault of a word; `+done` at its end: carried out nevertheless. Raises ValueError."""
    said, done, _ = word.strip().partition("+done")
    name, colon, argument = said.partition(":")
    if name in ("none", ""):
        return NO_FAULT
    kind = VOCABULARY.get(name)
    if kind is not None:
        fault = kind.build(argument if colon else kind.usual)
    elif re.fullmatch(r"[1-5]\d\d", name):
        fault = _status_code(int(name), argument)
    else:
        raise ValueError(f"There is no fault {name!r}; the faults are a status code, {', '.join(VOCABULARY)}.")
    return replace(fault, word=word.strip(), done=bool(done) or fault.done)


def _status_code(status: int, argument: str) -> Fault:
    if argument == "task":
        return Fault(play=lambda reply, step: refusal(status, task_id=reply.data.get("task_id")))
    if not argument:
        return instead(status)
    if not argument.startswith("date+"):
        return instead(status, headers=(("Retry-After", argument),))
    seconds = float(argument.removeprefix("date+"))

    def play(reply: Reply, step: str) -> Reply:
        return instead(status, headers=(("Retry-After", formatdate(time.time() + seconds, usegmt=True)),)).play(
            reply, step
        )

    return Fault(done=False, play=play)


def title(word: str) -> str:
    """A word for people."""
    name, _, argument = word.partition(":")
    if name in VOCABULARY:
        return f"{VOCABULARY[name].meaning} (`{argument}`)" if argument else VOCABULARY[name].meaning
    status = f"{name} {CODES[int(name)][0].replace('_', ' ')}"
    if argument == "task":
        return f"{status} that names the task"
    return f"{status}, Retry-After: {argument}" if argument else status


def vocabulary() -> str:
    """The whole language as a table for people."""
    rows = [(f"{name}:{kind.argument}".rstrip(":"), kind) for name, kind in VOCABULARY.items()]
    lines = [f"{said:<22}{kind.meaning}{f' ({kind.usual})' if kind.usual else ''}" for said, kind in rows]
    return "\n".join([*lines, f"{'503, 429, ...':<22}" + STATUS_MEANING.replace("\n", "\n" + " " * 22)])
