"""A whole mixed life with one key and one password, and then a search for them in everything that was left behind."""

from __future__ import annotations

import asyncio
import json
import logging
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from server import PromptServer

from nodes import move_journal
from nodes.gateway.errors import APIMallError
from nodes.guard.downloads import download
from nodes.jobs.order import Order
from nodes.journal.errors import JournalError
from nodes.panel import routes
from nodes.panel.balances import ask_balance
from nodes.panel.replies import answered
from nodes.rehearsal.faults import instead
from nodes.rehearsal.script import Said
from nodes.service import Folders, Service
from tests.security import canary
from tests.security.canary import KEY, PASSWORD, Ear, sings, with_password
from tests.support import harness, postgres
from tests.support.gateway import ScriptedGateway, answer
from tests.support.postgres import STORES, new_store

ROOT = Path(__file__).resolve().parents[2]
STATUSES = (400, 401, 402, 403, 404, 408, 409, 425, 429, 451, 500, 502, 503)
SPEED = 300.0
"""Most of a life is pauses before something is tried again."""
DEATHS = ("sent", "accepted", "downloaded")
READING = (
    "jobs",
    "jobs?only=failed",
    "jobs.csv",
    "totals",
    "account",
    "balance",
    "estimate?model=wan2-6&type=text-to-video&duration=5&resolution=720p",
)


