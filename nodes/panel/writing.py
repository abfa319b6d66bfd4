"""Routes that write: the key, the switches, and what a user says of a job.

They take JSON from a page that this very server delivered. None starts a paid job, takes a URL or a path, or gives the
key away.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from aiohttp import web
from server import PromptServer

from ..gateway.contract import task_identifier
from ..journal.rows import Job
from ..service import Service
from ..settings import set_rehearsal as store_rehearsal
from ..settings import store_key
from . import job_facts
from .balances import Balances
from .codes import OneTimeCode
from .guards import Forbidden, json_object, only_field, require_own_origin, writer
from .reading import Reading
from .replies import as_json

if TYPE_CHECKING:
    from ..jobs.runner import Runner

STAR_EVENT = "apimallvideo.star"
"""To all panels: `{"id": of the job, "starred": is it a favourite now}`."""

ACCOUNT_EVENT = "apimallvideo.account"
"""To all browsers: key, rehearsal or what is known of the account is another now; what it is they ask for."""


class Writing:
    """What a page that this very server delivered may change, on this machine or with the code printed there."""

    def __init__(self, service: Callable[[], Service], reading: Reading, balances: Balances, code: OneTimeCode) -> None:
        self._service = service
        self._reading = reading
        self._balances = balances
        self._code = code

    async def set_key(self, request: web.Request) -> web.StreamResponse:
        """Keep `{"key": ...}` in the key file, and ask the gateway once what it says of it."""
        with writer(request, self._code):
            key = only_field(await json_object(request), "key", str)
            await asyncio.to_thread(store_key, self._service().folders.state, key)
        _tell_all()
        facts = await asyncio.to_thread(self._reading.account_facts, request)
        return as_json({**facts, "balance": await self._balances.of_account(0.0)})

    async def set_account(self, request: web.Request) -> web.StreamResponse:
        """Say whether the jobs of another key are of this account: `{"other": id, "same": true|false}`."""
        with writer(request, self._code):
            fields = await json_object(request)
            other, same = fields.get("other"), fields.get("same")
            if set(fields) != {"other", "same"} or not isinstance(other, str) or not isinstance(same, bool):
                raise Forbidden(400, "Only the fields 'other' and 'same' are taken here.")
            await asyncio.to_thread(self._say_of_account, other, same)
        _tell_all()
        return as_json(await asyncio.to_thread(self._reading.account_facts, request))

    async def move_journal(self, request: web.Request) -> web.StreamResponse:
        """Say whether the shared journal is to know the jobs of this machine's own one: `{"take": true|false}`."""
        with writer(request, self._code):
            take = only_field(await json_object(request), "take", bool)
            await asyncio.to_thread(lambda: self._service().move_in(take))
        _tell_all()
        return as_json(await asyncio.to_thread(self._reading.account_facts, request))

    async def close_job(self, request: web.Request) -> web.StreamResponse:
        """Be done with a job that is on hold: `{}`."""
        with writer(request, self._code):
            if await json_object(request):
                raise Forbidden(400, "No field is taken here.")
            closed = await asyncio.to_thread(self._settle, request, lambda runner, job: runner.close_job(job))
        return as_json({"job": job_facts.card(closed)})

    async def answer_job(self, request: web.Request) -> web.StreamResponse:
        """Say which task answers a job that got no answer: `{"task_id": ...}`."""
        with writer(request, self._code):
            task_id = task_identifier(only_field(await json_object(request), "task_id", str).strip())
            if task_id is None:
                raise Forbidden(400, "That is not a task id.")
            asked = task_id
            job = await asyncio.to_thread(self._settle, request, lambda runner, job: runner.answer(job, asked))
        return as_json({"job": job_facts.card(job)})

    async def star_job(self, request: web.Request) -> web.StreamResponse:
        """Make a job a favourite, or none any more: `{"on": true}`. Needs no code: it spends and hides nothing."""
        require_own_origin(request)
        on = only_field(await json_object(request), "on", bool)

        def star() -> Job:
            return self._service().journal().star(self._reading.own_job(request), on)

        job = await asyncio.to_thread(star)
        PromptServer.instance.send_sync(STAR_EVENT, {"id": job.id, "starred": on})
        return as_json({"job": job_facts.card(job)})

    async def set_rehearsal(self, request: web.Request) -> web.StreamResponse:
        """Turn the rehearsal on or off: `{"on": true}`."""
        with writer(request, self._code):
            on = only_field(await json_object(request), "on", bool)
            await asyncio.to_thread(store_rehearsal, self._service().folders.state, on)
        _tell_all()
        return as_json(await asyncio.to_thread(self._reading.account_facts, request))

    async def print_code(self, request: web.Request) -> web.StreamResponse:
        """Have a one-time code printed where ComfyUI runs, for a browser that is elsewhere; never in an answer."""
        require_own_origin(request)
        if await json_object(request):
            raise Forbidden(400, "No field is taken here.")
        return as_json({"seconds": self._code.ask()})

    def _settle(self, request: web.Request, say: Callable[[Runner, Job], Job]) -> Job:
        return say(self._service().runner(), self._reading.own_job(request))

    def _say_of_account(self, other: str, same: bool) -> None:
        service = self._service()
        journal, account = service.journal(), service.settings().account
        if other not in [known.account for known in journal.others(account)]:
            raise Forbidden(404, "There is no such account.")
        if same:
            service.same_account(other)
        else:
            journal.another_account(account, other)


def _tell_all() -> None:
    PromptServer.instance.send_sync(ACCOUNT_EVENT, {})
