"""A way out for what nobody can settle: its owner closes a job, or says which task answers it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from nodes.gateway.errors import Charge, InputError, TaskUnknown
from nodes.journal.rows import Job, State
from nodes.rehearsal.server import RehearsalGateway
from tests.support import harness


def unanswered(bench: harness.Bench, gateway: RehearsalGateway) -> Job:
    """A job that the gateway took, and whose answer was lost for good."""
    gateway.always("create", "drop-after")
    harness.failure(bench.runner.submit(harness.text_order()))
    gateway.faults.clear()
    return bench.journal.get(1)


def test_a_task_that_its_owner_found_answers_a_job_that_got_no_answer(
    bench: harness.Bench, gateway: RehearsalGateway
) -> None:
    job = unanswered(bench, gateway)
    task = gateway.record.tasks[0]
    answered = bench.runner.answer(job, task.task_id)
    assert (answered.task_id, answered.credits_used) == (task.task_id, task.credits_used)
    harness.eventually(lambda: bench.journal.get(job.id).delivered_at, "home")
    posts = len(gateway.record.posts)
    assert not bench.make(harness.text_order()).result().downloaded
    assert len(gateway.record.posts) == posts


@pytest.mark.parametrize("how", ["answered", "queued again"])
def test_what_was_collected_by_its_id_is_the_clip_of_the_job_that_got_no_answer(
    how: str, bench: harness.Bench, gateway: RehearsalGateway
) -> None:
    gateway.script("create", *["drop-after"] * 4)
    harness.failure(bench.make(harness.text_order()))
    task_id = gateway.record.tasks[0].task_id
    collected = bench.runner.collect(task_id)
    assert collected is not None
    harness.ended(collected).result()
    if how == "answered":
        bench.runner.answer(bench.journal.get(1), task_id)
    assert bench.make(harness.text_order()).result().task_id == task_id
    assert [job.task_id for job in harness.jobs_of(bench.journal)] == [task_id]
    assert harness.books_agree(bench.journal.place, gateway)


def test_a_task_that_does_not_fit_answers_nothing(bench: harness.Bench, gateway: RehearsalGateway) -> None:
    job = unanswered(bench, gateway)
    other = bench.make(harness.text_order(take=1)).result()
    with pytest.raises(InputError, match="another job's already"):
        bench.runner.answer(job, other.task_id)
    with pytest.raises(TaskUnknown):
        bench.runner.answer(job, "vid_nobody")
    for fields, why in (
        ('{"model":"another-model"}', "of the model another-model"),
        ('{"type":"video-to-video"}', "is video-to-video"),
        ('{"created_at":"2025-01-01T00:00:00.000Z"}', "another day"),
    ):
        gateway.script("poll", f"fields:{fields}")
        with pytest.raises(InputError, match=why):
            bench.runner.answer(job, gateway.record.tasks[0].task_id)
    assert bench.journal.get(job.id).state is State.SENT


def test_a_closed_job_is_followed_by_nobody_and_another_take_pays_again(
    bench: harness.Bench, gateway: RehearsalGateway
) -> None:
    job = unanswered(bench, gateway)
    closed = bench.runner.close_job(job)
    assert (closed.state, closed.charge, closed.unfinished) == (State.CLOSED, Charge.UNCERTAIN, False)
    posts = len(gateway.record.posts)
    told = harness.failure(bench.runner.submit(harness.text_order()))
    assert "You closed this job" in str(told)
    assert "`take`" in str(told)
    assert len(gateway.record.posts) == posts
    bench.make(harness.text_order(take=1)).result()


def test_the_clip_of_a_closed_job_is_served_when_it_lies_on_this_disk_all_the_same(
    bench: harness.Bench, gateway: RehearsalGateway
) -> None:
    gateway.always("poll", "403")
    harness.failure(bench.runner.submit(harness.text_order()))
    closed = bench.runner.close_job(bench.journal.get(1))
    clip = bench.runner._means.results._target(closed)
    clip.parent.mkdir(exist_ok=True)
    clip.write_bytes(harness.tiny_clip())
    requests = gateway.record.count()
    result = bench.make(harness.text_order()).result()
    assert (result.path, result.downloaded) == (clip, False)
    assert gateway.record.count() == requests


def test_a_job_that_somebody_follows_is_not_closed_and_not_answered(
    bench: harness.Bench, gateway: RehearsalGateway
) -> None:
    gateway.always("poll", "status:processing")
    ticket = bench.runner.submit(harness.text_order())
    harness.eventually(lambda: ticket.status().accepted, "accepted")
    settles: list[Callable[[], object]] = [
        lambda: bench.runner.close_job(bench.journal.get(1)),
        lambda: bench.runner.answer(bench.journal.get(1), "vid_1"),
    ]
    for settle in settles:
        with pytest.raises(InputError, match="not on hold"):
            settle()
    assert bench.journal.get(1).state is State.RUNNING
