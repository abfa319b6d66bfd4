"""A journal of very many jobs, and what it takes to look something up in it; in a process of its own."""

from __future__ import annotations

import functools
import random
import sqlite3
import statistics
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from nodes.jobs.order import Order
from nodes.journal.postgres import Address
from nodes.journal.reads import Records
from nodes.journal.rows import Kind, Only
from nodes.journal.verbs import Journal
from nodes.panel import job_facts

_OTHER_ACCOUNT = "somebody-else"
ACCOUNT = "bench"
_KINDS = [
    Kind("wan2-6", "text-to-video", "5", "720p"),
    Kind("wan2-6", "text-to-video", "10", "1080p"),
    Kind("wan2-6", "image-to-video", "5", "720p"),
]
_STATES = ("completed",) * 90 + ("failed",) * 6 + ("rejected",) * 3 + ("running",)
_LOOKS = 200
_PAGES = 30


def measure(path: str, jobs: int) -> dict[str, Any]:
    """Fill a journal with so many jobs; milliseconds of each question: (median, worst)."""
    file = Path(path)
    _fill(file, jobs)
    chance = random.Random(jobs)
    found: dict[str, Any] = {}
    began = time.perf_counter()
    journal = Journal(file)
    found["opening it (once in a process)"] = [(time.perf_counter() - began) * 1000] * 2
    began = time.perf_counter()
    journal.require_sound()
    found["reading it whole, in the background (once in a process)"] = [(time.perf_counter() - began) * 1000] * 2
    records = Records(file)
    found |= _looked_up(journal, records, jobs)
    found["newest uncollected"] = _each([0] * _PAGES, lambda _: journal.newest_uncollected(ACCOUNT))
    found["what past runs took"] = _each(_KINDS * 10, lambda kind: journal.runs(ACCOUNT, kind))
    pages = [None, *(chance.randrange(1, 2 * jobs) for _ in range(_PAGES))]
    for only in Only:
        found[f"page, {only.value}"] = _each(pages, functools.partial(_page, records, only))
    moment = time.time() - 30 * 86_400
    found["sum of a month"] = _each([0] * 3, lambda _: records.sum_since(ACCOUNT, moment))
    found["estimate"] = _each(_KINDS * 10, lambda kind: records.estimate(ACCOUNT, kind))
    journal.close()
    return {"wall": 0.0, "found": found, "bytes": file.stat().st_size}


def measure_shared(uri: str, jobs: int) -> dict[str, Any]:
    """The same look-ups in a database that is filled here."""
    place = Address(uri)
    journal = Journal(place)
    _fill_shared(uri, jobs)
    records = Records(place)
    found = _looked_up(journal, records, jobs)
    records.close()
    journal.close()
    return {"wall": 0.0, "found": found}


def _looked_up(journal: Journal, records: Records, jobs: int) -> dict[str, Any]:
    chance = random.Random(jobs)
    some = [chance.randrange(jobs) for _ in range(_LOOKS)]
    intents = [_order(number).intent(ACCOUNT) for number in some]
    news = [replace(intent, identity=str(uuid.uuid4())) for intent in intents]
    done = [_order(n).intent(ACCOUNT) for n in some if _STATES[n % len(_STATES)] == "completed"]
    identities = [intent.identity for intent in intents]
    return {
        "look-up by content, as a node asks": _each(intents, journal.standing),
        "the panel's look-up by content": _each(identities, lambda name: records.latest(ACCOUNT, name)),
        "look-up by task id": _each([f"vid_{n:08d}" for n in some], lambda task: journal.by_task(ACCOUNT, task)),
        "look-up of a new job, not there": _each(news, journal.standing),
        "intend: the row of a finished job, as a node asks": _each(done, journal.intend),
    }


def _page(records: Records, only: Only, before: int | None) -> list[Any]:
    """As the panel's route does it."""
    page = records.page(ACCOUNT, before=before, only=only)
    records.unfinished(ACCOUNT)
    return [job_facts.card(job) for job in page.jobs]


def _each(subjects: list[Any], work: Callable[[Any], object]) -> list[float]:
    times = []
    for subject in subjects:
        began = time.perf_counter()
        work(subject)
        times.append((time.perf_counter() - began) * 1000)
    return [statistics.median(times), max(times)]


def _order(number: int) -> Order:
    kind = _KINDS[number % len(_KINDS)]
    media = ("https://example.org/picture.png",) if kind.type == "image-to-video" else ()
    prompt = f"Job {number}: a racing yacht slicing through bright turquoise water, seen from a drone. " * 3
    return Order(kind.model, kind.type, prompt, kind.duration, kind.resolution, number, media)


def _fill(path: Path, jobs: int) -> None:
    """Half as many again belong to another account and lie in between."""
    part = path.with_suffix(".part")
    Journal(part).close()
    with closing(sqlite3.connect(part)) as connection:
        connection.execute("PRAGMA cache_size = -400000")
        connection.execute("PRAGMA synchronous = OFF")
        first = next(_rows(1))
        names, marks = ",".join(first), ",".join(f":{name}" for name in first)
        connection.executemany(f"INSERT INTO jobs ({names}) VALUES ({marks})", _rows(jobs))
        connection.execute(
            "INSERT INTO deliveries (job_id, folder, file, size_bytes, mtime_ns, sha256, delivered_at, machine, path) "
            "SELECT id, '', file, 5000000, 1, ?, delivered_at, '', '' FROM jobs WHERE file IS NOT NULL",
            ("0" * 64,),
        )
        connection.execute("INSERT INTO steps SELECT id, created_at, 'intended', '' FROM jobs")
        connection.execute("INSERT INTO steps SELECT id, created_at, 'accepted', '' FROM jobs")
        connection.commit()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    part.replace(path)


def _fill_shared(uri: str, jobs: int) -> None:
    import psycopg

    first = next(_rows(1))
    names, marks = ",".join(first), ",".join(f"%({name})s" for name in first)
    with psycopg.connect(uri) as connection, connection.cursor() as cursor:
        cursor.executemany(f"INSERT INTO apimall.jobs ({names}) VALUES ({marks})", list(_rows(jobs)))
        taken = "SELECT id, created_at, 'intended', '' FROM apimall.jobs"
        cursor.execute(f"INSERT INTO apimall.steps (job_id, at, step, detail) {taken}")
    with psycopg.connect(uri, autocommit=True) as connection:
        connection.execute("ANALYZE")


def _rows(jobs: int) -> Iterator[dict[str, object]]:
    now = time.time()
    for number in range(jobs):
        for account in (ACCOUNT, _OTHER_ACCOUNT)[: 1 + number % 2]:
            yield _row(number, account, now - (jobs - number) * 300.0)


def _row(number: int, account: str, at: float) -> dict[str, object]:
    order = _order(number)
    state = _STATES[number % len(_STATES)]
    done = state == "completed"
    return {
        "account": account,
        "identity": order.identity(account),
        "attempt": 1,
        "idempotency_key": str(uuid.uuid4()),
        "model": order.model,
        "type": order.type,
        "prompt": order.prompt,
        "duration": order.duration,
        "resolution": order.resolution,
        "take": order.take,
        "body": order.request(tuple(map(str, order.references))).body(),
        "state": state,
        "posts": 1,
        "task_id": f"vid_{number:08d}",
        "request_id": f"req_{number}",
        "credits_used": 20.0,
        "file": f"wan2-6-{number}.mp4" if done else None,
        "created_at": at,
        "sent_at": at,
        "accepted_at": at + 1,
        "ended_at": at + 90 + number % 30 if state != "running" else None,
        "delivered_at": at + 130 if done else None,
    }