class Life:
    """One user folder, one gateway that knows the key by heart and repeats it, one server that should never hear it."""

    def __init__(self, folder: Path, stranger: ScriptedGateway, database: str | None = None) -> None:
        self.folders = Folders(folder / "user", folder / "output")
        self.gateway = harness.rehearsal(folder / "gateway")
        self.stranger = stranger
        self.environ = {"APIMALL_BASE_URL": self.gateway.start()}
        if database is not None:
            self.environ["APIMALL_JOURNAL"] = with_password(database)
        self.service = self._service()
        self.failures: list[BaseException] = []
        self.answers: list[str] = []
        self.said: list[str] = []
        self.takes = iter(range(1, 1_000_000))

    def _service(self) -> Service:
        return Service(self.folders, self.environ, observe=routes.announce, clocks=harness.quick_clocks(speed=SPEED))

    def order(self, kind: str = "text") -> Order:
        if kind == "text":
            return harness.text_order(take=next(self.takes))
        return (harness.picture_order if kind == "image" else harness.clip_order)(take=next(self.takes))

    def make(self, order: Order) -> None:
        ticket = harness.ended(self.service.runner().submit(order))
        self.said += [repr(ticket.status()), ticket.status().text]
        try:
            self.said.append(repr(ticket.result()))
        except APIMallError as failure:
            self.failures.append(failure)
            self.said += [str(failure), failure.short, failure.advice]

    def meet(self, step: str, fault: Said, kind: str = "text", times: int = 12) -> None:
        """One job that meets a fault at a step, over and over."""
        self.gateway.script(step, *[fault] * times)
        self.make(self.order(kind))
        self.gateway.faults.clear()

    def close(self) -> None:
        self.service.close()
        self.gateway.stop()

    # Its chapters

    def goes_well(self) -> None:
        for kind in ("text", "image", "video"):
            order = self.order(kind)
            self.make(order)
            self.make(order)

    def is_refused(self) -> None:
        """Every refusal there is, by a gateway that repeats the key in everything it says."""
        echo = {"code": KEY[:60], "message": f"Bearer {KEY} is what you sent"}
        body = json.dumps({"success": False, "error": echo, "request_id": KEY, "data": {"key": KEY}}).encode()
        for status in STATUSES:
            headers = (("Retry-After", "1"), ("X-Echo", KEY), ("Set-Cookie", f"key={KEY}"), ("Location", f"/{KEY}"))
            self.meet("create", instead(status, body=body, headers=headers))
            self.meet("poll", instead(status, body=body, headers=headers), times=3)

    def goes_wrong(self) -> None:
        """Everything else that the table of faults knows, at every step."""
        broken = (
            "drop-before",
            "drop-after",
            "truncate",
            "shape",
            "not-success",
            "html",
            "nulls",
        )
        for fault in broken:
            self.meet("create", fault, times=9)
            self.meet("poll", fault, times=3)
            self.meet("upload_url", fault, "image", times=9)
        self.meet("create", "fail", times=1)
        ends = (f"status:{KEY}", "expired")
        for fault in ends:
            self.meet("poll", fault, times=2)
        arrivals = ("html:200", "broken", "403", "500", "drop-after")
        for fault in arrivals:
            self.meet("download", fault, times=2)
        departures = ("400", "403", "500", "drop-after")
        for fault in departures:
            self.meet("put", fault, "image", times=4)

    def is_led_astray(self) -> None:
        """Redirects and addresses that lead to another origin."""
        away = f"{self.stranger.base_url}/take?from=us"
        for step in ("create", "poll", "upload_url", "put", "download"):
            self.meet(step, f"redirect:{away}", "image" if step in ("upload_url", "put") else "text", times=2)
        told = {"task_id": "vid_x", "status": "completed", "video_url": away, "output": {"resultUrls": [away]}}
        self.meet("poll", instead(200, body=json.dumps({"success": True, "data": told}).encode()), times=40)
        slot = {"upload_url": away, "public_url": away}
        self.meet(
            "upload_url", instead(200, body=json.dumps({"success": True, "data": slot}).encode()), "image", times=4
        )
        # What another part of a gateway on this machine would be: the stranger is the very origin that may be fetched.
        part = self.folders.results / "stranger.part"
        download(f"{self.stranger.base_url}/video.mp4", part, loopback_origin=self.stranger.base_url)
        part.unlink()

    def is_left(self) -> None:
        self.gateway.always("poll", "status:processing")
        ticket = self.service.runner().submit(self.order())
        harness.eventually(lambda: ticket.status().accepted, "the job is accepted")
        self.failures.append(ticket.leave("You stopped the wait"))
        self.gateway.faults.clear()

    def dies(self) -> list[str]:
        """kill -9 of a process with the key in its hands, at every step; then this one goes on."""
        self.service.close()
        left = []
        for step in DEATHS:
            told = {"state": str(self.folders.state), "results": str(self.folders.results), "die_at": step}
            child = subprocess.run(
                [sys.executable, "-m", "tests.security.canary", json.dumps({**told, "environ": self.environ})],
                cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
            )  # fmt: skip
            assert child.returncode != 0
            left.append(child.stdout + child.stderr)
            assert "Traceback" not in child.stderr, child.stderr
        self.service = self._service()
        self.make(harness.text_order("dies"))
        return left

    def rehearses(self) -> None:
        self.environ["APIMALL_REHEARSAL"] = "1"
        assert self.service.settings().account.startswith("rehearsal")
        self.said.append(repr(self.service.settings()))
        del self.environ["APIMALL_REHEARSAL"]

    def is_looked_at(self) -> None:
        """Every route, by a browser of this machine and by others."""
        asyncio.run(self._look())

    async def _look(self) -> None:
        app = web.Application()
        panel = routes.Panel(lambda: self.service, ask_balance=ask_balance)
        for method, path, handler in panel.table():
            app.router.add_route(method, path, answered(handler))
        async with TestClient(TestServer(app)) as client:
            own = {"Origin": f"http://{client.host}:{client.port}", "Content-Type": "application/json"}
            jobs = range(1, 200)
            for path in [f"/apimall/{name}" for name in READING] + [f"/apimall/jobs/{number}" for number in jobs]:
                async with client.get(path) as reply:
                    self.answers.append(f"{path} {reply.status} {dict(reply.headers)} {await reply.text()}")
            for path, body, headers in (
                ("key", {"key": KEY}, own),
                ("key", {"key": f"{KEY} {KEY}"}, own),
                ("key", {"key": KEY, KEY: 1}, own),
                ("key", {"key": KEY}, {}),
                ("key", {"key": KEY}, {**own, "Origin": "https://evil.example"}),
                ("rehearsal", {"on": False}, own),
                ("standing", {"prompt": "x", "model": "wan2-6", "duration": "5", "resolution": "720p", "take": 0}, own),
            ):
                async with client.post(f"/apimall/{path}", data=json.dumps(body), headers=headers) as reply:
                    self.answers.append(f"{path} {reply.status} {dict(reply.headers)} {await reply.text()}")


