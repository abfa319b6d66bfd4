"""The journal: every job on disk before it is paid, and after every step that matters.

Kept in an SQLite file, or in a PostgreSQL database that several machines share; a committed row survives a power cut.
All writing goes through short transactions that let no other process in between, so that all that share a journal agree
(rule 4 of `docs/rules.md`). Every verb reads the row anew before it writes: what its caller holds may be old.
"""

from __future__ import annotations

import functools
import logging
import time
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any

import sqlalchemy as sa

from ..gateway.contract import Accepted, Task
from ..gateway.errors import APIMallError
from ..remarks import Remark, Sentence, remark
from . import accounts
from .accounts import Other
from .errors import JournalDamaged, JournalError
from .location import make_folder
from .postgres import Address
from .postgres import Database as Shared
from .presence import Holders, Presence, machine_of
from .reads import (
    BY_TASK,
    OURS,
    REFUND_DUE,
    UNCOLLECTED,
    UNFINISHED,
    attempts,
    deliveries,
    job_of,
    latest,
    one,
    price,
    runs,
    through,
)
from .request_budget import TokenFile, TokenStore
from .rows import (
    COLUMNS,
    FIRST_DAY,
    PROBLEM_COLUMNS,
    Allowance,
    Delivery,
    Held,
    Hindrance,
    Intent,
    Job,
    Kind,
    Parking,
    Problem,
    Run,
    Slots,
    State,
)
from .salvage import rebuild, set_aside
from .shared_presence import SharedHolders
from .shared_tokens import SharedTokens
from .spending import hindrance
from .sqlite_file import Database
from .statements import Given, Saying, Statement, Tongue
from .store import Place, Store
from .tables import deliveries as deliveries_table
from .tables import jobs, steps, uploads
from .transfer import beyond, copy

_log = logging.getLogger("apimall_video.jobs")

_WRITTEN_AGAIN = "written again: the journal was replaced"
_ROWS_OWN = ("id", "account", "identity", "attempt", "idempotency_key", "starred_at")
_THIS = jobs.c.id == Given("job_id")
_NEWEST = jobs.c.id.desc()
_DAY_SECONDS = 86_400.0
_TIMES = ("created_at", "sent_at", "accepted_at", "ended_at", "delivered_at")
"""A job is as old as what happened to it last: what was written down may wait for weeks until it is sent."""


def _held_by_none(say: Saying) -> sa.ColumnElement[bool]:
    return sa.and_(
        OURS,
        UNFINISHED,
        sa.or_(
            jobs.c.holder.is_(None),
            jobs.c.holder.not_in(say.each("alive")),
            sa.and_(jobs.c.holder == Given("own"), jobs.c.idempotency_key.not_in(say.each("keys"))),
        ),
    )


