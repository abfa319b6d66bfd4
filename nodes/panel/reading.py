"""Routes that read: they answer no more than ComfyUI's own `/history` does, and start nothing."""

from __future__ import annotations

import asyncio
import functools
import platform
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from aiohttp import web

from ..gateway.errors import SetupError
from ..journal.rows import MOST_PAGE_JOBS, PAGE_JOBS, Job, Kind, Only
from ..media.errors import MediaError
from ..service import Service
from . import job_facts
from .balances import Balances
from .guards import (
    LARGEST_ID,
    LONGEST_WORD,
    Forbidden,
    choice,
    is_writable_for,
    job_number,
    json_object,
    require_json,
    whole_number,
)
from .posters import Posters
from .replies import NOT_KEPT, as_json
from .standing import remember_browser, standing_of

if TYPE_CHECKING:
    from ..journal.reads import Records

_MOST_HOURS_OFFSET = 15
_DAYS = 30
_DAY_SECONDS = 86_400


class Reading:
    """What is known of the account in use, its jobs and its credits, as routes and for those that write.

    `shared`: this ComfyUI keeps its users apart (--multi-user), and all of them use this one account.
    """

    def __init__(self, service: Callable[[], Service], balances: Balances, *, shared: bool) -> None:
        self._service = service
        self._balances = balances
        self._shared = shared

    async def jobs(self, request: web.Request) -> web.StreamResponse:
        """A page of jobs, newest first: `before` (an id), `limit`, `only`, `text` (of the prompt or task id), `type`,
        `day` (when it began for the reader, in seconds since the epoch).
        """
        before = whole_number(request.query, "before", 1, LARGEST_ID, None)
        limit = whole_number(request.query, "limit", 1, MOST_PAGE_JOBS, PAGE_JOBS)
        only = choice(request.query, "only", Only)
        text, kind = (request.query.get(name, "")[:LONGEST_WORD] for name in ("text", "type"))
        day = whole_number(request.query, "day", 0, LARGEST_ID, None)

        def read() -> dict[str, Any]:
            records, account = self.records(), self._service().settings().account
            page = records.page(
                account, before=before, limit=limit or PAGE_JOBS, only=only, text=text, type=kind, day=day
            )
            return {
                "jobs": cards(page.jobs, records),
                "next_before": page.next_before,
                "unfinished": records.unfinished(account),
                "now": time.time(),
            }

        return as_json(await asyncio.to_thread(read))

    async def job(self, request: web.Request) -> web.StreamResponse:
        """One job with its trouble, what would ask for it again, and a report that can be shown to anybody."""
        job_id = job_number(request)

        def read() -> dict[str, Any] | None:
            records, settings = self.records(), self._service().settings()
            job = records.job(settings.account, job_id)
            if job is None:
                return None
            steps = records.steps(job)
            addresses = job_facts.references(job)
            uploads = records.uploads_among(settings.account, addresses)
            return {
                "job": job_facts.card(job),
                "trouble": job_facts.trouble(job),
                "addresses": [address for address in addresses if address not in uploads],
                "uploads": len(uploads),
                "fps": self._rate(job),
                "report": job_facts.report(job, records.deliveries(job), steps, _versions(), [settings.api_key or ""]),
            }

        found = await asyncio.to_thread(read)
        return as_json({"problem": "There is no such job."}, status=404) if found is None else as_json(found)

    async def export(self, request: web.Request) -> web.StreamResponse:
        """All jobs of the account as CSV, a chunk at a time."""

        def begin() -> Iterator[str]:
            chunks = self.records().chunks(self._service().settings().account)
            return (job_facts.csv_lines(jobs) for jobs in chunks)

        texts = await asyncio.to_thread(begin)
        response = web.StreamResponse(
            headers={
                **NOT_KEPT,
                "Content-Type": "text/csv; charset=utf-8",
                "Content-Disposition": 'attachment; filename="apimall-jobs.csv"',
            }
        )
        await response.prepare(request)
        await response.write(job_facts.csv_heading().encode())
        while (text := await asyncio.to_thread(next, texts, None)) is not None:
            await response.write(text.encode("utf-8", errors="replace"))
        return response

    async def totals(self, request: web.Request) -> web.StreamResponse:
        """Credits of today, 7 days, this month and each of 30 days; `minutes_east`: of whose days these are."""
        most = _MOST_HOURS_OFFSET * 60
        minutes_east = whole_number(request.query, "minutes_east", -most, most, 0) or 0

        def read() -> dict[str, Any]:
            records, account = self.records(), self._service().settings().account
            day, month = _beginnings(time.time(), minutes_east)
            first = day - (_DAYS - 1) * _DAY_SECONDS
            days = records.days(account, first, _DAYS)
            return {
                "today": asdict(records.sum_since(account, day)),
                "week": asdict(records.sum_since(account, day - 6 * _DAY_SECONDS)),
                "month": asdict(records.sum_since(account, month)),
                "days": [{"begins": first + n * _DAY_SECONDS, **asdict(each)} for n, each in enumerate(days)],
            }

        return as_json(await asyncio.to_thread(read))

    async def standing(self, request: web.Request) -> web.StreamResponse:
        """What queueing a node with these values would do and cost, and how `job` stands, which it ran last.

        Reads only; a POST because prompts are longer than addresses.
        """
        require_json(request)
        asked = await json_object(request)
        remember_browser(asked.get("client"))
        return as_json(await asyncio.to_thread(lambda: standing_of(asked, self.records(), self._service())))

    async def poster(self, request: web.Request) -> web.StreamResponse:
        """The small picture of a finished job's clip."""
        job_id = job_number(request)

        def read() -> bytes | None:
            job = self.records().job(self._service().settings().account, job_id)
            if job is None or job.file is None:
                return None
            folders = self._service().folders
            return Posters(folders.state / "posters").of(folders.results / Path(job.file).name)

        picture = await asyncio.to_thread(read)
        if picture is None:
            return as_json({"problem": "There is no picture of this job."}, status=404)
        # A job's clip does not change any more.
        headers = {"Cache-Control": "private, max-age=86400", "X-Content-Type-Options": "nosniff"}
        return web.Response(body=picture, content_type="image/jpeg", headers=headers)

    async def account(self, request: web.Request) -> web.StreamResponse:
        """Whether a key is set and where, whether this is a rehearsal and why, and the host that is asked."""
        return as_json(await asyncio.to_thread(self.account_facts, request))

    async def balance(self, request: web.Request) -> web.StreamResponse:
        """The account's credits, asked for at most every 30 s."""
        return as_json(await self._balances.of_account())

    def records(self) -> Records:
        """The journal, for reading. Raises SetupError, JournalError."""
        service = self._service()
        service.journal()  # opening it also makes and upgrades it
        return service.records()

    def own_job(self, request: web.Request) -> Job:
        """The job of the account in use that an address names. Raises Forbidden."""
        job = self.records().job(self._service().settings().account, job_number(request))
        if job is None:
            raise Forbidden(404, "There is no such job.")
        return job

    def account_facts(self, request: web.Request) -> dict[str, Any]:
        """The key, the switches and the accounts, as the browser that asks may know them."""
        seen = {"writable": is_writable_for(request), "shared": self._shared}
        try:
            settings = self._service().settings()
        except SetupError as problem:
            return {"problem": str(problem), **seen}
        return {
            **seen,
            "key_source": settings.key_source,
            "masked_key": settings.masked_key,
            "rehearsal": settings.rehearsal,
            "rehearsal_source": settings.rehearsal_source,
            "host": urlsplit(settings.base_url).hostname,
            "left_behind": self._service().left_behind(),
            "others": [asdict(other) for other in self._service().journal().others(settings.account)],
            "problem": None,
        }

    def _rate(self, job: Job) -> float | None:
        """How many pictures a second its clip has, if it is here."""
        from ..media.probe import probe  # ComfyUI waits at its start for what is imported above

        if job.file is None:
            return None
        with suppress(MediaError):
            return probe(self._service().folders.results / Path(job.file).name).fps
        return None


