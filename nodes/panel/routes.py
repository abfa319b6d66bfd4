"""What the side panel asks for, under `/apimall/`, and what it is told without asking.

Handlers run on ComfyUI's main loop, so files and network are left to threads.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from server import PromptServer

from ..jobs.events import Event
from ..journal.rows import Job
from ..service import Service
from ..settings import is_rehearsal
from . import job_facts
from .balances import AskBalance, Balances, ask_balance
from .codes import OneTimeCode
from .reading import Reading, cards
from .replies import Handler, answered
from .writing import Writing

_log = logging.getLogger("apimall_video.routes")

EVENT = "apimallvideo.jobs"
"""The server's message to all panels: `{"job": card, "unfinished": count, "awaited": by a node, "rehearsal": is it
played}`, and `"credits"`: what is left of them, when a reply told it."""

_ANNOUNCED = frozenset(Event) - {
    Event.UPLOADED,
    Event.READY,
    Event.ALLOWED,
    Event.ANSWERED,
    Event.FINISHED,
    Event.DOWNLOADED,
}


class Panel:
    """The routes of one service, made when first asked for it.

    `shared`: this ComfyUI keeps its users apart (--multi-user), and all of them use this one account.
    """

    def __init__(
        self,
        service: Callable[[], Service],
        *,
        ask_balance: AskBalance,
        shared: bool = False,
        code: OneTimeCode | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._service = service
        self._shared = shared
        self._balances = Balances(service, ask_balance, clock)
        self._reading = Reading(service, self._balances, shared=shared)
        self._writing = Writing(service, self._reading, self._balances, code or OneTimeCode())

    def table(self) -> tuple[tuple[str, str, Handler], ...]:
        """Method, path and handler of every route."""
        reads, writes = self._reading, self._writing
        return (
            ("GET", "/apimall/jobs", reads.jobs),
            ("GET", "/apimall/jobs/{id}", reads.job),
            ("GET", "/apimall/jobs.csv", reads.export),
            ("GET", "/apimall/totals", reads.totals),
            ("GET", "/apimall/posters/{id}", reads.poster),
            ("POST", "/apimall/standing", reads.standing),
            ("GET", "/apimall/account", reads.account),
            ("GET", "/apimall/balance", reads.balance),
            ("POST", "/apimall/key", writes.set_key),
            ("POST", "/apimall/account/same", writes.set_account),
            ("POST", "/apimall/journal", writes.move_journal),
            ("POST", "/apimall/jobs/{id}/close", writes.close_job),
            ("POST", "/apimall/jobs/{id}/answer", writes.answer_job),
            ("POST", "/apimall/jobs/{id}/star", writes.star_job),
            ("POST", "/apimall/rehearsal", writes.set_rehearsal),
            ("POST", "/apimall/code", writes.print_code),
        )

    def announce(self, event: Event, job: Job) -> None:
        """Tell every open panel how a job stands now."""
        if event in _ANNOUNCED:
            records = self._reading.records()
            unfinished = records.unfinished(job.account)
            # How long such jobs took before is told with its first word, and with each page.
            [card] = cards([job], records) if event is Event.BEGUN else [job_facts.card(job)]
            if self._shared:
                # Sent to every browser that is open, whoever of the users sits there.
                card["prompt"] = None
            told = {"job": card, "unfinished": unfinished, "awaited": self._service().is_awaited(job)}
            told["rehearsal"] = is_rehearsal(job.account)
            if event is Event.ACCEPTED and job.credits_left is not None:
                self._balances.learn(job.account, job.credits_left)
                told["credits"] = job.credits_left
            PromptServer.instance.send_sync(EVENT, told)


_registered: list[Panel] = []


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
