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

_NOT_ALL_BACK = (
    "Refunds may come later. Queueing it again asks for them, and makes a new attempt only when all credits are back; "
    "another `take` pays again."
)
_FORMER_KINDS = {"Parked": "Unsettled", "NotHome": "NotDownloaded"}
"""What classes of error are called now that rows of earlier versions tell of."""

_CLOSED = "Only another `take` makes it again, and pays for it."

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
    advice = _NOT_ALL_BACK if job.state is State.FAILED and not job.refunded_in_full else None
    if job.state is State.EXPIRED:
        return about(ResultGone, (told and told.text) or "The gateway made the video and no longer has it", job)
    if job.state is State.CLOSED:
        return about(kind, "You closed this job", job, advice=_CLOSED)
    error = about(kind, (told and told.text) or "The job failed", job, advice=advice)
    if told is not None:
        error.status, error.code, error.request_id = told.status, told.code, told.request_id or error.request_id
    return error


def detached(job: Job, reason: str, *, sent: bool) -> Detached:
    """What a waiter is told that leaves before its job is done."""
    if not sent:
        advice = "Queue the node again to start it."
        return about(Detached, reason, job, charge=Charge.NOT_SENT, advice=advice)
    if job.task_id is None:
        advice = "The job goes on: queue the same node again to continue; it keeps its Idempotency-Key."
        return about(Detached, reason, job, charge=Charge.UNCERTAIN, advice=advice)
    return about(Detached, reason, job)


def task_failed(job: Job, task: Task) -> TaskFailed:
    """The gateway ended the job; its own words are shown."""
    reason = f": {task.error_message}" if task.error_message else ""
    failure = about(TaskFailed, f"The gateway could not make the video{reason}", job, charge=Charge.REFUNDED)
    failure.credits_used = job.credits_used if task.credits_used is None else task.credits_used
    failure.credits_refunded = task.credits_refunded
    if task.credits_refunded is None or task.credits_refunded < (failure.credits_used or math.inf):
        failure.advice = _NOT_ALL_BACK
    return failure


def not_downloaded(job: Job, what: str) -> NotDownloaded:
    """The gateway has the video, this disk has not."""
    return about(NotDownloaded, what, job, charge=Charge.CHARGED)


def gone(job: Job, what: str) -> ResultGone:
    """The gateway made the video, and no longer has it."""
    return about(
        ResultGone, f"The video was made and paid, and is no longer to be had: {what}", job, charge=Charge.CHARGED
    )


def stalled(job: Job, failure: APIMallError) -> APIMallError:
    """Looking again makes no sense for now; only the gateway's own word would end the job (money rule 5)."""
    if job.state is State.COMPLETED:
        what = f"The gateway completed the job, but no longer gives out its video: {failure.what}"
        return about(NotDownloaded, what, job, charge=Charge.CHARGED, advice=failure.advice, failure=failure)
    advice = f"{failure.advice} {StillRunning.default_advice} Only another `take` would pay again."
    return about(StillRunning, failure.what, job, advice=advice, failure=failure)


def unsettled(job: Job, failure: APIMallError) -> APIMallError:
    """The last of several POSTs failed, and an earlier one may have been accepted."""
    if failure.charge is Charge.UNCERTAIN:
        return failure
    what = f"An earlier create of this job got no answer, and now: {failure.what}"
    return about(Unsettled, what, job, charge=Charge.UNCERTAIN, advice=failure.advice, failure=failure)


def surprised(job: Job, surprise: Exception) -> APIMallError:
    """A bug or a broken machine, not the gateway; the row says what the job has cost."""
    what = f"Something unforeseen went wrong ({type(surprise).__name__})"
    advice = "Queue the same node again: a job that was sent is continued, not paid again."
    return about(APIMallError, what, job, advice=advice)


def hindered(job: Job, obstacle: SetupError) -> SetupError:
    """Something on this machine is in the way; the row says what the job has cost."""
    return about(SetupError, obstacle.what, job, advice=obstacle.advice, failure=obstacle)


def unwritten(job: Job, problem: JournalError) -> SetupError:
    """The journal refuses to be written. What it does not say yet is not done: nothing unwritten was paid for."""
    return about(SetupError, f"The journal cannot be written ({problem})", job, advice=problem.advice)


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
    return about(InputError, "This job is not on hold", job, advice="Look at how it stands now.")


def no_answer(job: Job, why: str) -> InputError:
    """A task that cannot be what came of this job."""
    return about(InputError, why, job, advice="Look for another one in the account's history at API Mall.")


def known_elsewhere(jobs: int, unfinished: int) -> SetupError:
    """The same order stands under another key, of which nobody has said whether it is of the same account."""
    return SetupError(
        f"This very job was made with another key. {jobs} jobs were made with other keys of this gateway, {unfinished} "
        "of them unfinished",
        advice="Say in the API Mall panel whether they are of the same account (or set APIMALL_ACCOUNT to a name for "
        "it): then it is continued or served instead of paid again.",
    )


def left_behind(jobs: int) -> SetupError:
    """The same order stands in the machine's own journal, of which nobody has said whether it is to be taken along."""
    return SetupError(
        f"This very job was made before this machine shared its journal. {jobs} jobs of its own journal are not known "
        "to the shared one yet",
        advice="Say in the API Mall panel whether they are to be taken along (or set APIMALL_JOURNAL_IMPORT=1 and "
        "restart ComfyUI): then it is continued or served instead of paid again.",
    )


def paid_meanwhile(standing: Job) -> SetupError:
    """While a job waited to be sent, its owner joined the account to another that has paid for the same."""
    return SetupError(
        f"This very job was paid already, as job {standing.id} of an account that is the same",
        advice="Queue the node again: that one is continued or served, and nothing is paid.",
    )


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
