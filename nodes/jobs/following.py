"""Following a job that the gateway has: polled until it is completed, failed, or may be finished all the same."""

from __future__ import annotations

from ..gateway.contract import COMPLETED as TASK_COMPLETED
from ..gateway.contract import FAILED as TASK_FAILED
from ..gateway.contract import Task
from ..gateway.errors import APIMallError, Charge, TaskUnknown, Throttled
from ..gateway.models import usual_seconds
from ..gateway.retry import Call, may_repeat
from ..journal.rows import Job, State
from . import failures, steps
from .bringing import Bringing
from .budget import Share
from .clocks import RESUME_SECONDS
from .events import Event
from .means import Means
from .pace import Learned, is_overdue, spread
from .refunds import Refunds
from .results import Expired, NotYet
from .work import Phase, Work
from .works import Works

_STRANGE_POLLS = 5
_KNOWN = (TASK_COMPLETED, TASK_FAILED, "pending", "processing", "unknown")


class Following:
    """Of one account's tasks."""

    def __init__(self, means: Means, works: Works, bringing: Bringing, refunds: Refunds) -> None:
        self._means = means
        self._works = works
        self._bringing = bringing
        self._refunds = refunds

    def anchor(self, work: Work) -> None:
        """Measure the job's age without the wall clock from here on: that one may jump. And learn what to expect."""
        job, clocks = work.job, self._means.clocks
        age = clocks.wall() - (job.accepted_at or clocks.wall())
        work.accepted_at = clocks.monotonic() - min(max(age, 0.0), RESUME_SECONDS)
        if job.state is not State.COMPLETED:
            work.learned = self._learned(job)

    def plan_poll(self, work: Work) -> None:
        """When the pace of its kind says so; a job that is overdue gives its slot back where nobody waits for it."""
        elapsed = self._means.clocks.monotonic() - (work.accepted_at or 0.0)
        usual = usual_seconds(work.job.model, work.job.type)
        watched = bool(work.tickets)
        if not watched and work.job.yielded_at is None and is_overdue(elapsed, work.learned, usual):
            work.job = self._means.journal.yield_slot(work.job)
            self._works.call_next()
        seconds = self._means.pace(elapsed, work.learned, usual, watched=watched)
        self._works.plan(work, steps.POLL, spread(seconds, self._means.clocks.chance()))

    def poll(self, work: Work, job: Job) -> None:
        """The step for a job that has a task."""
        gateway = self._means.gateway()
        try:
            task = gateway.query(job.task_id or "")
        except APIMallError as failure:
            self._poll_failed(work, job, failure)
            return
        work.failures = 0
        work.polls += 1
        if not job.type and work.polls == 1:
            self._means.journal.seen(job)
        if task.status == TASK_FAILED:
            self._task_failed(work, job, task)
        elif job.state is State.EXPIRED and not (task.status == TASK_COMPLETED and task.video_urls):
            raise failures.recall(job)
        elif task.status == TASK_COMPLETED:
            self._completed(work, job, task)
        else:
            self._goes_on(work, task)

    def try_download(self, work: Work, job: Job) -> None:
        """The step for a job whose status is a strange word, and which has an address."""
        assert work.strange is not None, "planned only with an address"
        work.urls = work.strange[1]
        try:
            self._bringing.bring(work, job)
        except (Expired, NotYet):
            # It was no clip, or not for us: what the gateway means is still its own to say.
            work.strange = None
            self.plan_poll(work)

    def _goes_on(self, work: Work, task: Task) -> None:
        phase = Phase.PENDING if task.status == Phase.PENDING.value else Phase.PROCESSING
        work.show(phase, None if task.status in _KNOWN else f"{phase.value} (the gateway says: {task.status})")
        if self._may_be_finished(work, task):
            self._works.plan(work, steps.TRY)
        else:
            self.plan_poll(work)

    def _may_be_finished(self, work: Work, task: Task) -> bool:
        """A word nobody knows, given again and again with one and the same address: the file there will tell."""
        strange = None if task.status in _KNOWN or not task.video_urls else (task.status, task.video_urls)
        work.strange_polls = work.strange_polls + 1 if strange is not None and strange == work.strange else 1
        work.strange = strange
        return strange is not None and work.strange_polls >= _STRANGE_POLLS

    def _poll_failed(self, work: Work, job: Job, failure: APIMallError) -> None:
        foreign = not job.type
        work.failures += 1
        pause = may_repeat(Call.QUERY, failure, work.failures)
        never_seen = isinstance(failure, TaskUnknown) and foreign and not work.polls and job.state is State.RUNNING
        if pause is None and never_seen and self._means.journal.forget_task(job):
            failure.charge = Charge.NOT_SENT
            raise failure
        if isinstance(failure, Throttled) and pause is not None:
            self._means.scheduler.hold_off(Share.POLL, pause.seconds)
        if pause is None:
            self._given_up(work, job, failure)
            return
        work.show(work.phase, f"{work.phase.value}; asking again soon: {failure.what}")
        self._works.plan(work, steps.POLL, self._means.clocks.seconds(pause))

    def _given_up(self, work: Work, job: Job, failure: APIMallError) -> None:
        is_unknown, stalled = isinstance(failure, TaskUnknown), failures.stalled(job, failure)
        if job.state is not State.COMPLETED:
            raise failures.recall(job) if is_unknown and job.state is State.EXPIRED else stalled
        if is_unknown:
            self._bringing.refused(work, job, stalled, failure.what)
        else:
            self._bringing.set_back(work, job, stalled)

    def _completed(self, work: Work, job: Job, task: Task) -> None:
        self._means.observe(Event.FINISHED, job)
        if not self._means.journal.knows_completed(job, task):
            work.job = self._means.journal.completed(job, task)
        work.tell_budget()
        self._means.observe(Event.COMPLETED, work.job)
        work.urls = task.video_urls
        if work.urls:
            self._works.plan(work, steps.DOWNLOAD)
        else:
            self._bringing.without_address(work)

    def _task_failed(self, work: Work, job: Job, task: Task) -> None:
        failure = failures.task_failed(job, task)
        work.job = self._means.journal.failed(job, task, failure)
        work.tell_budget()
        self._means.observe(Event.FAILED, work.job)
        if not work.job.refunded_in_full:
            self._refunds.expect(work.job)
        raise failure

    def _learned(self, job: Job) -> Learned | None:
        runs = self._means.journal.runs(self._means.account, job.kind)
        return Learned.of([run.seconds for run in runs if run.seconds is not None])
