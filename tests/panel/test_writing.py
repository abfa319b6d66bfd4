"""What a page may change, and who may."""

from __future__ import annotations

import json
from typing import Any

import pytest
from server import PromptServer

from nodes.gateway.errors import KeyRefused, NotReached
from nodes.journal.rows import Parking
from nodes.panel import writing
from tests.support import postgres
from tests.support.panel import KEY, Site, ids, post


def test_a_key_is_kept_and_not_repeated(site: Site) -> None:
    del site.environ["APIMALL_API_KEY"]
    status, answer = site.talk(lambda client: post(client, "/apimall/key", {"key": f" {KEY}\n"}))
    assert status == 200
    assert (answer["key_source"], answer["masked_key"]) == ("file", "...cdef")
    assert KEY not in json.dumps(answer)
    assert site.service.settings().api_key == KEY


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        (970.0, "right"),
        (KeyRefused("The gateway refused the API key"), "wrong"),
        (NotReached("The gateway could not be reached"), "unknown"),
    ],
)
def test_a_key_is_checked_when_it_is_saved(site: Site, answer: float | Exception, verdict: str) -> None:
    del site.environ["APIMALL_API_KEY"]
    site.credits = answer
    status, account = site.talk(lambda client: post(client, "/apimall/key", {"key": KEY}))
    assert (status, account["balance"]["key"], site.asked) == (200, verdict, 1)
    assert site.service.settings().api_key == KEY


def test_a_key_that_is_none_is_refused_without_repeating_it(site: Site) -> None:
    status, answer = site.talk(lambda client: post(client, "/apimall/key", {"key": "two words"}))
    assert status == 409
    assert "two words" not in answer["problem"]


def test_a_job_on_hold_is_closed_by_its_owner(site: Site) -> None:
    job = site.parked(Parking.REFUSED)  # an uncertain one is taken up as soon as there is a runner
    assert site.get("/apimall/jobs")["jobs"][0]["parked"] == "refused"
    status, answer = site.talk(lambda client: post(client, f"/apimall/jobs/{job.id}/close", {}))
    assert (status, answer["job"]["state"], answer["job"]["unfinished"]) == (200, "closed", False)
    status, answer = site.talk(lambda client: post(client, f"/apimall/jobs/{job.id}/close", {}))
    assert (status, "not on hold" in answer["problem"]) == (409, True)
    assert site.talk(lambda client: post(client, "/apimall/jobs/99/close", {}))[0] == 404


def test_what_is_no_task_id_answers_no_job(site: Site) -> None:
    job = site.parked()
    for task_id in ("", "two words", "x" * 1000):
        asked = {"task_id": task_id}
        assert site.talk(lambda client, asked=asked: post(client, f"/apimall/jobs/{job.id}/answer", asked))[0] == 400  # type: ignore[misc]


@pytest.mark.parametrize("same", [True, False])
def test_the_panel_asks_once_whose_the_jobs_of_another_key_are(same: bool, site: Site) -> None:
    site.get("/apimall/account")
    site.delivered()
    old = site.account
    site.environ["APIMALL_API_KEY"] = "sk-another-key-of-the-same"
    [other] = site.get("/apimall/account")["others"]
    assert (other["account"], other["jobs"], other["unfinished"]) == (old, 1, 0)
    told = {"other": old, "same": same}
    status, answer = site.talk(lambda client: post(client, "/apimall/account/same", told))
    assert (status, answer["others"]) == (200, [])
    assert len(site.get("/apimall/jobs")["jobs"]) == same
    assert site.talk(lambda client: post(client, "/apimall/account/same", told))[0] == 404


@pytest.mark.parametrize("take", [True, False])
def test_the_panel_asks_once_whether_the_shared_journal_is_to_know_the_jobs_of_the_own_one(
    take: bool, site: Site
) -> None:
    site.delivered()
    assert site.get("/apimall/account")["left_behind"] == 0
    # As a ComfyUI that is started anew, with a database.
    site.service.close()
    site.environ["APIMALL_JOURNAL"] = postgres.new_database()
    try:
        assert site.get("/apimall/account")["left_behind"] == 1
        assert site.get("/apimall/jobs")["jobs"] == []
        status, answer = site.talk(lambda client: post(client, "/apimall/journal", {"take": take}))
        assert (status, answer["left_behind"]) == (200, 0)
        assert len(site.get("/apimall/jobs")["jobs"]) == take
        site.delivered("another")
        assert site.get("/apimall/account")["left_behind"] == 1, "of what came later nobody said anything"
    finally:
        site.service.close()


