"""Sees paid jobs through: submit, poll, download; one at a time for each job, few threads for all.

Every step reads the job's row, does one thing, and writes the row before the next. Whatever kills us between
two steps, the row says how to go on (money rules 1, 2, 5). The table of steps is at the end of this file.
"""

from __future__ import annotations

import functools
import logging
import math
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

from ..gateway.client import Gateway
from ..gateway.contract import COMPLETED as TASK_COMPLETED
from ..gateway.contract import FAILED as TASK_FAILED
from ..gateway.contract import Accepted, Task
from ..gateway.errors import (
    APIMallError,
    BadRequest,
    Charge,
    NotReached,
    ProviderBusy,
    Refused,
    SetupError,
    TaskUnknown,
    Throttled,
    Unsettled,
)
from ..gateway.models import usual_seconds
from ..gateway.retry import Call, Pause, may_repeat
from ..journal.errors import JournalAway, JournalError
from ..journal.presence import Presence
from ..journal.rows import Allowance, Held, Hindrance, Intent, Job, Parking, State
from ..journal.verbs import Journal
from ..stopping import Stopped
from . import failures
from .budget import Budget, Share
from .events import Event, Observer, unobserved
from .given_urls import GivenUrls
from .limits import PROMPT_ADVICE, PromptBudget, over_limit
from .order import Order
from .pace import Learned, is_overdue, next_poll, spread
from .results import Expired, NoAllowedAddress, NotWritable, NotYet, Results
from .scheduler import Lane, Scheduled, Scheduler
from .uploads import Uploads, Withdrawn
from .uptime import BOOT, seconds_up
from .work import Phase, Result, Status, Ticket, Work

_log = logging.getLogger("apimall_video.jobs")

REPLAY_SECONDS = 24 * 3600.0
"""How long an unanswered POST may be repeated with its key. The gateway does not say how long it remembers
keys; a day is what services of this kind promise at least (`docs/gateway.md`, "Idempotency-Key")."""

RESUME_SECONDS = 14 * 24 * 3600.0
"""Results are kept for two weeks at most (`docs/gateway.md`, "Result links"); older jobs are not followed unasked."""

_DAY_SECONDS = 86_400.0
_SLOT_SECONDS = 0.5
_MOST_SLOT_PAUSES = 20
_CLOCKS_AGREE_SECONDS = 300.0
_REFUND_PAUSES_SECONDS = (30.0, 300.0, 3600.0)
"""When a refund that is not complete is read again; once more at the next start."""
_JOURNAL_PAUSE_SECONDS = 1.0
_LONGEST_JOURNAL_PAUSE_SECONDS = 5.0
_MOST_CLAIMS = 3
_MOST_BLANKS = 5
_MOST_REFRESHES = 3
_MOST_SETBACKS = 6
"""With the pauses between them about an hour: a storage, or a filter before it, may refuse for a while."""
_LINK_SECONDS = 24 * 3600.0
"""As long as a link is good at the least (`docs/gateway.md`, "Result links"): one refused before that is no end."""

_WATCHED_PAUSE_SECONDS = 60.0
_LONGEST_PAUSE_SECONDS = 3600.0
_STRANGE_POLLS = 5
_NO_ADDRESS = "The gateway completed the job but gives no address for the video"


@dataclass(frozen=True)
class Clocks:
    """`wall`: seconds since the epoch, may jump. `monotonic`: seconds, never does; `wait` and `sleep` go by the same.
    `uptime`: seconds since the machine, in its life `boot`, was started, sleep included where the system can tell.
    `chance`: random in [0, 1).
    """

    wall: Callable[[], float] = time.time
    uptime: Callable[[], float] = seconds_up
    boot: str = BOOT
    monotonic: Callable[[], float] = time.monotonic
    wait: Callable[[threading.Condition, float], bool] = threading.Condition.wait
    sleep: Callable[[float], None] = time.sleep
    chance: Callable[[], float] = random.random


class _journal_errors:
    """The journal must be written before anything is paid; when it cannot be, nothing is sent."""

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, problem: BaseException | None, trace: object) -> None:
        if isinstance(problem, JournalError):
            raise SetupError(f"The journal cannot be written ({problem})", advice=problem.advice) from None


