"""The fault matrix: each step of a job times each way it can go wrong, and what has to come of it.

One table for the tests (`test_matrix.py` plays every cell over real HTTP) and for people (`page.py` writes
docs/fault-matrix.md from it). A cell says what happens when the fault strikes once, and when it goes on.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from nodes.gateway.errors import Charge
from nodes.rehearsal.faults import title

ADDRESS, PUT, CREATE, POLL, DOWNLOAD = "upload_url", "put", "create", "poll", "download"
STEPS = {
    ADDRESS: "Upload address: asking the gateway where a picture or clip may be uploaded",
    PUT: "Upload: bringing it there",
    CREATE: "Create: the paid request",
    POLL: "Poll: asking how the job stands",
    DOWNLOAD: "Download: fetching the finished video",
}

AWAY, HUGE = "redirect:https://169.254.169.254/latest", "huge:5000000"
# What the rehearsal gateway plays, in its own words.
PLAYED = (
    *("reset", "drop-before", "drop-after", "stall-before", "stall"),
    *("400", "401", "402", "403", "404", "408", "409", "409:7", "409:task", "busy", "425"),
    *("429", "429:100", "429:date+100", "429:999999999", "451", "500", "html:502", "503", "504"),
    *("truncate", "cut", "long", "shape", "not-success", "nulls", "html:200", HUGE, "drip", "drip-headers", AWAY),
    *("status:unknown", "status:reticulating splines", "finished-as:succeeded", "fail:all", "fail:part", "fail:later"),
    *("no-url", "only-result-urls", "expired", "broken", "changed", "no-range"),
)
# What goes wrong before a request reaches anybody, and on this machine.
HERE = {
    "refused": "connection refused",
    "dns": "name not found",
    "tls": "TLS fails",
    "disk full": "the disk is full",
    "disk full after": "the disk is full when the answer comes",
    "read-only": "the folder or journal cannot be written",
    "clock forward": "the clock jumps three days ahead",
    "clock back": "the clock jumps three days back",
}
FAULTS = {word: title(word) for word in PLAYED} | HERE


class Again(str, Enum):
    """What queueing the same job again does."""

    DISK = "served from disk, no request"
    RESUME = "goes on where it stood, no POST"
    SEND = "sent for the first time"
    SAME = "sent again with the same key and bytes"
    NEW = "a new attempt with a new key; nothing is owed for the old one"
    SPENT = "refused with the sums, no POST; only another take pays again"


@dataclass(frozen=True)
class Outcome:
    """What comes of a job: `result` is `delivered` or the class of the failure; `told` a phrase of the message.

    `waits`: nothing ends the job, so the outcome is what its user is told on leaving. `posts`: paid POSTs that reached
    the gateway.
    """

    result: str
    charge: Charge
    posts: int
    told: str
    again: Again
    waits: bool = False


@dataclass(frozen=True)
class Cell:
    """One fault at one step. `on` is None where a fault that goes on is the same as one that strikes once."""

    step: str
    fault: str
    once: Outcome
    on: Outcome | None


@dataclass(frozen=True)
class Void:
    """A fault that a step cannot have, and why."""

    step: str
    fault: str
    why: str


def delivered(posts: int = 1) -> Outcome:
    return Outcome("delivered", Charge.CHARGED, posts, "done", Again.DISK)


def failed(kind: str, charge: Charge, posts: int, told: str, again: Again) -> Outcome:
    return Outcome(kind, charge, posts, told, again)


def left(charge: Charge, posts: int, told: str, again: Again) -> Outcome:
    return Outcome("Detached", charge, posts, told, again, waits=True)


NOT_SENT, REJECTED, REFUNDED = Charge.NOT_SENT, Charge.REJECTED, Charge.REFUNDED
RUNNING, CHARGED, UNCERTAIN = Charge.RUNNING, Charge.CHARGED, Charge.UNCERTAIN

LATE = {"stall-before": "no answer in time", "stall": "no answer in time", "drip": "in time", "drip-headers": "in time"}
LOST = {
    "reset": "broke before an answer came",
    "drop-before": "broke before an answer came",
    "drop-after": "broke before",
    "cut": "broke",
}
UNREACHED = {"refused": "connection refused", "dns": "name could not be resolved", "tls": "TLS failed"}
BROKEN = {
    "408": "gave up waiting",
    "500": "internal error",
    "html:502": "HTTP 502",
    "503": "busy or unavailable",
    "504": "HTTP 504",
    "not-success": "internal error",
}
UNREADABLE = {"truncate": "cannot be used", "html:200": "cannot be used", HUGE: "too large", AWAY: "cannot be used"}
REFUSED = {
    "400": ("BadRequest", "found the request invalid"),
    "401": ("KeyRefused", "refused the API key"),
    "402": ("CreditsMissing", "too few credits"),
    "403": ("AccessRefused", "refused access"),
    "451": ("PromptBlocked", "content moderation"),
}
THROTTLED = ("425", "429", "429:100", "429:date+100", "429:999999999")
STATUSES = (*REFUSED, "404", "408", "409", "409:7", *THROTTLED, "500", "html:502", "503", "504")
CLOCKS = ("clock forward", "clock back")
OF_A_TASK = (
    "status:unknown",
    "status:reticulating splines",
    "finished-as:succeeded",
    "fail:all",
    "fail:part",
    "fail:later",
    "no-url",
    "only-result-urls",
)
OF_A_REST = ("changed", "no-range")
OF_JSON = ("shape", "not-success", "nulls")


def upload_address() -> Iterator[Cell]:
    """Nothing paid is sent before the media are up: whatever goes wrong here has cost nothing."""
    good = delivered()
    for fault, told in {**UNREACHED}.items():
        yield Cell(ADDRESS, fault, good, failed("NotReached", NOT_SENT, 0, told, Again.SEND))
    for fault, told in {**LOST, **LATE}.items():
        yield Cell(ADDRESS, fault, good, failed("ReplyLost", NOT_SENT, 0, told, Again.SEND))
    for fault, (kind, told) in REFUSED.items():
        yield Cell(ADDRESS, fault, failed(kind, NOT_SENT, 0, told, Again.SEND), None)
    # No such endpoint: the file travels inside JSON instead.
    for fault in ("404", "long"):
        yield Cell(ADDRESS, fault, good, good)
    for fault in ("409", "409:7", "409:task"):
        yield Cell(ADDRESS, fault, failed("KeyConflict", NOT_SENT, 0, "conflict", Again.SEND), None)
    for fault in THROTTLED:
        yield Cell(ADDRESS, fault, good, left(NOT_SENT, 0, "Queue the node again to start it", Again.SEND))
    for fault, told in BROKEN.items():
        kind = "ProviderBusy" if fault == "503" else "GatewayBroken"
        yield Cell(ADDRESS, fault, good, failed(kind, NOT_SENT, 0, told, Again.SEND))
    for fault, told in {**UNREADABLE, "shape": "no upload address", "nulls": "no upload address"}.items():
        yield Cell(ADDRESS, fault, good, failed("Unreadable", NOT_SENT, 0, told, Again.SEND))
    full = failed("SetupError", NOT_SENT, 0, "could not be written", Again.SEND)
    yield Cell(ADDRESS, "disk full", full, None)
    yield Cell(ADDRESS, "read-only", full, None)
    for fault in CLOCKS:
        yield Cell(ADDRESS, fault, good, None)


def upload() -> Iterator[Cell]:
    """A second address is tried, then the file travels inside JSON: no fault of the storage keeps a job from coming."""
    for fault in (*UNREACHED, *LOST, *LATE, *STATUSES, AWAY, HUGE, "long"):
        yield Cell(PUT, fault, delivered(), delivered())
    # Somebody else's page says 200: the gateway does not find the file, refuses the job and charges nothing.
    yield Cell(PUT, "html:200", failed("BadRequest", REJECTED, 1, "could not be fetched", Again.NEW), None)
    for fault in CLOCKS:
        yield Cell(PUT, fault, delivered(), None)


def create() -> Iterator[Cell]:
    """What certainly did not arrive is not sent; what was refused costs nothing; all else is uncertain, one key."""
    for fault, told in UNREACHED.items():
        yield Cell(CREATE, fault, delivered(), failed("NotReached", NOT_SENT, 0, told, Again.SEND))
    for fault, told in {**LOST, **LATE}.items():
        yield Cell(CREATE, fault, delivered(2), failed("ReplyLost", UNCERTAIN, 4, told, Again.SAME))
    for fault, (kind, told) in {**REFUSED, "404": ("TaskUnknown", "knows nothing under this")}.items():
        yield Cell(CREATE, fault, failed(kind, REJECTED, 1, told, Again.NEW), None)
    conflict = failed("KeyConflict", UNCERTAIN, 1, "with the same Idempotency-Key", Again.SAME)
    yield Cell(CREATE, "409", conflict, None)
    # It says when to come again, or may be answering our own first request, which is still under way.
    waited = failed("KeyConflict", UNCERTAIN, 7, "with the same Idempotency-Key", Again.SAME)
    yield Cell(CREATE, "409:7", delivered(2), waited)
    waited = failed("KeyConflict", UNCERTAIN, 7, "with the same Idempotency-Key", Again.SAME)
    yield Cell(CREATE, "busy", waited, None)
    yield Cell(CREATE, "409:task", delivered(), None)
    for fault in THROTTLED:
        waiting = left(NOT_SENT, 4 if fault in ("425", "429") else 1, "Queue the node again to start it", Again.SAME)
        yield Cell(CREATE, fault, delivered(2), waiting)
    waiting = left(UNCERTAIN, 4, "it keeps its Idempotency-Key", Again.SAME)
    yield Cell(CREATE, "503", delivered(2), waiting)
    for fault, told in BROKEN.items():
        if fault != "503":
            yield Cell(CREATE, fault, delivered(2), failed("GatewayBroken", UNCERTAIN, 4, told, Again.SAME))
    for fault, told in {**UNREADABLE, "shape": "names no task"}.items():
        yield Cell(CREATE, fault, delivered(2), failed("Unreadable", UNCERTAIN, 4, told, Again.SAME))
    for fault in ("nulls", "long"):
        yield Cell(CREATE, fault, delivered(), delivered())
    for fault in ("disk full", "read-only"):
        yield Cell(CREATE, fault, failed("SetupError", NOT_SENT, 0, "journal cannot be written", Again.SEND), None)
    # The gateway's answer is told with its task id though nobody could write it down, and is written once it can be.
    after = failed("SetupError", RUNNING, 1, "(task vid_", Again.RESUME)
    yield Cell(CREATE, "disk full after", after, None)
    for fault in CLOCKS:
        # Nobody knows how old the first POST is: it is not repeated before the clocks agree again.
        yield Cell(CREATE, fault, failed("Unsettled", UNCERTAIN, 1, "may have forgotten", Again.SAME), None)


def poll() -> Iterator[Cell]:
    """Only the gateway's `completed` and `failed` end a job: everything else is asked again, or told as running."""
    forever = left(RUNNING, 1, "Nothing is lost", Again.RESUME)
    for fault in (*UNREACHED, *LOST, *LATE, *THROTTLED, *BROKEN, *UNREADABLE, "shape"):
        yield Cell(POLL, fault, delivered(), forever)
    for fault in ("status:unknown", "status:reticulating splines"):
        yield Cell(POLL, fault, delivered(), forever)
    for fault, (_, told) in {**REFUSED, **dict.fromkeys(("409", "409:7", "409:task"), ("", "conflict"))}.items():
        refused = failed("StillRunning", RUNNING, 1, told, Again.RESUME)
        yield Cell(POLL, fault, *((delivered(), refused) if fault in ("401", "403") else (refused, None)))
    yield Cell(POLL, "404", delivered(), failed("StillRunning", RUNNING, 1, "knows nothing under this", Again.RESUME))
    yield Cell(POLL, "fail:all", failed("TaskFailed", REFUNDED, 1, "Refunded: 30 of 30 credits", Again.NEW), None)
    yield Cell(POLL, "fail:part", failed("TaskFailed", REFUNDED, 1, "Refunded: 15 of 30", Again.SPENT), None)
    yield Cell(
        POLL,
        "fail:later",
        failed("TaskFailed", REFUNDED, 1, "30 credits were charged, none refunded yet", Again.NEW),
        None,
    )
    yield Cell(POLL, "no-url", delivered(), failed("NotDownloaded", CHARGED, 1, "gives no address", Again.RESUME))
    # A word that nobody knows, again and again with one address: the file there is a clip, so the job is finished.
    yield Cell(POLL, "finished-as:succeeded", delivered(), delivered())
    for fault in ("only-result-urls", "nulls", "long"):
        yield Cell(POLL, fault, delivered(), delivered())
    yield Cell(POLL, "expired", delivered(), failed("NotDownloaded", CHARGED, 1, "does not give out", Again.RESUME))
    for fault in ("disk full", "read-only"):
        unwritten = failed("SetupError", RUNNING, 1, "journal cannot be written", Again.RESUME)
        yield Cell(POLL, fault, unwritten, None)
    for fault in CLOCKS:
        yield Cell(POLL, fault, delivered(), None)


