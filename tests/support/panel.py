"""What the tests of the browser half share: a journal with known jobs, and the routes over real HTTP."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from server import PromptServer

from nodes.gateway.contract import Accepted, Task
from nodes.gateway.errors import PromptBlocked, ReplyLost
from nodes.jobs.order import Order
from nodes.journal.rows import COLUMNS, Delivery, Job, Parking
from nodes.journal.verbs import Journal
from nodes.panel import routes
from nodes.panel.codes import OneTimeCode
from nodes.panel.replies import answered
from nodes.service import Folders, Service
from nodes.settings import Settings

Made = TypeVar("Made")
KEY = "sk-canary-0123456789abcdef"
BASE_URL = "https://gateway.example"

Client = TestClient[web.Request, web.Application]


class Clock:
    """Seconds that move only when told to."""

    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class Site:
    """A state folder with a key, its journal, and the routes over them. `asked`: how often the balance was."""

    def __init__(self, folder: Path, now: float = 1_800_000_000.0) -> None:
        self.clock = Clock(now)
        self.folder = folder
        self.environ = {"APIMALL_API_KEY": KEY, "APIMALL_BASE_URL": BASE_URL}
        self.service = Service(Folders(folder / "state", folder / "output" / "apimall"), self.environ)
        self.journal = Journal(folder / "state" / "journal.sqlite3", clock=self.clock)
        self.asked = 0
        self.printed: list[str] = []
        self.code = OneTimeCode(self.printed.append, self.clock)
        self.shared = False
        self.credits: float | Exception = 970.0
        self.browsers = PromptServer()

    @property
    def account(self) -> str:
        return self.service.settings().account

    def ask_balance(self, service: Service, settings: Settings) -> float | None:
        self.asked += 1
        if isinstance(self.credits, Exception):
            raise self.credits
        return self.credits

    def panel(self) -> routes.Panel:
        """The routes, as they are made when ComfyUI starts."""
        return routes.Panel(
            lambda: self.service, ask_balance=self.ask_balance, shared=self.shared, code=self.code, clock=self.clock
        )

    def talk(self, conversation: Callable[[Client], Awaitable[Made]], panel: routes.Panel | None = None) -> Made:
        """Serve the routes on loopback while `conversation` lasts."""

        async def run() -> Made:
            app = web.Application()
            for method, path, handler in (panel or self.panel()).table():
                app.router.add_route(method, path, answered(handler))
            async with TestClient(TestServer(app)) as client:
                return await conversation(client)

        return asyncio.run(run())

    def get(self, path: str) -> Any:
        """The JSON answer to a GET that must succeed."""

        async def ask(client: Client) -> Any:
            async with client.get(path) as reply:
                assert reply.status == 200, await reply.text()
                return await reply.json()

        return self.talk(ask)

    # Jobs

    def order(self, prompt: str = "a fox in the snow", **changes: Any) -> Order:
        fields: dict[str, Any] = {"model": "wan2-6", "type": "text-to-video", "duration": "5", "resolution": "720p"}
        return Order(prompt=prompt, **{**fields, **changes})

    def intended(self, prompt: str = "a fox in the snow", **changes: Any) -> Job:
        return self.journal.intend(self.order(prompt, **changes).intent(self.account))

    def sent(self, prompt: str = "a fox in the snow", **changes: Any) -> Job:
        job = self.journal.begin_post(self.intended(prompt, **changes), 99, [])
        assert isinstance(job, Job)
        return job

    def parked(self, why: Parking = Parking.UNCERTAIN) -> Job:
        """A job that was sent, got no answer, and is followed by nobody."""
        job = self.sent()
        self.journal.claim(job, "us", ["us"])
        held = self.journal.park(job, "us", why, ReplyLost("No answer came"))
        assert held is not None
        return held

    def running(self, prompt: str = "a fox in the snow", credits: float | None = 30.0, **changes: Any) -> Job:
        job = self.sent(prompt, **changes)
        return self.journal.accepted(job, Accepted(f"vid_{job.id}", "req_1", "prov_1", credits))

    def completed(self, prompt: str = "a fox in the snow", seconds: float = 110.0, **changes: Any) -> Job:
        job = self.running(prompt, **changes)
        self.clock.now += seconds
        return self.journal.completed(job, Task(job.task_id or "", "completed"))

    def delivered(self, prompt: str = "a fox in the snow", seconds: float = 110.0, **changes: Any) -> Job:
        job = self.completed(prompt, seconds, **changes)
        name = f"video_{job.id}.mp4"
        file = self.service.folders.results / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"clip")
        return self.journal.delivered(
            job, Delivery("0" * 32, name, 4, file.stat().st_mtime_ns, "00"), "https://cdn.test/v"
        )

    def rejected(self, prompt: str = "a fox in the snow", **changes: Any) -> Job:
        job = self.sent(prompt, **changes)
        refusal = PromptBlocked(f"The prompt was blocked: {prompt}", status=451, code="blocked", request_id="req_9")
        return self.journal.rejected(job, refusal)

    def fill(self, count: int) -> None:
        """`count` finished jobs more, written in one go: the newest one's row, over and over."""
        self.delivered("one of many, of a length that prompts have: " + "x" * 400)
        names = sorted(COLUMNS - {"id"})
        changed = {name: f"{name} || '-' || n" for name in ("identity", "idempotency_key", "prompt")}
        columns = ", ".join(changed.get(name, name) for name in names)
        with closing(sqlite3.connect(self.folder / "state" / "journal.sqlite3")) as connection, connection:
            connection.execute(
                f"WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {count})"
                f" INSERT INTO jobs ({', '.join(names)}) SELECT {columns} FROM jobs, numbers"
                " WHERE id = (SELECT MAX(id) FROM jobs)"
            )

    def close(self) -> None:
        self.journal.close()
        self.service.close()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A panel whose journal is empty."""
    opened = Site(tmp_path)
    yield opened
    opened.close()


def ids(answer: Any) -> list[int]:
    """Of the jobs of a page."""
    return [job["id"] for job in answer["jobs"]]


async def post(client: Client, path: str, body: Any, **headers: str) -> tuple[int, Any]:
    """As this server's own page posts: the status and the JSON answer. A header given empty is left out."""
    origin = f"http://{client.host}:{client.port}"
    given = {"Origin": origin, "Content-Type": "application/json", **headers}
    async with client.post(path, data=json.dumps(body), headers={n: v for n, v in given.items() if v}) as reply:
        return reply.status, await reply.json()
