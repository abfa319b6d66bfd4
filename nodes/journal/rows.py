"""The journal's rows, as plain values: one attempt at one job, what is done about it, and what is said of it."""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import Enum

from ..gateway.errors import Charge

FIRST_DAY = 1_735_689_600.0
"""2025 in seconds since the epoch: what is dated before the pack existed was dated by a clock that was not set."""


class State(str, Enum):
    """How far an attempt has come at the gateway. Never goes back, but for SENT when certainly nothing was sent, and
    for EXPIRED when the gateway says something else.
    """

    INTENDED = "intended"
    """Written down; certainly not sent."""
    SENT = "sent"
    """The POST was about to leave, or left; no task id yet."""
    RUNNING = "running"
    """The gateway gave a task id."""
    COMPLETED = "completed"
    """The gateway finished the job; where its file is, deliveries say."""
    EXPIRED = "expired"
    """Made and paid, and no longer to be had from the gateway, as far as was known then: it may have it after all."""
    FAILED = "failed"
    """The gateway ended the job as failed."""
    REJECTED = "rejected"
    """The gateway never took the job."""
    CLOSED = "closed"
    """Its owner has no more questions about it."""

    def may_become(self, other: State) -> bool:
        """Whether a row in this state may be written as `other`."""
        return other in _NEXT[self]


_NEXT: dict[State, frozenset[State]] = {
    State.INTENDED: frozenset({State.SENT, State.CLOSED}),
    State.SENT: frozenset({State.SENT, State.INTENDED, State.RUNNING, State.REJECTED, State.CLOSED}),
    State.RUNNING: frozenset({State.COMPLETED, State.FAILED, State.CLOSED}),
    State.COMPLETED: frozenset({State.COMPLETED, State.EXPIRED, State.FAILED}),
    State.EXPIRED: frozenset({State.COMPLETED, State.FAILED}),
    State.FAILED: frozenset(),
    State.REJECTED: frozenset(),
    State.CLOSED: frozenset(),
}

_CHARGES = {
    State.INTENDED: Charge.NOT_SENT,
    State.SENT: Charge.UNCERTAIN,
    State.RUNNING: Charge.RUNNING,
    State.COMPLETED: Charge.CHARGED,
    State.EXPIRED: Charge.CHARGED,
    State.FAILED: Charge.REFUNDED,
    State.REJECTED: Charge.REJECTED,
}


class Parking(str, Enum):
    """Why nobody goes on with an unended job of their own accord; queueing it again does."""

    WITHDRAWN = "withdrawn"
    """Nobody wants it any more, and it was not sent."""
    HINDERED = "hindered"
    """Something on this machine stood in the way: a setting, a limit, the disk."""
    UNREACHED = "unreached"
    """The gateway could not be reached, or gave no usable answer, several times."""
    UNCERTAIN = "uncertain"
    """It may have been taken, and repeating it is not safe: only a person can settle it."""
    REFUSED = "refused"
    """The gateway does not want to speak of it."""
    NOT_HOME = "not_home"
    """It is completed, and its clip could not be brought home."""


class Only(str, Enum):
    """Which jobs of an account to show."""

    ALL = "all"
    UNFINISHED = "unfinished"
    UNCERTAIN = "uncertain"
    FAILED = "failed"
    STARRED = "starred"


PAGE_JOBS = 30
MOST_PAGE_JOBS = 100


@dataclass(frozen=True)
class Kind:
    """What makes jobs alike, for what they cost and how long they take."""

    model: str
    type: str
    duration: str
    resolution: str


@dataclass(frozen=True)
class Intent:
    """What is asked for, before there is a row. `body`: the exact bytes to send, None until its uploads are done.

    `earlier`: what it would be known by under other names of the same account.
    """

    account: str
    identity: str
    model: str
    type: str
    prompt: str
    duration: str
    resolution: str
    take: int
    body: bytes | None
    earlier: tuple[str, ...] = ()


@dataclass(frozen=True)
class Problem:
    """Something that went wrong, as its user was told: `kind` is its class of error, `at` seconds since the epoch."""

    kind: str
    text: str
    status: int | None = None
    code: str | None = None
    request_id: str | None = None
    at: float = 0.0


