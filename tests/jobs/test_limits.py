"""The limit on a day's credits."""

from __future__ import annotations

import pytest

from nodes.gateway.errors import Charge, SetupError
from nodes.jobs.limits import DailyLimit
from nodes.journal.reads import Records
from tests.support.panel import Desk


def limit_of(desk: Desk, credits: float) -> DailyLimit:
    return DailyLimit(Records(desk.journal.path), lambda: credits, desk.clock)


def test_without_a_limit_everything_is_sent(desk: Desk) -> None:
    for number in range(5):
        desk.delivered(f"number {number}")
    limit_of(desk, 0)(desk.intended("one more"))


def test_a_job_that_would_pass_the_limit_is_refused_with_the_sum(desk: Desk) -> None:
    desk.delivered("first")
    limit = limit_of(desk, 60)
    limit(desk.intended("second"))
    desk.delivered("second")
    with pytest.raises(SetupError, match=r"limit of 60 credits a day: 60 were spent today, and it would cost about 30"):
        limit(desk.intended("third"))


def test_a_refusal_says_that_nothing_was_sent(desk: Desk) -> None:
    desk.delivered("first")
    with pytest.raises(SetupError) as refusal:
        limit_of(desk, 30)(desk.intended("second"))
    assert refusal.value.charge is Charge.NOT_SENT


def test_what_was_spent_yesterday_does_not_count(desk: Desk) -> None:
    desk.delivered("yesterday")
    desk.clock.now += 86_400
    limit_of(desk, 30)(desk.intended("today"))


def test_a_kind_that_was_never_paid_goes_as_long_as_anything_is_left(desk: Desk) -> None:
    limit = limit_of(desk, 30)
    limit(desk.intended("the first of all"))
    desk.delivered("the first of all")
    with pytest.raises(SetupError, match="price is not known"):
        limit(desk.intended("of another kind", resolution="1080p"))


def test_jobs_without_a_bill_count_by_their_price(desk: Desk) -> None:
    desk.delivered("first")
    limit = limit_of(desk, 60)
    desk.sent("second, on its way")
    with pytest.raises(SetupError):
        limit(desk.intended("third"))


def test_of_two_jobs_at_once_the_older_is_sent(desk: Desk) -> None:
    desk.delivered("first")
    limit = limit_of(desk, 60)
    older, younger = desk.intended("older"), desk.intended("younger")
    for job in (older, younger):
        desk.journal.claim(job.id, "us", ["us"])
    limit(older)
    with pytest.raises(SetupError):
        limit(younger)


def test_a_job_that_nobody_is_about_to_send_counts_nothing(desk: Desk) -> None:
    desk.delivered("first")
    desk.intended("withdrawn long ago")
    limit_of(desk, 60)(desk.intended("second"))