def cards(jobs: Sequence[Job], records: Records) -> list[job_facts.Card]:
    """What the panel shows of jobs, with how long such jobs took before."""

    @functools.cache
    def usual_seconds(account: str, kind: Kind) -> float | None:
        return records.estimate(account, kind).seconds

    return [{**job_facts.card(job), "usual_seconds": usual_seconds(job.account, job.kind)} for job in jobs]


def _beginnings(now: float, minutes_east: int) -> tuple[float, float]:
    """When the day and the month began, in seconds since the epoch, `minutes_east` of Greenwich."""
    there = time.gmtime(now + minutes_east * 60)
    into_day = there.tm_hour * 3600 + there.tm_min * 60 + there.tm_sec + now % 1
    day = now - into_day
    return day, day - (there.tm_mday - 1) * _DAY_SECONDS


@functools.cache
def _versions() -> tuple[str, ...]:
    try:
        from comfyui_version import __version__ as comfyui  # type: ignore[import-not-found]
    except ImportError:
        comfyui = "unknown"
    manifest = Path(__file__).resolve().parents[2] / "pyproject.toml"
    found = re.search(r'(?m)^version = "([^"]+)"', manifest.read_text(encoding="utf-8")) if manifest.is_file() else None
    return (
        f"API Mall Video {found.group(1) if found else 'unknown'}",
        f"ComfyUI {comfyui}",
        f"Python {platform.python_version()}",
        sys.platform,
    )
