"""The panel's routes: what they tell, and what they refuse."""

from __future__ import annotations

import csv
import io
import json
import sqlite3
import threading
import time
from contextlib import closing
from typing import Any

import numpy as np
import pytest
from PIL import Image
from server import PromptServer

from nodes.gateway.contract import Accepted, Task
from nodes.gateway.errors import KeyRefused, NotReached, ReplyLost, ResultGone, TaskFailed
from nodes.jobs.events import Event
from nodes.journal.rows import Job, Parking
from nodes.media.encode import encode_clip
from nodes.panel import reading, routes, writing
from tests.support import postgres
from tests.support.harness import file_of
from tests.support.panel import KEY, Client, Site

READING = ("/apimall/jobs", "/apimall/jobs/1", "/apimall/jobs.csv", "/apimall/totals", "/apimall/account")


def ids(answer: Any) -> list[int]:
    return [job["id"] for job in answer["jobs"]]


# Pages


def test_pages_come_newest_first_and_continue_where_they_ended(site: Site) -> None:
    made = [site.delivered(f"number {number}").id for number in range(5)]
    first = site.get("/apimall/jobs?limit=2")
    second = site.get(f"/apimall/jobs?limit=2&before={first['next_before']}")
    third = site.get(f"/apimall/jobs?limit=2&before={second['next_before']}")
    assert ids(first) + ids(second) + ids(third) == made[::-1]
    assert third["next_before"] is None


def test_a_card_tells_how_a_job_stands(site: Site) -> None:
    site.delivered("a red fox", seconds=110)
    card = site.get("/apimall/jobs")["jobs"][0]
    assert card["prompt"] == "a red fox"
    assert (card["state"], card["charge"], card["credits_used"]) == ("delivered", "charged", 30)
    assert card["seconds"] == 110
    assert card["file"].endswith(".mp4")
    assert "/" not in card["file"]


@pytest.mark.parametrize(
    ("only", "expected"),
    [
        ("starred", []),
        ("all", ["intended", "sent", "running", "completed", "delivered", "rejected"]),
        ("unfinished", ["intended", "sent", "running", "completed"]),
        ("uncertain", ["sent"]),
        ("failed", ["rejected"]),
    ],
)
def test_filters_show_what_they_name(site: Site, only: str, expected: list[str]) -> None:
    for state in ("intended", "sent", "running", "completed", "delivered", "rejected"):
        getattr(site, state)(f"a job that is {state}")
    answer = site.get(f"/apimall/jobs?only={only}")
    assert [job["state"] for job in answer["jobs"]] == expected[::-1]
    assert answer["unfinished"] == 4


def test_jobs_of_another_account_are_not_shown(site: Site) -> None:
    site.delivered()
    site.environ["APIMALL_API_KEY"] = "sk-another-key-of-somebody"
    assert site.get("/apimall/jobs")["jobs"] == []


@pytest.mark.parametrize(
    "query",
    [
        "before=0",
        "before=-1",
        "before=x",
        f"before={1 << 64}",
        "day=x",
        "limit=0",
        "limit=101",
        "only=mine",
        "limit=1e1",
    ],
)
def test_a_question_that_makes_no_sense_is_refused(site: Site, query: str) -> None:
    async def ask(client: Client) -> tuple[int, Any]:
        async with client.get(f"/apimall/jobs?{query}") as reply:
            return reply.status, await reply.json()

    status, answer = site.talk(ask)
    assert status == 400
    assert answer["problem"]


def test_a_page_over_a_hundred_thousand_jobs_reads_no_more_than_the_page(site: Site) -> None:
    site.rejected("the only one that failed")
    site.running("the only one that runs")
    site.fill(100_000)
    for only, count in (("all", 30), ("unfinished", 1), ("uncertain", 0), ("failed", 1)):
        assert len(site.get(f"/apimall/jobs?only={only}")["jobs"]) == count
    with closing(sqlite3.connect(file_of(site.journal))) as connection:
        plans = connection.execute(
            "EXPLAIN QUERY PLAN SELECT * FROM jobs WHERE account = 'a' AND id < 9 ORDER BY id DESC LIMIT 31"
        ).fetchall()
    assert all("SCAN" not in plan[-1] and "TEMP" not in plan[-1] for plan in plans)


# One job


def test_trouble_says_what_happened_what_it_cost_and_what_to_do(site: Site) -> None:
    job = site.rejected("something forbidden")
    trouble = site.get(f"/apimall/jobs/{job.id}")["trouble"]
    assert trouble["kind"] == "PromptBlocked"
    assert "blocked" in trouble["what"]
    assert trouble["charge"] == "rejected"
    assert trouble["advice"] == "Change the prompt and queue again."
    assert (trouble["http_status"], trouble["code"]) == (451, "blocked")