def test_the_rehearsal_is_switched_on_and_off(site: Site) -> None:
    for on in (True, False):
        status, answer = site.talk(lambda client, on=on: post(client, "/apimall/rehearsal", {"on": on}))  # type: ignore[misc]
        assert (status, answer["rehearsal"], answer["rehearsal_source"]) == (200, on, "panel")
    # Whoever else looks would go on taking real jobs for played ones.
    assert [(sent.event, sent.sid) for sent in site.browsers.sent] == [(writing.ACCOUNT_EVENT, None)] * 2


def test_a_star_marks_a_favourite_until_it_is_taken_away_and_every_panel_is_told(site: Site) -> None:
    host = PromptServer()
    site.delivered("one of many")
    job = site.delivered("the best one")
    star = f"/apimall/jobs/{job.id}/star"
    status, answer = site.talk(lambda client: post(client, star, {"on": True}))
    assert (status, answer["job"]["starred"]) == (200, True)
    assert ids(site.get("/apimall/jobs?only=starred")) == [job.id]
    site.talk(lambda client: post(client, star, {"on": False}))
    assert ids(site.get("/apimall/jobs?only=starred")) == []
    told = [(sent.event, sent.data) for sent in host.sent]
    assert told == [(writing.STAR_EVENT, {"id": job.id, "starred": on}) for on in (True, False)]
    assert site.talk(lambda client: post(client, "/apimall/jobs/99/star", {"on": True}))[0] == 404


def test_a_favourite_is_marked_from_wherever_the_panel_is_seen(site: Site) -> None:
    job = site.delivered()
    elsewhere = {"X-Forwarded-For": "203.0.113.9"}
    status, _ = site.talk(lambda client: post(client, f"/apimall/jobs/{job.id}/star", {"on": True}, **elsewhere))
    assert status == 200


WRITING = (
    "/apimall/key",
    "/apimall/rehearsal",
    "/apimall/account/same",
    "/apimall/journal",
    "/apimall/jobs/1/close",
    "/apimall/jobs/1/answer",
)


@pytest.mark.parametrize("path", WRITING)
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 415),
        ({"Content-Type": "multipart/form-data"}, 415),
        ({"Origin": ""}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "http://127.0.0.1:1"}, 403),
        ({"Origin": "http://[broken"}, 403),
        ({"Origin": "http://evil.example:8188", "Host": "evil.example:8188"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"X-Forwarded-For": "203.0.113.9"}, 403),
        ({"Forwarded": "for=203.0.113.9"}, 403),
    ],
)
def test_nobody_but_this_servers_own_page_may_write(
    site: Site, path: str, headers: dict[str, str], status: int
) -> None:
    body = {"key": "sk-of-somebody-else"} if path.endswith("key") else {"on": True}
    answer, told = site.talk(lambda client: post(client, path, body, **headers))
    assert (answer, bool(told["problem"])) == (status, True)
    assert not any(site.service.folders.state.glob("api_key*"))
    assert not site.service.settings().rehearsal


def test_a_browser_on_another_machine_may_not_write(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aiohttp.web.BaseRequest.remote", "192.0.2.7")
    status, _ = site.talk(lambda client: post(client, "/apimall/rehearsal", {"on": True}))
    assert status == 403


@pytest.mark.parametrize("body", [[], "key", None, {}, {"key": 1}, {"key": "sk-1234567890", "url": "x"}])
def test_only_the_documented_field_is_taken(site: Site, body: Any) -> None:
    assert site.talk(lambda client: post(client, "/apimall/key", body))[0] == 400


def test_a_body_that_is_too_large_is_refused(site: Site) -> None:
    assert site.talk(lambda client: post(client, "/apimall/key", {"key": "k" * 70_000}))[0] == 413
