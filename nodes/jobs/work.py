"""What a waiting node sees of a job: a ticket to it, and plain snapshots of how it stands."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from ..gateway.contract import Accepted
from ..gateway.errors import APIMallError, Charge, Detached
from ..journal.rows import Job, Slots
from .failures import detached
from .limits import PromptBudget
from .order import Order
from .pace import Learned
from .scheduler import Scheduled
from .uploads import Withdrawn


class Phase(Enum):
    """Where a job stands, in the words shown to its user."""

    STARTING = "starting"
    UPLOADING = "uploading"
    WAITING = "waiting for a slot"
    SUBMITTING = "submitting"
    PENDING = "pending"
    PROCESSING = "processing"
    DOWNLOADING = "downloading"
    ELSEWHERE = "followed by another ComfyUI"
    DONE = "done"


@dataclass(frozen=True)
class Status:
    """A snapshot. `fraction`: progress in 0..1, or None when nothing honest can be said.

    `seconds`: since the gateway took the job. `polls`: answers about the task so far. `done`: `Ticket.result` will
    not wait. `job`: the row as last written. `slots`: what a waiting job waits for.
    """

    phase: Phase
    text: str
    fraction: float | None
    seconds: float | None
    polls: int
    done: bool
    job: Job
    slots: Slots | None = None

    @property
    def accepted(self) -> bool:
        """True once the gateway gave a task id."""
        return self.job.task_id is not None


@dataclass(frozen=True)
class Result:
    """A finished clip on this disk. `downloaded`: it came over the network just now."""

    path: Path
    task_id: str
    video_url: str
    job: Job
    downloaded: bool


class Work:
    """One job in this process's hands, shared by everybody who waits for it.

    Written by the thread that takes its step; `lock`, held for a moment, guards `tickets` and `committed`.
    """

    def __init__(self, job: Job, order: Order | None) -> None:
        self.job = job
        self.order = order
        self.prompt_budget: PromptBudget | None = None
        self.learned: Learned | None = None
        self.tickets: set[Ticket] = set()
        self.scheduled: Scheduled | None = None
        self.phase = Phase.STARTING
        self.text = Phase.STARTING.value
        self.transfer_fraction: float | None = None
        self.committed = job.charge is not Charge.NOT_SENT
        self.accepted_at: float | None = None
        self.polls = 0
        self.failures = 0
        self.claims = 0
        self.is_changed = True
        self.refreshes = 0
        self.setbacks = 0
        self.refused_since: float | None = None
        self.strange: tuple[str, tuple[str, ...]] | None = None
        self.strange_polls = 0
        self.slots: Slots | None = None
        self.urls: tuple[str, ...] = ()
        self.cached_uploads: tuple[str, ...] = ()
        self.reply: Accepted | None = None
        self.cut_off = False
        self.result: Result | None = None
        self.error: APIMallError | None = None
        self.done = threading.Event()
        self.lock = threading.Lock()

    def tell_budget(self) -> None:
        """Its bill, once it is known, counts in place of the price that was expected."""
        if self.prompt_budget is not None and self.job.credits_used is not None:
            cost = max(0.0, self.job.credits_used - (self.job.credits_refunded or 0.0))
            self.prompt_budget.bill(self.job.idempotency_key, cost)

    def require_wanted(self) -> None:
        """Raises Withdrawn where nobody waits for it."""
        if not self.tickets:
            raise Withdrawn

    def show(self, phase: Phase, text: str | None = None, fraction: float | None = None) -> None:
        """Change what waiters see."""
        self.phase = phase
        self.text = text or phase.value
        self.transfer_fraction = fraction
        self.slots = None

    def show_slots(self, slots: Slots) -> None:
        """Waiting for a slot, with the count that explains it."""
        self.show(Phase.WAITING, f"{Phase.WAITING.value} ({slots.running} of {slots.limit} running)")
        self.slots = slots

    def status(self, now: float) -> Status:
        """A snapshot; `now` is monotonic seconds."""
        seconds = None if self.accepted_at is None else now - self.accepted_at
        fraction = self.transfer_fraction
        if self.phase in (Phase.PENDING, Phase.PROCESSING) and self.learned is not None and seconds is not None:
            fraction = self.learned.fraction(seconds)
        done = self.done.is_set()
        return Status(self.phase, self.text, fraction, seconds, self.polls, done, self.job, self.slots)


class Patience:
    """How long its user waits for a job: so many seconds for a result, and as many again as long as a queue gets on.

    A turn comes when others are done, however many: as long as they get on, that is no silence, and neither is the
    gateway's yes. A position in the queue that was had before is no step on, so that the wait has an end whatever the
    others do.
    """

    def __init__(self, seconds: float, clock: Callable[[], float]) -> None:
        self._seconds, self._clock = seconds, clock
        self._deadline = clock() + seconds
        self._seen: set[tuple[int, ...] | bool] = {False}

    def ends(self, status: Status) -> bool:
        """Whether it is over, with the job as it stands."""
        step = _position(status) if status.phase is Phase.WAITING else status.accepted
        if step not in self._seen:
            self._deadline = self._clock() + self._seconds
            self._seen.add(step)
        return self._clock() > self._deadline


def _position(status: Status) -> tuple[int, ...]:
    """Where a job stands that waits for a slot: how many are before it, and which jobs have the slots."""
    return () if status.slots is None else (status.slots.ahead, *(job_id for job_id, _, _ in status.slots.holders))


class Ticket:
    """One waiter's hold on a job. Every method returns at once, from any thread."""

    def __init__(
        self,
        work: Work,
        status: Callable[[Work], Status],
        poll_now: Callable[[Work], None],
        leave: Callable[[Ticket], bool],
    ) -> None:
        self.work = work
        self._status = status
        self._poll_now = poll_now
        self._leave = leave

    def status(self) -> Status:
        """How the job stands."""
        return self._status(self.work)

    def wait(self, timeout_seconds: float | None = None) -> bool:
        """Block until the job is done; for scripts and tests. True when it is."""
        return self.work.done.wait(timeout_seconds)

    def result(self) -> Result:
        """The finished clip, or the failure, raised. Only after `status().done`."""
        if self.work.error is not None:
            raise self.work.error
        assert self.work.result is not None, "asked before the job was done"
        return self.work.result

    def poll_now(self) -> None:
        """Ask the gateway soon rather than when it is next due."""
        self._poll_now(self.work)

    def leave(self, reason: str) -> Detached:
        """Stop waiting. The job goes on if it was sent, and is not sent otherwise; the error says which."""
        return detached(self.work.job, reason, sent=self._leave(self))
