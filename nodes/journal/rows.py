"""The journal's rows, as plain values: one attempt at one job, and what is said of it."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

INTENDED = "intended"
"""Written down; certainly not sent."""
SENT = "sent"
"""The POST was about to leave, or left; no task id yet."""
RUNNING = "running"
"""The gateway gave a task id."""
COMPLETED = "completed"
"""The gateway finished the job; its file is not on this disk yet."""
DELIVERED = "delivered"
FAILED = "failed"
"""The gateway ended the job as failed."""
REJECTED = "rejected"
"""The gateway never took the job."""

UNFINISHED = (INTENDED, SENT, RUNNING, COMPLETED)


@dataclass(frozen=True)
class Kind:
    """What makes jobs alike, for what they cost and how long they take."""

    model: str
    type: str
    duration: str
    resolution: str


@dataclass(frozen=True)
class Intent:
    """What is asked for, before there is a row. `body`: the exact bytes to send, None until its uploads are done."""

    account: str
    identity: str
    model: str
    type: str
    prompt: str
    duration: str
    resolution: str
    take: int
    body: bytes | None


@dataclass(frozen=True)
class Job:
    """One row: one attempt at one job, paid at most once. Times are seconds since the epoch."""

    id: int
    account: str
    identity: str
    attempt: int
    idempotency_key: str
    model: str
    type: str
    prompt: str
    duration: str
    resolution: str
    take: int
    body: bytes | None
    state: str
    charge: str
    posts: int
    holder: str | None
    task_id: str | None
    request_id: str | None
    provider_request_id: str | None
    credits_used: float | None
    credits_refunded: float | None
    video_url: str | None
    file: str | None
    file_bytes: int | None
    file_mtime_ns: int | None
    file_sha256: str | None
    error: str | None
    reason: str | None
    http_status: int | None
    code: str | None
    created_at: float
    sent_at: float | None
    accepted_at: float | None
    ended_at: float | None
    delivered_at: float | None

    @property
    def unfinished(self) -> bool:
        """True until the file is on disk or the gateway ended or refused the job."""
        return self.state in UNFINISHED

    @property
    def kind(self) -> Kind:
        """What its price and its time are learned from."""
        return Kind(self.model, self.type, self.duration, self.resolution)


COLUMNS = frozenset(field.name for field in fields(Job))


@dataclass(frozen=True)
class Run:
    """What a finished job cost and took, from the gateway's yes to its end; None where that is not known."""

    credits: float | None
    seconds: float | None


@dataclass(frozen=True)
class Delivery:
    """A result on this disk; `mtime_ns` and `size_bytes` tell cheaply whether it is still the same file."""

    path: Path
    size_bytes: int
    mtime_ns: int
    sha256: str


@dataclass(frozen=True)
class Slots:
    """Whether the account's plan has a free slot: `running` of `limit` are taken, `ahead` jobs wait before us."""

    free: bool
    running: int
    limit: int
    ahead: int
