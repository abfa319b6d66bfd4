"""Which accounts are one and the same, by their owner's word alone (rule 10 of `docs/rules.md`).

An account is told by its base URL and key, so a new key begins a new one. Once its owner says that two are the same,
the jobs of both are those of the one in use.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass

import sqlalchemy as sa

from .reads import OTHER_NAMES, OURS, UNFINISHED, through
from .statements import Given, Select, Statement
from .store import Store
from .tables import accounts, jobs, strangers, uploads

_UNKNOWN_BASE = ""
"""Of accounts that a version wrote which did not keep it: they may be of any."""

_THIS = accounts.c.account == Given("account")


def _of_this(column: sa.Column[str]) -> sa.ScalarSelect[str]:
    """What is known of the account that is asked about, within a question about others."""
    this = accounts.alias("this")
    return sa.select(this.c[column.name]).where(this.c.account == Given("account")).scalar_subquery()


_KNOWN = Statement(lambda say: sa.select(accounts.c.account).where(_THIS, accounts.c.base_url == Given("base_url")))
_KNOW = Statement(lambda say: say.put(accounts, "account", keep=("same_as", "seen_at")))
_MEMBERS = Statement(lambda say: OTHER_NAMES.order_by(accounts.c.account))
_OTHERS = Statement(
    lambda say: sa.select(accounts.c.account).where(
        accounts.c.account != Given("account"),
        sa.or_(accounts.c.base_url == _UNKNOWN_BASE, accounts.c.base_url == _of_this(accounts.c.base_url)),
        accounts.c.account.not_in(sa.select(strangers.c.other).where(strangers.c.account == Given("account"))),
        sa.or_(accounts.c.same_as.is_(None), accounts.c.same_as.is_distinct_from(_of_this(accounts.c.same_as))),
    )
)
_GROUPS = Statement(
    lambda say: (
        sa.select(accounts.c.same_as)
        .where(accounts.c.same_as.is_not(None), accounts.c.account.in_(say.each("names")))
        .distinct()
    )
)
_NAME_ONE = Statement(
    lambda say: sa.update(accounts).where(accounts.c.account.in_(say.each("names"))).values(same_as=Given("one"))
)
_MERGE = Statement(
    lambda say: sa.update(accounts).where(accounts.c.same_as == Given("other")).values(same_as=Given("one"))
)
_STRANGERS = Statement(lambda say: say.put(strangers, "account", "other"))
_ANY_JOB = Statement(lambda say: sa.select(jobs.c.id).where(OURS).limit(1))
_MOVE_JOBS = Statement(lambda say: sa.update(jobs).where(OURS).values(account=Given("to")))
_KEPT = uploads.alias("kept")
_MOVE_UPLOADS = Statement(
    lambda say: (
        sa.update(uploads)
        .where(
            uploads.c.account == Given("account"),
            ~sa.exists().where(_KEPT.c.account == Given("to"), _KEPT.c.digest == uploads.c.digest),
        )
        .values(account=Given("to"))
    )
)
_TOLD = Statement(
    lambda say: through("jobs_by_account", sa.func.count().label("jobs"), sa.func.max(jobs.c.id).label("newest")).where(
        OURS
    )
)
_UNFINISHED_COUNT = Statement(
    lambda say: through("jobs_unfinished", sa.func.count().label("n")).where(OURS, UNFINISHED)
)
_BEGUN = Statement(lambda say: sa.select(jobs.c.created_at).where(jobs.c.id == Given("job_id")))


@dataclass(frozen=True)
class Other:
    """An account of the same gateway of which nobody has said yet whether it is this one. `newest_at`: of its jobs."""

    account: str
    jobs: int
    unfinished: int
    newest_at: float


def know(store: Store, account: str, base_url: str, now: float) -> None:
    """Note an account that is in use."""
    if not store.select(_KNOWN, account=account, base_url=base_url):
        with store.transaction():
            store.execute(_KNOW, new_account=account, new_base_url=base_url, new_same_as=None, new_seen_at=now)


def members(select: Select, account: str) -> list[str]:
    """All that are the same account, this one first."""
    return [account, *(row["account"] for row in select(_MEMBERS, account=account))]


def others(select: Select, account: str) -> list[Other]:
    """Accounts with jobs that may be this one under another key, those with the newest jobs first."""
    found = [_told(select, row["account"]) for row in select(_OTHERS, account=account)]
    return sorted((other for other in found if other.jobs), key=lambda other: -other.newest_at)


def same(store: Store, account: str, other: str) -> None:
    """Their owner says that both are one account."""
    with store.transaction():
        names = (account, other)
        groups = [row["same_as"] for row in store.select(_GROUPS, names=names)]
        one = groups[0] if groups else uuid.uuid4().hex
        store.execute(_NAME_ONE, one=one, names=names)
        for group in groups[1:]:
            store.execute(_MERGE, one=one, other=group)
        gather_within(store, account)


def strange(store: Store, account: str, other: str) -> None:
    """Their owner says that they are two."""
    with store.transaction():
        store.execute(_STRANGERS, new_account=account, new_other=other)
        store.execute(_STRANGERS, new_account=other, new_other=account)


def gather(store: Store, account: str) -> None:
    """Bring the jobs of all that are the same account under the name in use."""
    if any(store.select(_ANY_JOB, account=name) for name in members(store.select, account)[1:]):
        with store.transaction():
            gather_within(store, account)


def gather_within(store: Store, account: str) -> None:
    """`gather`, within a transaction of its caller's."""
    for name in members(store.select, account)[1:]:
        store.execute(_MOVE_JOBS, account=name, to=account)
        store.execute(_MOVE_UPLOADS, account=name, to=account)


def _told(select: Select, account: str) -> Other:
    row = select(_TOLD, account=account)[0]
    if not row["jobs"]:
        return Other(account, 0, 0, 0.0)
    unfinished = select(_UNFINISHED_COUNT, account=account)
    newest = select(_BEGUN, job_id=row["newest"])
    return Other(account, row["jobs"], unfinished[0]["n"], newest[0]["created_at"] if newest else 0.0)
