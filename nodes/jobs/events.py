"""The steps of a job that may be watched, in the order they come."""

from __future__ import annotations

from enum import Enum
from typing import Protocol

from ..journal.rows import Job


class Event(str, Enum):
    """What has just been done for a job; where it matters, it is on disk already."""

    BEGUN = "begun"
    """Taken up by this process, in whatever state it is."""
    UPLOADED = "uploaded"
    READY = "ready"
    """The bytes of the create are fixed."""
    ALLOWED = "allowed"
    """Nothing hinders the create any more."""
    SENT = "sent"
    """Written down as sent; the create leaves next."""
    ANSWERED = "answered"
    """The gateway gave a task id, which is not written yet."""
    ACCEPTED = "accepted"
    FINISHED = "finished"
    """The gateway says that it is completed, which is not written yet."""
    COMPLETED = "completed"
    DOWNLOADED = "downloaded"
    """The clip is down and checked, under a name that is not its own yet."""
    RENAMED = "renamed"
    """The clip has its name, which is not written yet."""
    DELIVERED = "delivered"
    EXPIRED = "expired"
    FAILED = "failed"
    REJECTED = "rejected"
    REFUNDED = "refunded"
    """A refund was read again."""
    PARKED = "parked"
    """Nobody goes on with it for now."""


class Observer(Protocol):
    """Told of each step of each job, on the thread that takes it."""

    def __call__(self, event: Event, job: Job) -> None: ...


def unobserved(event: Event, job: Job) -> None:
    """Nobody listens."""
