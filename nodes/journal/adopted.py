"""Jobs known by their task's id alone, made by another journal or by hand."""

from __future__ import annotations

import sqlalchemy as sa

from .job_statements import NOTE
from .reads import BY_TASK, one
from .rows import Job, State
from .statements import Given, Statement
from .store import Store
from .tables import deliveries, jobs, steps
from .writer import Writer

_SEEN = "known to the gateway"

_STEP_NAMES = Statement(lambda say: sa.select(steps.c.step).where(steps.c.job_id == Given("job_id")))
_DROP_STEPS = Statement(lambda say: sa.delete(steps).where(steps.c.job_id == Given("job_id")))
_DROP = Statement(lambda say: sa.delete(jobs).where(jobs.c.id == Given("job_id"), jobs.c.posts == 0, jobs.c.type == ""))
_HAND_ON = Statement(
    lambda say: sa.update(deliveries).where(deliveries.c.job_id == Given("job_id")).values(job_id=Given("to"))
)


def adopt(writer: Writer, account: str, task_id: str) -> Job:
    """The row for a task id; a new one when the journal does not tell of it."""
    with writer.store.transaction():
        return one(writer.store.select(BY_TASK, account=account, task_id=task_id)) or writer.insert(
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


def seen(writer: Writer, job: Job) -> None:
    """The gateway knows its task."""
    with writer.store.transaction():
        now = writer.now(job)
        if not _is_seen(writer.store, now):
            writer.store.execute(NOTE, **writer.noted(now.id, _SEEN))


def forget(writer: Writer, job: Job) -> bool:
    """Drop a row whose id the gateway does not know; False for one that it knew once."""
    with writer.store.transaction():
        now = writer.by_key(job)
        if now is not None and _is_seen(writer.store, now):
            return False
        if now is not None:
            _drop(writer.store, now)
        return True


def hand_on(store: Store, adopted: Job, job: Job) -> None:
    """What was brought home by the task's id alone is the job's from here on; within a transaction of its caller's."""
    store.execute(_HAND_ON, job_id=adopted.id, to=job.id)
    _drop(store, adopted)


def _drop(store: Store, adopted: Job) -> None:
    store.execute(_DROP_STEPS, job_id=adopted.id)
    store.execute(_DROP, job_id=adopted.id)


def _is_seen(store: Store, now: Job) -> bool:
    return any(row["step"] == _SEEN for row in store.select(_STEP_NAMES, job_id=now.id))
