"""One step of one job: its row taken in hand, the step taken, and what is made of whatever goes wrong.

Who holds a job is in its row; who only watches it is told of changes by `presence`, or looks again now and then.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from ..gateway.errors import APIMallError, Charge, SetupError
from ..journal.errors import JournalAway, JournalError
from ..journal.presence import machine
from ..journal.rows import Job, State
from . import failures, steps
from .means import Means
from .scheduler import Scheduled
from .steps import Step
from .uploads import Withdrawn
from .work import Phase, Work
from .works import Works

_log = logging.getLogger("apimall_video.jobs")

_JOURNAL_PAUSE_SECONDS = 1.0
_LONGEST_JOURNAL_PAUSE_SECONDS = 5.0
_MOST_CLAIMS = 3


class Turns:
    """`ways`: how each step is taken. `look_through`: what is done when another journal took the place of ours."""

    def __init__(
        self,
        means: Means,
        works: Works,
        ways: Mapping[Step, Callable[[Work, Job], None]],
        look_through: Callable[[], None],
    ) -> None:
        self._means = means
        self._works = works
        self._ways = ways
        self._look_through = look_through
        self._journals_seen = means.journal.replacements

    def take(self, work: Work, step: Step) -> None:
        """Never raises: a bug or a full disk ends a wait, never the job or the thread."""
        try:
            job = self._claim(work, step)
        except JournalError as problem:
            self._not_claimed(work, step, problem)
            return
        try:
            self._go(work, step, job)
        except Withdrawn:
            self._works.drop(work)
        except SetupError as obstacle:
            self._works.fail(work, failures.hindered(work.job, obstacle))
        except APIMallError as failure:
            self._works.fail(work, failure)
        except JournalAway as problem:
            self._cut_off(work, problem)
        except JournalError as problem:
            self._stumbled(work, failures.unwritten(work.job, problem))
        except Exception as surprise:  # noqa: BLE001
            # The boundary of the thread.
            _log.exception("a step of job %s went wrong", work.job.id)
            self._stumbled(work, failures.surprised(work.job, surprise))
        if self._works.is_closed and step is steps.POST and work.job.state is not State.SENT:
            # Who took over when this runner was closed saw a row that was sent, and nothing to follow.
            self._means.hand_on(work.job)

    def is_watching(self) -> bool:
        """Whether anybody waits for what others have: a job, or a slot."""
        return any(work.phase in (Phase.ELSEWHERE, Phase.WAITING) for work in self._works.all())

    def told(self, job_id: int | None) -> None:
        """Another machine changed a job, or, None, may have changed any, died, or the database is back."""
        for work in self._works.all():
            work.is_changed = work.is_changed or job_id in (None, work.job.id)
            waits = work.cut_off or work.phase is Phase.ELSEWHERE
            if waits and job_id in (None, work.job.id):
                self._works.hasten(work)
        if job_id is None:
            self._works.let_go_of_what_is_left()

    def _go(self, work: Work, step: Step, job: Job | None) -> None:
        work.claims, work.cut_off = 0, False
        if job is None:
            self._watch(work)
        elif job.state not in step.states:
            self._works.plan(work, steps.BEGIN)
        else:
            work.job = job
            self._ways[step](work, job)

    def _watch(self, work: Work) -> None:
        """Another process has the job: wait for what it writes."""
        work.committed = True
        there = work.job.machine
        work.show(Phase.ELSEWHERE, f"{Phase.ELSEWHERE.value} (on {there})" if there not in (None, machine()) else None)
        self._works.plan(work, steps.BEGIN, self._means.holders.watched_seconds)

    def _claim(self, work: Work, step: Step) -> Job | None:
        """The row, if it is or becomes ours; who lives is asked only where somebody else has it.

        It is not read again where we would have been told of a change, before a step that is `safe`.
        """
        journal, holders = self._means.journal, self._means.holders
        own = holders.own
        if work.job.holder == own and step.safe and holders.tells and not work.is_changed:
            return work.job
        work.is_changed = False
        # Free when it was read last, just now as a rule: then that it still is need not be asked before it is taken.
        is_free = work.job.holder is None and work.phase is not Phase.ELSEWHERE
        if is_free and (taken := journal.claim(work.job, own)) is not None:
            work.job = taken
            self._notice_another_journal()
            return taken
        now = work.job = journal.current(work.job)
        self._notice_another_journal()
        if now.holder == own:
            return now
        if now.holder is None:
            return journal.claim(now, own)
        if work.phase is Phase.ELSEWHERE and now.holder in holders.alive_lately():
            return None
        alive = holders.alive()
        return None if now.holder in alive else journal.claim(now, own, alive)

    def _notice_another_journal(self) -> None:
        if self._means.journal.replacements != self._journals_seen:
            self._journals_seen = self._means.journal.replacements
            self._means.scheduler.put(Scheduled(self._look_through, self._means.clocks.monotonic()))

    # What goes wrong

    def _not_claimed(self, work: Work, step: Step, problem: JournalError) -> None:
        """Nothing was done. Who only watches what another process does goes on watching."""
        work.claims += 1
        if isinstance(problem, JournalAway) and work.phase is not Phase.ELSEWHERE and work.claims >= _MOST_CLAIMS:
            self._cut_off(work, problem)
        elif work.phase is Phase.ELSEWHERE or work.claims < _MOST_CLAIMS:
            _log.info("job %s could not be taken in hand, trying again: %s", work.job.id, problem)
            pause = min(_JOURNAL_PAUSE_SECONDS * work.claims, _LONGEST_JOURNAL_PAUSE_SECONDS)
            self._works.plan(work, step, pause)
        else:
            self._stumbled(work, failures.unwritten(work.job, problem))

    def _cut_off(self, work: Work, problem: JournalAway) -> None:
        """The database is away: what was sent is gone on with once it is back, nothing new is sent without it."""
        if work.job.charge is Charge.NOT_SENT:
            self._works.fail(work, failures.unwritten(work.job, problem))
            return
        work.cut_off = True
        work.show(work.phase, f"{work.phase.value}; the journal's database does not answer ({problem}), trying again")
        self._works.plan(work, steps.BEGIN, _LONGEST_JOURNAL_PAUSE_SECONDS)

    def _stumbled(self, work: Work, failure: APIMallError) -> None:
        """Something here went wrong, not the job: who waits is told, and what the gateway has is followed on."""
        is_there = work.reply is not None or work.job.state in (State.RUNNING, State.COMPLETED)
        if is_there and work.job.delivered_at is None:
            self._works.put_off(work, failure)
        else:
            self._works.fail(work, failure)
