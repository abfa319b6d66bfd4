"""Which attempt stands for an order, and how those who wait for one go on with the next (money rule 3)."""

from __future__ import annotations

from collections.abc import Callable

from ..gateway.errors import Charge
from ..journal.rows import Intent, Job, State
from . import failures, steps
from .events import Event
from .means import Means
from .order import Order
from .work import Work
from .works import Works

_PAUSE_SECONDS = 0.5


class Attempts:
    """Of one account's orders."""

    def __init__(self, means: Means, works: Works) -> None:
        self._means = means
        self._works = works

    def intent(self, order: Order) -> Intent:
        """What the journal is asked for, by all names that the account has now."""
        return order.intent(*self._means.journal.members(self._means.account))

    def require_no_equal(self, order: Order, *, about_to_be_sent: bool = True) -> None:
        """Before an order is paid: raises SetupError when it was paid with a key that may be of this very account.

        `about_to_be_sent`: also when somebody has it in hand, and has not sent it yet.
        """
        journal = self._means.journal
        others = journal.others(self._means.account)
        if not others:
            return
        alive = self._means.holders.alive() if about_to_be_sent else frozenset()
        equal = [journal.standing(order.intent(*journal.members(other.account))) for other in others]
        if any(job is not None and (job.charge is not Charge.NOT_SENT or job.holder in alive) for job in equal):
            raise failures.known_elsewhere(sum(other.jobs for other in others), sum(each.unfinished for each in others))

    def require_unpaid(self, order: Order, job: Job) -> None:
        """Others may have paid for it, or the owner joined two accounts, while it waited: raises SetupError."""
        self.require_no_equal(order, about_to_be_sent=False)
        standing = self._means.journal.standing(self.intent(order))
        if standing is not None and standing.idempotency_key != job.idempotency_key:
            raise failures.paid_meanwhile(standing)

    def begun_elsewhere(self, work: Work, job: Job) -> Order | None:
        """What another process began a new attempt for, while we watched this one."""
        newest = None if work.order is None else self._means.journal.standing(self.intent(work.order))
        return work.order if newest is not None and newest.idempotency_key != job.idempotency_key else None

    def follow_anew(self, work: Work, job: Job, order: Order) -> None:
        """Go on with the attempt that another process began after this one."""
        work.require_wanted()
        with self._works.lock:
            newest = self._means.journal.intend(self.intent(order))
            if self._works.of(newest) is not None:
                # There cannot be two works for one row: what comes of that one is looked at when it is done.
                self._works.plan(work, steps.BEGIN, _PAUSE_SECONDS)
            else:
                self.replace(work, order, lambda: job)

    def replace(self, work: Work, order: Order, settle: Callable[[], Job]) -> None:
        """Go on with a new attempt for the same waiters once `settle` wrote that nothing is owed for the old one."""
        with self._works.lock:
            # Under the lock: were the same order submitted in between, there would be two works for its row.
            old = settle()
            self._works.take_out(old)
            work.job = self._means.journal.intend(self.intent(order))
            # Who watches the old one from another process goes on with the new one, too.
            self._means.journal.release(old, self._means.holders.own)
            work.committed, work.failures, work.cached_uploads = False, 0, ()
            self._works.begin(work)
        self._means.observe(Event.REJECTED if old.state is State.REJECTED else Event.REFUNDED, old)
