"""What is left on the account: asked for seldom, and told with each job."""

from __future__ import annotations

from typing import Any

import pytest
from server import PromptServer

from nodes.gateway.contract import Accepted
from nodes.gateway.errors import KeyRefused
from nodes.jobs.events import Event
from tests.support.panel import Client, Site


def test_the_balance_is_asked_for_at_most_every_thirty_seconds(site: Site) -> None:
    async def ask(client: Client) -> list[Any]:
        answers = []
        for wait in (0, 29, 2):
            site.clock.now += wait
            async with client.get("/apimall/balance") as reply:
                answers.append(await reply.json())
        return answers

    answers = site.talk(ask)
    assert [answer["credits"] for answer in answers] == [970, 970, 970]
    assert site.asked == 2


def test_a_balance_that_cannot_be_had_says_why(site: Site) -> None:
    site.credits = KeyRefused("The gateway refused the API key")
    answer = site.get("/apimall/balance")
    assert answer["credits"] is None
    assert "refused the API key" in answer["problem"]


def test_the_balance_that_comes_with_a_job_is_told_at_once_and_not_asked_for_again(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = PromptServer()
    job = site.journal.accepted(site.sent(), Accepted("vid_1", "req_1", "prov_1", 30.0, remaining_credits=910.0))

    async def ask(client: Client) -> Any:
        panel.announce(Event.ACCEPTED, job)
        async with client.get("/apimall/balance") as reply:
            return await reply.json()

    panel = site.panel()
    assert site.talk(ask, panel)["credits"] == 910
    assert [sent.data.get("credits") for sent in host.sent] == [910]
    assert site.asked == 0