def test_a_report_holds_no_key_no_prompt_and_no_addresses(site: Site) -> None:
    prompt = f"my secret idea and {KEY} in it"
    job = site.rejected(prompt, type="image-to-video", references=("https://pictures.test/private/face.png?token=1",))
    report = site.get(f"/apimall/jobs/{job.id}")["report"]
    for secret in (KEY, prompt, "secret idea", "face.png", "token=1"):
        assert secret not in report
    for fact in ("PromptBlocked", "HTTP 451", "post 1", "[address at pictures.test]", "API Mall Video 0."):
        assert fact in report


def test_what_was_uploaded_is_counted_and_what_the_user_named_is_given_back(site: Site) -> None:
    urls = ("https://files.test/random", "https://pictures.test/mine.png")
    job = site.running(type="image-to-video", references=urls)
    site.journal.remember_upload(site.account, "digest", urls[0])
    found = site.get(f"/apimall/jobs/{job.id}")
    assert (found["addresses"], found["uploads"]) == ([urls[1]], 1)


def test_a_job_of_another_account_is_not_found(site: Site) -> None:
    job = site.delivered()
    site.environ["APIMALL_API_KEY"] = "sk-another-key-of-somebody"

    async def ask(client: Client) -> int:
        async with client.get(f"/apimall/jobs/{job.id}") as reply:
            return reply.status

    assert site.talk(ask) == 404


# Sums, estimates, standing


def test_totals_count_what_the_gateway_took_since_midnight_of_the_reader(site: Site) -> None:
    now = time.time()
    site.clock.now = now - 40 * 86_400
    site.running("long ago")
    site.clock.now = now - 6 * 86_400
    site.running("this week")
    site.clock.now = now
    site.running("now")
    totals = site.get("/apimall/totals?minutes_east=0")
    assert totals["today"] == {"credits": 30, "refunded": 0, "jobs": 1}
    assert totals["week"]["credits"] == 60
    assert totals["month"]["credits"] in (30, 60), "the month may have begun meanwhile"


def test_thirty_days_tell_what_was_spent_refunded_and_uncertain_on_each(site: Site) -> None:
    now = time.time()
    site.clock.now = now - 40 * 86_400
    site.running("long ago")
    site.clock.now = now - 2 * 86_400
    site.running("two days ago")
    site.clock.now = now
    site.running("now")
    site.sent("no answer yet")
    days = site.get("/apimall/totals?minutes_east=0")["days"]
    assert len(days) == 30
    assert 0 <= time.time() - days[-1].pop("begins") < 86_400
    assert days[-1] == {"credits": 30, "refunded": 0, "uncertain": 1}
    assert [place for place, day in enumerate(days) if day["credits"]] == [27, 29]


def test_jobs_are_found_by_a_part_of_their_prompt_or_task(site: Site) -> None:
    fox, percent = site.delivered("a Red fox"), site.delivered("100% snow_white")
    assert ids(site.get("/apimall/jobs?text=red")) == [fox.id]
    assert ids(site.get("/apimall/jobs?text=0%25%20s")) == [percent.id]
    assert ids(site.get("/apimall/jobs?text=d%25x")) == ids(site.get("/apimall/jobs?text=d_f")) == []
    assert ids(site.get(f"/apimall/jobs?text={fox.task_id}")) == [fox.id]


def test_jobs_are_found_by_their_type_and_the_day_they_were_asked_for(site: Site) -> None:
    monday = int(site.clock.now)
    text = site.delivered("a fox")
    site.clock.now = monday + 86_399
    picture = site.delivered("a fox", type="image-to-video")
    site.clock.now = monday + 86_400
    tuesday = site.delivered("a fox on Tuesday")
    assert ids(site.get(f"/apimall/jobs?day={monday}")) == [picture.id, text.id]
    assert ids(site.get("/apimall/jobs?type=text-to-video")) == [tuesday.id, text.id]
    assert ids(site.get(f"/apimall/jobs?type=text-to-video&day={monday}&text=fox")) == [text.id]


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


def test_days_and_months_begin_where_the_reader_is() -> None:
    moment = 1_700_000_000.0  # 2023-11-14T22:13:20Z, which is the 15th in Berlin
    assert reading._beginnings(moment, 0) == (1_699_920_000.0, 1_698_796_800.0)
    assert reading._beginnings(moment, 120) == (1_699_999_200.0, 1_698_789_600.0)


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
    site.journal.close_job(parked(site), [])
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


def test_takes_of_one_thing_are_one_series(site: Site) -> None:
    site.delivered(take=0)
    site.delivered(take=1)
    site.delivered("another thing")
    first, second, other = (card["series"] for card in site.get("/apimall/jobs")["jobs"][::-1])
    assert first == second != other


# Small pictures


def test_the_small_picture_of_a_clip_is_made_once(site: Site) -> None:
    job = site.delivered()
    clip = site.service.folders.results / str(job.file)
    encode_clip([np.full((720, 1280, 3), 0.5, np.float32)] * 12, 24, clip)

    async def ask(client: Client) -> tuple[str, bytes]:
        async with client.get(f"/apimall/posters/{job.id}") as reply:
            return reply.content_type, await reply.read()

    kind, picture = site.talk(ask)
    assert kind == "image/jpeg"
    assert Image.open(io.BytesIO(picture)).size == (360, 203)
    kept = list((site.service.folders.state / "posters").iterdir())
    kept[0].write_bytes(b"as it is kept")
    assert (len(kept), site.talk(ask)[1]) == (1, b"as it is kept")


