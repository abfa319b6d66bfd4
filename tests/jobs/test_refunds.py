"""What a failed job cost comes back, sooner or later, and is read until it is there."""

from __future__ import annotations

from pathlib import Path

from nodes.gateway.contract import Task
from nodes.gateway.errors import TaskFailed
from nodes.jobs import failures
from nodes.rehearsal.book import What
from nodes.rehearsal.server import RehearsalGateway
from tests.support import harness


def test_a_refund_that_comes_late_is_read_once_more(bench: harness.Bench, gateway: RehearsalGateway) -> None:
    gateway.script("poll", "fail:later")
    told = harness.failure(bench.runner.submit(harness.text_order()))
    assert type(told) is TaskFailed
    assert "30 credits were charged, none refunded yet" in str(told)
    harness.eventually(lambda: bench.journal.get(1).credits_refunded == 30, "the refund is in the journal")
    assert len(gateway.record.of("poll")) == 2


def test_a_full_refund_is_not_read_again(bench: harness.Bench, gateway: RehearsalGateway) -> None:
    gateway.script("poll", "fail:all")
    harness.failure(bench.runner.submit(harness.text_order()))
    bench.make(harness.text_order(take=1)).result()
    assert [request.path.rsplit("/", 1)[1] for request in gateway.record.of("poll")].count(
        gateway.record.tasks[0].task_id
    ) == 1


def test_a_failed_job_that_is_not_refunded_in_full_is_not_paid_again(
    bench: harness.Bench, gateway: RehearsalGateway
) -> None:
    gateway.script("poll", "fail:part")
    harness.failure(bench.runner.submit(harness.text_order()))
    told = harness.failure(bench.runner.submit(harness.text_order()))
    assert type(told) is TaskFailed
    assert "Refunded: 15 of 30" in str(told)
    assert "another `take` pays again" in str(told)
    assert len(gateway.record.posts) == 1
    bench.make(harness.text_order(take=1)).result()


def test_queueing_a_failed_job_again_asks_for_its_refund_and_pays_once_all_is_back(
    bench: harness.Bench, gateway: RehearsalGateway
) -> None:
    gateway.script("poll", "fail:later")
    harness.failure(bench.runner.submit(harness.text_order()))
    bench.make(harness.text_order()).result()
    assert len(gateway.record.posts) == 2
    assert [entry.credits for entry in gateway.record.entries if entry.what is What.REFUND] == [30]


def test_a_refund_that_takes_an_hour_is_read_until_it_is_there(bench: harness.Bench, gateway: RehearsalGateway) -> None:
    gateway.script("poll", "fail:none")
    harness.failure(bench.runner.submit(harness.text_order()))
    harness.eventually(lambda: len(gateway.record.of("poll")) == 3, "read after 30 s and after 5 min")


def test_refunds_are_read_again_at_the_next_start(gateway: RehearsalGateway, user: Path) -> None:
    gateway.script("poll", "fail:later")
    with harness.bench(user, gateway.base_url) as bench:
        harness.failure(bench.runner.submit(harness.text_order()))
        assert bench.journal.get(1).credits_refunded == 0
    with harness.bench(user, gateway.base_url) as later:
        later.runner.resume()
        harness.eventually(lambda: later.journal.get(1).refunded_in_full, "read")
    assert len(gateway.record.posts) == 1


def test_a_refund_that_the_gateway_does_not_tell_is_not_taken_for_none(user: Path, gateway: RehearsalGateway) -> None:
    with harness.bench(user, gateway.base_url) as bench:
        job = bench.journal.adopt_task(harness.ACCOUNT, "vid_1")
        told = failures.task_failed(job, Task("vid_1", "failed", credits_used=30.0))
        assert "Refunded: not told yet, of 30 credits" in str(told)
        assert not bench.journal.failed(job, Task("vid_1", "failed", credits_used=30.0), told).refunded_in_full