@pytest.fixture
def ear() -> Iterator[Ear]:
    root = logging.getLogger()
    before, listening = root.level, Ear()
    loud = {name: logging.getLogger(name).level for name in ("urllib3", "requests", "aiohttp", "asyncio")}
    root.addHandler(listening)
    root.setLevel(logging.DEBUG)
    for name in loud:
        logging.getLogger(name).setLevel(logging.DEBUG)
    yield listening
    root.removeHandler(listening)
    root.setLevel(before)
    for name, level in loud.items():
        logging.getLogger(name).setLevel(level)


@pytest.mark.parametrize("store", STORES)
def test_neither_key_nor_password_sings(store: str, tmp_path: Path, ear: Ear, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routes, "_registered", [])
    browsers = PromptServer()
    with ScriptedGateway(answer(harness.tiny_clip(), "200 OK", "Content-Type: video/mp4")) as stranger:
        life = Life(tmp_path, stranger, new_store(store))
        routes.register(lambda: life.service)
        asyncio.run(_enter_key(life))
        life.goes_well()
        life.is_refused()
        life.goes_wrong()
        life.is_led_astray()
        life.is_left()
        last_words = life.dies()
        life.rehearses()
        life.is_looked_at()
        reprs = canary.reprs()
        opened = dict(canary.files(life.folders.state, life.folders.results))
        life.close()
        closed = dict(canary.files(life.folders.state, life.folders.results))

    # It was a life: a search through nothing finds nothing.
    kinds = {type(failure).__name__ for failure in life.failures}
    assert kinds >= {
        *("BadRequest", "KeyRefused", "CreditsMissing", "AccessRefused", "TaskUnknown", "PromptBlocked", "KeyConflict"),
        *("GatewayBroken", "Unreadable", "ReplyLost", "TaskFailed", "NotDownloaded", "Detached"),
    }
    asked = life.gateway.record.requests
    assert sum("Authorization" in request.headers for request in asked) > 100
    assert {request.step for request in asked} >= {"create", "poll", "upload_url", "put", "download", "balance"}
    assert len(browsers.sent) > 50 and len(last_words) == len(DEATHS)
    assert ear.names() >= {"urllib3.connectionpool"}
    files = {"journal.sqlite3", "journal.sqlite3-wal"}
    assert {path.name for path in opened} & {"api_key", *files} == {"api_key", *(files if store == "sqlite" else ())}
    assert any(path.suffix == ".mp4" for path in closed)
    assert len(stranger.requests) == 1, "only the fetch that named it as its origin reached the stranger"
    assert {"nodes.settings.Settings", "nodes.service.Service", "nodes.jobs.runner.Runner"} <= set(reprs)

    holders = {
        path.relative_to(tmp_path).as_posix() for path, content in {**opened, **closed}.items() if sings(content)
    }
    assert holders == {"user/api_key"}
    _assert_silent("logs", ear.heard)
    _assert_silent("the last words of the killed", last_words)
    _assert_silent("tracebacks", canary.told_by(life.failures))
    _assert_silent("what people are told", life.said)
    _assert_silent("answers of routes", life.answers)
    _assert_silent("messages to browsers", [repr(sent) for sent in browsers.sent])
    _assert_silent("reprs", [f"{name} {text}" for name, text in reprs.items()])
    _assert_silent("names of threads", [thread.name for thread in threading.enumerate()])
    _assert_silent("requests to the stranger", [repr(request) for request in stranger.requests])
    for request in asked:
        beside_header = [request.path, request.query, request.body.decode("latin-1")]
        beside_header += [f"{name}: {value}" for name, value in request.headers.items() if name != "Authorization"]
        _assert_silent(f"the {request.step} request", beside_header)
        carries = f"Bearer {KEY}" == request.headers["Authorization"]
        assert carries == request.path.startswith("/api/"), request.path


async def _enter_key(life: Life) -> None:
    app = web.Application()
    panel = routes.Panel(lambda: life.service, ask_balance=ask_balance)
    for method, path, handler in panel.table():
        app.router.add_route(method, path, answered(handler))
    async with TestClient(TestServer(app)) as client:
        own = {"Origin": f"http://{client.host}:{client.port}", "Content-Type": "application/json"}
        async with client.post("/apimall/key", data=json.dumps({"key": KEY}), headers=own) as reply:
            assert reply.status == 200
            life.answers.append(await reply.text())