@pytest.mark.parametrize("damage", ["no clip", "no file", "no job"])
def test_a_clip_that_is_none_has_no_picture(site: Site, damage: str) -> None:
    job = site.running() if damage == "no file" else site.delivered()
    number = job.id + 1 if damage == "no job" else job.id

    async def ask(client: Client) -> int:
        async with client.get(f"/apimall/posters/{number}") as reply:
            return reply.status

    assert site.talk(ask) == 404


# Account


def test_the_account_tells_where_the_key_is_and_never_the_key(site: Site) -> None:
    answer = site.get("/apimall/account")
    assert answer["key_source"] == "environment"
    assert answer["masked_key"] == "...cdef"
    assert answer["host"] == "gateway.example"
    assert KEY not in json.dumps(answer)
    assert answer["writable"]


def test_a_browser_elsewhere_is_told_that_it_may_not_set_the_key(site: Site) -> None:
    async def ask(client: Client) -> Any:
        async with client.get("/apimall/account", headers={"X-Forwarded-For": "203.0.113.9"}) as reply:
            return await reply.json()

    assert site.talk(ask)["writable"] is False


def test_a_wrong_setting_is_told_instead_of_the_account(site: Site) -> None:
    site.environ["APIMALL_REHEARSAL"] = "perhaps"
    assert "APIMALL_REHEARSAL" in site.get("/apimall/account")["problem"]


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


# Writing


async def post(client: Client, path: str, body: Any, **headers: str) -> tuple[int, Any]:
    origin = f"http://{client.host}:{client.port}"
    given = {"Origin": origin, "Content-Type": "application/json", **headers}
    async with client.post(path, data=json.dumps(body), headers={n: v for n, v in given.items() if v}) as reply:
        return reply.status, await reply.json()


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


def parked(site: Site, why: Parking = Parking.UNCERTAIN) -> Job:
    """A job that was sent, got no answer, and is followed by nobody."""
    job = site.sent()
    site.journal.claim(job, "us", ["us"])
    held = site.journal.park(job, "us", why, ReplyLost("No answer came"))
    assert held is not None
    return held


def test_a_job_on_hold_is_closed_by_its_owner(site: Site) -> None:
    job = parked(site, Parking.REFUSED)  # an uncertain one is taken up as soon as there is a runner
    assert site.get("/apimall/jobs")["jobs"][0]["parked"] == "refused"
    status, answer = site.talk(lambda client: post(client, f"/apimall/jobs/{job.id}/close", {}))
    assert (status, answer["job"]["state"], answer["job"]["unfinished"]) == (200, "closed", False)
    status, answer = site.talk(lambda client: post(client, f"/apimall/jobs/{job.id}/close", {}))
    assert (status, "not on hold" in answer["problem"]) == (409, True)
    assert site.talk(lambda client: post(client, "/apimall/jobs/99/close", {}))[0] == 404


def test_what_is_no_task_id_answers_no_job(site: Site) -> None:
    job = parked(site)
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


# Everything else


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


def test_the_export_holds_every_job_and_no_formula(site: Site) -> None:
    site.delivered("=HYPERLINK(1)")
    site.rejected("two\nlines, and a comma")

    async def read(client: Client) -> str:
        async with client.get("/apimall/jobs.csv") as reply:
            assert reply.content_type == "text/csv"
            return (await reply.read()).decode("utf-8-sig")

    rows = list(csv.DictReader(site.talk(read).splitlines(keepends=True)))
    assert [row["prompt"] for row in rows] == ["two\nlines, and a comma", "'=HYPERLINK(1)"]
    assert rows[1]["credits_used"] == "30.0"


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
    assert len(host.routes) == 16


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


def test_what_such_jobs_took_before_is_told_with_each_page_and_with_the_first_word_of_a_job(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routes, "_registered", [])
    host = PromptServer()
    routes.register(lambda: site.service)
    site.delivered("took 100", seconds=100)
    site.delivered("another kind", seconds=5, resolution="1080p")
    job = site.running()
    (shown, *_) = site.get("/apimall/jobs")["jobs"]
    assert shown["about"] == {"credits": 30, "seconds": 100}
    for event in (Event.BEGUN, Event.ACCEPTED):
        routes.announce(event, job)
    begun, accepted = (sent.data["job"] for sent in host.sent)
    assert begun["about"] == shown["about"]
    # The panel keeps what it was told; to ask at each step of a job would cost the more the more machines there are.
    assert "about" not in accepted


def test_an_announcement_that_fails_hurts_no_job(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> Any:
        raise RuntimeError("the loop is closed")

    monkeypatch.setattr(routes, "_registered", [routes.Panel(broken, ask_balance=site.ask_balance)])
    routes.announce(Event.ACCEPTED, site.running())
