"""The jobs in this process's hands: when the next step of each is taken, and how each of them ends."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from ..gateway.errors import APIMallError
from ..gateway.retry import Pause
from ..journal.errors import JournalError
from ..journal.rows import Job, Parking
from . import failures, steps
from .clocks import RESUME_SECONDS
from .events import Event
from .means import Means
from .scheduler import Scheduled
from .steps import Step
from .work import Phase, Result, Work

_log = logging.getLogger("apimall_video.jobs")

_FIRST_SET_BACK_SECONDS = 60.0
_LONGEST_SET_BACK_SECONDS = 3600.0
_LET_GO_PAUSE_SECONDS = 5.0


class Works:
    """All of a runner's. `take(work, step)`: takes a step that is due.

    `lock`: held by whoever looks for a work and begins one: there cannot be two for one row.
    """

    def __init__(self, means: Means, take: Callable[[Work, Step], None]) -> None:
        self.lock = threading.RLock()
        self.is_closed = False
        self._means = means
        self._take = take
        self._works: dict[str, Work] = {}
        """By their jobs' keys: the number of a row is another job's once a backup took the journal's place."""
        self._left: dict[str, Job] = {}

    def of(self, job: Job) -> Work | None:
        """The work for this row."""
        return self._works.get(job.idempotency_key)

    def all(self) -> list[Work]:
        """As they are in this moment."""
        return list(self._works.values())

    def write_in_hand(self, is_meant: Callable[[Job], bool]) -> None:
        """Before the journal is asked for a job: it may have been put back to before it, and only we know of it."""
        for work in self.all():
            if is_meant(work.job):
                self._means.journal.current(work.job)

    # When what is done

    def begin(self, work: Work, delay_seconds: float = 0.0) -> None:
        """Take a job in hand, in whatever state it is."""
        if work.order is not None:
            self._means.results.note_origin(work.job, work.order.origin)
        self._works[work.job.idempotency_key] = work
        self.plan(work, steps.BEGIN, delay_seconds)

    def take_out(self, job: Job) -> None:
        """Those who wait for it go on with another."""
        del self._works[job.idempotency_key]

    def plan(self, work: Work, step: Step, delay_seconds: float = 0.0) -> None:
        """What is done next for it, and when."""
        due = self._means.clocks.monotonic() + delay_seconds
        work.scheduled = Scheduled(lambda: self._take(work, step), due, step.lane, step.rank, step.share)
        self._means.scheduler.put(work.scheduled)

    def hasten(self, work: Work) -> None:
        """Do it now."""
        scheduled = work.scheduled
        if scheduled is not None and not work.done.is_set():
            self._means.scheduler.hasten(scheduled)

    def call_next(self) -> None:
        """A slot may have become free: the first in line asks at once."""
        waiting = [work for work in self.all() if work.phase is Phase.WAITING and work.scheduled is not None]
        if waiting:
            self.hasten(min(waiting, key=lambda work: work.job.id))

    # Endings

    def finish(self, work: Work, result: Result) -> None:
        """Its clip is on this disk."""
        with self.lock:
            work.job = result.job
            work.result = result
            work.show(Phase.DONE)
            if work.tickets:
                self.note_collected(work.job)
            self._end(work)

    def fail(self, work: Work, failure: APIMallError) -> None:
        """Whoever waits for it is told why it does not go on."""
        with self.lock:
            work.error = failure
            self._end(work, failure)

    def put_off(self, work: Work, failure: APIMallError) -> None:
        """`fail`, and try again later, for whoever comes."""
        job, clocks = work.job, self._means.clocks
        age = clocks.wall() - (job.ended_at or clocks.wall())
        with self.lock:
            self.fail(work, failure)
            if (age <= RESUME_SECONDS or work.refused_since is not None) and not self.is_closed:
                later = Work(job, None)
                later.setbacks, later.reply, later.refused_since = work.setbacks + 1, work.reply, work.refused_since
                seconds = min(_FIRST_SET_BACK_SECONDS * 2.0 ** min(work.setbacks, 10), _LONGEST_SET_BACK_SECONDS)
                self.begin(later, clocks.seconds(Pause(seconds)))

    def drop(self, work: Work) -> None:
        """Nobody waits for a job that was not sent: it stays in the journal, unsent."""
        with self.lock:
            if work.tickets:
                self.plan(work, steps.BEGIN)
            else:
                self._end(work)

    def close(self, reason: str) -> None:
        """Whoever waits is told that its job goes on at the gateway, and from the journal next time."""
        with self.lock:
            self.is_closed = True
            for work in self.all():
                work.error = failures.detached(work.job, reason, sent=work.committed)
                self._end(work)

    def note_collected(self, job: Job) -> None:
        """Somebody has its clip."""
        if job.collected_at is None:
            try:
                self._means.journal.collected(job)
            except JournalError as problem:
                _log.warning("that job %s was collected could not be written: %s", job.id, problem)

    def _end(self, work: Work, failure: APIMallError | None = None) -> None:
        if work.done.is_set():
            # It was closed while this step ran: by now it may be another runner's of this process.
            return
        if self.of(work.job) is work:
            self.take_out(work.job)
        try:
            self._give_up(work, failure)
        except JournalError as problem:
            _log.warning("how job %s ended could not be written: %s", work.job.id, problem)
            self._left[work.job.idempotency_key] = work.job
            self._plan_let_go(_LET_GO_PAUSE_SECONDS)
        work.done.set()
        self.call_next()

    def _give_up(self, work: Work, failure: APIMallError | None) -> None:
        journal, own = self._means.journal, self._means.holders.own
        parked = None
        if failure is not None:
            parked = journal.park(work.job, own, failures.parking(failure), failure)
        elif not work.committed:
            parked = journal.park(work.job, own, Parking.WITHDRAWN)
        if (parked or work.job).holder is not None:
            journal.release(work.job, own)
        if parked is not None:
            self._means.observe(Event.PARKED, parked)

    # What could not be given up when it ended: others may be asked for it

    def let_go_of_what_is_left(self) -> None:
        """The journal may be there again."""
        if self._left:
            self._plan_let_go(0.0)

    def _plan_let_go(self, delay_seconds: float) -> None:
        self._means.scheduler.put(Scheduled(self._let_go, self._means.clocks.monotonic() + delay_seconds))

    def _let_go(self) -> None:
        for key, job in list(self._left.items()):
            try:
                with self.lock:
                    if key not in self._works:
                        self._means.journal.release(job, self._means.holders.own)
            except JournalError as problem:
                _log.info("job %s could not be given up yet: %s", job.id, problem)
                self._plan_let_go(_LET_GO_PAUSE_SECONDS)
                return
            self._left.pop(key, None)
