"""Sending a job: its media uploaded, its slot waited for, its create posted, and what the gateway answers to that.

Whatever is paid for is written down before (money rules 1 and 2).
"""

from __future__ import annotations

import logging

from ..gateway.client import Gateway
from ..gateway.contract import Accepted
from ..gateway.errors import APIMallError, BadRequest, NotReached, ProviderBusy, Refused, Throttled
from ..gateway.retry import Call, may_repeat
from ..journal.errors import JournalError
from ..journal.rows import Allowance, Held, Hindrance, Job, State
from ..stopping import Stopped
from . import failures, steps
from .attempts import Attempts
from .budget import Share
from .events import Event
from .following import Following
from .limits import over_limit
from .means import Means
from .uploads import Withdrawn
from .work import Phase, Work
from .works import Works

_log = logging.getLogger("apimall_video.jobs")

_SLOT_SECONDS = 0.5
_MOST_SLOT_PAUSES = 20


class Sending:
    """Of one account's orders."""

    def __init__(self, means: Means, works: Works, attempts: Attempts, following: Following) -> None:
        self._means = means
        self._works = works
        self._attempts = attempts
        self._following = following
        self._turned_away = 0

    # Before it is sent

    def look(self, work: Work, job: Job) -> None:
        """The step for an order with addresses: is there what it needs?"""
        order = work.order
        assert order is not None, "planned only with an order"
        for url in order.urls:
            work.show(Phase.STARTING, "looking at the address")
            try:
                self._means.urls.require_file(url, order.type, lambda: not work.tickets)
            except Stopped:
                raise Withdrawn from None
        self._works.plan(work, steps.first_of(order))

    def upload(self, work: Work, job: Job) -> None:
        """The step for an order with media; from its end on the bytes of the create are fixed."""
        order, scheduler = work.order, self._means.scheduler
        assert order is not None, "planned only with an order"
        self._means.results.require_deliverable()
        self._means.journal.clear_body(job)
        work.show(Phase.UPLOADING)

        def tell(fraction: float, note: str = "") -> None:
            work.show(Phase.UPLOADING, f"uploading: {note}" if note else None, fraction)

        done = self._means.uploads.upload_all(
            self._means.gateway(),
            order,
            stop=lambda: self._works.is_closed or not work.tickets,
            tell=tell,
            spend=lambda: scheduler.spend(Share.UPLOAD),
            hold_off=lambda seconds: scheduler.hold_off(Share.UPLOAD, seconds),
        )
        work.cached_uploads = done.cached
        self._means.observe(Event.UPLOADED, job)
        work.job = self._means.journal.set_body(job, order.request(done.urls).body())
        self._means.observe(Event.READY, work.job)
        self._works.plan(work, steps.SLOT)

    def wait_for_slot(self, work: Work, job: Job) -> None:
        """The step for a job that is ready."""
        work.require_wanted()
        # Looked at again before anything is sent, by who lives then.
        slots = self._means.journal.slots(job, self._means.max_jobs(), self._means.holders.alive_lately())
        if slots.free:
            self._works.plan(work, steps.POST)
        else:
            work.show_slots(slots)
            # Those far behind need not ask as often as the first in line: 200 of them would keep a core busy.
            self._works.plan(work, steps.SLOT, _SLOT_SECONDS * min(1 + slots.ahead, _MOST_SLOT_PAUSES))

    # The create

    def post(self, work: Work, job: Job) -> None:
        """The step that pays: the row says "sent" before anything leaves (money rule 1)."""
        if work.reply is not None:
            # The gateway answered already, and nobody could write it down.
            self._answered(work, job, work.reply)
            return
        # Whatever may hinder us comes before the row says that the POST has left.
        gateway = self._means.gateway()
        allowance = None
        if job.state is State.SENT:
            self._means.clocks.require_fresh(job)
        else:
            allowance = self._allowed(work, job)
        self._means.observe(Event.ALLOWED, job)
        self._commit(work)
        sent = self._begin_post(job, allowance)
        if isinstance(sent, Job):
            self._send(gateway, work, sent, is_again=job.state is State.SENT)
            return
        self._means.scheduler.give_back(Share.CREATE)
        if sent is None:
            # We were taken for dead, and another machine goes on with it; or its row is past being sent.
            self._works.plan(work, steps.BEGIN)
        else:
            self._held(work, sent, allowance)

    def _allowed(self, work: Work, job: Job) -> Allowance | None:
        """What may still be spent; raises where something keeps the job from being sent."""
        self._means.results.require_deliverable()
        if work.order is not None:
            self._attempts.require_unpaid(work.order, job)
        allowance = self._means.allowance()
        if work.prompt_budget is not None:
            price = self._means.journal.price(self._means.account, job.kind)
            work.prompt_budget.reserve(job.idempotency_key, price)
        return allowance

    def _commit(self, work: Work) -> None:
        """From here on the job is sent, even if every waiter leaves in this moment."""
        with work.lock:
            work.committed = work.committed or bool(work.tickets)
        if not work.committed:
            self._means.scheduler.give_back(Share.CREATE)
            raise Withdrawn

    def _begin_post(self, job: Job, allowance: Allowance | None) -> Job | Held | None:
        clocks, holders = self._means.clocks, self._means.holders
        return self._means.journal.begin_post(
            job,
            self._means.max_jobs(),
            holders.alive(),
            allowance,
            uptime=clocks.uptime(),
            boot=clocks.boot,
            holder=holders.own,
        )

    def _held(self, work: Work, held: Held, allowance: Allowance | None) -> None:
        """The plan, the day or the limit has no room for it after all."""
        work.committed, work.is_changed = False, True
        if allowance is not None and held.by is Hindrance.LIMIT:
            raise over_limit(held, allowance)
        if held.by is Hindrance.PRICE:
            work.show(Phase.WAITING, f"{Phase.WAITING.value} (for the bill of a job whose price is not known)")
        self._works.plan(work, steps.SLOT, _SLOT_SECONDS if held.by is Hindrance.PRICE else 0.0)

    def _send(self, gateway: Gateway, work: Work, sent: Job, *, is_again: bool) -> None:
        """`is_again`: an earlier POST with this key may have arrived."""
        assert sent.body is not None, "planned only with a body"
        work.job = sent
        work.show(Phase.SUBMITTING)
        self._means.observe(Event.SENT, sent)
        try:
            reply = gateway.create(sent.body, sent.idempotency_key)
        except APIMallError as failure:
            named = failures.accepted_in_conflict(failure)
            if named is None:
                self._post_failed(work, sent, failure, unsure=is_again)
                return
            reply = named
        self._answered(work, sent, reply)

    # What the gateway answers

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
        self._means.observe(Event.ANSWERED, sent)
        try:
            work.job = self._means.journal.accepted(sent, reply)
        except JournalError:
            work.job = failures.as_accepted(sent, reply)
            raise
        work.tell_budget()
        # Media are large, and what they were needed for is done.
        work.order = work.reply = None
        self._means.observe(Event.ACCEPTED, work.job)
        work.failures = self._turned_away = 0
        work.show(Phase.PENDING)
        self._following.anchor(work)
        self._following.plan_poll(work)

    def _post_failed(self, work: Work, job: Job, failure: APIMallError, *, unsure: bool) -> None:
        """`unsure`: an earlier POST with this key may have arrived, so only a task id can settle the job."""
        _log.info("the create of job %s: %s", job.id, failure)
        patient = isinstance(failure, Throttled | ProviderBusy)
        # A full plan is no matter of one job: were each to wait longer for itself, newer ones would come first.
        self._turned_away, work.failures = self._turned_away + patient, work.failures + (not patient)
        tries = self._turned_away if patient else work.failures
        pause = may_repeat(Call.CREATE, failure, tries, in_flight=unsure)
        if patient and pause is not None:
            self._means.scheduler.hold_off(Share.CREATE, pause.seconds)
        if not unsure and isinstance(failure, NotReached | Refused):
            if work.prompt_budget is not None:
                work.prompt_budget.give_back(job.idempotency_key)
            if isinstance(failure, Refused) and pause is None:
                self._reject(work, job, failure)
                return
            work.job = self._means.journal.not_sent(job)
            work.committed = False
        if pause is None:
            raise failures.unsettled(job, failure) if unsure else failure
        work.show(Phase.SUBMITTING, f"{Phase.SUBMITTING.value} again soon: {failure.what}")
        # All creates are held off for so long; then the first of them that was turned away is the first to go.
        step = steps.POST if work.committed else steps.SLOT
        self._works.plan(work, step, 0.0 if patient else self._means.clocks.seconds(pause))

    def _reject(self, work: Work, job: Job, refusal: Refused) -> None:
        if isinstance(refusal, BadRequest) and work.cached_uploads and work.order is not None:
            # An upload of an earlier day may be what the gateway could not read: upload anew, once.
            self._means.uploads.forget(work.cached_uploads)
            self._attempts.replace(work, work.order, lambda: self._means.journal.rejected(job, refusal))
            return
        work.job = self._means.journal.rejected(job, refusal)
        self._means.observe(Event.REJECTED, work.job)
        raise refusal
