"""What the side panel asks for, under `/apimall/`.

Reading routes answer no more than ComfyUI's own `/history` does. The two writing ones (key, rehearsal) take JSON from
a page that this very server delivered to this very machine. None starts a paid job, takes a URL or a path, or gives
the key away. Handlers run on ComfyUI's main loop, so files and network are left to threads.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import platform
import re
import sys
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

from aiohttp import web
from server import PromptServer

from ..gateway.contract import clean_text, task_identifier
from ..gateway.errors import AccessRefused, APIMallError, InputError, KeyRefused, SetupError
from ..gateway.models import TEXT_TO_VIDEO
from ..jobs.events import Event
from ..jobs.order import Order
from ..journal.errors import JournalError
from ..journal.rows import MOST_PAGE_JOBS, PAGE_JOBS, Job, Kind, Only
from ..media.errors import MediaError
from ..service import Service
from ..settings import Settings, store_key
from ..settings import set_rehearsal as store_rehearsal
from . import job_facts
from .codes import OneTimeCode, WrongCode
from .guards import (
    Forbidden,
    choice,
    is_writable_for,
    json_object,
    only_field,
    require_json,
    require_own_origin,
    whole_number,
    writer,
)
from .posters import Posters

if TYPE_CHECKING:
    from ..jobs.runner import Runner
    from ..journal.reads import Records

_log = logging.getLogger("apimall_video.routes")

EVENT = "apimallvideo.jobs"
"""The server's message to all panels: `{"job": card, "unfinished": count, "awaited": by a node}`, and `"credits"`: what
is left of them, when a reply told it."""

STAR_EVENT = "apimallvideo.star"
"""To all panels: `{"id": of the job, "starred": is it a favourite now}`."""

BALANCE_SECONDS = 30.0
_LARGEST_ID = (1 << 63) - 1
_MOST_HOURS_OFFSET = 15
_DAYS = 30
_LONGEST_WORD = 80
_MOST_BROWSERS = 200
_KEPT_IN_BROWSERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
_ANNOUNCED = frozenset(Event) - {
    Event.UPLOADED,
    Event.READY,
    Event.ALLOWED,
    Event.ANSWERED,
    Event.FINISHED,
    Event.DOWNLOADED,
}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


Verdict = Literal["right", "wrong", "unknown"]


@dataclass(frozen=True)
class Told:
    """A balance as the gateway told it at `at` (monotonic seconds); `problem` when it did not.

    `key`: whether the gateway takes the key, if that can be told from it.
    """

    at: float
    credits: float | None
    problem: str | None = None
    key: Verdict = "unknown"


class Panel:
    """The routes of one service, made when first asked for it.

    `ask_balance` gives the account's credits, or raises an APIMallError; blocking. `shared`: this ComfyUI keeps its
    users apart (--multi-user), and all of them use this one account.
    """

    def __init__(
        self,
        service: Callable[[], Service],
        *,
        ask_balance: Callable[[Service, Settings], float | None],
        shared: bool = False,
        code: OneTimeCode | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._shared = shared
        self._code = code or OneTimeCode()
        self._service = service
        self._ask_balance = ask_balance
        self._clock = clock
        self._balances: dict[str, Told] = {}
        self._balance_lock = asyncio.Lock()

    def table(self) -> tuple[tuple[str, str, Handler], ...]:
        """Method, path and handler of every route."""
        return (
            ("GET", "/apimall/jobs", self.jobs),
            ("GET", "/apimall/jobs/{id}", self.job),
            ("GET", "/apimall/jobs.csv", self.export),
            ("GET", "/apimall/totals", self.totals),
            ("GET", "/apimall/posters/{id}", self.poster),
            ("POST", "/apimall/standing", self.standing),
            ("GET", "/apimall/account", self.account),
            ("GET", "/apimall/balance", self.balance),
            ("POST", "/apimall/key", self.set_key),
            ("POST", "/apimall/account/same", self.set_account),
            ("POST", "/apimall/journal", self.move_journal),
            ("POST", "/apimall/jobs/{id}/close", self.close_job),
            ("POST", "/apimall/jobs/{id}/answer", self.answer_job),
            ("POST", "/apimall/jobs/{id}/star", self.star_job),
            ("POST", "/apimall/rehearsal", self.set_rehearsal),
            ("POST", "/apimall/code", self.print_code),
        )

    # Reading

    async def jobs(self, request: web.Request) -> web.StreamResponse:
        """A page of jobs, newest first: `before` (an id), `limit`, `only`, `text` (of the prompt or task id), `type`,
        `day` (when it began for the reader, in seconds since the epoch).
        """
        before = whole_number(request.query, "before", 1, _LARGEST_ID, None)
        limit = whole_number(request.query, "limit", 1, MOST_PAGE_JOBS, PAGE_JOBS)
        only = choice(request.query, "only", Only)
        text, kind = (request.query.get(name, "")[:_LONGEST_WORD] for name in ("text", "type"))
        day = whole_number(request.query, "day", 0, _LARGEST_ID, None)

        def read() -> dict[str, Any]:
            records, account = self._records(), self._service().settings().account
            page = records.page(
                account, before=before, limit=limit or PAGE_JOBS, only=only, text=text, type=kind, day=day
            )
            return {
                "jobs": [job_facts.card(job) for job in page.jobs],
                "next_before": page.next_before,
                "unfinished": records.unfinished(account),
                "now": time.time(),
            }

        return _json(await asyncio.to_thread(read))

    async def job(self, request: web.Request) -> web.StreamResponse:
        """One job with its trouble, what would ask for it again, and a report that can be shown to anybody."""
        job_id = whole_number(request.match_info, "id", 1, _LARGEST_ID, None) or 0

        def read() -> dict[str, Any] | None:
            records, settings = self._records(), self._service().settings()
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
        return _json({"problem": "There is no such job."}, status=404) if found is None else _json(found)

    async def export(self, request: web.Request) -> web.StreamResponse:
        """All jobs of the account as CSV, a chunk at a time."""

        def begin() -> Iterator[str]:
            chunks = self._records().chunks(self._service().settings().account)
            return (job_facts.csv_lines(jobs) for jobs in chunks)

        texts = await asyncio.to_thread(begin)
        response = web.StreamResponse(
            headers={
                **_KEPT_IN_BROWSERS,
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
            records, account = self._records(), self._service().settings().account
            day, month = _beginnings(time.time(), minutes_east)
            return {
                "today": asdict(records.sum_since(account, day)),
                "week": asdict(records.sum_since(account, day - 6 * 86_400)),
                "month": asdict(records.sum_since(account, month)),
                "days": [asdict(each) for each in records.days(account, day - (_DAYS - 1) * 86_400, _DAYS)],
            }

        return _json(await asyncio.to_thread(read))

    async def standing(self, request: web.Request) -> web.StreamResponse:
        """What queueing a node with these values would do and cost, and how `job` stands, which it ran last.

        Reads only; a POST because prompts are longer than addresses.
        """
        require_json(request)
        asked = await json_object(request)
        client = asked.get("client")
        if isinstance(client, str) and len(client) <= _LONGEST_WORD and client not in _with_node_text:
            _with_node_text.append(client)
        return _json(await asyncio.to_thread(self._standing, asked))

    async def poster(self, request: web.Request) -> web.StreamResponse:
        """The small picture of a finished job's clip."""
        job_id = whole_number(request.match_info, "id", 1, _LARGEST_ID, None) or 0

        def read() -> bytes | None:
            job = self._records().job(self._service().settings().account, job_id)
            if job is None or job.file is None:
                return None
            folders = self._service().folders
            return Posters(folders.state / "posters").of(folders.results / Path(job.file).name)

        picture = await asyncio.to_thread(read)
        if picture is None:
            return _json({"problem": "There is no picture of this job."}, status=404)
        # A job's clip does not change any more.
        headers = {"Cache-Control": "private, max-age=86400", "X-Content-Type-Options": "nosniff"}
        return web.Response(body=picture, content_type="image/jpeg", headers=headers)

    async def account(self, request: web.Request) -> web.StreamResponse:
        """Whether a key is set and where, whether this is a rehearsal and why, and the host that is asked."""
        return _json(await asyncio.to_thread(self._account, request))

    async def balance(self, request: web.Request) -> web.StreamResponse:
        """The account's credits, asked for at most every 30 s."""
        return _json(await self._balance(BALANCE_SECONDS))

    # Writing

    async def set_key(self, request: web.Request) -> web.StreamResponse:
        """Keep `{"key": ...}` in the key file, and ask the gateway once what it says of it."""
        with writer(request, self._code):
            key = only_field(await json_object(request), "key", str)
            await asyncio.to_thread(store_key, self._service().folders.state, key)
        return _json({**await asyncio.to_thread(self._account, request), "balance": await self._balance(0.0)})

    async def set_account(self, request: web.Request) -> web.StreamResponse:
        """Say whether the jobs of another key are of this account: `{"other": id, "same": true|false}`."""
        with writer(request, self._code):
            fields = await json_object(request)
            other, same = fields.get("other"), fields.get("same")
            if set(fields) != {"other", "same"} or not isinstance(other, str) or not isinstance(same, bool):
                raise Forbidden(400, "Only the fields 'other' and 'same' are taken here.")
            await asyncio.to_thread(self._say_of_account, other, same)
        return _json(await asyncio.to_thread(self._account, request))

    async def move_journal(self, request: web.Request) -> web.StreamResponse:
        """Say whether the shared journal is to know the jobs of this machine's own one: `{"take": true|false}`."""
        with writer(request, self._code):
            take = only_field(await json_object(request), "take", bool)
            await asyncio.to_thread(lambda: self._service().move_in(take))
        return _json(await asyncio.to_thread(self._account, request))

    async def close_job(self, request: web.Request) -> web.StreamResponse:
        """Be done with a job that is on hold: `{}`."""
        with writer(request, self._code):
            if await json_object(request):
                raise Forbidden(400, "No field is taken here.")
            closed = await asyncio.to_thread(self._settle, request, lambda runner, job: runner.close_job(job))
        return _json({"job": job_facts.card(closed)})

    async def answer_job(self, request: web.Request) -> web.StreamResponse:
        """Say which task answers a job that got no answer: `{"task_id": ...}`."""
        with writer(request, self._code):
            task_id = task_identifier(only_field(await json_object(request), "task_id", str).strip())
            if task_id is None:
                raise Forbidden(400, "That is not a task id.")
            asked = task_id
            job = await asyncio.to_thread(self._settle, request, lambda runner, job: runner.answer(job, asked))
        return _json({"job": job_facts.card(job)})

    async def star_job(self, request: web.Request) -> web.StreamResponse:
        """Make a job a favourite, or none any more: `{"on": true}`. Needs no code: it spends and hides nothing."""
        require_own_origin(request)
        on = only_field(await json_object(request), "on", bool)

        def star() -> Job:
            return self._service().journal().star(self._own_job(request), on)

        job = await asyncio.to_thread(star)
        PromptServer.instance.send_sync(STAR_EVENT, {"id": job.id, "starred": on})
        return _json({"job": job_facts.card(job)})

    async def set_rehearsal(self, request: web.Request) -> web.StreamResponse:
        """Turn the rehearsal on or off: `{"on": true}`."""
        with writer(request, self._code):
            on = only_field(await json_object(request), "on", bool)
            await asyncio.to_thread(store_rehearsal, self._service().folders.state, on)
        return _json(await asyncio.to_thread(self._account, request))

    async def print_code(self, request: web.Request) -> web.StreamResponse:
        """Have a one-time code printed where ComfyUI runs, for a browser that is elsewhere; never in an answer."""
        require_own_origin(request)
        if await json_object(request):
            raise Forbidden(400, "No field is taken here.")
        return _json({"seconds": self._code.ask()})

    # What they are made of

    def _records(self) -> Records:
        service = self._service()
        service.journal()  # opening it also makes and upgrades it
        return service.records()

    def _rate(self, job: Job) -> float | None:
        """How many pictures a second its clip has, if it is here."""
        from ..media.probe import probe  # ComfyUI waits at its start for what is imported above

        if job.file is None:
            return None
        with suppress(MediaError):
            return probe(self._service().folders.results / Path(job.file).name).fps
        return None

    def _settle(self, request: web.Request, say: Callable[[Runner, Job], Job]) -> Job:
        return say(self._service().runner(), self._own_job(request))

    def _own_job(self, request: web.Request) -> Job:
        job_id = whole_number(request.match_info, "id", 1, _LARGEST_ID, None) or 0
        job = self._records().job(self._service().settings().account, job_id)
        if job is None:
            raise Forbidden(404, "There is no such job.")
        return job

    def _say_of_account(self, other: str, same: bool) -> None:
        service = self._service()
        journal, account = service.journal(), service.settings().account
        if other not in [known.account for known in journal.others(account)]:
            raise Forbidden(404, "There is no such account.")
        if same:
            service.same_account(other)
        else:
            journal.another_account(account, other)

    def _standing(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        records, settings = self._records(), self._service().settings()
        last = asked.get("job")
        known = records.job(settings.account, last) if isinstance(last, int) and 0 < last <= _LARGEST_ID else None
        return {
            "standing": self._standing_of(asked, records, settings.account),
            **asdict(records.estimate(settings.account, _kind(asked))),
            "rehearsal": settings.rehearsal,
            "ready": settings.rehearsal or settings.api_key is not None,
            "job": known and job_facts.card(known),
        }

    def _standing_of(self, asked: Mapping[str, Any], records: Records, account: str) -> str:
        try:
            order = _order(asked)
        except (InputError, KeyError, TypeError, ValueError):
            return "new"
        names = self._service().journal().members(account)
        job = records.latest(account, *map(order.identity, names))
        file = self._service().folders.results / Path(job.file).name if job is not None and job.file else None
        return job_facts.standing(job, on_disk=file is not None and file.is_file())

    async def _balance(self, oldest_seconds: float) -> dict[str, Any]:
        """The account's credits, asked for unless they were within `oldest_seconds`."""
        settings = await asyncio.to_thread(lambda: self._service().settings())
        async with self._balance_lock:
            told = self._balances.get(settings.account)
            if told is None or self._clock() - told.at > oldest_seconds:
                told = await asyncio.to_thread(self._ask, settings)
                self._balances = {settings.account: told}
        age = self._clock() - told.at
        return {"credits": told.credits, "problem": told.problem, "key": told.key, "age_seconds": age}

    def _account(self, request: web.Request) -> dict[str, Any]:
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

    def _ask(self, settings: Settings) -> Told:
        try:
            return Told(self._clock(), self._ask_balance(self._service(), settings), key="right")
        except APIMallError as failure:
            verdict: Verdict = "wrong" if isinstance(failure, (KeyRefused, AccessRefused)) else "unknown"
            return Told(self._clock(), None, f"{failure.what.rstrip('.')}. {failure.advice}".strip(), verdict)

    def announce(self, event: Event, job: Job) -> None:
        """Tell every open panel how a job stands now."""
        if event in _ANNOUNCED:
            unfinished = self._records().unfinished(job.account)
            card = job_facts.card(job)
            if self._shared:
                # Sent to every browser that is open, whoever of the users sits there.
                card["prompt"] = None
            told = {"job": card, "unfinished": unfinished, "awaited": self._service().is_awaited(job)}
            if event is Event.ACCEPTED and job.credits_left is not None:
                # The gateway has just told the balance: nobody needs to ask for it.
                self._balances = {job.account: Told(self._clock(), job.credits_left, key="right")}
                told["credits"] = job.credits_left
            PromptServer.instance.send_sync(EVENT, told)


_registered: list[Panel] = []
_with_node_text: deque[str] = deque(maxlen=_MOST_BROWSERS)
"""ComfyUI's ids of the browsers whose nodes show a line of ours."""


def shows_node_text(client_id: str) -> bool:
    """Has this browser asked on behalf of a node's line? One without our scripts never does."""
    return client_id in _with_node_text


def register(service: Callable[[], Service], *, shared: bool = False) -> None:
    """Put the routes on ComfyUI's server while packs are loaded. `service` is first asked for by a request."""
    server = getattr(PromptServer, "instance", None)
    if server is None or _registered:
        return
    registered = Panel(service, ask_balance=ask_balance, shared=shared)
    _registered.append(registered)
    for method, path, handler in registered.table():
        server.routes.route(method, path)(answered(handler))


def announce(event: Event, job: Job) -> None:
    """The runner's observer: from any thread, never raises, does nothing where there is no server."""
    try:
        for registered in _registered:
            registered.announce(event, job)
    except Exception:  # noqa: BLE001
        # The jobs come first: a panel that cannot be told must not end one.
        _log.debug("the panel could not be told of job %s", job.id, exc_info=True)


def ask_balance(service: Service, settings: Settings) -> float | None:
    """Credits of the account, asked of the gateway now; raises an APIMallError. Blocking."""
    from ..gateway.client import Gateway, Timeouts, open_session

    key = settings.require_key()
    base_url = service.base_url(settings)
    timeouts = Timeouts(connect_seconds=5.0, read_seconds=10.0, reply_seconds=15.0)
    with open_session(base_url) as session:
        return Gateway(base_url, key, session=lambda: session, timeouts=timeouts).balance().credits


def answered(handler: Handler) -> Handler:
    """`handler`, with what it raises told as JSON: `{"problem": ...}`."""

    @functools.wraps(handler)
    async def answer(request: web.Request) -> web.StreamResponse:
        try:
            return await handler(request)
        except Forbidden as refusal:
            return _json({"problem": str(refusal)}, status=refusal.status)
        except WrongCode as refusal:
            return _json({"problem": str(refusal)}, status=403)
        except APIMallError as failure:
            return _json({"problem": str(failure)}, status=409)
        except JournalError as damage:
            _log.warning("the panel could not read the journal: %s", damage)
            return _json({"problem": f"The journal cannot be read ({damage})."}, status=503)

    return answer


def _kind(asked: Mapping[str, Any]) -> Kind:
    return Kind(*(clean_text(asked.get(name), _LONGEST_WORD) for name in ("model", "type", "duration", "resolution")))


def _order(asked: Mapping[str, Any]) -> Order:
    """The order that a text node with these widget values would make; KeyError, TypeError or InputError if none."""
    words = {name: asked[name] for name in ("model", "prompt", "duration", "resolution")}
    take = asked["take"]
    if asked["type"] != TEXT_TO_VIDEO:
        raise ValueError("what is linked to such a node is not known here")
    if not all(isinstance(word, str) for word in words.values()) or isinstance(take, bool) or not isinstance(take, int):
        raise TypeError("a widget's value of another type")
    return Order(type=TEXT_TO_VIDEO, take=take, **words)


def _beginnings(now: float, minutes_east: int) -> tuple[float, float]:
    """When the day and the month began, in seconds since the epoch, `minutes_east` of Greenwich."""
    there = time.gmtime(now + minutes_east * 60)
    into_day = there.tm_hour * 3600 + there.tm_min * 60 + there.tm_sec + now % 1
    day = now - into_day
    return day, day - (there.tm_mday - 1) * 86_400


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


def _json(answer: Mapping[str, Any], status: int = 200) -> web.Response:
    return web.json_response(answer, status=status, headers=_KEPT_IN_BROWSERS)
