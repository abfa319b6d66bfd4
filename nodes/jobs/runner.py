"""Sees paid jobs through: submit, poll, download; one at a time for each job, few threads for all.

Every step reads the job's row, does one thing, and writes the row before the next. Whatever kills us between
two steps, the row says how to go on (money rule 5). What the steps are stands in `steps`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from ..gateway.client import Gateway
from ..gateway.contract import Accepted, Task
from ..gateway.errors import Charge, SetupError
from ..journal.errors import JournalError, journal_errors
from ..journal.presence import Presence
from ..journal.rows import Allowance, Job, State
from ..journal.verbs import Journal
from ..remarks import Remark, remark
from ..troubles import Trouble, recognised
from . import failures, steps
from .attempts import Attempts
from .beginning import Beginning
from .bringing import Bringing
from .budget import Budget
from .clocks import REPLAY_SECONDS, RESUME_SECONDS, Clocks
from .events import Event, Observer, unobserved
from .following import Following
from .given_urls import GivenUrls
from .limits import PromptBudget
from .means import Means
from .order import Order
from .pace import next_poll
from .refunds import Refunds
from .results import Results
from .scheduler import Scheduler
from .sending import Sending
from .steps import Step
from .turns import Turns
from .uploads import Uploads
from .work import Phase, Result, Status, Ticket, Work
from .works import Works

_log = logging.getLogger("apimall_video.jobs")

_CLOCKS = Clocks()
_DAY_SECONDS = 86_400.0


class Runner:
    """All jobs of one account in this process.

    `gateway` is asked for when the first request goes out, not before. `allowance()` tells what may still be spent,
    None for anything; it may raise an error that keeps a job from being sent. `hand_on` is given a job whose create
    was under way when this runner was closed, and is not any more. `require_unknown` raises SetupError for an order
    that may have been paid where this journal does not know of it. Thread-safe.
    """

    def __init__(
        self,
        *,
        account: str,
        journal: Journal,
        holders: Presence,
        gateway: Callable[[], Gateway],
        results: Results,
        uploads: Uploads,
        urls: GivenUrls,
        max_jobs: int,
        budget: Budget | None = None,
        clocks: Clocks = _CLOCKS,
        pace: Callable[..., float] = next_poll,
        allowance: Callable[[], Allowance | None] = lambda: None,
        observe: Observer = unobserved,
        hand_on: Callable[[Job], None] = lambda job: None,
        require_unknown: Callable[[Order], None] = lambda order: None,
    ) -> None:
        self.account = account
        self.max_jobs = max_jobs
        self._require_unknown = require_unknown
        self._scheduler = Scheduler(budget or Budget(), clocks.monotonic, wait=clocks.wait)
        self._means = means = Means(
            account=account,
            journal=journal,
            holders=holders,
            gateway=gateway,
            results=results,
            uploads=uploads,
            urls=urls,
            scheduler=self._scheduler,
            clocks=clocks,
            max_jobs=lambda: self.max_jobs,
            pace=pace,
            allowance=allowance,
            observe=observe,
            hand_on=hand_on,
        )
        self._works = works = Works(means, self._take)
        self._attempts = attempts = Attempts(means, works)
        self._refunds = refunds = Refunds(means, works, attempts)
        self._bringing = bringing = Bringing(means, works)
        following = Following(means, works, bringing, refunds)
        sending = Sending(means, works, attempts, following)
        ways: dict[Step, Callable[[Work, Job], None]] = {
            steps.BEGIN: Beginning(works, attempts, bringing, following).begin,
            steps.LOOK: sending.look,
            steps.UPLOAD: sending.upload,
            steps.SLOT: sending.wait_for_slot,
            steps.POST: sending.post,
            steps.POLL: following.poll,
            steps.TRY: following.try_download,
            steps.DOWNLOAD: bringing.download,
            steps.REFUND: refunds.ask,
        }
        self._turns = turns = Turns(means, works, ways, self._look_through)
        holders.watch(turns.told, turns.is_watching)

    # What nodes ask for

    def submit(self, order: Order, over_limit: str | None = None, prompt_budget: PromptBudget | None = None) -> Ticket:
        """Have `order` made, or go on with it where it stands; a finished one costs no request (money rule 3).

        `over_limit`: why nothing may be newly paid for it; what was paid is gone on with all the same. `prompt_budget`:
        of what its price is taken before it is sent.
        """
        with journal_errors(), self._works.lock:
            intent = self._attempts.intent(order)
            self._works.write_in_hand(lambda job: job.identity in (intent.identity, *intent.earlier))
            job = self._means.journal.standing(intent)
            if job is None:
                self._attempts.require_no_equal(order)
                self._require_unknown(order)
                _require_allowed(over_limit)
                job = self._means.journal.intend(intent)
            return self._pick_up(job, order, over_limit, prompt_budget)

    def collect(self, task_id: str | None) -> Ticket | None:
        """Follow a task by its id, from anywhere; without an id the newest job that nobody was handed."""
        with journal_errors(), self._works.lock:
            self._works.write_in_hand(lambda job: task_id in (job.task_id, None))
            if task_id is None:
                job = self._means.journal.newest_uncollected(self.account)
                if job is None:
                    return None
            else:
                job = self._means.journal.adopt_task(self.account, task_id)
            return self._pick_up(job, None)

    def is_awaited(self, job: Job) -> bool:
        """Does somebody hold a ticket to the job?"""
        work = self._works.of(job)
        return work is not None and bool(work.tickets)

    def resume(self) -> int:
        """Follow what the gateway has and this disk has not; gives how many. Only polls, never pays."""
        since = self._means.clocks.wall() - RESUME_SECONDS
        with journal_errors(), self._works.lock:
            alive = self._means.holders.alive()
            self._means.uploads.clear_leftovers(alive)
            self._means.results.forget_origins_before(since)
            in_hand = [work.job for work in self._works.all()]
            self._means.journal.tidy(self.account, alive, self._means.holders.own, in_hand)
            for failed in self._means.journal.refunds_due(self.account, since):
                self._refunds.read_once(failed)
            resumable = self._means.journal.resumable(self.account, since)
            waiting = [job for job in resumable if self._works.of(job) is None]
            for job in waiting:
                self._works.begin(Work(job, None))
        return len(waiting)

    def follow(self, job: Job) -> None:
        """Go on with a job that has been sent, or let go of one that was not after all."""
        with self._works.lock:
            if self._works.of(job) is None:
                self._works.begin(Work(job, None))

    # What its owner says of a job that nobody can settle

    def close_job(self, job: Job) -> Job:
        """Be done with a parked job: it is not followed, and counts in no limit. Raises InputError."""
        with journal_errors(), self._works.lock:
            job = self._parked(job)
            closed = self._means.journal.close_job(job, self._means.holders.alive())
            if closed.state is not State.CLOSED:
                raise failures.not_parked(closed)
        self._means.observe(Event.PARKED, closed)
        return closed

    def answer(self, job: Job, task_id: str) -> Job:
        """Its owner found the task of a create that was never answered: it is followed from here on.

        Blocking: the gateway is asked about the task. Raises InputError for one that does not fit.
        """
        with journal_errors():
            job = self._parked(job)
            if job.state is not State.SENT:
                raise failures.not_parked(job)
            task = self._means.gateway().query(task_id)
            if (why := _misfit(job, task, task_id)) is not None:
                raise failures.no_answer(job, why)
            with self._works.lock:
                known = self._means.journal.by_task(self.account, task_id)
                if known is not None and not known.is_settled_stranger:
                    raise failures.no_answer(job, remark(Trouble.TASK_OF_ANOTHER_JOB, task=task_id))
                reply = Accepted(task_id, credits_used=task.credits_used)
                job = self._means.journal.accepted(self._parked(job), reply)
                self.follow(job)
        self._means.observe(Event.ACCEPTED, job)
        return job

    def _parked(self, job: Job) -> Job:
        job = self._means.journal.current(job)
        if job.account != self.account or job.parked is None or job.holder in self._means.holders.alive():
            raise failures.not_parked(job)
        return job

    def close(self, reason: str = remark(Trouble.COMFYUI_CLOSING)) -> None:
        """Start no further step; jobs go on at the gateway, and from the journal next time."""
        self._scheduler.close()
        self._works.close(reason)

    # Tickets

    def _pick_up(
        self,
        job: Job,
        order: Order | None,
        over_limit: str | None = None,
        prompt_budget: PromptBudget | None = None,
    ) -> Ticket:
        """From disk where the file is still the one that was paid for, else with the work that is left."""
        kept = self._bringing.on_disk(job, downloaded=False)
        if kept is not None:
            return self._served(kept)
        if job.charge is Charge.NOT_SENT and not self.is_awaited(job):
            _require_allowed(over_limit)
        return self._join(job, order, prompt_budget)

    def _join(self, job: Job, order: Order | None, prompt_budget: PromptBudget | None) -> Ticket:
        work = self._works.of(job)
        if work is None:
            work = Work(job, order)
            self._means.observe(Event.BEGUN, job)
            self._works.begin(work)
        elif work.scheduled is not None and not work.tickets:
            self._scheduler.hasten(work.scheduled)
        work.order = work.order or (order if job.task_id is None or job.state is State.FAILED else None)
        work.prompt_budget = work.prompt_budget or prompt_budget
        ticket = Ticket(work, self._status, self._works.hasten, self._leave)
        with work.lock:
            work.tickets.add(ticket)
        return ticket

    def _served(self, kept: Result) -> Ticket:
        self._works.note_collected(kept.job)
        work = Work(kept.job, None)
        work.result = kept
        work.show(Phase.DONE, "already paid: served from disk")
        work.done.set()
        return Ticket(work, self._status, self._works.hasten, self._leave)

    # What a ticket asks for comes from an event loop: it may wait for no database, and so not for the runner's lock.

    def _status(self, work: Work) -> Status:
        return work.status(self._means.clocks.monotonic())

    def _leave(self, ticket: Ticket) -> bool:
        work = ticket.work
        with work.lock:
            work.tickets.discard(ticket)
            unwanted = not work.tickets and not work.committed
            committed = work.committed
        if unwanted:
            # It leaves the queue now, not when its turn comes.
            self._works.hasten(work)
        return committed

    def _take(self, work: Work, step: Step) -> None:
        self._turns.take(work, step)

    def _look_through(self) -> None:
        """Another journal took the place of ours: it may tell of jobs that we hold and do not know of, and be silent on
        those that we have.
        """
        try:
            with self._works.lock:
                self._works.write_in_hand(lambda job: True)
                self.resume()
        except (JournalError, SetupError) as problem:
            _log.warning("the journal that was put in place of ours could not be looked through: %s", problem)


def _require_allowed(over_limit: str | None) -> None:
    if over_limit is not None:
        raise SetupError(recognised(over_limit), advice=remark(Trouble.RAISE_PROMPT_LIMIT))


def _misfit(job: Job, task: Task, task_id: str) -> Remark | None:
    """Why a task cannot be what came of a job, as far as the gateway tells of it; None when it may be."""
    if task.model is not None and task.model != job.model:
        return remark(Trouble.TASK_OF_MODEL, task=task_id, model=task.model)
    if task.type is not None and task.type != job.type:
        return remark(Trouble.TASK_OF_TYPE, task=task_id, type=task.type)
    # The guide names no type, so that the time has to tell: a create is repeated for a day at most.
    if task.created_at is None or job.sent_at is None:
        return None
    another = abs(task.created_at - job.sent_at) > REPLAY_SECONDS + _DAY_SECONDS
    return remark(Trouble.TASK_OF_ANOTHER_DAY, task=task_id) if another else None