class Runner:
    """All jobs of one account in this process.

    `gateway` is asked for when the first request goes out, not before. `allowance()` tells what may still be spent,
    None for anything; it may raise an error that keeps a job from being sent. `hand_on` is given a job whose create
    was under way when this runner was closed, and is not any more. Thread-safe.
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
        clocks: Clocks = Clocks(),
        pace: Callable[..., float] = next_poll,
        allowance: Callable[[], Allowance | None] = lambda: None,
        observe: Observer = unobserved,
        hand_on: Callable[[Job], None] = lambda job: None,
    ) -> None:
        self.account = account
        self.max_jobs = max_jobs
        self._journal = journal
        self._holders = holders
        self._gateway = gateway
        self._results = results
        self._uploads = uploads
        self._urls = urls
        self._clocks = clocks
        self._pace = pace
        self._allowance = allowance
        self._observe = observe
        self._hand_on = hand_on
        self._scheduler = Scheduler(budget or Budget(), clocks.monotonic, wait=clocks.wait)
        self._lock = threading.RLock()
        self._works: dict[str, Work] = {}
        """By their jobs' keys: the number of a row is another job's once a backup took the journal's place."""
        self._turned_away = 0
        self._closed = False
        self._left: dict[str, Job] = {}
        self._journals_seen = journal.replacements
        holders.watch(self._told, self._is_watching)

    # What nodes ask for

    def submit(self, order: Order, over_limit: str | None = None, prompt_budget: PromptBudget | None = None) -> Ticket:
        """Have `order` made, or go on with it where it stands; a finished one costs no request (money rule 3).

        `over_limit`: why nothing may be newly paid for it; what was paid is gone on with all the same. `prompt_budget`:
        of what its price is taken before it is sent.
        """
        with _journal_errors(), self._lock:
            intent = self._intent(order)
            self._write_in_hand(lambda job: job.identity in (intent.identity, *intent.earlier))
            job = self._journal.standing(intent)
            if job is None:
                self._require_no_equal(order)
                _require_allowed(over_limit)
                job = self._journal.intend(intent)
            return self._pick_up(job, order, over_limit, prompt_budget)

    def collect(self, task_id: str | None) -> Ticket | None:
        """Follow a task by its id, from anywhere; without an id the newest job that nobody was handed."""
        with _journal_errors(), self._lock:
            self._write_in_hand(lambda job: task_id in (job.task_id, None))
            if task_id is None:
                job = self._journal.newest_uncollected(self.account)
                if job is None:
                    return None
            else:
                job = self._journal.adopt_task(self.account, task_id)
            return self._pick_up(job, None)

    def is_awaited(self, job: Job) -> bool:
        """Does somebody hold a ticket to the job?"""
        work = self._works.get(job.idempotency_key)
        return work is not None and bool(work.tickets)

    def resume(self) -> int:
        """Follow what the gateway has and this disk has not; gives how many. Only polls, never pays."""
        since = self._clocks.wall() - RESUME_SECONDS
        with _journal_errors(), self._lock:
            alive = self._holders.alive()
            self._uploads.clear_leftovers(alive)
            self._results.forget_origins_before(since)
            in_hand = [work.job for work in self._works.values()]
            self._journal.tidy(self.account, alive, self._holders.own, in_hand)
            for failed in self._journal.refunds_due(self.account, since):
                self._plan_refund(failed, ())
            resumable = self._journal.resumable(self.account, since)
            waiting = [job for job in resumable if job.idempotency_key not in self._works]
            for job in waiting:
                self._begin(Work(job, None))
        return len(waiting)

    def follow(self, job: Job) -> None:
        """Go on with a job that has been sent, or let go of one that was not after all."""
        with self._lock:
            if job.idempotency_key not in self._works:
                self._begin(Work(job, None))

    # What its owner says of a job that nobody can settle

    def close_job(self, job: Job) -> Job:
        """Be done with a parked job: it is not followed, and counts in no limit. Raises InputError."""
        with _journal_errors(), self._lock:
            job = self._parked(job)
            closed = self._journal.close_job(job, self._holders.alive())
            if closed.state is not State.CLOSED:
                raise failures.not_parked(closed)
        self._observe(Event.PARKED, closed)
        return closed

    def answer(self, job: Job, task_id: str) -> Job:
        """Its owner found the task of a create that was never answered: it is followed from here on.

        Blocking: the gateway is asked about the task. Raises InputError for one that does not fit.
        """
        with _journal_errors():
            job = self._parked(job)
            if job.state is not State.SENT:
                raise failures.not_parked(job)
            task = self._gateway().query(task_id)
            if (why := _misfit(job, task)) is not None:
                raise failures.no_answer(job, f"Task {task_id} {why}")
            with self._lock:
                known = self._journal.by_task(self.account, task_id)
                if known is not None and not known.is_settled_stranger:
                    raise failures.no_answer(job, f"Task {task_id} is another job's already")
                reply = Accepted(task_id, credits_used=task.credits_used)
                job = self._journal.accepted(self._parked(job), reply)
                self.follow(job)
        self._observe(Event.ACCEPTED, job)
        return job

    def _parked(self, job: Job) -> Job:
        job = self._journal.current(job)
        if job.account != self.account or job.parked is None or job.holder in self._holders.alive():
            raise failures.not_parked(job)
        return job

    def close(self, reason: str = "ComfyUI is closing") -> None:
        """Start no further step; jobs go on at the gateway, and from the journal next time."""
        self._scheduler.close()
        with self._lock:
            self._closed = True
            for work in list(self._works.values()):
                work.error = failures.detached(work.job, reason, sent=work.committed)
                self._end(work)

    def _intent(self, order: Order) -> Intent:
        return order.intent(*self._journal.members(self.account))

    def _require_no_equal(self, order: Order, *, about_to_be_sent: bool = True) -> None:
        """Before an order is paid: raises SetupError when it was paid with a key that may be of this very account.

        `about_to_be_sent`: also when somebody has it in hand, and has not sent it yet.
        """
        others = self._journal.others(self.account)
        if not others:
            return
        alive = self._holders.alive() if about_to_be_sent else frozenset()
        equal = [self._journal.standing(order.intent(*self._journal.members(other.account))) for other in others]
        if any(job is not None and (job.charge is not Charge.NOT_SENT or job.holder in alive) for job in equal):
            raise failures.known_elsewhere(sum(other.jobs for other in others), sum(each.unfinished for each in others))

    # Tickets

    def _pick_up(
        self,
        job: Job,
        order: Order | None,
        over_limit: str | None = None,
        prompt_budget: PromptBudget | None = None,
    ) -> Ticket:
        """From disk where the file is still the one that was paid for, else with the work that is left."""
        kept = self._on_disk(job, downloaded=False)
        if kept is not None:
            return self._served(kept)
        if job.charge is Charge.NOT_SENT and not self.is_awaited(job):
            _require_allowed(over_limit)
        return self._join(job, order, prompt_budget)

    def _on_disk(self, job: Job, *, downloaded: bool) -> Result | None:
        """The clip of a job that lies in our results folder, whatever else its row says; None when it does not."""
        if job.state not in (State.RUNNING, State.COMPLETED, State.EXPIRED, State.CLOSED):
            return None
        known = self._journal.deliveries(job)
        kept = self._results.kept(job, known)
        if kept is None:
            return None
        if kept not in known or job.delivered_at is None:
            try:
                job = self._journal.delivered(job, kept, job.video_url or "")
            except JournalError as problem:
                # It is whole and on this disk: that nobody can write so is no reason to keep it back.
                _log.warning("that job %s is on this disk could not be written: %s", job.id, problem)
        return Result(self._results.path_of(kept), job.task_id or "", job.video_url or "", job, downloaded)

    def _join(self, job: Job, order: Order | None, prompt_budget: PromptBudget | None) -> Ticket:
        work = self._works.get(job.idempotency_key)
        if work is None:
            work = Work(job, order)
            self._observe(Event.BEGUN, job)
            self._begin(work)
        elif work.scheduled is not None and not work.tickets:
            self._scheduler.hasten(work.scheduled)
        work.order = work.order or (order if job.task_id is None or job.state is State.FAILED else None)
        work.prompt_budget = work.prompt_budget or prompt_budget
        ticket = Ticket(work, self._status, self._poll_now, self._leave)
        with work.lock:
            work.tickets.add(ticket)
        return ticket

    def _note_collected(self, job: Job) -> None:
        if job.collected_at is None:
            try:
                self._journal.collected(job)
            except JournalError as problem:
                _log.warning("that job %s was collected could not be written: %s", job.id, problem)

    def _served(self, kept: Result) -> Ticket:
        self._note_collected(kept.job)
        work = Work(kept.job, None)
        work.result = kept
        work.show(Phase.DONE, "already paid: served from disk")
        work.done.set()
        return Ticket(work, self._status, self._poll_now, self._leave)

    # What a ticket asks for comes from an event loop: it may wait for no database, and so not for the runner's lock.

    def _status(self, work: Work) -> Status:
        return work.status(self._clocks.monotonic())

    def _poll_now(self, work: Work) -> None:
        scheduled = work.scheduled
        if scheduled is not None and not work.done.is_set():
            self._scheduler.hasten(scheduled)

    def _leave(self, ticket: Ticket) -> bool:
        work = ticket.work
        with work.lock:
            work.tickets.discard(ticket)
            unwanted = not work.tickets and not work.committed
            committed = work.committed
        if unwanted:
            # It leaves the queue now, not when its turn comes.
            self._poll_now(work)
        return committed

    def _learned(self, job: Job) -> Learned | None:
        runs = self._journal.runs(self.account, job.kind)
        return Learned.of([run.seconds for run in runs if run.seconds is not None])

    # The machine that takes steps

    def _begin(self, work: Work) -> None:
        if work.order is not None:
            self._results.note_origin(work.job, work.order.origin)
        self._works[work.job.idempotency_key] = work
        self._plan(work, _BEGIN)

    def _plan(self, work: Work, step: Step, delay_seconds: float = 0.0) -> None:
        due = self._clocks.monotonic() + delay_seconds
        work.scheduled = Scheduled(lambda: self._run(work, step), due, step.lane, step.rank, step.share)
        self._scheduler.put(work.scheduled)

    def _run(self, work: Work, step: Step) -> None:
        try:
            job = self._claim(work, step)
        except JournalError as problem:
            self._not_claimed(work, step, problem)
            return
        try:
            work.claims, work.cut_off = 0, False
            if job is None:
                self._watch(work)
            elif job.state not in step.states:
                self._plan(work, _BEGIN)
            else:
                work.job = job
                step.run(self, work, job)
        except Withdrawn:
            self._drop(work)
        except SetupError as obstacle:
            self._fail(work, failures.hindered(work.job, obstacle))
        except APIMallError as failure:
            self._fail(work, failure)
        except JournalAway as problem:
            self._cut_off(work, problem)
        except JournalError as problem:
            self._stumbled(work, failures.unwritten(work.job, problem))
        except Exception as surprise:  # noqa: BLE001
            # The boundary of the thread: a bug or a full disk ends this wait, never the job or the thread.
            _log.exception("a step of job %s went wrong", work.job.id)
            self._stumbled(work, failures.surprised(work.job, surprise))
        if self._closed and step is _POST and work.job.state is not State.SENT:
            # Who took over when this runner was closed saw a row that was sent, and nothing to follow.
            self._hand_on(work.job)

    def _stumbled(self, work: Work, failure: APIMallError) -> None:
        """Something here went wrong, not the job: who waits is told, and what the gateway has is followed on."""
        is_there = work.reply is not None or work.job.state in (State.RUNNING, State.COMPLETED)
        if is_there and work.job.delivered_at is None:
            self._put_off(work, failure)
        else:
            self._fail(work, failure)

    def _claim(self, work: Work, step: Step) -> Job | None:
        """The row, if it is or becomes ours; who lives is asked only where somebody else has it.

        It is not read again where we would have been told of a change, before a step that is `safe`.
        """
        own = self._holders.own
        if work.job.holder == own and step.safe and self._holders.tells and not work.is_changed:
            return work.job
        work.is_changed = False
        now = work.job = self._journal.current(work.job)
        if self._journal.replacements != self._journals_seen:
            self._journals_seen = self._journal.replacements
            self._scheduler.put(Scheduled(self._look_through, self._clocks.monotonic()))
        if now.holder == own:
            return now
        if now.holder is None:
            return self._journal.claim(now, own)
        if work.phase is Phase.ELSEWHERE and now.holder in self._holders.alive_lately():
            return None
        alive = self._holders.alive()
        return None if now.holder in alive else self._journal.claim(now, own, alive)

    def _write_in_hand(self, is_meant: Callable[[Job], bool]) -> None:
        """Before the journal is asked for a job: it may have been put back to before it, and only we know of it."""
        for work in list(self._works.values()):
            if is_meant(work.job):
                self._journal.current(work.job)

    def _look_through(self) -> None:
        """Another journal took the place of ours: it may tell of jobs that we hold and do not know of, and be silent on
        those that we have.
        """
        try:
            with self._lock:
                self._write_in_hand(lambda job: True)
                self.resume()
        except (JournalError, SetupError) as problem:
            _log.warning("the journal that was put in place of ours could not be looked through: %s", problem)

    def _not_claimed(self, work: Work, step: Step, problem: JournalError) -> None:
        """Nothing was done. Who only watches what another process does goes on watching."""
        work.claims += 1
        if isinstance(problem, JournalAway) and work.phase is not Phase.ELSEWHERE and work.claims >= _MOST_CLAIMS:
            self._cut_off(work, problem)
        elif work.phase is Phase.ELSEWHERE or work.claims < _MOST_CLAIMS:
            _log.info("job %s could not be taken in hand, trying again: %s", work.job.id, problem)
            self._plan(work, step, min(_JOURNAL_PAUSE_SECONDS * work.claims, _LONGEST_JOURNAL_PAUSE_SECONDS))
        else:
            self._stumbled(work, failures.unwritten(work.job, problem))

    def _cut_off(self, work: Work, problem: JournalAway) -> None:
        """The database is away: what was sent is gone on with once it is back, nothing new is sent without it."""
        if work.job.charge is Charge.NOT_SENT:
            self._fail(work, failures.unwritten(work.job, problem))
            return
        work.cut_off = True
        work.show(work.phase, f"{work.phase.value}; the journal's database does not answer ({problem}), trying again")
        self._plan(work, _BEGIN, _LONGEST_JOURNAL_PAUSE_SECONDS)

    # What other machines do

    def _is_watching(self) -> bool:
        """Whether anybody waits for what others have: a job, or a slot."""
        return any(work.phase in (Phase.ELSEWHERE, Phase.WAITING) for work in list(self._works.values()))

    def _told(self, job_id: int | None) -> None:
        """Another machine changed a job, or, None, may have changed any, died, or the database is back."""
        for work in list(self._works.values()):
            work.is_changed = work.is_changed or job_id in (None, work.job.id)
            waits = work.cut_off or work.phase is Phase.ELSEWHERE
            if waits and job_id in (None, work.job.id):
                self._poll_now(work)
        if job_id is None and self._left:
            self._scheduler.put(Scheduled(self._let_go, self._clocks.monotonic()))

    def _let_go(self) -> None:
        """Give up what could not be given up when it ended: others may be asked for it."""
        for key, job in list(self._left.items()):
            try:
                with self._lock:
                    if key not in self._works:
                        self._journal.release(job, self._holders.own)
            except JournalError as problem:
                _log.info("job %s could not be given up yet: %s", job.id, problem)
                self._plan_let_go()
                return
            self._left.pop(key, None)

    def _plan_let_go(self) -> None:
        due = self._clocks.monotonic() + _LONGEST_JOURNAL_PAUSE_SECONDS
        self._scheduler.put(Scheduled(self._let_go, due))

    def _watch(self, work: Work) -> None:
        """Another process has the job: wait for what it writes."""
        work.committed = True
        work.show(Phase.ELSEWHERE)
        self._plan(work, _BEGIN, self._holders.watched_seconds)

    def _dispatch(self, work: Work, job: Job) -> None:
        if (kept := self._on_disk(job, downloaded=True)) is not None:
            self._finish(work, kept)
        elif job.state is State.FAILED and self._is_asked_for_again(work, job):
            self._plan(work, _REFUND)
        elif job.state in (State.FAILED, State.REJECTED) and (order := self._attempted_anew(work, job)) is not None:
            self._follow_anew(work, job, order)
        elif job.state in _ENDED:
            self._fail(work, failures.recall(job))
        elif job.state is State.COMPLETED and job.delivered_at is not None and not work.tickets:
            # Another ComfyUI downloaded it to a folder of its own, and nobody here asked for it.
            self._drop(work)
        elif job.state is State.INTENDED:
            # Whoever had it in hand let go of it, unsent.
            work.committed = False
            self._require_wanted(work)
            if job.posts and job.body is not None:
                # The gateway may know the key with these very bytes, though it took nothing yet.
                work.cached_uploads = tuple(medium.digest for medium in work.order.media) if work.order else ()
                self._plan(work, _SLOT)
                return
            self._plan(work, _LOOK if work.order is not None and work.order.urls else _first_of(work.order))
        else:
            work.committed = True
            self._anchor(work, job)
            self._plan(work, _POST if job.state is State.SENT else _POLL)

    def _is_asked_for_again(self, work: Work, job: Job) -> bool:
        """Whether its refund is asked for: not by who waited in another process for the very attempt that failed."""
        return work.order is not None and not job.refunded_in_full and work.phase is not Phase.ELSEWHERE

    def _attempted_anew(self, work: Work, job: Job) -> Order | None:
        """What another process began a new attempt for, while we watched this one."""
        newest = None if work.order is None else self._journal.standing(self._intent(work.order))
        return work.order if newest is not None and newest.idempotency_key != job.idempotency_key else None

    def _follow_anew(self, work: Work, job: Job, order: Order) -> None:
        self._require_wanted(work)
        with self._lock:
            newest = self._journal.intend(self._intent(order))
            if newest.idempotency_key in self._works:
                # There cannot be two works for one row: what comes of that one is looked at when it is done.
                self._plan(work, _BEGIN, _SLOT_SECONDS)
            else:
                self._replace(work, order, lambda: job)

    def _look(self, work: Work, job: Job) -> None:
        order = work.order
        assert order is not None, "planned only with an order"
        for url in order.urls:
            work.show(Phase.STARTING, "looking at the address")
            try:
                self._urls.require_file(url, order.type, lambda: not work.tickets)
            except Stopped:
                raise Withdrawn from None
        self._plan(work, _first_of(order))

    def _upload(self, work: Work, job: Job) -> None:
        order = work.order
        assert order is not None, "planned only with an order"
        self._results.require_deliverable()
        self._journal.clear_body(job)
        work.show(Phase.UPLOADING)

        def tell(fraction: float, note: str = "") -> None:
            work.show(Phase.UPLOADING, f"uploading: {note}" if note else None, fraction)

        done = self._uploads.upload_all(
            self._gateway(),
            order,
            stop=lambda: self._closed or not work.tickets,
            tell=tell,
            spend=lambda: self._scheduler.spend(Share.UPLOAD),
            hold_off=lambda seconds: self._scheduler.hold_off(Share.UPLOAD, seconds),
        )
        work.cached_uploads = done.cached
        self._observe(Event.UPLOADED, job)
        work.job = self._journal.set_body(job, order.request(done.urls).body())
        self._observe(Event.READY, work.job)
        self._plan(work, _SLOT)

    def _wait_for_slot(self, work: Work, job: Job) -> None:
        self._require_wanted(work)
        # Looked at again before anything is sent, by who lives then.
        slots = self._journal.slots(job, self.max_jobs, self._holders.alive_lately())
        if slots.free:
            self._plan(work, _POST)
        else:
            work.show_slots(slots)
            # Those far behind need not ask as often as the first in line: 200 of them would keep a core busy.
            self._plan(work, _SLOT, _SLOT_SECONDS * min(1 + slots.ahead, _MOST_SLOT_PAUSES))

    def _post(self, work: Work, job: Job) -> None:
        if work.reply is not None:
            # The gateway answered already, and nobody could write it down.
            self._answered(work, job, work.reply)
            return
        # Whatever may hinder us comes before the row says that the POST has left.
        gateway = self._gateway()
        allowance = None
        if job.state is State.SENT:
            self._require_fresh(job)
        else:
            self._results.require_deliverable()
            if work.order is not None:
                # Others may have paid for it, or the owner joined two accounts, while it waited.
                self._require_no_equal(work.order, about_to_be_sent=False)
                standing = self._journal.standing(self._intent(work.order))
                if standing is not None and standing.idempotency_key != job.idempotency_key:
                    raise failures.paid_meanwhile(standing)
            allowance = self._allowance()
            if work.prompt_budget is not None:
                work.prompt_budget.reserve(job.idempotency_key, self._journal.price(self.account, job.kind))
        self._observe(Event.ALLOWED, job)
        self._commit(work)
        sent = self._journal.begin_post(
            job,
            self.max_jobs,
            self._holders.alive(),
            allowance,
            uptime=self._clocks.uptime(),
            boot=self._clocks.boot,
            holder=self._holders.own,
        )
        if sent is None:
            # We were taken for dead, and another machine goes on with it.
            self._scheduler.give_back(Share.CREATE)
            self._plan(work, _BEGIN)
            return
        if isinstance(sent, Held):
            self._scheduler.give_back(Share.CREATE)
            work.committed, work.is_changed = False, True
            if allowance is not None and sent.by is Hindrance.LIMIT:
                raise over_limit(sent, allowance)
            if sent.by is Hindrance.PRICE:
                work.show(Phase.WAITING, f"{Phase.WAITING.value} (for the bill of a job whose price is not known)")
            self._plan(work, _SLOT, _SLOT_SECONDS if sent.by is Hindrance.PRICE else 0.0)
            return
        assert sent.body is not None, "planned only with a body"
        work.job = sent
        work.show(Phase.SUBMITTING)
        self._observe(Event.SENT, sent)
        try:
            reply = gateway.create(sent.body, sent.idempotency_key)
        except APIMallError as failure:
            named = failures.accepted_in_conflict(failure)
            if named is None:
                self._post_failed(work, sent, failure, unsure=job.state is State.SENT)
                return
            reply = named
        self._answered(work, sent, reply)

    def _answered(self, work: Work, sent: Job, reply: Accepted) -> None:
        # Every id is in the log and in what is told from here on, even where the journal cannot be written now.
        work.reply = reply
        _log.info(
            "job %s is task %s (request %s, provider request %s)",
            sent.id,
            reply.task_id,
            reply.request_id,
            reply.provider_request_id,
        )
        self._observe(Event.ANSWERED, sent)
        try:
            work.job = self._journal.accepted(sent, reply)
        except JournalError:
            work.job = failures.as_accepted(sent, reply)
            raise
        work.tell_budget()
        # Media are large, and what they were needed for is done.
        work.order = work.reply = None
        self._observe(Event.ACCEPTED, work.job)
        work.failures = self._turned_away = 0
        work.show(Phase.PENDING)
        self._anchor(work, work.job)
        self._plan_poll(work)

    def _post_failed(self, work: Work, job: Job, failure: APIMallError, *, unsure: bool) -> None:
        """`unsure`: an earlier POST with this key may have arrived, so only a task id can settle the job."""
        _log.info("the create of job %s: %s", job.id, failure)
        patient = isinstance(failure, Throttled | ProviderBusy)
        # A full plan is no matter of one job: were each to wait longer for itself, newer ones would come first.
        self._turned_away, work.failures = self._turned_away + patient, work.failures + (not patient)
        tries = self._turned_away if patient else work.failures
        pause = may_repeat(Call.CREATE, failure, tries, in_flight=unsure)
        if patient and pause is not None:
            self._scheduler.hold_off(Share.CREATE, pause.seconds)
        if not unsure and isinstance(failure, NotReached | Refused):
            if work.prompt_budget is not None:
                work.prompt_budget.give_back(job.idempotency_key)
            if isinstance(failure, Refused) and pause is None:
                self._reject(work, job, failure)
                return
            work.job = self._journal.not_sent(job)
            work.committed = False
        if pause is None:
            raise failures.unsettled(job, failure) if unsure else failure
        work.show(Phase.SUBMITTING, f"{Phase.SUBMITTING.value} again soon: {failure.what}")
        # All creates are held off for so long; then the first of them that was turned away is the first to go.
        self._plan(work, _POST if work.committed else _SLOT, 0.0 if patient else self._seconds(pause))

    def _reject(self, work: Work, job: Job, refusal: Refused) -> None:
        if isinstance(refusal, BadRequest) and work.cached_uploads and work.order is not None:
            # An upload of an earlier day may be what the gateway could not read: upload anew, once.
            self._uploads.forget(work.cached_uploads)
            self._replace(work, work.order, lambda: self._journal.rejected(job, refusal))
            return
        work.job = self._journal.rejected(job, refusal)
        self._observe(Event.REJECTED, work.job)
        raise refusal

    def _replace(self, work: Work, order: Order, settle: Callable[[], Job]) -> None:
        """Go on with a new attempt for the same waiters once `settle` wrote that nothing is owed for the old one."""
        with self._lock:
            # Under the lock: were the same order submitted in between, there would be two works for its row.
            old = settle()
            del self._works[old.idempotency_key]
            work.job = self._journal.intend(self._intent(order))
            # Who watches the old one from another process goes on with the new one, too.
            self._journal.release(old, self._holders.own)
            work.committed, work.failures, work.cached_uploads = False, 0, ()
            self._begin(work)
        self._observe(Event.REJECTED if old.state is State.REJECTED else Event.REFUNDED, old)

    def _poll(self, work: Work, job: Job) -> None:
        gateway = self._gateway()
        try:
            task = gateway.query(job.task_id or "")
        except APIMallError as failure:
            self._poll_failed(work, job, failure)
            return
        work.failures = 0
        work.polls += 1
        if not job.type and work.polls == 1:
            self._journal.seen(job)
        if task.status == TASK_COMPLETED:
            self._completed(work, job, task)
        elif task.status == TASK_FAILED:
            self._task_failed(work, job, task)
        else:
            phase = Phase.PENDING if task.status == Phase.PENDING.value else Phase.PROCESSING
            work.show(phase, None if task.status in _KNOWN else f"{phase.value} (the gateway says: {task.status})")
            if self._may_be_finished(work, task):
                self._plan(work, _TRY)
            else:
                self._plan_poll(work)

    def _may_be_finished(self, work: Work, task: Task) -> bool:
        """A word nobody knows, given again and again with one and the same address: the file there will tell."""
        strange = None if task.status in _KNOWN or not task.video_urls else (task.status, task.video_urls)
        work.strange_polls = work.strange_polls + 1 if strange is not None and strange == work.strange else 1
        work.strange = strange
        return strange is not None and work.strange_polls >= _STRANGE_POLLS

    def _plan_poll(self, work: Work) -> None:
        elapsed = self._clocks.monotonic() - (work.accepted_at or 0.0)
        usual = usual_seconds(work.job.model, work.job.type)
        watched = bool(work.tickets)
        if not watched and work.job.yielded_at is None and is_overdue(elapsed, work.learned, usual):
            work.job = self._journal.yield_slot(work.job)
            self._call_next()
        seconds = self._pace(elapsed, work.learned, usual, watched=watched)
        self._plan(work, _POLL, spread(seconds, self._clocks.chance()))

    def _poll_failed(self, work: Work, job: Job, failure: APIMallError) -> None:
        foreign = not job.type
        work.failures += 1
        pause = may_repeat(Call.QUERY, failure, work.failures)
        never_seen = isinstance(failure, TaskUnknown) and foreign and not work.polls and job.state is State.RUNNING
        if pause is None and never_seen and self._journal.forget_task(job):
            failure.charge = Charge.NOT_SENT
            raise failure
        if isinstance(failure, Throttled) and pause is not None:
            self._scheduler.hold_off(Share.POLL, pause.seconds)
        if pause is None:
            if isinstance(failure, TaskUnknown) and self._is_gone(work, job):
                self._expire(work, job, failure.what)
            if job.state is not State.COMPLETED:
                raise failures.stalled(job, failure)
            self._set_back(work, job, failures.stalled(job, failure))
            return
        work.show(work.phase, f"{work.phase.value}; asking again soon: {failure.what}")
        self._plan(work, _POLL, self._seconds(pause))

    def _completed(self, work: Work, job: Job, task: Task) -> None:
        self._observe(Event.FINISHED, job)
        if not self._journal.knows_completed(job, task):
            work.job = self._journal.completed(job, task)
        work.tell_budget()
        self._observe(Event.COMPLETED, work.job)
        work.urls = task.video_urls
        if work.urls:
            self._plan(work, _DOWNLOAD)
            return
        # The copy to the CDN may lag behind the status.
        work.refreshes += 1
        if work.refreshes > _MOST_BLANKS:
            self._set_back(work, work.job, failures.not_downloaded(work.job, _NO_ADDRESS))
        else:
            self._plan(work, _POLL, self._seconds(Pause(3.0)))

    def _task_failed(self, work: Work, job: Job, task: Task) -> None:
        failure = failures.task_failed(job, task)
        work.job = self._journal.failed(job, task, failure)
        work.tell_budget()
        self._observe(Event.FAILED, work.job)
        if not work.job.refunded_in_full:
            self._plan_refund(work.job, _REFUND_PAUSES_SECONDS)
        raise failure

    def _plan_refund(self, job: Job, pauses: tuple[float, ...]) -> None:
        """Refunds may post after the failure: read again after each of `pauses`; at once when there are none."""
        due = self._clocks.monotonic() + (pauses[0] if pauses else 0.0)
        read = functools.partial(self._read_refund, job, pauses[1:])
        self._scheduler.put(Scheduled(read, due, rank=_POLL.rank + 1, share=Share.POLL))

    def _read_refund(self, job: Job, pauses: tuple[float, ...]) -> None:
        try:
            job = self._journal.refunded(job, self._gateway().query(job.task_id or ""))
            self._observe(Event.REFUNDED, job)
        except (APIMallError, JournalError) as failure:
            _log.info("the refund of job %s could not be read again: %s", job.id, type(failure).__name__)
        if pauses and not job.refunded_in_full:
            self._plan_refund(job, pauses)

    def _ask_refund(self, work: Work, job: Job) -> None:
        """A failed job is asked for again: a new attempt if all that was spent came back, else the sums."""
        try:
            task = self._gateway().query(job.task_id or "")
        except APIMallError as failure:
            _log.info("the refund of job %s could not be read again: %s", job.id, type(failure).__name__)
            raise failures.recall(job) from None
        with self._lock:
            # Under the lock, as in `_replace`: the same order submitted in between would begin the new attempt, too.
            work.job = job = self._journal.refunded(job, task)
            if not job.refunded_in_full or work.order is None:
                raise failures.recall(job)
            self._replace(work, work.order, lambda: job)

    def _try_download(self, work: Work, job: Job) -> None:
        assert work.strange is not None, "planned only with an address"
        work.urls = work.strange[1]
        self._download(work, job)

    def _download(self, work: Work, job: Job) -> None:
        work.show(Phase.DOWNLOADING)

        def tell(fraction: float) -> None:
            work.show(Phase.DOWNLOADING, None, fraction)

        try:
            download = self._results.download(
                job, work.urls, tell=tell, observe=lambda event: self._observe(event, job), stop=lambda: self._closed
            )
        except Stopped:
            # Whoever follows the job from now on goes on where this broke off.
            return
        except Expired as expired:
            self._links_refused(work, job, str(expired))
        except NotYet as broken:
            self._not_yet(work, job, str(broken))
        except (NotWritable, NoAllowedAddress) as obstacle:
            self._set_back(work, job, failures.not_downloaded(job, str(obstacle)))
        else:
            delivered = self._journal.delivered(job, download.delivery, download.url, collected=bool(work.tickets))
            self._observe(Event.DELIVERED, delivered)
            result = Result(
                self._results.path_of(download.delivery),
                delivered.task_id or "",
                download.url,
                delivered,
                downloaded=True,
            )
            self._finish(work, result)

    def _not_yet(self, work: Work, job: Job, what: str) -> None:
        if job.state is State.RUNNING:
            # It was no clip, or not for us: what the gateway means is still its own to say.
            work.strange = None
            self._plan_poll(work)
            return
        work.failures += 1
        longest = _WATCHED_PAUSE_SECONDS if work.tickets else _LONGEST_PAUSE_SECONDS
        work.show(Phase.DOWNLOADING, f"downloading again soon: {what}")
        self._plan(work, _DOWNLOAD, self._seconds(Pause(min(2.0 ** min(work.failures, 20), longest))))

    def _links_refused(self, work: Work, job: Job, what: str) -> None:
        if job.state is State.RUNNING:
            self._not_yet(work, job, what)
            return
        work.refreshes += 1
        if work.refreshes <= _MOST_REFRESHES:
            work.show(Phase.DOWNLOADING, "asking for a fresh download link")
            self._plan(work, _POLL, self._seconds(Pause(2.0 * work.refreshes)))
        elif self._is_gone(work, job):
            self._expire(work, job, what)
        else:
            self._set_back(work, job, failures.not_downloaded(job, what))

    def _is_gone(self, work: Work, job: Job) -> bool:
        """Completed so long ago that its links may have run out, and refused for an hour; or older than any result."""
        age = self._clocks.wall() - (job.ended_at or math.inf)
        # What was brought home once is not followed when nobody asks for it: nobody would count its set-backs.
        is_refused_for_long = work.setbacks >= _MOST_SETBACKS or job.delivered_at is not None
        given_up = age > RESUME_SECONDS or (age > _LINK_SECONDS and is_refused_for_long)
        return job.state is State.COMPLETED and given_up

    def _expire(self, work: Work, job: Job, what: str) -> NoReturn:
        failure = failures.gone(job, what)
        self._tell_where_else(failure, job)
        work.job = self._journal.expired(job, failure)
        self._results.forget(job)
        self._observe(Event.EXPIRED, work.job)
        raise failure

    def _set_back(self, work: Work, job: Job, failure: APIMallError) -> None:
        """Tell those who wait that the clip is not to be had now, and try again later, for whoever comes."""
        self._tell_where_else(failure, job)
        self._put_off(work, failure)

    def _put_off(self, work: Work, failure: APIMallError) -> None:
        job = work.job
        age = self._clocks.wall() - (job.ended_at or self._clocks.wall())
        with self._lock:
            self._fail(work, failure)
            if age <= RESUME_SECONDS and not self._closed:
                later = Work(job, None)
                later.setbacks, later.reply = work.setbacks + 1, work.reply
                self._works[job.idempotency_key] = later
                seconds = min(_WATCHED_PAUSE_SECONDS * 2.0 ** min(work.setbacks, 10), _LONGEST_PAUSE_SECONDS)
                self._plan(later, _BEGIN, self._seconds(Pause(seconds)))

    def _tell_where_else(self, failure: APIMallError, job: Job) -> None:
        """Which machines and folders have the clip that is not to be had here, for people."""
        known = {(each.machine, each.path) for each in self._journal.deliveries(job) if each.path}
        for machine, path in sorted(known):
            failure.what = f"{failure.what.removesuffix('.')}. It was brought to {path} on {machine}"

    # Endings

    def _finish(self, work: Work, result: Result) -> None:
        with self._lock:
            work.job = result.job
            work.result = result
            work.show(Phase.DONE)
            if work.tickets:
                self._note_collected(work.job)
            self._end(work)

    def _fail(self, work: Work, failure: APIMallError) -> None:
        with self._lock:
            work.error = failure
            self._end(work, failure)

    def _drop(self, work: Work) -> None:
        """Nobody waits for a job that was not sent: it stays in the journal, unsent."""
        with self._lock:
            if work.tickets:
                self._plan(work, _BEGIN)
            else:
                self._end(work)

    def _end(self, work: Work, failure: APIMallError | None = None) -> None:
        if work.done.is_set():
            # It was closed while this step ran: by now it may be another runner's of this process.
            return
        if self._works.get(work.job.idempotency_key) is work:
            del self._works[work.job.idempotency_key]
        try:
            parked = None
            if failure is not None:
                parked = self._journal.park(work.job, self._holders.own, failures.parking(failure), failure)
            elif not work.committed:
                parked = self._journal.park(work.job, self._holders.own, Parking.WITHDRAWN)
            if (parked or work.job).holder is not None:
                self._journal.release(work.job, self._holders.own)
            if parked is not None:
                self._observe(Event.PARKED, parked)
        except JournalError as problem:
            _log.warning("how job %s ended could not be written: %s", work.job.id, problem)
            self._left[work.job.idempotency_key] = work.job
            self._plan_let_go()
        work.done.set()
        self._call_next()

    def _call_next(self) -> None:
        """A slot may have become free: the first in line asks at once."""
        works = list(self._works.values())
        waiting = [work for work in works if work.phase is Phase.WAITING and work.scheduled is not None]
        if waiting:
            self._poll_now(min(waiting, key=lambda work: work.job.id))

    # Small questions

    def _require_wanted(self, work: Work) -> None:
        if not work.tickets:
            raise Withdrawn

    def _commit(self, work: Work) -> None:
        """From here on the job is sent, even if every waiter leaves in this moment."""
        with work.lock:
            work.committed = work.committed or bool(work.tickets)
        if not work.committed:
            self._scheduler.give_back(Share.CREATE)
            raise Withdrawn

    def _require_fresh(self, job: Job) -> None:
        age = self._age(job)
        if age <= REPLAY_SECONDS:
            return
        since = f"{age / 3600:.0f} hours ago" if age < math.inf else "at a time that the clocks do not agree on"
        raise Unsettled(
            f"This job was sent {since} without a readable answer; the gateway may have forgotten its "
            "Idempotency-Key, so repeating it could charge twice",
            request_id=job.request_id,
        )

    def _age(self, job: Job) -> float:
        """Seconds since the create was first sent, by the clock that says more; infinite where they cannot be right.

        The wall clock counts sleep and may be set, the machine's uptime is never set and may miss a sleep: a job is
        young only when neither says otherwise.
        """
        by_wall = self._clocks.wall() - (job.sent_at or 0.0)
        if by_wall < -_CLOCKS_AGREE_SECONDS:
            return math.inf
        if job.sent_uptime is None or job.sent_boot != self._clocks.boot:
            return by_wall
        return max(by_wall, self._clocks.uptime() - job.sent_uptime)

    def _anchor(self, work: Work, job: Job) -> None:
        """Measure the job's age without the wall clock from here on: that one may jump. And learn what to expect."""
        age = self._clocks.wall() - (job.accepted_at or self._clocks.wall())
        work.accepted_at = self._clocks.monotonic() - min(max(age, 0.0), RESUME_SECONDS)
        if job.state is not State.COMPLETED:
            work.learned = self._learned(job)

    def _seconds(self, pause: Pause) -> float:
        return pause.with_jitter(self._clocks.chance())


