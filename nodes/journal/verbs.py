"""The journal: every job on disk before it is paid, and after every step that matters.

Kept in an SQLite file, or in a PostgreSQL database that several machines share; a committed row survives a power cut.
All writing goes through short transactions that let no other process in between, so that all that share a journal agree
(rule 4 of `docs/rules.md`). Every verb reads the row anew before it writes: what its caller holds may be old.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..gateway.contract import Accepted, Task
from ..gateway.errors import APIMallError
from ..remarks import Remark, Sentence, remark
from . import accounts, adopted, forgetting, holding, plan, uploaded
from .accounts import Other
from .columns import NO_ENDING, completed_columns, credits_columns, is_behind, problem_columns
from .errors import JournalDamaged
from .job_statements import (
    AWAY,
    DELIVER,
    GET,
    REFUNDS_DUE,
    RESUMABLE,
    WAITING,
)
from .location import make_folder
from .postgres import Address
from .presence import Holders, Presence
from .reads import BY_TASK, attempts, deliveries, job_of, latest, one, price, runs
from .request_budget import TokenFile, TokenStore
from .rows import Allowance, Delivery, Held, Intent, Job, Kind, Parking, Run, Slots, State
from .salvage import rebuild, set_aside
from .shared_database import Database as Shared
from .shared_presence import SharedHolders
from .shared_tokens import SharedTokens
from .sqlite_file import Database
from .statements import Statement
from .store import Place, Store
from .transfer import beyond, copy
from .writer import Writer, there

_log = logging.getLogger("apimall_video.jobs")


class Journal:
    """The jobs of all accounts of one ComfyUI user folder, or of a studio. Thread-safe; open one per process.

    Raises SetupError when it was written by a newer version of the pack, or cannot be opened; every verb raises
    JournalError when it cannot be read or written. A corrupt file is set aside under a name of its own (`set_aside`
    tells which), never deleted; the `salvaged` jobs that can still be read from it go on in the new one.
    """

    def __init__(self, place: Place, *, clock: Callable[[], float] = time.time) -> None:
        """`place`: an SQLite file, or the address of a PostgreSQL database."""
        self.place = place
        self.set_aside: Path | None = None
        self.salvaged = 0
        self._clock = clock
        self._store: Store
        if isinstance(place, Address):
            self._store = Shared(place)
        else:
            make_folder(place.parent)
            self._store = Database(place, lambda damage: self._begin_anew(place, damage))
        self._writer = Writer(self._store, clock)

    @property
    def replacements(self) -> int:
        """How often another file took the place of the one that was open, as far as that can be told."""
        return self._store.replacements

    @property
    def notice(self) -> Remark | None:
        """What its users should know of the file; None as long as all is well."""
        if self.set_aside is None:
            return None
        return remark(Sentence.JOURNAL_DAMAGED, kept=self.set_aside.name, jobs=self.salvaged)

    def require_sound(self) -> None:
        """Wait until the whole file was read once, and what is damaged has been replaced."""
        self._store.require_sound()

    def presence(self, folder: Path) -> Presence:
        """The processes at work on this journal; those on a file are known by locks in `folder`. Raises SetupError."""
        if isinstance(self._store, Shared):
            return SharedHolders(self._store)
        return Holders(folder)

    def tokens(self, path: Path) -> TokenStore:
        """What all that are at work on this journal may still send; those on a file share the file `path`."""
        return SharedTokens(self._store) if isinstance(self._store, Shared) else TokenFile(path)

    def take_along(self, other: Journal) -> int:
        """Know every job of another journal from here on; gives how many were new. Nothing is deleted there."""
        return copy(other._store, self._store)

    def beyond(self, job_id: int) -> tuple[int, int]:
        """How many jobs of real accounts are numbered higher, and the highest number of them; 0 where there is none."""
        return beyond(self._store, job_id)

    def close(self) -> None:
        """Close the file; the journal cannot be used afterwards."""
        self._store.close()

    # Reading

    def get(self, job_id: int) -> Job:
        """The row that has this number now; whoever has had a job in hand for a while asks `current`."""
        return there(job_id, self._one(GET, job_id=job_id))

    def current(self, job: Job) -> Job:
        """The row of a job as it is now, by its key: a backup in the place of a journal gives rows' numbers anew.

        What the backup does not know of the job is told to it, so that it is not paid again.
        """
        now = self._writer.by_key(job)
        if now is not None and not is_behind(now, job):
            return now
        with self._store.transaction():
            return self._writer.now(job)

    def by_task(self, account: str, task_id: str) -> Job | None:
        """The job with this task id."""
        return self._one(BY_TASK, account=account, task_id=task_id)

    def newest_uncollected(self, account: str) -> Job | None:
        """The newest job with a task id that nobody was handed: one that is not at home yet, else one that is."""
        return self._newest(AWAY, account) or self._newest(WAITING, account)

    def collected(self, job: Job) -> Job:
        """Somebody was handed its clip."""
        with self._store.transaction():
            return self._writer.change(self._writer.now(job).id, collected_at=self._clock())

    def resumable(self, account: str, since: float) -> list[Job]:
        """Jobs that the gateway has and that were never brought home, alive after `since`, oldest first.

        Also older ones that nobody was told of yet, and those of a clock that was not set: their age is not known.
        Also those whose create it knows already (a 409): the same create asks for their task, and buys nothing.
        """
        return self._all(RESUMABLE, account=account, since=since)

    def refunds_due(self, account: str, since: float) -> list[Job]:
        """Jobs that failed after `since` and whose credits have not all come back, oldest first."""
        return self._all(REFUNDS_DUE, account=account, since=since)

    def tidy(self, account: str, alive: Collection[str], own: str, in_hand: Collection[Job] = ()) -> None:
        """Let go of what dead processes held, and of what `own` is said to hold beside the jobs it has `in_hand`.

        What they had not sent is nobody's any more.
        """
        holding.tidy(self._store, account, alive, own, {job.idempotency_key for job in in_hand})

    def deliveries(self, job: Job) -> list[Delivery]:
        """Where the clip of a job was delivered to, newest first."""
        return deliveries(self._store.select, job)

    def runs(self, account: str, kind: Kind, most: int = 20) -> list[Run]:
        """What the newest finished jobs of a kind took, newest first."""
        return runs(self._store.select, account, kind, most)

    def price(self, account: str, kind: Kind) -> float | None:
        """What a job of a kind costs by the newest bills, None as long as there is none."""
        return price(self._store.select, account, kind)

    def standing(self, intent: Intent) -> Job | None:
        """The attempt that stands for what is asked for, None when another one is to be made."""
        return _standing(self._attempts(intent))

    # Accounts

    def know_account(self, account: str, base_url: str) -> None:
        """An account that is in use, and the jobs of all that are the same under its name."""
        accounts.know(self._store, account, base_url, self._clock())
        accounts.gather(self._store, account)

    def members(self, account: str) -> list[str]:
        """All names of an account by its owner's word, this one first."""
        return accounts.members(self._store.select, account)

    def others(self, account: str) -> list[Other]:
        """Accounts with jobs that may be this one under another key."""
        return accounts.others(self._store.select, account)

    def same_account(self, account: str, other: str) -> None:
        """Their owner says that both are one: its jobs go on under the name `account`."""
        accounts.same(self._store, account, other)

    def another_account(self, account: str, other: str) -> None:
        """Their owner says that they are two: they never meet."""
        accounts.strange(self._store, account, other)

    # The life of a job, in the order of its steps

    def intend(self, intent: Intent) -> Job:
        """The row for what is asked for, made if need be; an attempt that owes nothing is followed by a new one."""
        with self._store.transaction():
            found = self._attempts(intent)
            if (known := _standing(found)) is not None:
                return known
            before = max((job.attempt for job in found), default=0)
            columns = asdict(intent)
            del columns["earlier"]
            return self._writer.insert(**columns, attempt=before + 1, state=State.INTENDED)

    def adopt_task(self, account: str, task_id: str) -> Job:
        """The row for a task id from anywhere; a new one when this journal did not make the job."""
        return adopted.adopt(self._writer, account, task_id)

    def seen(self, job: Job) -> None:
        """The gateway knows the task of a row of `adopt_task`."""
        adopted.seen(self._writer, job)

    def forget_task(self, job: Job) -> bool:
        """Drop a row of `adopt_task` whose id the gateway does not know; False for one that it knew once.

        Jobs of our own are never dropped.
        """
        return adopted.forget(self._writer, job)

    def claim(self, job: Job, holder: str, alive: Collection[str] | None = None) -> Job | None:
        """The row, now held by `holder`, who goes on with it; None while another living holder has it.

        `alive`: those that live; None: whoever has it is taken for alive.
        """
        return holding.claim(self._writer, job, holder, alive)

    def release(self, job: Job, holder: str) -> None:
        """Let any process take the job up."""
        holding.release(self._store, job, holder)

    def slots(self, job: Job, limit: int, alive: Collection[str]) -> Slots:
        """Whether `job` may be sent now: slots go to the oldest waiting job first."""
        return plan.slots(self._store.select, job, limit, alive)

    def yield_slot(self, job: Job) -> Job:
        """The job takes no slot of the plan any more, and is followed as ever."""
        with self._store.transaction():
            return self._writer.change(self._writer.now(job).id, step="slot given back", yielded_at=self._clock())

    def clear_body(self, job: Job) -> Job:
        """Forget the body of a job that was certainly not sent: its uploads may have expired since."""
        with self._store.transaction():
            now = self._writer.now(job)
            return self._writer.change(now.id, body=None) if now.state is State.INTENDED else now

    def set_body(self, job: Job, body: bytes) -> Job:
        """Fix the bytes of the paid request, once; from here on they never change."""
        with self._store.transaction():
            now = self._writer.now(job)
            return now if now.body is not None else self._writer.change(now.id, body=body)

    def begin_post(
        self,
        job: Job,
        limit: int,
        alive: Collection[str],
        allowance: Allowance | None = None,
        *,
        uptime: float | None = None,
        boot: str | None = None,
        holder: str | None = None,
    ) -> Job | Held | None:
        """Commit that the POST is about to leave, or say what keeps it here: nothing is promised before this.

        None is given back, and nothing is written, when it is not to be sent any more: another than `holder` has taken
        it over, or it was answered, refused or closed meanwhile.
        `limit`: slots of the plan. `allowance`: what may still be spent, None for anything. `uptime` and `boot`: a
        second clock, by which its age can be told. After an end that was none it waits until the whole file is known to
        be sound: what a damaged one does not tell of would be paid again, as would what is written where nobody can
        read it later.
        """
        self._store.require_sound(if_doubtful=True)
        with self._store.transaction():
            self._store.require_lasting()
            now = self._writer.now(job)
            if (holder is not None and now.holder != holder) or not now.state.may_become(State.SENT):
                return None
            moment = self._clock()
            held = None
            if now.state is State.INTENDED:
                held = plan.hindrance(self._store, now, moment, limit=limit, alive=alive, allowance=allowance)
            if held is not None:
                return held
            told: dict[str, Any] = {"posts": now.posts + 1}
            if now.sent_at is None:
                told |= {"sent_at": moment, "sent_uptime": uptime, "sent_boot": boot}
            return self._writer.move(now, State.SENT, step=f"post {now.posts + 1}", **told)

    def not_sent(self, job: Job) -> Job:
        """Take `begin_post` back: it is certain that nothing left this machine, now or before."""
        with self._store.transaction():
            return self._writer.move(
                self._writer.now(job), State.INTENDED, step="not sent", sent_at=None, sent_uptime=None, sent_boot=None
            )

    def accepted(self, job: Job, reply: Accepted) -> Job:
        """The gateway has the job, and the account is charged. What its id alone brought home before is this job's."""
        with self._store.transaction():
            now, known = self._writer.now(job), self.by_task(job.account, reply.task_id)
            if known is not None and known.id != now.id and known.is_settled_stranger:
                adopted.hand_on(self._store, known, now)
            return self._writer.move(
                now,
                State.RUNNING,
                step="accepted",
                task_id=reply.task_id,
                request_id=reply.request_id,
                provider_request_id=reply.provider_request_id,
                credits_used=reply.credits_used,
                credits_left=reply.remaining_credits,
                accepted_at=self._clock(),
            )

    def rejected(self, job: Job, refusal: APIMallError) -> Job:
        """The gateway never took the job."""
        with self._store.transaction():
            return self._writer.move(
                self._writer.now(job),
                State.REJECTED,
                step="rejected",
                detail=refusal.what,
                ended_at=self._clock(),
                holder=None,
                request_id=refusal.request_id,
                **problem_columns("ending", refusal, self._clock()),
            )

    def completed(self, job: Job, task: Task) -> Job:
        """The gateway finished the job; one that was given up for lost has not ended that way after all."""
        with self._store.transaction():
            now = self._writer.now(job)
            told = completed_columns(now, task, self._clock()) | NO_ENDING
            return self._writer.move(now, State.COMPLETED, step="completed", **told)

    def delivered(self, job: Job, delivery: Delivery, video_url: str, *, collected: bool = False) -> Job:
        """The file is on disk, whole, in the folder that `delivery` names. `collected`: it goes to somebody at once."""
        with self._store.transaction():
            now = self._writer.now(job)
            told = {"job_id": now.id, "delivered_at": self._clock(), **asdict(delivery)}
            return self._writer.change(
                now.id,
                step="delivered",
                beside={DELIVER: {f"delivery_{name}": value for name, value in told.items()}},
                state=State.COMPLETED if now.state is State.RUNNING else now.state,
                holder=None,
                parked=None,
                video_url=video_url,
                file=now.file or delivery.file,
                delivered_at=now.delivered_at or self._clock(),
                collected_at=now.collected_at or (self._clock() if collected else None),
            )

    def knows_completed(self, job: Job, task: Task) -> bool:
        """Whether the row tells already what `completed` would write."""
        told = completed_columns(job, task, self._clock())
        return job.state is State.COMPLETED and all(getattr(job, name) == value for name, value in told.items())

    def expired(self, job: Job, failure: APIMallError) -> Job:
        """The gateway made the clip and no longer has it; what was delivered stays where it is."""
        with self._store.transaction():
            return self._writer.move(
                self._writer.now(job),
                State.EXPIRED,
                step="expired",
                detail=failure.what,
                holder=None,
                **problem_columns("ending", failure, self._clock()),
            )

    def failed(self, job: Job, task: Task, failure: APIMallError) -> Job:
        """The gateway ended the job."""
        with self._store.transaction():
            now = self._writer.now(job)
            return self._writer.move(
                now,
                State.FAILED,
                step="failed",
                detail=failure.what,
                ended_at=self._clock(),
                holder=None,
                **problem_columns("ending", failure, self._clock()),
                **credits_columns(now, task),
            )

    def refunded(self, job: Job, task: Task) -> Job:
        """A later look at a failed job: refunds lag."""
        with self._store.transaction():
            now = self._writer.now(job)
            return self._writer.change(now.id, step="refund read again", **credits_columns(now, task))

    def close_job(self, job: Job, alive: Collection[str]) -> Job:
        """Its owner has no more questions about a job that is not settled; unchanged while a living holder has it."""
        with self._store.transaction():
            now = self._writer.now(job)
            if now.holder in alive:
                return now
            return self._writer.move(now, State.CLOSED, step="closed", ended_at=self._clock())

    def star(self, job: Job, on: bool) -> Job:
        """Make it a favourite, or no favourite any more."""
        with self._store.transaction():
            return self._writer.change(self._writer.now(job).id, starred_at=self._clock() if on else None)

    def park(self, job: Job, holder: str, why: Parking, problem: APIMallError | None = None) -> Job | None:
        """`holder` no longer goes on with the job of its own accord; what becomes of it is not settled.

        None, and nothing is written, when the job has ended or somebody else has it.
        """
        told = {} if problem is None else problem_columns("problem", problem, self._clock())
        return holding.park(self._writer, job, holder, why, "" if problem is None else problem.what, told)

    def sure_moment(self, account: str) -> float:
        """It is later than this: jobs were sent then, and a day after it, too. 0 where there are no two such days."""
        return forgetting.sure_moment(self._store, account, self._clock())

    def forget_before(self, account: str, moment: float, most: int = 500) -> int:
        """Drop up to `most` jobs that were settled before `moment`; gives how many. Queued again they would be paid
        again. What is unfinished, uncertain or not refunded stays, and what a clock that was not set has dated.
        """
        return forgetting.forget_before(self._store, account, moment, most)

    # Uploads

    def uploaded(self, account: str, digest: str, since: float) -> str | None:
        """The public URL of a file uploaded after `since`."""
        return uploaded.url(self._store.select, account, digest, since)

    def remember_upload(self, account: str, digest: str, url: str) -> None:
        """Keep an upload for other jobs with the same medium."""
        uploaded.remember(self._store, account, digest, url, self._clock())

    def forget_upload(self, account: str, digest: str) -> None:
        """The gateway or the world can no longer read this upload."""
        uploaded.forget(self._store, account, digest)

    # Plumbing

    def _attempts(self, intent: Intent) -> list[Job]:
        return attempts(self._store.select, intent.account, (intent.identity, *intent.earlier))

    def _begin_anew(self, path: Path, damage: JournalDamaged) -> None:
        kept = set_aside(path, self._clock())
        self.salvaged = rebuild(kept, path)
        self.set_aside = kept
        _log.error(
            "the journal was damaged (%s); it is kept as %s, a new one begins with the %s jobs it still gave out",
            damage,
            kept,
            self.salvaged,
        )

    def _one(self, statement: Statement, **values: object) -> Job | None:
        return one(self._store.select(statement, **values))

    def _newest(self, statement: Statement, account: str) -> Job | None:
        """The newest that is found under any name of the account."""
        found = [self._one(statement, account=name) for name in self.members(account)]
        return max((job for job in found if job is not None), key=lambda job: job.id, default=None)

    def _all(self, statement: Statement, **values: object) -> list[Job]:
        return [job_of(row) for row in self._store.select(statement, **values)]


def _standing(found: Sequence[Job]) -> Job | None:
    before = latest(found)
    return None if before is None or before.may_be_attempted_anew else before
