"""Failures that speak of a job: what its row knows, told as an error with the right charge."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TypeVar

from ..gateway.contract import Accepted, Task
from ..gateway.errors import (
    APIMallError,
    Charge,
    Detached,
    InputError,
    KeyConflict,
    NotDownloaded,
    NotReached,
    Refused,
    ResultGone,
    SetupError,
    StillRunning,
    TaskFailed,
    Unclear,
    Unsettled,
)
from ..journal.errors import JournalError
from ..journal.rows import Job, Parking, Problem, State
from ..remarks import remark
from ..troubles import Trouble, recognised

_FORMER_KINDS = {"Parked": "Unsettled", "NotHome": "NotDownloaded"}
"""What classes of error are called now that rows of earlier versions tell of."""

E = TypeVar("E", bound=APIMallError)


def about(
    kind: type[E],
    what: str,
    job: Job,
    *,
    charge: Charge | None = None,
    advice: str | None = None,
    failure: APIMallError | None = None,
) -> E:
    """An error of `kind` with the ids and credits of `job`; status, code and request id are those of the `failure`."""
    return kind(
        what,
        charge=charge or job.charge,
        advice=advice,
        credits_used=job.credits_used,
        credits_refunded=job.credits_refunded,
        status=failure.status if failure else None,
        code=failure.code if failure else None,
        request_id=(failure and failure.request_id) or job.request_id,
        provider_request_id=job.provider_request_id,
        task_id=job.task_id,
    )


def kind_of(problem: Problem) -> str:
    """The class of error that a row tells of, by the name it has today."""
    return _FORMER_KINDS.get(problem.kind, problem.kind)


def recall(job: Job) -> APIMallError:
    """What a row remembers of how it ended, or else of its last problem, as its own class of error."""
    known = {kind.__name__: kind for kind in _tree(APIMallError)}
    told = job.ending or job.problem
    kind = known.get(kind_of(told) if told else "", TaskFailed if job.state is State.FAILED else Refused)
    advice = remark(Trouble.REFUND_MAY_COME) if job.state is State.FAILED and not job.refunded_in_full else None
    if job.state is State.EXPIRED:
        return about(ResultGone, recognised(told.text if told else "") or remark(Trouble.MADE_AND_GONE), job)
    if job.state is State.CLOSED:
        return about(kind, remark(Trouble.JOB_CLOSED), job, advice=remark(Trouble.ONLY_ANOTHER_TAKE))
    error = about(kind, recognised(told.text if told else "") or remark(Trouble.JOB_FAILED), job, advice=advice)
    if told is not None:
        error.status, error.code, error.request_id = told.status, told.code, told.request_id or error.request_id
    return error


def detached(job: Job, reason: str, *, sent: bool) -> Detached:
    """What a waiter is told that leaves before its job is done."""
    if not sent:
        return about(Detached, reason, job, charge=Charge.NOT_SENT, advice=remark(Trouble.QUEUE_TO_START))
    if job.task_id is None:
        return about(Detached, reason, job, charge=Charge.UNCERTAIN, advice=remark(Trouble.GOES_ON_WITH_KEY))
    return about(Detached, reason, job)


def task_failed(job: Job, task: Task) -> TaskFailed:
    """The gateway ended the job; its own words are shown."""
    what = remark(Trouble.NOT_MADE)
    if task.error_message:
        what = remark(Trouble.WITH_MESSAGE, what=what, message=task.error_message)
    failure = about(TaskFailed, what, job, charge=Charge.REFUNDED)
    failure.credits_used = job.credits_used if task.credits_used is None else task.credits_used
    failure.credits_refunded = task.credits_refunded
    if task.credits_refunded is None or task.credits_refunded < (failure.credits_used or math.inf):
        failure.advice = remark(Trouble.REFUND_MAY_COME)
    return failure


def not_downloaded(job: Job, what: str) -> NotDownloaded:
    """The gateway has the video, this disk has not."""
    return about(NotDownloaded, what, job, charge=Charge.CHARGED)


def gone(job: Job, what: str) -> ResultGone:
    """The gateway made the video, and no longer has it."""
    return about(ResultGone, remark(Trouble.PAID_AND_GONE, what=what), job, charge=Charge.CHARGED)


def stalled(job: Job, failure: APIMallError) -> APIMallError:
    """Looking again makes no sense for now; only the gateway's own word would end the job (money rule 5)."""
    if job.state in (State.COMPLETED, State.EXPIRED):
        what = remark(Trouble.NO_LONGER_GIVEN, what=failure.what)
        return about(NotDownloaded, what, job, charge=Charge.CHARGED, advice=failure.advice, failure=failure)
    advice = remark(Trouble.STALLED_ADVICE, first=failure.advice, then=StillRunning.default_advice)
    return about(StillRunning, failure.what, job, advice=advice, failure=failure)