def download() -> Iterator[Cell]:
    """The video is paid for: it is fetched again and again, and by fresh links, and stays there for the next time."""

    def kept_waiting(told: str) -> Outcome:
        return failed("NotDownloaded", CHARGED, 1, told, Again.RESUME)

    forever = left(CHARGED, 1, "Nothing is lost", Again.RESUME)
    for fault in (*UNREACHED, "reset", "drop-before", *LATE, "cut"):
        yield Cell(DOWNLOAD, fault, delivered(), forever)
    for fault in (*REFUSED, "404", "409", "409:7", "expired"):
        yield Cell(DOWNLOAD, fault, delivered(), kept_waiting("does not give out this file"))
    for fault in ("408", *THROTTLED, "500", "html:502", "503", "504"):
        yield Cell(DOWNLOAD, fault, delivered(), forever)
    yield Cell(DOWNLOAD, HUGE, delivered(), kept_waiting("larger than"))
    yield Cell(DOWNLOAD, AWAY, delivered(), kept_waiting("redirects to an address that is not fetched"))
    yield Cell(DOWNLOAD, "long", delivered(), delivered())
    # The connection broke before, and the rest is asked for: what comes is another file, or all of it.
    for fault in OF_A_REST:
        yield Cell(DOWNLOAD, fault, delivered(), delivered())
    for fault in ("truncate", "html:200", "broken"):
        yield Cell(DOWNLOAD, fault, delivered(), forever)
    yield Cell(DOWNLOAD, "disk full", kept_waiting("could not be written"), None)
    # Asked before anything is paid.
    unwritable = failed("SetupError", NOT_SENT, 0, "could not be written", Again.SEND)
    yield Cell(DOWNLOAD, "read-only", unwritable, None)
    for fault in CLOCKS:
        yield Cell(DOWNLOAD, fault, delivered(), None)