_GET = Statement(lambda say: sa.select(jobs).where(_THIS))
_BY_KEY = Statement(lambda say: sa.select(jobs).where(jobs.c.idempotency_key == Given("key")))
_AWAY = Statement(
    lambda say: (
        sa.select(jobs).where(OURS, sa.text("state IN ('running', 'completed')"), UNFINISHED).order_by(_NEWEST).limit(1)
    )
)
_WAITING = Statement(lambda say: sa.select(jobs).where(OURS, UNCOLLECTED).order_by(_NEWEST).limit(1))
_RESUMABLE = Statement(
    lambda say: (
        sa.select(jobs)
        .where(
            OURS,
            sa.text(
                "(state IN ('running', 'completed')"
                " OR state = 'sent' AND parked = 'uncertain' AND problem_kind = 'KeyConflict')"
            ),
            UNFINISHED,
            sa.or_(
                *(jobs.c[name] >= Given("since") for name in _TIMES),
                jobs.c.created_at < FIRST_DAY,
                jobs.c.parked.is_(None),
            ),
        )
        .order_by(jobs.c.id)
    )
)
_REFUNDS_DUE = Statement(
    lambda say: (
        through("jobs_refund_due").where(OURS, REFUND_DUE, jobs.c.ended_at >= Given("since")).order_by(jobs.c.ended_at)
    )
)
_ANY_LEFT = Statement(lambda say: sa.select(jobs.c.id).where(_held_by_none(say)).limit(1))
_LET_GO = Statement(
    lambda say: (
        sa.update(jobs)
        .where(_held_by_none(say))
        .values(
            holder=sa.null(),
            parked=sa.case((jobs.c.state == State.INTENDED.value, Parking.WITHDRAWN.value), else_=jobs.c.parked),
        )
    )
)
_SEEN = "known to the gateway"
_STEP_NAMES = Statement(lambda say: sa.select(steps.c.step).where(steps.c.job_id == Given("job_id")))
_DROP_STEPS = Statement(lambda say: sa.delete(steps).where(steps.c.job_id == Given("job_id")))
_DROP_ADOPTED = Statement(lambda say: sa.delete(jobs).where(_THIS, jobs.c.posts == 0, jobs.c.type == ""))
_HAND_ON = Statement(
    lambda say: (
        sa.update(deliveries_table).where(deliveries_table.c.job_id == Given("job_id")).values(job_id=Given("to"))
    )
)
_RELEASE = Statement(
    lambda say: (
        sa.update(jobs)
        .where(jobs.c.idempotency_key == Given("key"), jobs.c.holder == Given("holder"))
        .values(holder=sa.null())
    )
)
_SLOTS = Statement(
    lambda say: (
        sa.select(jobs.c.id, jobs.c.task_id, jobs.c.holder, jobs.c.state)
        .where(
            OURS,
            jobs.c.id != Given("job_id"),
            sa.text("state IN ('intended', 'sent', 'running')"),
            UNFINISHED,
            jobs.c.holder.in_(say.each("alive")),
            sa.or_(
                sa.and_(jobs.c.state == State.INTENDED.value, jobs.c.body.is_not(None), jobs.c.id < Given("job_id")),
                sa.and_(jobs.c.state != State.INTENDED.value, jobs.c.yielded_at.is_(None)),
            ),
        )
        .order_by(jobs.c.id)
    )
)
_DELIVER = Statement(lambda say: say.put(deliveries_table, "job_id", "folder", keep=(), given="delivery"))
_SETTLED_IDS = Statement(
    lambda say: (
        sa.select(jobs.c.id)
        .where(
            OURS,
            jobs.c.created_at >= FIRST_DAY,
            *(sa.or_(jobs.c[name].is_(None), jobs.c[name] < Given("moment")) for name in _TIMES),
            sa.or_(
                sa.text("state IN ('expired', 'rejected', 'closed')"),
                sa.text("state = 'completed' AND delivered_at IS NOT NULL"),
                sa.and_(jobs.c.state == State.FAILED.value, sa.text(f"NOT {REFUND_DUE.text}")),
            ),
        )
        .order_by(jobs.c.id)
        .limit(Given("most"))
    )
)

_LAST_SENT = Statement(
    lambda say: through("jobs_by_sending", sa.func.max(jobs.c.sent_at).label("at")).where(
        OURS, jobs.c.sent_at <= Given("moment")
    )
)


def _dropping(column: sa.Column[int]) -> Statement:
    return Statement(lambda say: sa.delete(column.table).where(column.in_(say.each("ids"))))


_DROPS = tuple(map(_dropping, (steps.c.job_id, deliveries_table.c.job_id, jobs.c.id)))
_UPLOADED = Statement(
    lambda say: sa.select(uploads.c.url).where(
        uploads.c.account == Given("account"),
        uploads.c.digest == Given("digest"),
        uploads.c.uploaded_at >= Given("since"),
    )
)
_REMEMBER_UPLOAD = Statement(lambda say: say.put(uploads, "account", "digest", keep=()))
_FORGET_UPLOAD = Statement(
    lambda say: sa.delete(uploads).where(uploads.c.account == Given("account"), uploads.c.digest == Given("digest"))
)
_NOTE = Statement(
    lambda say: sa.insert(steps).values(
        {each.name: Given(f"new_{each.name}") for each in steps.c if each.name != "rowid"}
    )
)


