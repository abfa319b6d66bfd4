"""All routes together, and what every panel is told without asking."""

from __future__ import annotations

import json
import sqlite3
import threading
from contextlib import closing
from typing import Any

import pytest
from server import PromptServer

from nodes.gateway.errors import KeyRefused
from nodes.jobs.events import Event
from nodes.panel import routes
from tests.support.harness import file_of
from tests.support.panel import KEY, Client, Site

READING = ("/apimall/jobs", "/apimall/jobs/1", "/apimall/jobs.csv", "/apimall/totals", "/apimall/account")


def test_no_answer_holds_the_key_or_the_idempotency_key(site: Site) -> None:
    job = site.delivered()
    site.credits = KeyRefused("The gateway refused the API key")

    async def read(client: Client) -> dict[str, str]:
        texts = {}
        for path in (*READING, "/apimall/balance"):
            async with client.get(path) as reply:
                texts[path] = await reply.text()
        return texts

    texts = site.talk(read)
    assert not [path for path, text in texts.items() if KEY in text]
    # The report alone names it: support can look a lost job up by it.
    assert [path for path, text in texts.items() if job.idempotency_key in text] == ["/apimall/jobs/1"]


def test_a_journal_of_a_newer_version_is_told(site: Site) -> None:
    with closing(sqlite3.connect(file_of(site.journal))) as connection:
        connection.execute("PRAGMA user_version = 99")

    async def ask(client: Client) -> tuple[int, Any]:
        async with client.get("/apimall/jobs") as reply:
            return reply.status, await reply.json()

    status, answer = site.talk(ask)
    assert status == 409
    assert "newer version" in answer["problem"]


def test_an_announcement_reaches_every_panel_from_any_thread(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routes, "_registered", [])
    host = PromptServer()
    routes.register(lambda: site.service)
    routes.register(lambda: site.service)
    job = site.running()
    thread = threading.Thread(target=routes.announce, args=("accepted", job))
    thread.start()
    thread.join()
    (sent,) = host.sent
    assert (sent.event, sent.sid) == (routes.EVENT, None)
    assert (sent.data["job"]["id"], sent.data["unfinished"], sent.data["awaited"]) == (job.id, 1, False)
    assert sent.data["rehearsal"] is False
    assert len(host.routes) == 16


def test_where_users_are_kept_apart_no_prompt_is_pushed_and_the_panel_says_that_the_account_is_shared(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routes, "_registered", [])
    host = PromptServer()
    routes.register(lambda: site.service, shared=True)
    job = site.running("a secret of user A")
    routes.announce(Event.ACCEPTED, job)
    (sent,) = host.sent
    assert sent.data["job"]["id"] == job.id
    assert sent.data["job"]["prompt"] is None
    assert "secret" not in json.dumps(sent.data)
    assert site.get("/apimall/account")["shared"] is False
    site.shared = True
    assert site.get("/apimall/account")["shared"] is True


def test_how_long_such_jobs_took_before_is_told_with_each_page_and_with_the_first_word_of_a_job(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routes, "_registered", [])
    host = PromptServer()
    routes.register(lambda: site.service)
    site.delivered("took 100", seconds=100)
    site.delivered("another kind", seconds=5, resolution="1080p")
    job = site.running()
    (shown, *_) = site.get("/apimall/jobs")["jobs"]
    assert shown["usual_seconds"] == 100
    for event in (Event.BEGUN, Event.ACCEPTED):
        routes.announce(event, job)
    begun, accepted = (sent.data["job"] for sent in host.sent)
    assert begun["usual_seconds"] == 100
    # The panel keeps what it was told; to ask at each step of a job would cost the more the more machines there are.
    assert "usual_seconds" not in accepted


def test_an_announcement_that_fails_hurts_no_job(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> Any:
        raise RuntimeError("the loop is closed")

    monkeypatch.setattr(routes, "_registered", [routes.Panel(broken, ask_balance=site.ask_balance)])
    routes.announce(Event.ACCEPTED, site.running())