def voids() -> Iterator[Void]:
    for fault in (*OF_A_TASK, "expired"):
        for step in (ADDRESS, PUT, CREATE):
            yield Void(step, fault, "the answer speaks of no finished task")
    for fault in OF_A_TASK:
        yield Void(DOWNLOAD, fault, "the answer is a file, not a task")
    for fault in ("broken", *OF_A_REST):
        for step in (ADDRESS, PUT, CREATE, POLL):
            yield Void(step, fault, "no file is fetched")
    for step in (ADDRESS, PUT, POLL, DOWNLOAD):
        yield Void(step, "busy", "the request has no Idempotency-Key: the same as an answer that is lost")
    yield Void(PUT, "truncate", "the answer is empty")
    for fault in (*OF_JSON, "409:task"):
        for step in (PUT, DOWNLOAD):
            yield Void(step, fault, "the answer is no JSON of the gateway")
    yield Void(DOWNLOAD, "drop-after", "a download carries nothing out: the same as a connection that is closed")
    for fault in ("disk full", "read-only"):
        yield Void(PUT, fault, "the file is on disk before an address is asked for")
    for step in (ADDRESS, PUT, POLL, DOWNLOAD):
        yield Void(step, "disk full after", "only the paid request must be written down twice")


def _listed(*groups: Iterator[Cell] | Iterator[Void]) -> dict[tuple[str, str], Cell | Void]:
    found: dict[tuple[str, str], Cell | Void] = {}
    for group in groups:
        for cell in group:
            assert (cell.step, cell.fault) not in found, f"listed twice: {cell}"
            found[cell.step, cell.fault] = cell
    return found


CELLS = _listed(upload_address(), upload(), create(), poll(), download(), voids())


def plays() -> list[tuple[Cell, bool]]:
    """Every cell once, and those that can go on a second time: (cell, goes on)."""
    played = [cell for cell in CELLS.values() if isinstance(cell, Cell)]
    return [(cell, False) for cell in played] + [(cell, True) for cell in played if cell.on is not None]


def counts() -> dict[str, int]:
    """The summary for the README."""
    played = plays()
    outcomes = [(cell.on or cell.once) if on else cell.once for cell, on in played]
    return {
        "steps": len(STEPS),
        "faults": len(FAULTS),
        "cells": len({(cell.step, cell.fault) for cell, _ in played}),
        "played": len(played),
        "delivered in spite of it": sum(outcome.result == "delivered" for outcome in outcomes),
        "told and kept for later": sum(outcome.again in (Again.RESUME, Again.SAME) for outcome in outcomes),
        "refused or refunded, nothing owed": sum(outcome.again is Again.NEW for outcome in outcomes),
        "certainly not sent": sum(outcome.again is Again.SEND for outcome in outcomes),
    }
