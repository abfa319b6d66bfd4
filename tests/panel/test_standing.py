"""What a node tells before it is queued: what it would do, cost and take."""

from __future__ import annotations

from typing import Any

import pytest

from nodes.gateway.contract import Task
from nodes.gateway.errors import ResultGone, TaskFailed
from tests.support.panel import Client, Site

WIDGETS = {
    "type": "text-to-video",
    "model": "wan2-6",
    "prompt": "a fox in the snow",
    "duration": "5",
    "resolution": "720p",
    "take": 0,
}


def told_of(site: Site, asked: Any) -> Any:
    async def ask(client: Client) -> Any:
        async with client.post("/apimall/standing", json=asked) as reply:
            assert reply.status == 200
            return await reply.json()

    return site.talk(ask)


def test_an_estimate_is_the_middle_of_the_last_six_of_a_kind(site: Site) -> None:
    for seconds in (999, 100, 110, 120, 130, 105, 115):
        site.delivered(f"took {seconds}", seconds=seconds)
    site.delivered("another kind", seconds=5, resolution="1080p")
    answer = told_of(site, WIDGETS)
    assert (answer["runs"], answer["credits"], answer["seconds"]) == (6, 30, 112.5)


def test_without_runs_there_is_no_estimate(site: Site) -> None:
    answer = told_of(site, WIDGETS)
    assert (answer["runs"], answer["credits"], answer["seconds"]) == (0, None, None)


def standing(site: Site, asked: Any = None) -> str:
    return str(told_of(site, WIDGETS if asked is None else asked)["standing"])


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("intended", "new"),
        ("sent", "sent"),
        ("running", "running"),
        ("completed", "fetch"),
        ("delivered", "paid"),
        ("rejected", "new"),
    ],
)
def test_the_very_same_job_is_known(site: Site, state: str, expected: str) -> None:
    getattr(site, state)()
    assert standing(site) == expected
    assert standing(site, {**WIDGETS, "take": 1}) == "new"


@pytest.mark.parametrize("odd", ["\ud800", "\0", 7, None, ["wan2-6"]])
def test_what_is_no_model_is_no_job_and_has_no_price(site: Site, odd: Any) -> None:
    answer = told_of(site, {**WIDGETS, "model": odd})
    assert (answer["standing"], answer["credits"]) == ("new", None)


def test_a_paid_job_whose_file_is_gone_is_fetched_again(site: Site) -> None:
    job = site.delivered()
    (site.service.folders.results / str(job.file)).unlink()
    assert standing(site) == "fetch"


def test_what_has_ended_and_is_not_to_be_had_is_not_promised_again(site: Site) -> None:
    site.journal.expired(site.completed(), ResultGone("The link has gone"))
    assert standing(site) == "ended"


def test_a_job_that_was_closed_is_new_only_if_it_was_never_sent(site: Site) -> None:
    site.journal.close_job(site.intended(), [])
    assert standing(site) == "new"
    site.journal.close_job(site.parked(), [])
    assert standing(site) == "ended"


def test_a_failed_job_is_new_only_when_all_that_it_cost_came_back(site: Site) -> None:
    site.journal.failed(
        site.running(), Task("vid_1", "failed", credits_used=30.0, credits_refunded=10.0), TaskFailed("No")
    )
    assert standing(site) == "ended"


@pytest.mark.parametrize(
    "asked", [{}, {**WIDGETS, "take": "0"}, {**WIDGETS, "prompt": None}, {**WIDGETS, "prompt": ""}]
)
def test_widgets_that_make_no_order_are_a_new_job(site: Site, asked: Any) -> None:
    assert standing(site, asked) == "new"


def test_a_node_that_pictures_may_be_linked_to_is_always_new(site: Site) -> None:
    site.delivered()
    assert standing(site, {**WIDGETS, "type": "image-to-video"}) == "new"


def test_the_job_that_a_node_ran_last_is_told_as_it_is_now(site: Site) -> None:
    job = site.delivered()
    assert told_of(site, {**WIDGETS, "job": job.id})["job"]["file"] == job.file
    for stranger in (99, -1, 1 << 70, "1", None, True):
        assert told_of(site, {"job": stranger})["job"] is None or stranger is True


def test_without_a_key_no_job_can_be_made(site: Site) -> None:
    assert told_of(site, WIDGETS)["ready"]
    del site.environ["APIMALL_API_KEY"]
    assert not told_of(site, WIDGETS)["ready"]
    site.environ["APIMALL_REHEARSAL"] = "1"
    answer = told_of(site, WIDGETS)
    assert (answer["ready"], answer["rehearsal"]) == (True, True)
