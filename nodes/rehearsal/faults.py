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


Build = Callable[[str], Fault]


def _sent(done: bool = True, unread: bool = False, **way: Any) -> Build:
    """The proper reply, travelling another way."""
    return lambda _: Fault(done=done, unread=unread, play=lambda reply, step: reply.sent(**way))


def _sent_at(name: str) -> Build:
    """The same for what takes a number: seconds, or bytes a second."""
    return lambda text: Fault(play=lambda reply, step: reply.sent(**{name: float(text)}))


def _body(change: Callable[[bytes, str], bytes]) -> Build:
    """The proper reply with another body."""
    return lambda text: Fault(play=lambda reply, step: replace(reply, body=change(reply.body, text)))


def _data(change: Callable[[Mapping[str, Any], str], Mapping[str, Any]]) -> Build:
    """The proper reply with other fields in its `data`; a refusal, and what has no data, stays as it is."""

    def build(text: str) -> Fault:
        def play(reply: Reply, step: str) -> Reply:
            data = reply.data
            if reply.status != 200 or not data:
                return reply
            return replace(reply, body=as_json({**json.loads(reply.body), "data": {**data, **change(data, text)}}))

        return Fault(play=play)

    return build


def _expired(status: str) -> Fault:
    def links(data: Mapping[str, Any], old: str) -> Mapping[str, Any]:
        urls = [url + old for url in (data.get("output") or {}).get("resultUrls", ())]
        return {"video_url": data["video_url"] + old, "output": {"resultUrls": urls}} if urls else {}

    def play(reply: Reply, step: str) -> Reply:
        if step == "download":
            return storage_refusal(int(status), "AccessDenied", "Request has expired")
        return _data(links)(f"?Expires=1&Status={status}").play(reply, step)

    return Fault(play=play)


