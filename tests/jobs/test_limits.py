"""The limit on a day's credits."""

from __future__ import annotations

import pytest

from nodes.gateway.errors import Charge, SetupError
from nodes.jobs.limits import DailyLimit
from nodes.journal.reads import Records
from tests.support.panel import Site


def limit_of(site: Site, credits: float) -> DailyLimit:
    return DailyLimit(Records(site.journal.path), lambda: credits, site.clock)


def test_without_a_limit_everything_is_sent(site: Site) -> None:
    for number in range(5):
        site.delivered(f"number {number}")
    limit_of(site, 0)(site.intended("one more"))


def test_a_job_that_would_pass_the_limit_is_refused_with_the_sum(site: Site) -> None:
    site.delivered("first")
    limit = limit_of(site, 60)
    limit(site.intended("second"))
    site.delivered("second")
    with pytest.raises(SetupError, match=r"limit of 60 credits a day: 60 were spent today, and it would cost about 30"):
        limit(site.intended("third"))


def test_a_refusal_says_that_nothing_was_sent(site: Site) -> None:
    site.delivered("first")
    with pytest.raises(SetupError) as refusal:
        limit_of(site, 30)(site.intended("second"))
    assert refusal.value.charge is Charge.NOT_SENT


def test_what_was_spent_yesterday_does_not_count(site: Site) -> None:
    site.delivered("yesterday")
    site.clock.now += 86_400
    limit_of(site, 30)(site.intended("today"))


def test_a_kind_that_was_never_paid_goes_as_long_as_anything_is_left(site: Site) -> None:
    limit = limit_of(site, 30)
    limit(site.intended("the first of all"))
    site.delivered("the first of all")
    with pytest.raises(SetupError, match="price is not known"):
        limit(site.intended("of another kind", resolution="1080p"))


def test_jobs_without_a_bill_count_by_their_price(site: Site) -> None:
    site.delivered("first")
    limit = limit_of(site, 60)
    site.sent("second, on its way")
    with pytest.raises(SetupError):
        limit(site.intended("third"))


def test_of_two_jobs_at_once_the_older_is_sent(site: Site) -> None:
    site.delivered("first")
    limit = limit_of(site, 60)
    older, younger = site.intended("older"), site.intended("younger")
    for job in (older, younger):
        site.journal.claim(job.id, "us", ["us"])
    limit(older)
    with pytest.raises(SetupError):
        limit(younger)


def test_a_job_that_nobody_is_about_to_send_counts_nothing(site: Site) -> None:
    site.delivered("first")
    site.intended("withdrawn long ago")
    limit_of(site, 60)(site.intended("second"))
