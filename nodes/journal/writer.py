"""One row of a job: as it is now, and written with the step that is taken, within a transaction of its caller's."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from ..remarks import remark
from ..troubles import Trouble
from .columns import columns_of, is_behind, new
from .errors import JournalError
from .job_statements import BY_KEY, GET, NOTE, changing, inserting
from .reads import BY_TASK, attempts, one
from .rows import COLUMNS, Job, State
from .statements import Statement
from .store import Store

_log = logging.getLogger("apimall_video.jobs")

_WRITTEN_AGAIN = "written again: the journal was replaced"
_ROWS_OWN = ("id", "account", "identity", "attempt", "idempotency_key", "starred_at")


class Writer:
    """Writes rows of jobs, and notes of what was done."""

    def __init__(self, store: Store, clock: Callable[[], float]) -> None:
        self.store = store
        self._clock = clock

    def by_key(self, job: Job) -> Job | None:
        """The row with the key of `job`, whatever its number is now."""
        return one(self.store.select(BY_KEY, key=job.idempotency_key))

    def insert(self, **columns: object) -> Job:
        """A new row, with a key of its own."""
        key = str(uuid.uuid4())
        columns |= {"idempotency_key": key, "created_at": self._clock(), "posts": 0}
        job = one(self.store.change(inserting(tuple(columns)), (), BY_KEY, key=key, **new(columns)))
        assert job is not None, "it was written in this very transaction"
        self.store.execute(NOTE, **self.noted(job.id, job.state.value))
        return job

    def now(self, job: Job) -> Job:
        """The row of a job as it is; where the journal was put back to before it, what is known of it is told anew."""
        now = self.by_key(job)
        if now is None:
            return self._write_again(job)
        if not is_behind(now, job):
            return now
        columns = {name: value for name, value in columns_of(job).items() if name not in _ROWS_OWN}
        return self.change(now.id, step=_WRITTEN_AGAIN, **columns)

    def _write_again(self, job: Job) -> Job:
        """A job that is in somebody's hand, and that the journal put in place of ours does not tell of."""
        of_task = (
            self.store.select(BY_TASK, account=job.account, task_id=job.task_id) if job.task_id is not None else []
        )
        if (other := one(of_task)) is not None:
            raise JournalError(remark(Trouble.ROW_OF_SAME_TASK, job=other.id))
        taken = {each.attempt for each in attempts(self.store.select, job.account, (job.identity,))}
        columns = columns_of(job) | {"attempt": max(taken) + 1 if job.attempt in taken else job.attempt}
        del columns["id"]
        self.store.execute(inserting(tuple(columns)), **new(columns))
        now = self.by_key(job)
        assert now is not None, "it was written in this very transaction"
        self.store.execute(NOTE, **self.noted(now.id, _WRITTEN_AGAIN))
        _log.warning(
            "the journal was replaced: job %s, which it did not tell of, is written again as %s", job.id, now.id
        )
        return now

    def move(self, now: Job, state: State, *, step: str, detail: str = "", **columns: Any) -> Job:
        """Write the next state of a job, which stands as it is `now`; a row that is further already stays as it is."""
        if not now.state.may_become(state):
            _log.info("job %s is %s already; it is not written as %s", now.id, now.state.value, state.value)
            return now
        return self.change(now.id, step=step, detail=detail, state=state, parked=None, **columns)

    def change(
        self,
        job_id: int,
        *,
        step: str | None = None,
        detail: str = "",
        beside: Mapping[Statement, Mapping[str, object]] = MappingProxyType({}),
        **columns: Any,
    ) -> Job:
        """Write columns of a row, and the `step` that was taken. `beside`: what else is written, with its values."""
        assert columns.keys() <= COLUMNS
        notes = dict(beside) if step is None else {**beside, NOTE: self.noted(job_id, step, detail)}
        values = {name: value for each in notes.values() for name, value in each.items()}
        change = changing(tuple(columns))
        return there(job_id, one(self.store.change(change, notes, GET, job_id=job_id, **new(columns), **values)))

    def noted(self, job_id: int, step: str, detail: str = "") -> dict[str, object]:
        """The values of a note."""
        return new({"job_id": job_id, "at": self._clock(), "step": step, "detail": detail})


def there(job_id: int, found: Job | None) -> Job:
    """What is surely in the journal; raises JournalError where it is not."""
    if found is None:
        raise JournalError(remark(Trouble.ROW_IS_GONE, job=job_id))
    return found
