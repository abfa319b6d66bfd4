"""What the panel is told: pages of jobs, one job, sums, small pictures, and the account."""

from __future__ import annotations

import csv
import io
import json
import sqlite3
import time
from contextlib import closing
from typing import Any

import numpy as np
import pytest
from PIL import Image

from nodes.gateway.errors import PromptBlocked
from nodes.media.encode import encode_clip
from nodes.panel import reading
from nodes.remarks import remark
from nodes.troubles import Trouble
from tests.support.harness import file_of
from tests.support.panel import KEY, Client, Site, ids

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


def test_trouble_that_the_journal_kept_can_be_said_in_the_language_of_who_looks(site: Site) -> None:
    what = remark(Trouble.WITH_MESSAGE, what=remark(Trouble.HTTP_451), message="no swans")
    job = site.journal.rejected(site.sent("a swan"), PromptBlocked(what, status=451))
    assert site.get(f"/apimall/jobs/{job.id}")["trouble"]["said"] == {
        "what": remark(Trouble.ENDED, text=what).facts(),
        "advice": remark(Trouble.CHANGE_PROMPT).facts(),
        "charge": remark(Trouble.JOB_REJECTED).facts(),
    }


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


# Sums


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


def test_days_and_months_begin_where_the_reader_is() -> None:
    moment = 1_700_000_000.0  # 2023-11-14T22:13:20Z, which is the 15th in Berlin
    assert reading._beginnings(moment, 0) == (1_699_920_000.0, 1_698_796_800.0)
    assert reading._beginnings(moment, 120) == (1_699_999_200.0, 1_698_789_600.0)


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