def _require_allowed(over_limit: str | None) -> None:
    if over_limit is not None:
        raise SetupError(over_limit, advice=PROMPT_ADVICE)


def _misfit(job: Job, task: Task) -> str | None:
    """Why a task cannot be what came of a job, as far as the gateway tells of it; None when it may be."""
    if task.model is not None and task.model != job.model:
        return f"is of the model {task.model}"
    if task.type is not None and task.type != job.type:
        return f"is {task.type}"
    # The guide names no type, so that the time has to tell: a create is repeated for a day at most.
    if task.created_at is None or job.sent_at is None:
        return None
    another = abs(task.created_at - job.sent_at) > REPLAY_SECONDS + _DAY_SECONDS
    return "was made on another day than this job was sent" if another else None


@dataclass(frozen=True)
class Step:
    """One thing to do for a job in one of `states`. `rank`: who goes first; `share`: of the request it sends.

    `safe`: nothing is lost when somebody else has the job by then: whatever it pays or writes looks at the row again.
    """

    run: Callable[[Runner, Work, Job], None]
    states: tuple[State, ...]
    lane: Lane
    rank: int
    share: Share | None = None
    safe: bool = False


def _first_of(order: Order | None) -> Step:
    """What is done for an order whose addresses are in order."""
    return _UPLOAD if order is not None and order.media else _SLOT