def _assert_silent(what: str, texts: list[str]) -> None:
    hidden = [(sings(text), text[:2000].replace(KEY, "<KEY>").replace(PASSWORD, "<PASSWORD>")) for text in texts]
    singing = [(dresses, text) for dresses, text in hidden if dresses]
    assert singing == [], f"{what}: {len(singing)} of {len(texts)}"


# What the driver says when it cannot come in

QUOTED = quote(PASSWORD, safe="")
USER = "guarded"


class Unseen(dict[str, str]):
    """An environment that does not tell what is in it, as the process's own does to whoever asks."""

    def __repr__(self) -> str:
        return "Unseen(...)"


@pytest.fixture(scope="module")
def guarded() -> Iterator[str]:
    """The address of a database that wants another password from its user."""
    with postgres.running() as server:
        server.require_password(USER, "another")
        yield server.uri("postgres").replace("postgres:@", f"{USER}@")


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ("postgresql://u:{password}@127.0.0.1:1/d", "nothing answers there"),
        ("postgresql://u@127.0.0.1:1/d?password={password}", "nothing answers there"),
        ("postgresql://u:{password}@nonexistent.invalid/d", "its host is not known"),
        ("postgresql://u:{password}@127.0.0.1:1/d?sslmode=no-such", "a part of its address is not understood"),
        ("postgresql://u:{password}@127.0.0.1:1/d?no_such=1", "is no address"),
        ("postgresql://u:{password}%FF@127.0.0.1:1/d", "is no address"),
        ("postgresql://u:{plain}@127.0.0.1:1/d", "is no address"),
        ("mysql://u:{password}@127.0.0.1:1/d", "is no address"),
        ("{guarded}&password={password}", "refuses the user or the password"),
        ("{with_password}", "refuses the user or the password"),
        ("{guarded}", "refuses the user or the password"),
    ],
)
def test_no_error_of_a_database_tells_its_password(
    how: str,
    told: str,
    guarded: str,
    tmp_path: Path,
    ear: Ear,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    address = how.format(password=QUOTED, plain=PASSWORD, guarded=guarded, with_password=with_password(guarded))
    for name, value in {"PGPASSWORD": PASSWORD, "APIMALL_JOURNAL": address}.items():
        monkeypatch.setenv(name, value)
    service = Service(Folders(tmp_path / "user", tmp_path / "output"), Unseen(APIMALL_JOURNAL=address))
    failures = _failures(service)
    assert told in str(failures[0])
    answers = asyncio.run(_answers(service))
    assert any(told in answer for answer in answers)
    assert move_journal.main(["import", "--state", str(tmp_path)]) == 1
    printed = "".join(capsys.readouterr())
    assert told in printed
    hidden = [each for failure in failures for each in (failure.__cause__, failure.__context__) if each is not None]
    _assert_silent("tracebacks", canary.told_by([*failures, *hidden]))
    _assert_silent("answers of routes", answers)
    _assert_silent("what is printed", [printed])
    _assert_silent("reprs", [f"{name} {text}" for name, text in canary.reprs().items()])
    _assert_silent("logs", ear.heard)
    service.close()


def _failures(service: Service) -> list[BaseException]:
    failures: list[BaseException] = []
    for ask in (service.journal, service.records, lambda: service.records().unfinished("a")):
        try:
            ask()
        except (APIMallError, JournalError) as failure:
            failures.append(failure)
    return failures


async def _answers(service: Service) -> list[str]:
    app = web.Application()
    panel = routes.Panel(lambda: service, ask_balance=ask_balance)
    for method, path, handler in panel.table():
        app.router.add_route(method, path, answered(handler))
    async with TestClient(TestServer(app)) as client:
        replies = [await client.get(f"/apimall/{name}") for name in (*READING, "jobs/1")]
        return [f"{reply.status} {dict(reply.headers)} {await reply.text()}" for reply in replies]


@pytest.mark.parametrize("dress", canary.songs())
def test_the_search_knows_key_and_password_in_every_dress(dress: str) -> None:
    assert dress in sings(b"..." + canary.songs()[dress] + b"...")


def test_the_search_finds_no_key_in_innocence() -> None:
    assert sings("sk-canary is a kind of bird; the masked key is ...3b5a") == []