@functools.cache
def _changing(names: tuple[str, ...]) -> Statement:
    values = {name: Given(f"new_{name}", type_=jobs.c[name].type) for name in names}

    def say(saying: Saying) -> sa.ClauseElement:
        # SQLite learned to give the row only of late (3.35).
        change = sa.update(jobs).where(_THIS).values(values)
        return change.returning(*jobs.c) if saying.tongue is Tongue.POSTGRES else change

    return Statement(say)


@functools.cache
def _inserting(names: tuple[str, ...]) -> Statement:
    values = {name: Given(f"new_{name}", type_=jobs.c[name].type) for name in names}

    def say(saying: Saying) -> sa.ClauseElement:
        insertion = sa.insert(jobs).values(values)
        return insertion.returning(*jobs.c) if saying.tongue is Tongue.POSTGRES else insertion

    return Statement(say)


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
        return self._there(job_id, self._one(_GET, job_id=job_id))

    def current(self, job: Job) -> Job:
        """The row of a job as it is now, by its key: a backup in the place of a journal gives rows' numbers anew.

        What the backup does not know of the job is told to it, so that it is not paid again.
        """
        now = self._one(_BY_KEY, key=job.idempotency_key)
        if now is not None and not _is_behind(now, job):
            return now
        with self._store.transaction():
            return self._now(job)

    def by_task(self, account: str, task_id: str) -> Job | None:
        """The job with this task id."""
        return self._one(BY_TASK, account=account, task_id=task_id)

    def newest_uncollected(self, account: str) -> Job | None:
        """The newest job with a task id that nobody was handed: one that is not at home yet, else one that is."""
        return self._newest(_AWAY, account) or self._newest(_WAITING, account)

    def collected(self, job: Job) -> Job:
        """Somebody was handed its clip."""
        with self._store.transaction():
            return self._change(self._now(job).id, collected_at=self._clock())

    def resumable(self, account: str, since: float) -> list[Job]:
        """Jobs that the gateway has and that were never brought home, alive after `since`, oldest first.

        Also older ones that nobody was told of yet, and those of a clock that was not set: their age is not known.
        Also those whose create it knows already (a 409): the same create asks for their task, and buys nothing.
        """
        return self._all(_RESUMABLE, account=account, since=since)

    def refunds_due(self, account: str, since: float) -> list[Job]:
        """Jobs that failed after `since` and whose credits have not all come back, oldest first."""
        return self._all(_REFUNDS_DUE, account=account, since=since)

    def tidy(self, account: str, alive: Collection[str], own: str, in_hand: Collection[Job] = ()) -> None:
        """Let go of what dead processes held, and of what `own` is said to hold beside the jobs it has `in_hand`.

        What they had not sent is nobody's any more.
        """
        asked = {"account": account, "alive": alive, "own": own, "keys": {job.idempotency_key for job in in_hand}}
        if self._store.select(_ANY_LEFT, **asked):
            with self._store.transaction():
                self._store.execute(_LET_GO, **asked)

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
            return self._insert(**columns, attempt=before + 1, state=State.INTENDED)

    def adopt_task(self, account: str, task_id: str) -> Job:
        """The row for a task id from anywhere; a new one when this journal did not make the job."""
        with self._store.transaction():
            return self.by_task(account, task_id) or self._insert(
                account=account,
                identity=f"task:{task_id}",
                attempt=1,
                model="",
                type="",
                prompt="",
                duration="",
                resolution="",
                take=0,
                body=None,
                state=State.RUNNING,
                task_id=task_id,
            )

    def seen(self, job: Job) -> None:
        """The gateway knows the task of a row of `adopt_task`."""
        with self._store.transaction():
            now = self._now(job)
            if not self._is_seen(now):
                self._store.execute(_NOTE, **self._noted(now.id, _SEEN))

    def _is_seen(self, now: Job) -> bool:
        return any(row["step"] == _SEEN for row in self._store.select(_STEP_NAMES, job_id=now.id))

    def forget_task(self, job: Job) -> bool:
        """Drop a row of `adopt_task` whose id the gateway does not know; False for one that it knew once.

        Jobs of our own are never dropped.
        """
        with self._store.transaction():
            now = self._one(_BY_KEY, key=job.idempotency_key)
            if now is not None and self._is_seen(now):
                return False
            if now is not None:
                self._store.execute(_DROP_STEPS, job_id=now.id)
                self._store.execute(_DROP_ADOPTED, job_id=now.id)
            return True

    def claim(self, job: Job, holder: str, alive: Collection[str] | None = None) -> Job | None:
        """The row, now held by `holder`, who goes on with it; None while another living holder has it.

        `alive`: those that live; None: whoever has it is taken for alive.
        """
        with self._store.transaction():
            now = self._now(job)
            if now.holder == holder:
                return now
            if now.holder is not None and (alive is None or now.holder in alive):
                return None
            return self._change(now.id, holder=holder, parked=None, machine=machine_of(holder))

    def release(self, job: Job, holder: str) -> None:
        """Let any process take the job up."""
        with self._store.transaction():
            self._store.execute(_RELEASE, key=job.idempotency_key, holder=holder)

    def slots(self, job: Job, limit: int, alive: Collection[str]) -> Slots:
        """Whether `job` may be sent now: slots go to the oldest waiting job first."""
        rows = self._store.select(_SLOTS, account=job.account, job_id=job.id, alive=alive)
        holders = tuple((row["id"], row["task_id"], row["holder"]) for row in rows if row["state"] != State.INTENDED)
        running, ahead = len(holders), len(rows) - len(holders)
        return Slots(running + ahead < limit, running, limit, ahead, holders)

    def yield_slot(self, job: Job) -> Job:
        """The job takes no slot of the plan any more, and is followed as ever."""
        with self._store.transaction():
            return self._change(self._now(job).id, step="slot given back", yielded_at=self._clock())

    def clear_body(self, job: Job) -> Job:
        """Forget the body of a job that was certainly not sent: its uploads may have expired since."""
        with self._store.transaction():
            now = self._now(job)
            return self._change(now.id, body=None) if now.state is State.INTENDED else now

    def set_body(self, job: Job, body: bytes) -> Job:
        """Fix the bytes of the paid request, once; from here on they never change."""
        with self._store.transaction():
            now = self._now(job)
            return now if now.body is not None else self._change(now.id, body=body)

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

        `holder`: who sends it; None is given back, and nothing is written, when somebody else has taken the job over.
        `limit`: slots of the plan. `allowance`: what may still be spent, None for anything. `uptime` and `boot`: a
        second clock, by which its age can be told. After an end that was none it waits until the whole file is known to
        be sound: what a damaged one does not tell of would be paid again, as would what is written where nobody can
        read it later.
        """
        self._store.require_sound(if_doubtful=True)
        with self._store.transaction():
            self._store.require_lasting()
            now, moment = self._now(job), self._clock()
            if holder is not None and now.holder != holder:
                return None
            if now.state is State.INTENDED:
                # What was begun under the account's other names takes slots and credits of the same plan.
                accounts.gather_within(self._store, now.account)
                if not self.slots(now, limit, alive).free:
                    return Held(Hindrance.SLOT)
                if allowance is not None and not allowance.since <= moment < allowance.until:
                    # Whoever waits for this very transaction may wait over midnight.
                    return Held(Hindrance.DAY)
                held = None if allowance is None else hindrance(self._store.select, now, allowance)
                if held is not None:
                    return held
            told: dict[str, Any] = {"posts": now.posts + 1}
            if now.sent_at is None:
                told |= {"sent_at": moment, "sent_uptime": uptime, "sent_boot": boot}
            return self._move(now, State.SENT, step=f"post {now.posts + 1}", **told)

    def not_sent(self, job: Job) -> Job:
        """Take `begin_post` back: it is certain that nothing left this machine, now or before."""
        with self._store.transaction():
            return self._move(
                self._now(job), State.INTENDED, step="not sent", sent_at=None, sent_uptime=None, sent_boot=None
            )

    def accepted(self, job: Job, reply: Accepted) -> Job:
        """The gateway has the job, and the account is charged. What its id alone brought home before is this job's."""
        with self._store.transaction():
            now, known = self._now(job), self.by_task(job.account, reply.task_id)
            if known is not None and known.id != now.id and known.is_settled_stranger:
                self._store.execute(_HAND_ON, job_id=known.id, to=now.id)
                self._store.execute(_DROP_STEPS, job_id=known.id)
                self._store.execute(_DROP_ADOPTED, job_id=known.id)
            return self._move(
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
            return self._move(
                self._now(job),
                State.REJECTED,
                step="rejected",
                detail=refusal.what,
                ended_at=self._clock(),
                holder=None,
                request_id=refusal.request_id,
                **self._problem("ending", refusal),
            )

    def completed(self, job: Job, task: Task) -> Job:
        """The gateway finished the job."""
        with self._store.transaction():
            now = self._now(job)
            return self._move(now, State.COMPLETED, step="completed", **self._completed(now, task))

    def delivered(self, job: Job, delivery: Delivery, video_url: str, *, collected: bool = False) -> Job:
        """The file is on disk, whole, in the folder that `delivery` names. `collected`: it goes to somebody at once."""
        with self._store.transaction():
            now = self._now(job)
            told = {"job_id": now.id, "delivered_at": self._clock(), **asdict(delivery)}
            return self._change(
                now.id,
                step="delivered",
                beside={_DELIVER: {f"delivery_{name}": value for name, value in told.items()}},
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
        told = self._completed(job, task)
        return job.state is State.COMPLETED and all(getattr(job, name) == value for name, value in told.items())

    def expired(self, job: Job, failure: APIMallError) -> Job:
        """The gateway made the clip and no longer has it; what was delivered stays where it is."""
        with self._store.transaction():
            return self._move(
                self._now(job),
                State.EXPIRED,
                step="expired",
                detail=failure.what,
                holder=None,
                **self._problem("ending", failure),
            )

    def failed(self, job: Job, task: Task, failure: APIMallError) -> Job:
        """The gateway ended the job."""
        with self._store.transaction():
            now = self._now(job)
            return self._move(
                now,
                State.FAILED,
                step="failed",
                detail=failure.what,
                ended_at=self._clock(),
                holder=None,
                **self._problem("ending", failure),
                **_credits(now, task),
            )

    def refunded(self, job: Job, task: Task) -> Job:
        """A later look at a failed job: refunds lag."""
        with self._store.transaction():
            now = self._now(job)
            return self._change(now.id, step="refund read again", **_credits(now, task))

    def close_job(self, job: Job, alive: Collection[str]) -> Job:
        """Its owner has no more questions about a job that is not settled; unchanged while a living holder has it."""
        with self._store.transaction():
            now = self._now(job)
            return now if now.holder in alive else self._move(now, State.CLOSED, step="closed", ended_at=self._clock())

    def star(self, job: Job, on: bool) -> Job:
        """Make it a favourite, or no favourite any more."""
        with self._store.transaction():
            return self._change(self._now(job).id, starred_at=self._clock() if on else None)

    def park(self, job: Job, holder: str, why: Parking, problem: APIMallError | None = None) -> Job | None:
        """`holder` no longer goes on with the job of its own accord; what becomes of it is not settled.

        None, and nothing is written, when the job has ended or somebody else has it.
        """
        with self._store.transaction():
            now = self._one(_BY_KEY, key=job.idempotency_key)
            if now is None or not now.unfinished or now.holder != holder:
                return None
            told = {} if problem is None else self._problem("problem", problem)
            detail = "" if problem is None else problem.what
            return self._change(now.id, step="parked", detail=detail, holder=None, parked=why, **told)

    def sure_moment(self, account: str) -> float:
        """It is later than this: jobs were sent then, and a day after it, too. 0 where there are no two such days.

        A clock alone may be far ahead, for one start of the machine.
        """
        return self._last_sent(account, self._last_sent(account, self._clock()) - _DAY_SECONDS)

    def _last_sent(self, account: str, moment: float) -> float:
        return float(self._store.select(_LAST_SENT, account=account, moment=moment)[0]["at"] or 0.0)

    def forget_before(self, account: str, moment: float, most: int = 500) -> int:
        """Drop up to `most` jobs that were settled before `moment`; gives how many. Queued again they would be paid
        again. What is unfinished, uncertain or not refunded stays, and what a clock that was not set has dated.
        """
        asked = {"account": account, "moment": moment, "most": most}
        if not self._store.select(_SETTLED_IDS, **asked):
            return 0
        with self._store.transaction():
            # Asked again: numbers are good only as long as nobody can put another journal in the place of this one.
            ids = [row["id"] for row in self._store.select(_SETTLED_IDS, **asked)]
            for drop in _DROPS if ids else ():
                self._store.execute(drop, ids=ids)
        return len(ids)

    # Uploads

    def uploaded(self, account: str, digest: str, since: float) -> str | None:
        """The public URL of a file uploaded after `since`."""
        found = self._store.select(_UPLOADED, account=account, digest=digest, since=since)
        return str(found[0]["url"]) if found else None

    def remember_upload(self, account: str, digest: str, url: str) -> None:
        """Keep an upload for other jobs with the same medium."""
        with self._store.transaction():
            self._store.execute(
                _REMEMBER_UPLOAD,
                **_new({"account": account, "digest": digest, "url": url, "uploaded_at": self._clock()}),
            )

    def forget_upload(self, account: str, digest: str) -> None:
        """The gateway or the world can no longer read this upload."""
        with self._store.transaction():
            self._store.execute(_FORGET_UPLOAD, account=account, digest=digest)

    # Plumbing

    @staticmethod
    def _there(job_id: int, found: Job | None) -> Job:
        if found is None:
            raise JournalError(f"it does not tell of job {job_id} any more")
        return found

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

    def _insert(self, **columns: object) -> Job:
        key = str(uuid.uuid4())
        columns |= {"idempotency_key": key, "created_at": self._clock(), "posts": 0}
        job = one(self._store.change(_inserting(tuple(columns)), (), _BY_KEY, key=key, **_new(columns)))
        assert job is not None, "it was written in this very transaction"
        self._store.execute(_NOTE, **self._noted(job.id, job.state.value))
        return job

    def _now(self, job: Job) -> Job:
        """`current`, within a transaction of its caller's."""
        now = self._one(_BY_KEY, key=job.idempotency_key)
        if now is None:
            return self._write_again(job)
        if not _is_behind(now, job):
            return now
        columns = {name: value for name, value in _columns(job).items() if name not in _ROWS_OWN}
        return self._change(now.id, step=_WRITTEN_AGAIN, **columns)

    def _write_again(self, job: Job) -> Job:
        """A job that is in somebody's hand, and that the journal put in place of ours does not tell of."""
        other = self.by_task(job.account, job.task_id) if job.task_id is not None else None
        if other is not None:
            raise JournalError(f"it was replaced, and job {other.id} in it has the same task")
        taken = {each.attempt for each in attempts(self._store.select, job.account, (job.identity,))}
        columns = _columns(job) | {"attempt": max(taken) + 1 if job.attempt in taken else job.attempt}
        del columns["id"]
        self._store.execute(_inserting(tuple(columns)), **_new(columns))
        now = self._one(_BY_KEY, key=job.idempotency_key)
        assert now is not None, "it was written in this very transaction"
        self._store.execute(_NOTE, **self._noted(now.id, _WRITTEN_AGAIN))
        _log.warning(
            "the journal was replaced: job %s, which it did not tell of, is written again as %s", job.id, now.id
        )
        return now

    def _move(self, now: Job, state: State, *, step: str, detail: str = "", **columns: Any) -> Job:
        """Write the next state of a job, which stands as it is `now`; a row that is further already stays as it is."""
        if not now.state.may_become(state):
            _log.info("job %s is %s already; it is not written as %s", now.id, now.state.value, state.value)
            return now
        return self._change(now.id, step=step, detail=detail, state=state, parked=None, **columns)

    def _change(
        self,
        job_id: int,
        *,
        step: str | None = None,
        detail: str = "",
        beside: Mapping[Statement, Mapping[str, object]] = MappingProxyType({}),
        **columns: Any,
    ) -> Job:
        """`beside`: what else is written, with its values."""
        assert columns.keys() <= COLUMNS
        notes = dict(beside) if step is None else {**beside, _NOTE: self._noted(job_id, step, detail)}
        values = {name: value for each in notes.values() for name, value in each.items()}
        change = _changing(tuple(columns))
        return self._there(
            job_id, one(self._store.change(change, notes, _GET, job_id=job_id, **_new(columns), **values))
        )

    def _noted(self, job_id: int, step: str, detail: str = "") -> dict[str, object]:
        return _new({"job_id": job_id, "at": self._clock(), "step": step, "detail": detail})

    def _completed(self, now: Job, task: Task) -> dict[str, Any]:
        ended_at = now.ended_at or self._clock()
        if now.accepted_at and task.run_seconds:
            # We may have looked hours later: what later jobs are expected to take is learned from this.
            ended_at = now.accepted_at + task.run_seconds
        return {"ended_at": ended_at, **_credits(now, task)}

    def _problem(self, what: str, failure: APIMallError) -> dict[str, Any]:
        """The columns of a problem or of an ending, from the failure its user is told."""
        problem = Problem(
            type(failure).__name__, failure.what, failure.status, failure.code, failure.request_id, self._clock()
        )
        return {f"{what}_{name}": getattr(problem, name) for name in PROBLEM_COLUMNS}


def _standing(found: Sequence[Job]) -> Job | None:
    before = latest(found)
    return None if before is None or before.may_be_attempted_anew else before


def _new(columns: Mapping[str, object]) -> dict[str, object]:
    """Values to be written, under the names they have in a statement beside those that are asked for."""
    return {f"new_{name}": value for name, value in columns.items()}


def _is_behind(now: Job, job: Job) -> bool:
    """Whether a row tells less than a job that somebody has in hand: only another file, of before, can do so."""
    return now.posts < job.posts or (now.task_id is None and job.accepted_at is not None)


def _columns(job: Job) -> dict[str, Any]:
    """All that a row says."""
    plain = {each.name: getattr(job, each.name) for each in fields(Job) if each.name in COLUMNS}
    for what, told in (("problem", job.problem), ("ending", job.ending)):
        plain |= {f"{what}_{name}": told and getattr(told, name) for name in PROBLEM_COLUMNS}
    return plain


def _credits(job: Job, task: Task) -> dict[str, Any]:
    """Credits as last told; the create's figure stands where a query says nothing."""
    return {
        "credits_used": job.credits_used if task.credits_used is None else task.credits_used,
        "credits_refunded": job.credits_refunded if task.credits_refunded is None else task.credits_refunded,
    }
