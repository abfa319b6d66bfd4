"""The credits of a job that failed: read until all of them are back, as they may come later."""

from __future__ import annotations

import functools
import logging

from ..gateway.errors import APIMallError
from ..journal.errors import JournalError
from ..journal.rows import Job
from . import failures, steps
from .attempts import Attempts
from .budget import Share
from .events import Event
from .means import Means
from .scheduler import Scheduled
from .work import Work
from .works import Works

_log = logging.getLogger("apimall_video.jobs")

_PAUSES_SECONDS = (30.0, 300.0, 3600.0)
"""When a refund that is not complete is read again; once more at the next start."""


class Refunds:
    """Of one account's jobs."""

    def __init__(self, means: Means, works: Works, attempts: Attempts) -> None:
        self._means = means
        self._works = works
        self._attempts = attempts

    def expect(self, job: Job) -> None:
        """It has just failed, and its refund is not complete: read it again and again."""
        self._plan(job, _PAUSES_SECONDS)

    def read_once(self, job: Job) -> None:
        """It failed in an earlier life of this process."""
        self._plan(job, ())

    def _plan(self, job: Job, pauses: tuple[float, ...]) -> None:
        """After each of `pauses`; at once when there are none."""
        due = self._means.clocks.monotonic() + (pauses[0] if pauses else 0.0)
        read = functools.partial(self._read, job, pauses[1:])
        self._means.scheduler.put(Scheduled(read, due, rank=steps.POLL.rank + 1, share=Share.POLL))

    def _read(self, job: Job, pauses: tuple[float, ...]) -> None:
        try:
            job = self._means.journal.refunded(job, self._means.gateway().query(job.task_id or ""))
            self._means.observe(Event.REFUNDED, job)
        except (APIMallError, JournalError) as failure:
            _log.info("the refund of job %s could not be read again: %s", job.id, type(failure).__name__)
        if pauses and not job.refunded_in_full:
            self._plan(job, pauses)

    def ask(self, work: Work, job: Job) -> None:
        """A failed job is asked for again: a new attempt if all that was spent came back, else the sums."""
        try:
            task = self._means.gateway().query(job.task_id or "")
        except APIMallError as failure:
            _log.info("the refund of job %s could not be read again: %s", job.id, type(failure).__name__)
            raise failures.recall(job) from None
        with self._works.lock:
            # Under the lock, as in `Attempts.replace`: the same order submitted in between would begin the new attempt,
            # too.
            work.job = job = self._means.journal.refunded(job, task)
            if not job.refunded_in_full or work.order is None:
                raise failures.recall(job)
            self._attempts.replace(work, work.order, lambda: job)