@dataclass(frozen=True)
class Job:
    """One row: one attempt at one job, paid at most once. Times are seconds since the epoch.

    `holder`: who follows it now. `parked`: why nobody does. `problem`: the last thing that went wrong, which decides
    nothing. `ending`: why the gateway failed or rejected it. `request_id`, `provider_request_id` and `task_id` are
    those of the create, for ever. `yielded_at`: when it gave
    its slot of the plan back, running on. `file`: the name of its clip in whatever results folder. `starred_at`: when
    its owner made it a favourite. `credits_left`: the account's balance as the reply to its create told it. `machine`:
    the name of the one that has it in hand, or had it last.
    """

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
    state: State
    posts: int
    holder: str | None
    parked: Parking | None
    task_id: str | None
    request_id: str | None
    provider_request_id: str | None
    credits_used: float | None
    credits_refunded: float | None
    video_url: str | None
    file: str | None
    problem: Problem | None
    ending: Problem | None
    created_at: float
    sent_at: float | None
    sent_boot: str | None
    sent_uptime: float | None
    accepted_at: float | None
    ended_at: float | None
    delivered_at: float | None
    collected_at: float | None
    yielded_at: float | None
    starred_at: float | None
    credits_left: float | None
    machine: str | None

    @property
    def unfinished(self) -> bool:
        """True until its clip was brought home once, or the gateway ended or refused it, or nobody wants it any more.

        The same as `reads.UNFINISHED`.
        """
        if self.state is State.COMPLETED:
            return self.delivered_at is None
        if self.state is State.INTENDED:
            return self.parked is None
        return self.state in (State.SENT, State.RUNNING)

    @property
    def is_settled_stranger(self) -> bool:
        """It was collected by its task id alone, and nothing is left to be done for it."""
        return not self.type and not self.unfinished

    @property
    def charge(self) -> Charge:
        """What it has cost, as far as its state tells."""
        if self.state is not State.CLOSED:
            return _CHARGES[self.state]
        if self.task_id is not None:
            return Charge.RUNNING
        return Charge.UNCERTAIN if self.sent_at is not None else Charge.NOT_SENT

    @property
    def kind(self) -> Kind:
        """What its price and its time are learned from."""
        return Kind(self.model, self.type, self.duration, self.resolution)

    @property
    def may_be_attempted_anew(self) -> bool:
        """It has ended, and certainly no credits are gone for it: the same inputs may be paid with a new key."""
        if self.state is State.FAILED:
            return self.refunded_in_full
        return self.state is State.REJECTED or (self.state is State.CLOSED and self.charge is Charge.NOT_SENT)

    @property
    def refunded_in_full(self) -> bool:
        """All that was charged came back, and the gateway said so."""
        if self.credits_used is None or self.credits_refunded is None:
            return False
        return self.credits_refunded >= self.credits_used


PROBLEM_COLUMNS = tuple(field.name for field in fields(Problem))
COLUMNS = frozenset(
    [field.name for field in fields(Job) if field.name not in ("problem", "ending")]
    + [f"{what}_{name}" for what in ("problem", "ending") for name in PROBLEM_COLUMNS]
)


@dataclass(frozen=True)
class Run:
    """What a finished job took, from the gateway's yes to its end; None where that is not known."""

    seconds: float | None


@dataclass(frozen=True)
class Delivery:
    """A clip in a results folder. `mtime_ns` and `size_bytes` tell cheaply whether it is still the same file.

    `folder`: the folder's own id; empty for deliveries of versions that gave folders none. `machine` and `path`: where
    the folder is seen, for people.
    """

    folder: str
    file: str
    size_bytes: int
    mtime_ns: int
    sha256: str
    machine: str = ""
    path: str = ""


DELIVERY_COLUMNS = tuple(each.name for each in fields(Delivery))


class Hindrance(str, Enum):
    """What keeps a job from being sent now."""

    SLOT = "slot"
    """The plan's slots are taken."""
    PRICE = "price"
    """A job whose price nobody knows is on its way: its bill is waited for."""
    LIMIT = "limit"
    """It would pass the day's limit."""
    DAY = "day"
    """The day that was asked about is over: another one's limit counts."""


@dataclass(frozen=True)
class Allowance:
    """What may be spent on jobs sent from `since` until `until`, in credits."""

    credits: float
    since: float
    until: float


@dataclass(frozen=True)
class Held:
    """A job is not sent now. `spent`: credits of the day so far. `price`: what it would cost, None when unknown.

    `unsettled`: jobs of the day of which nobody knows what they cost, and no bill is on its way.
    """

    by: Hindrance
    spent: float = 0.0
    price: float | None = None
    unsettled: int = 0


@dataclass(frozen=True)
class Slots:
    """Whether the account's plan has a free slot: `running` of `limit` are taken, `ahead` jobs wait before us.

    `holders`: of the jobs that take one, oldest first, as (job id, task id, holder).
    """

    free: bool
    running: int
    limit: int
    ahead: int
    holders: tuple[tuple[int, str | None, str], ...] = ()
