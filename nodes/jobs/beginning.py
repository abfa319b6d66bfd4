"""The step that every job begins with, and comes back to when it stands elsewhere than was thought."""

from __future__ import annotations

from ..journal.rows import Job, State
from . import failures, steps
from .attempts import Attempts
from .bringing import Bringing
from .following import Following
from .steps import Step
from .work import Phase, Work
from .works import Works

_ENDED = (State.EXPIRED, State.FAILED, State.REJECTED, State.CLOSED)


class Beginning:
    """Sees how a job stands, and what is done next for it."""

    def __init__(self, works: Works, attempts: Attempts, bringing: Bringing, following: Following) -> None:
        self._works = works
        self._attempts = attempts
        self._bringing = bringing
        self._following = following

    def begin(self, work: Work, job: Job) -> None:
        """The step for a job in whatever state it is."""
        if (kept := self._bringing.on_disk(job, downloaded=True)) is not None:
            self._works.finish(work, kept)
        elif job.state is State.FAILED and self._is_asked_for_again(work, job):
            self._works.plan(work, steps.REFUND)
        elif (
            job.state in (State.FAILED, State.REJECTED)
            and (order := self._attempts.begun_elsewhere(work, job)) is not None
        ):
            self._attempts.follow_anew(work, job, order)
        elif job.state is State.EXPIRED and work.tickets:
            self._bringing.look_again(work)
            self._follow(work, steps.POLL)
        elif job.state in _ENDED:
            self._works.fail(work, failures.recall(job))
        elif job.state is State.COMPLETED and job.delivered_at is not None and not _is_wanted_here(work):
            # Another ComfyUI downloaded it to a folder of its own, and nobody here asked for it.
            self._works.drop(work)
        elif job.state is State.INTENDED:
            self._works.plan(work, self._first(work, job))
        else:
            self._follow(work, steps.POST if job.state is State.SENT else steps.POLL)

    def _follow(self, work: Work, step: Step) -> None:
        work.committed = True
        self._following.anchor(work)
        self._works.plan(work, step)

    def _is_asked_for_again(self, work: Work, job: Job) -> bool:
        """Whether its refund is asked for: not by who waited in another process for the very attempt that failed."""
        return work.order is not None and not job.refunded_in_full and work.phase is not Phase.ELSEWHERE

    def _first(self, work: Work, job: Job) -> Step:
        """What a job that was not sent needs; whoever had it in hand let go of it."""
        work.committed = False
        work.require_wanted()
        if job.posts and job.body is not None:
            # The gateway may know the key with these very bytes, though it took nothing yet.
            work.cached_uploads = tuple(medium.digest for medium in work.order.media) if work.order else ()
            return steps.SLOT
        return steps.LOOK if work.order is not None and work.order.urls else steps.first_of(work.order)


def _is_wanted_here(work: Work) -> bool:
    """Somebody waits for its clip, or did when it was refused: whether it is gone for good is still to be seen."""
    return bool(work.tickets) or work.refused_since is not None
