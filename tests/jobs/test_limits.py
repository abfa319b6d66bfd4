"""The limit on a day's credits: reserved in the transaction that sends."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from nodes.gateway.contract import Accepted, Task
from nodes.gateway.errors import Charge, ReplyLost, SetupError, StillRunning, TaskFailed
from nodes.jobs.limits import DailyLimit, PromptBudget, over_limit
from nodes.journal.rows import Allowance, Held, Hindrance, Job, Parking, State
from nodes.journal.verbs import Journal
from nodes.rehearsal.server import RehearsalGateway
from tests.support import harness
from tests.support.panel import Site

DAY_SECONDS = 86_400


def allowance(site: Site, credits: float) -> Allowance:
    found = DailyLimit(lambda: credits, site.clock)()
    assert found is not None
    return found


def send(site: Site, job: Job, credits: float) -> Job | Held:
    sent = site.journal.begin_post(job, 99, [], allowance(site, credits))
    assert sent is not None
    return sent


def goes(site: Site, job: Job, credits: float) -> bool:
    return isinstance(send(site, job, credits), Job)


def test_without_a_limit_everything_is_sent() -> None:
    assert DailyLimit(lambda: 0)() is None


def test_a_day_ends_at_midnight(site: Site) -> None:
    today = allowance(site, 1)
    assert today.since <= site.clock.now < today.until
    assert 23 * 3600 <= today.until - today.since <= 25 * 3600


def test_a_job_that_would_pass_the_limit_is_refused_with_the_sum_and_not_sent(site: Site) -> None:
    site.delivered("first")
    site.delivered("second")
    third = site.intended("third")
    held = send(site, third, 60)
    assert isinstance(held, Held)
    told = over_limit(held, allowance(site, 60))
    assert "limit of 60 credits a day: 60 were spent today, and it would cost about 30" in str(told)
    assert told.charge is Charge.NOT_SENT
    assert site.journal.get(third.id).state is State.INTENDED
    assert goes(site, third, 90)


def test_what_was_spent_yesterday_does_not_count(site: Site) -> None:
    site.delivered("yesterday")
    site.clock.now += DAY_SECONDS
    assert goes(site, site.intended("today"), 30)


def test_a_job_counts_on_the_day_it_is_sent_whenever_it_was_written_down(site: Site) -> None:
    site.delivered("to learn the price")
    waiting = [site.intended(f"refused yesterday {number}") for number in range(5)]
    site.clock.now += DAY_SECONDS
    assert [goes(site, job, 60) for job in waiting] == [True, True, False, False, False]


def test_of_two_processes_that_ask_at_the_same_moment_one_gets_what_is_left(site: Site) -> None:
    site.delivered("to learn the price")
    jobs = [site.intended(f"at once {number}") for number in range(8)]
    today = allowance(site, 30 + 30)
    went: list[bool] = []
    start = threading.Barrier(len(jobs))

    def ask(job: Job) -> None:
        journal = Journal(site.journal.place, clock=site.clock)
        start.wait()
        went.append(isinstance(journal.begin_post(job, 99, [], today), Job))
        journal.close()

    threads = [threading.Thread(target=ask, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(went) == [False] * 7 + [True]


def test_a_kind_that_was_never_paid_is_let_through_one_at_a_time_until_its_bill_is_there(site: Site) -> None:
    first, second = site.intended("first"), site.intended("second")
    sent = send(site, first, 30)
    assert isinstance(sent, Job)
    held = send(site, second, 30)
    assert isinstance(held, Held)
    assert held.by is Hindrance.PRICE
    site.journal.accepted(sent, Accepted("vid_1", credits_used=30.0))
    held = send(site, second, 30)
    assert isinstance(held, Held)
    assert held.by is Hindrance.LIMIT
    assert "it would cost about 30" in str(over_limit(held, allowance(site, 30)))


def test_a_bill_tells_the_price_of_its_kind_as_soon_as_it_is_there(site: Site) -> None:
    sent = send(site, site.intended("first"), 40)
    assert isinstance(sent, Job)
    site.journal.accepted(sent, Accepted("vid_1", credits_used=30.0))
    assert not goes(site, site.intended("second"), 40), "30 and 30 are more than 40"
    assert goes(site, site.intended("second"), 60)


def test_who_waits_over_midnight_is_held_against_the_day_on_which_it_is_sent(site: Site) -> None:
    site.delivered("to learn the price")
    waiting = [site.intended(f"late {number}") for number in range(4)]
    yesterday = allowance(site, 60)
    site.clock.now = yesterday.until + 2
    for job in waiting:
        held = site.journal.begin_post(job, 99, [], yesterday)
        assert isinstance(held, Held)
        assert held.by is Hindrance.DAY
    assert [goes(site, job, 60) for job in waiting] == [True, True, False, False]


def test_a_bill_that_never_comes_is_not_taken_for_none(site: Site) -> None:
    sent = send(site, site.intended("first"), 30)
    assert isinstance(sent, Job)
    running = site.journal.accepted(sent, Accepted("vid_1"))
    site.journal.claim(running, "us", [])
    site.journal.park(running, "us", Parking.REFUSED, StillRunning("no"))
    assert not goes(site, site.intended("second"), 30)
    site.journal.completed(running, Task("vid_1", "completed"))
    assert not goes(site, site.intended("third"), 30)


def test_jobs_without_a_bill_count_by_their_price(site: Site) -> None:
    site.delivered("first")
    site.sent("second, on its way")
    assert not goes(site, site.intended("third"), 60)


def test_what_came_back_may_be_spent_again(site: Site) -> None:
    site.delivered("first")
    job = site.running("second")
    site.journal.failed(job, Task("vid_2", "failed", credits_refunded=30.0), TaskFailed("no"))
    assert goes(site, site.intended("third"), 60)


def test_a_job_of_unknown_price_that_is_uncertain_keeps_others_back_until_it_is_closed_or_the_day_is_over(
    site: Site,
) -> None:
    lost = site.intended("lost")
    site.journal.claim(lost, "us", ["us"])
    send(site, lost, 60)
    site.journal.park(lost, "us", Parking.UNCERTAIN, ReplyLost("no answer"))
    after = site.intended("after")
    held = send(site, after, 60)
    assert isinstance(held, Held)
    assert (held.by, held.unsettled) == (Hindrance.LIMIT, 1)
    assert "nobody knows" in str(over_limit(held, allowance(site, 60)))
    site.clock.now += DAY_SECONDS
    assert goes(site, after, 60)


def test_what_was_sent_by_a_clock_that_was_ahead_counts_once_it_is_set_right(site: Site) -> None:
    site.clock.now += DAY_SECONDS
    site.delivered("dated tomorrow")
    site.clock.now -= DAY_SECONDS
    assert not goes(site, site.intended("today"), 30)


def test_a_row_with_an_absurd_clock_does_not_blind_the_sum(site: Site) -> None:
    site.delivered("first")
    now = site.clock.now
    for absurd in (0.0, 1e12):
        site.clock.now = absurd
        site.delivered(f"sent at {absurd}")
    site.clock.now = now
    site.delivered("second")
    assert not goes(site, site.intended("third"), 60)
    assert goes(site, site.intended("third"), 90)


def test_a_job_that_nobody_sent_counts_nothing(site: Site) -> None:
    site.delivered("first")
    site.intended("withdrawn long ago")
    assert goes(site, site.intended("second"), 60)


def test_a_runner_under_a_limit_learns_the_price_sends_what_fits_and_refuses_the_rest(
    gateway: RehearsalGateway, user: Path
) -> None:
    limit = DailyLimit(lambda: 60)
    with harness.bench(user, gateway.base_url, harness.Wiring(max_jobs=9, allowance=limit)) as bench:
        tickets = [bench.runner.submit(harness.text_order(take=take)) for take in range(4)]
        told = []
        for ticket in tickets:
            try:
                harness.ended(ticket).result()
            except SetupError as refusal:
                told.append(str(refusal))
        assert len(told) == 2
        assert all("60 were spent today" in each for each in told)
    assert gateway.record.charges() == 60


# One prompt


def test_the_jobs_of_one_prompt_are_sent_only_as_far_as_its_limit_goes(tmp_path: Path) -> None:
    with (
        harness.rehearsal(tmp_path / "gateway") as gateway,
        harness.bench(tmp_path / "user", gateway.base_url) as bench,
    ):
        bench.make(harness.text_order("its price is known from now on")).result()
        budget = PromptBudget(60.0)
        tickets = [
            bench.runner.submit(harness.text_order(f"copy {number}"), prompt_budget=budget) for number in range(4)
        ]
        errors = [ticket.work.error for ticket in map(harness.ended, tickets)]
        refused = [error for error in errors if error is not None]
        assert len(refused) == 2
        assert all(error.charge is Charge.NOT_SENT and "60 credits a prompt" in str(error) for error in refused)
        assert len(gateway.record.tasks) == 3


def test_what_was_not_taken_leaves_its_part_of_a_prompts_limit_to_others(tmp_path: Path) -> None:
    with (
        harness.rehearsal(tmp_path / "gateway") as gateway,
        harness.bench(tmp_path / "user", gateway.base_url) as bench,
    ):
        bench.make(harness.text_order("its price is known from now on")).result()
        budget = PromptBudget(30.0)
        gateway.script("create", "451")
        harness.ended(bench.runner.submit(harness.text_order("refused"), prompt_budget=budget))
        harness.ended(bench.runner.submit(harness.text_order("welcome"), prompt_budget=budget)).result()
        assert len(gateway.record.tasks) == 2


def test_a_bill_counts_in_a_prompts_limit_in_place_of_the_price_that_was_expected(tmp_path: Path) -> None:
    with (
        harness.rehearsal(tmp_path / "gateway") as gateway,
        harness.bench(tmp_path / "user", gateway.base_url) as bench,
    ):
        budget = PromptBudget(100.0)
        budget.reserve("of a price that rose", 30.0)
        bench.make(harness.text_order("its price is known from now on")).result()
        budget.bill("of a price that rose", 90.0)
        refused = harness.ended(bench.runner.submit(harness.text_order("next"), prompt_budget=budget)).work.error
        assert refused is not None
        assert "this prompt has spent 90" in str(refused)
        assert len(gateway.record.tasks) == 1


def test_a_job_tells_its_prompts_limit_what_it_was_charged(tmp_path: Path) -> None:
    with (
        harness.rehearsal(tmp_path / "gateway") as gateway,
        harness.bench(tmp_path / "user", gateway.base_url) as bench,
    ):
        cheap = bench.make(harness.text_order("cheap")).result().job
        budget = PromptBudget(100.0)
        bench.journal.refunded(cheap, Task(cheap.task_id or "", "completed", credits_used=5.0))
        bench.make(harness.text_order("dear")).result()
        first = bench.runner.submit(harness.text_order("first"), prompt_budget=budget)
        assert harness.ended(first).result().job.credits_used == 30
        with pytest.raises(SetupError, match="spent 30"):
            budget.reserve("another", 71.0)