# Ranks: creates before all other calls, and what is paid for is downloaded before anything new is uploaded. All else is
# done in the order it is due: were polls to stand behind the many that wait for a slot, no slot would become free.
_ENDED = (State.EXPIRED, State.FAILED, State.REJECTED, State.CLOSED)
_BEGIN = Step(Runner._dispatch, tuple(State), Lane.CALL, 1)
_LOOK = Step(Runner._look, (State.INTENDED,), Lane.TRANSFER, 1)
_UPLOAD = Step(Runner._upload, (State.INTENDED,), Lane.TRANSFER, 1)
_SLOT = Step(Runner._wait_for_slot, (State.INTENDED,), Lane.CALL, 1, safe=True)
_POST = Step(Runner._post, (State.INTENDED, State.SENT), Lane.CALL, 0, Share.CREATE, safe=True)
_POLL = Step(Runner._poll, (State.RUNNING, State.COMPLETED), Lane.CALL, 1, Share.POLL, safe=True)
_REFUND = Step(Runner._ask_refund, (State.FAILED,), Lane.CALL, 1, Share.POLL)
_DOWNLOAD = Step(Runner._download, (State.COMPLETED,), Lane.TRANSFER, 0, safe=True)
_TRY = Step(Runner._try_download, (State.RUNNING,), Lane.TRANSFER, 1)
_KNOWN = (TASK_COMPLETED, TASK_FAILED, "pending", "processing", "unknown")
