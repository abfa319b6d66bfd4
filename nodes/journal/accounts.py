"""Which accounts are one and the same, by their owner's word alone (rule 10 of `docs/rules.md`).

An account is told by its base URL and key, so a new key begins a new one. Once its owner says that two are the same,
the jobs of both are those of the one in use.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from .reads import UNFINISHED
from .sqlite_file import Database, Select, marks

_UNKNOWN_BASE = ""
"""Of accounts that a version wrote which did not keep it: they may be of any."""


@dataclass(frozen=True)
class Other:
    """An account of the same gateway of which nobody has said yet whether it is this one. `newest_at`: of its jobs."""

    account: str
    jobs: int
    unfinished: int
    newest_at: float


def know(database: Database, account: str, base_url: str, now: float) -> None:
    """Note an account that is in use."""
    if not database.select("SELECT 1 FROM accounts WHERE account = ? AND base_url = ?", (account, base_url)):
        with database.transaction():
            database.execute(
                "INSERT INTO accounts VALUES (?, ?, NULL, ?) ON CONFLICT (account) DO UPDATE SET base_url = ?",
                (account, base_url, now, base_url),
            )


def members(select: Select, account: str) -> list[str]:
    """All that are the same account, this one first."""
    same = select(
        "SELECT account FROM accounts WHERE account != ? AND same_as ="
        " (SELECT same_as FROM accounts WHERE account = ?) ORDER BY account",
        (account, account),
    )
    return [account, *(row["account"] for row in same)]


def others(select: Select, account: str) -> list[Other]:
    """Accounts with jobs that may be this one under another key, those with the newest jobs first."""
    statement = (
        "SELECT account FROM accounts WHERE account != :account AND base_url IN"
        " (:unknown, (SELECT base_url FROM accounts WHERE account = :account)) AND account NOT IN"
        " (SELECT other FROM strangers WHERE account = :account) AND (same_as IS NULL OR same_as IS NOT"
        " (SELECT same_as FROM accounts WHERE account = :account))"
    )
    found = [_told(select, row["account"]) for row in select(statement, {"account": account, "unknown": _UNKNOWN_BASE})]
    return sorted((other for other in found if other.jobs), key=lambda other: -other.newest_at)


def same(database: Database, account: str, other: str) -> None:
    """Their owner says that both are one account."""
    with database.transaction():
        names = (account, other)
        groups = database.select(
            f"SELECT DISTINCT same_as FROM accounts WHERE same_as IS NOT NULL AND account IN ({marks(names)})", names
        )
        one = groups[0]["same_as"] if groups else uuid.uuid4().hex
        database.execute(f"UPDATE accounts SET same_as = ? WHERE account IN ({marks(names)})", (one, *names))
        for group in groups[1:]:
            database.execute("UPDATE accounts SET same_as = ? WHERE same_as = ?", (one, group["same_as"]))
        _gather(database, account)


def strangers(database: Database, account: str, other: str) -> None:
    """Their owner says that they are two."""
    with database.transaction():
        database.execute("INSERT OR IGNORE INTO strangers VALUES (?, ?)", (account, other))
        database.execute("INSERT OR IGNORE INTO strangers VALUES (?, ?)", (other, account))


def gather(database: Database, account: str) -> None:
    """Bring the jobs of all that are the same account under the name in use."""
    names = members(database.select, account)[1:]
    if any(database.select("SELECT 1 FROM jobs WHERE account = ? LIMIT 1", (name,)) for name in names):
        with database.transaction():
            _gather(database, account)


def _gather(database: Database, account: str) -> None:
    for name in members(database.select, account)[1:]:
        database.execute("UPDATE jobs SET account = ? WHERE account = ?", (account, name))
        database.execute("UPDATE OR IGNORE uploads SET account = ? WHERE account = ?", (account, name))


def _told(select: Select, account: str) -> Other:
    row = select(
        "SELECT COUNT(*) AS jobs, MAX(id) AS newest FROM jobs INDEXED BY jobs_by_account WHERE account = ?", (account,)
    )[0]
    if not row["jobs"]:
        return Other(account, 0, 0, 0.0)
    unfinished = select(
        f"SELECT COUNT(*) AS n FROM jobs INDEXED BY jobs_unfinished WHERE account = ? AND {UNFINISHED}", (account,)
    )
    newest = select("SELECT created_at FROM jobs WHERE id = ?", (row["newest"],))
    return Other(account, row["jobs"], unfinished[0]["n"], newest[0]["created_at"])