def unsettled(job: Job, failure: APIMallError) -> APIMallError:
    """The last of several POSTs failed, and an earlier one may have been accepted."""
    if failure.charge is Charge.UNCERTAIN:
        return failure
    what = remark(Trouble.EARLIER_UNANSWERED, what=failure.what)
    return about(Unsettled, what, job, charge=Charge.UNCERTAIN, advice=failure.advice, failure=failure)


def surprised(job: Job, surprise: Exception) -> APIMallError:
    """A bug or a broken machine, not the gateway; the row says what the job has cost."""
    what = remark(Trouble.UNFORESEEN, kind=type(surprise).__name__)
    return about(APIMallError, what, job, advice=remark(Trouble.CONTINUED_NOT_PAID))


def hindered(job: Job, obstacle: SetupError) -> SetupError:
    """Something on this machine is in the way; the row says what the job has cost."""
    return about(SetupError, obstacle.what, job, advice=obstacle.advice, failure=obstacle)


def unwritten(job: Job, problem: JournalError) -> SetupError:
    """The journal refuses to be written. What it does not say yet is not done: nothing unwritten was paid for."""
    return about(SetupError, remark(Trouble.JOURNAL_NOT_WRITTEN, problem=problem.what), job, advice=problem.advice)


def parking(failure: APIMallError) -> Parking:
    """Why nobody goes on with a job after this failure."""
    for kind, why in _PARKINGS:
        if isinstance(failure, kind):
            return why
    return Parking.HINDERED


_PARKINGS: tuple[tuple[type[APIMallError], Parking], ...] = (
    (Detached, Parking.WITHDRAWN),
    (StillRunning, Parking.REFUSED),
    (NotDownloaded, Parking.NOT_HOME),
    (KeyConflict, Parking.UNCERTAIN),
    (Unsettled, Parking.UNCERTAIN),
    (Unclear, Parking.UNREACHED),
    (NotReached, Parking.UNREACHED),
)


def not_parked(job: Job) -> InputError:
    """Only what nobody follows, and what did not end, is for its owner to settle."""
    return about(InputError, remark(Trouble.NOT_ON_HOLD), job, advice=remark(Trouble.LOOK_HOW_IT_STANDS))


def no_answer(job: Job, why: str) -> InputError:
    """A task that cannot be what came of this job."""
    return about(InputError, why, job, advice=remark(Trouble.LOOK_FOR_ANOTHER))


def known_elsewhere(jobs: int, unfinished: int) -> SetupError:
    """The same order stands under another key, of which nobody has said whether it is of the same account."""
    what = remark(Trouble.KNOWN_ELSEWHERE, jobs=jobs, unfinished=unfinished)
    return SetupError(what, advice=remark(Trouble.SAY_WHETHER_SAME))


def left_behind(jobs: int) -> SetupError:
    """The same order stands in the machine's own journal, of which nobody has said whether it is to be taken along."""
    return SetupError(remark(Trouble.LEFT_BEHIND, jobs=jobs), advice=remark(Trouble.SAY_WHETHER_TAKEN))


def paid_meanwhile(standing: Job) -> SetupError:
    """While a job waited to be sent, its owner joined the account to another that has paid for the same."""
    return SetupError(remark(Trouble.PAID_MEANWHILE, job=standing.id), advice=remark(Trouble.SERVED_INSTEAD))


def as_accepted(job: Job, reply: Accepted) -> Job:
    """The row as it will be once the gateway's yes is written."""
    return replace(
        job,
        state=State.RUNNING,
        task_id=reply.task_id,
        request_id=reply.request_id,
        provider_request_id=reply.provider_request_id,
        credits_used=reply.credits_used,
    )


def accepted_in_conflict(failure: APIMallError) -> Accepted | None:
    """A 409 that names the task answers the question it refuses (money rule 7)."""
    if isinstance(failure, KeyConflict) and failure.task_id:
        return Accepted(failure.task_id, request_id=failure.request_id)
    return None


def _tree(kind: type[APIMallError]) -> list[type[APIMallError]]:
    return [kind, *(leaf for child in kind.__subclasses__() for leaf in _tree(child))]