def _cut(reply: Reply, step: str) -> Reply:
    return reply.sent(cut_after_bytes=len(reply.body) // 2)


def _long(reply: Reply, step: str) -> Reply:
    return replace(reply, body=reply.body + bytes(100_000)).sent(stated_bytes=len(reply.body))


def _changed(reply: Reply, step: str) -> Reply:
    return replace(reply, headers=tuple((n, '"changed"' if n == "ETag" else v) for n, v in reply.headers))


def _noise(clip: bytes, _: str) -> bytes:
    start = clip.find(b"mdat") + 4
    return clip[:start] + random.Random(start).randbytes(max(0, len(clip) - start))


def _fails(how: str) -> Fault:
    Fate.of(how)
    return Fault(fate=how)


def _not_success(code: str) -> Fault:
    return Fault(done=False, play=lambda reply, step: refusal(200, CODES[500][1], code=code))


def _html(status: str) -> Fault:
    return instead(int(status), body=HTML, content_type="text/html; charset=utf-8")


def _redirect(url: str) -> Fault:
    return instead(307, body=b"", headers=(("Location", url),))


NO_LINKS = {"video_url": None, "output": None, "completed_at": None}


@dataclass(frozen=True)
class Kind:
    """An entry of the vocabulary. `argument` is what may follow its colon: a name, `=`, and what is usual."""

    meaning: str
    build: Build
    argument: str = ""


VOCABULARY: Mapping[str, Kind] = {
    "reset": Kind("connection reset before the request was read", _sent(False, True, lost=True, reset=True)),
    "drop-before": Kind("connection closed after the request was read, nothing done", _sent(False, lost=True)),
    "drop-after": Kind("carried out, then the connection breaks", _sent(lost=True)),
    "reset-after": Kind("carried out, then the connection is reset", _sent(lost=True, reset=True)),
    "stall-before": Kind("no answer in time, nothing done", lambda s: Fault(wait_seconds=float(s)), "seconds=30"),
    "stall": Kind("carried out, the answer comes too late", _sent_at("wait_seconds"), "seconds=30"),
    "busy": Kind(
        "carried out, then the connection breaks, and so long 409 to the same key",
        lambda seconds: replace(_sent(lost=True)(""), busy_seconds=float(seconds)),
        "seconds=60",
    ),
    "not-success": Kind("200 with success: false", _not_success, "code=internal_error"),
    "html": Kind("a web page of a proxy", _html, "status=502"),
    "redirect": Kind("a redirect to another place", _redirect, "url=https://elsewhere.example/"),
    "shape": Kind("JSON of another shape", _body(lambda _, text: text.encode()), 'json={"success":true,"data":[]}'),
    "empty": Kind("200 with nothing in it", _body(lambda *_: b"")),
    "truncate": Kind("half of the body, with a length that agrees", _body(lambda body, _: body[: len(body) // 2])),
    "huge": Kind("a body far too large", _body(lambda body, size: body.ljust(int(size))), "bytes=67108864"),
    "broken": Kind("an MP4 that does not decode", _body(_noise)),
    "cut": Kind("half of the body, then the connection breaks", lambda _: Fault(play=_cut)),
    "long": Kind("more bytes than stated", lambda _: Fault(play=_long)),
    "no-length": Kind("no length stated", _sent(hide_length=True)),
    "drip": Kind("an answer that drips", _sent_at("body_bytes_per_second"), "bytes/s=20"),
    "drip-headers": Kind("headers that drip", _sent_at("head_bytes_per_second"), "bytes/s=20"),
    "nulls": Kind(
        "nulls in all fields but the id, status and address",
        _data(lambda data, _: {name: None for name in data if name not in KEPT_BY_NULLS}),
    ),
    "fields": Kind("fields replaced or added", _data(lambda _, text: json.loads(text)), "json={}"),
    "status": Kind(
        "another status, without links", _data(lambda _, word: {**NO_LINKS, "status": word}), "word=unknown"
    ),
    "finished-as": Kind(
        "completed is called something else, links are given",
        _data(lambda data, word: {"status": word} if data.get("video_url") else {}),
        "word=succeeded",
    ),
    "no-url": Kind(
        "completed, without an address", _data(lambda *_: {"video_url": None, "output": {"resultUrls": []}})
    ),
    "only-result-urls": Kind("completed, address in `output.resultUrls` only", _data(lambda *_: {"video_url": None})),
    "expired": Kind("links that have run out", _expired, "status=403"),
    "fail": Kind("the task fails: refund, seconds until it is told, null until then", _fails, "refund/s/null=all"),
    "endless": Kind("the task never ends", lambda _: Fault(fate=ENDLESS)),
    "changed": Kind("the file is another one since", lambda _: Fault(ranged=False, play=_changed)),
    "no-range": Kind("the whole file, whatever Range asks for", lambda _: Fault(ranged=False)),
}
STATUSES = "503, 429, ..."
STATUS_MEANING = "this status; 429:7 adds Retry-After: 7, 429:date+7 the same as a date; 409:task names the task"


def parse(word: str) -> Fault:
    """The fault of a word; `+done` at its end: carried out nevertheless. Raises ValueError."""
    said, done, _ = word.strip().partition("+done")
    name, colon, argument = said.partition(":")
    if name in ("none", ""):
        return NO_FAULT
    if kind := VOCABULARY.get(name):
        fault = kind.build(argument if colon else kind.argument.partition("=")[2])
    elif re.fullmatch(r"[1-5]\d\d", name):
        fault = _status(int(name), argument)
    else:
        raise ValueError(f"There is no fault {name!r}; the faults are a status code, {', '.join(VOCABULARY)}.")
    return replace(fault, word=word.strip(), done=bool(done) or fault.done)


def _status(status: int, hint: str) -> Fault:
    if hint == "task":
        return Fault(play=lambda reply, step: refusal(status, task_id=reply.data.get("task_id")))
    if hint.startswith("date+"):
        hint = formatdate(time.time() + float(hint.removeprefix("date+")), usegmt=True)
    return instead(status, headers=(("Retry-After", hint),) if hint else ())


def title(word: str) -> str:
    """A word for people."""
    name, _, argument = word.partition(":")
    if name in VOCABULARY:
        return VOCABULARY[name].meaning + (f" (`{argument}`)" if argument else "")
    status = f"{name} {CODES[int(name)][0].replace('_', ' ')}"
    if argument == "task":
        return f"{status} that names the task"
    return f"{status}, Retry-After: {argument}" if argument else status


def vocabulary() -> str:
    """The whole language as a table for people."""
    rows = [(f"{name}:{kind.argument}".rstrip(":"), kind.meaning) for name, kind in VOCABULARY.items()]
    return "\n".join(f"{said:<42}{meaning}" for said, meaning in [*rows, (STATUSES, STATUS_MEANING)])
