"""What the journal promises, in a file as in a database: on disk before it is paid, one row for one attempt."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from nodes.gateway.contract import Accepted, Task
from nodes.gateway.errors import Charge, PromptBlocked, ReplyLost, SetupError, TaskFailed
from nodes.journal.errors import JournalError
from nodes.journal.reads import Records
from nodes.journal.rows import Held, Hindrance, Job, Parking, State
from nodes.journal.store import Place
from nodes.journal.verbs import Journal
from tests.journal.steps import ACCEPTED, COMPLETED, DELIVERY, GONE, finished, sent
from tests.support.harness import jobs_of, picture_order, text_order


def test_the_row_is_whole_before_the_post(journal: Journal) -> None:
    job = journal.intend(text_order().intent("a"))
    assert job.state == State.INTENDED
    assert job.charge is Charge.NOT_SENT
    assert job.body == text_order().request(()).body()
    assert len(job.idempotency_key) == 36


def test_another_connection_sees_each_step_as_it_is_taken(journal: Journal, place: Place) -> None:
    other = Journal(place)
    job = sent(journal)
    assert other.get(job.id).state == State.SENT
    journal.accepted(job, ACCEPTED)
    assert other.get(job.id).task_id == "vid_1"


def test_what_was_closed_answered_or_refused_meanwhile_is_not_sent(journal: Journal) -> None:
    closed = journal.close_job(journal.intend(text_order().intent("a")), ())
    accepted = journal.accepted(sent(journal, 1), ACCEPTED)
    refused = journal.rejected(sent(journal, 2), PromptBlocked("no"))
    for job in (closed, accepted, refused):
        assert journal.begin_post(job, 5, {"me"}) is None
        assert journal.get(job.id) == job


def test_the_same_order_is_one_row_however_often_it_is_asked_for(journal: Journal, place: Place) -> None:
    other = Journal(place)
    rows = {source.intend(text_order().intent("a")).id for source in (journal, other, journal)}
    assert len(rows) == 1


def test_two_accounts_never_meet(journal: Journal) -> None:
    ours, theirs = journal.intend(text_order().intent("a")), journal.intend(text_order().intent("b"))
    assert ours.id != theirs.id
    assert ours.idempotency_key != theirs.idempotency_key
    journal.accepted(sent(journal), ACCEPTED)
    assert journal.by_task("b", "vid_1") is None
    assert journal.newest_uncollected("b") is None


def test_after_a_refusal_a_new_attempt_has_a_new_key(journal: Journal) -> None:
    first = journal.rejected(sent(journal), PromptBlocked("no"))
    second = journal.intend(text_order().intent("a"))
    assert (first.attempt, second.attempt) == (1, 2)
    assert first.idempotency_key != second.idempotency_key
    assert second.state == State.INTENDED


def test_after_a_failure_a_new_attempt_has_a_new_key(journal: Journal) -> None:
    job = journal.accepted(sent(journal), ACCEPTED)
    journal.failed(job, Task("vid_1", "failed", credits_refunded=30.0), TaskFailed("no"))
    assert journal.intend(text_order().intent("a")).attempt == 2


@pytest.mark.parametrize("state", ["intended", "sent", "running", "completed", "delivered"])
def test_whatever_may_have_been_paid_is_never_given_a_new_key(journal: Journal, state: str) -> None:
    job = journal.intend(text_order().intent("a"))
    if state != "intended":
        job = sent(journal)
    if state in ("running", "completed", "delivered"):
        job = journal.accepted(job, ACCEPTED)
    if state in ("completed", "delivered"):
        job = journal.completed(job, COMPLETED)
    if state == "delivered":
        job = journal.delivered(job, DELIVERY, "https://cdn/1.mp4")
    assert job.state.value == state or job.delivered_at is not None
    again = journal.intend(text_order().intent("a"))
    assert (again.id, again.idempotency_key, again.body) == (job.id, job.idempotency_key, job.body)


def test_the_bytes_of_a_job_never_change_once_they_are_fixed(journal: Journal) -> None:
    job = journal.intend(picture_order().intent("a"))
    assert job.body is None
    first = journal.set_body(job, picture_order().request(("https://cdn/a",)).body())
    second = journal.set_body(first, picture_order().request(("https://cdn/b",)).body())
    assert second.body == first.body
    assert b"cdn/a" in (second.body or b"")


def test_bytes_are_forgotten_only_while_they_were_never_sent(journal: Journal) -> None:
    job = sent(journal)
    assert journal.clear_body(job).body == job.body
    assert journal.clear_body(journal.not_sent(job)).body is None


def test_a_living_holder_keeps_its_job_and_a_dead_one_loses_it(journal: Journal) -> None:
    job = journal.intend(text_order().intent("a"))
    assert journal.claim(job, "one", {"one", "two"}) is not None
    assert journal.claim(job, "two", {"one", "two"}) is None
    taken = journal.claim(job, "two", {"two"})
    assert taken is not None
    assert taken.holder == "two"


def test_a_free_job_goes_to_one_of_those_who_ask_and_a_held_one_to_nobody_else(journal: Journal) -> None:
    job = journal.intend(text_order().intent("a"))
    taken = [journal.claim(job, name) for name in ("one", "two", "three")]
    assert [each.holder if each else None for each in taken] == ["one", None, None]
    assert journal.claim(job, "one") == taken[0], "who has it has it"
    journal.release(job, "one")
    parked = journal.park(journal.claim(job, "two") or job, "two", Parking.WITHDRAWN)
    assert parked is not None and parked.holder is None
    again = journal.claim(parked, "three")
    assert again is not None
    assert (again.holder, again.parked) == ("three", None)


def test_release_gives_up_only_what_is_ours(journal: Journal) -> None:
    job = journal.intend(text_order().intent("a"))
    journal.claim(job, "one", {"one"})
    journal.release(job, "two")
    assert journal.get(job.id).holder == "one"
    journal.release(job, "one")
    assert journal.get(job.id).holder is None


def test_slots_go_to_the_oldest_first_and_are_counted_when_the_post_begins(journal: Journal) -> None:
    jobs = [journal.intend(text_order(take=take).intent("a")) for take in range(4)]
    for job in jobs:
        journal.claim(job, "me", {"me"})
    free = [journal.slots(job, 2, {"me"}).free for job in jobs]
    assert free == [True, True, False, False]
    assert isinstance(journal.begin_post(jobs[0], 2, {"me"}), Job)
    assert isinstance(journal.begin_post(jobs[1], 2, {"me"}), Job)
    assert journal.begin_post(jobs[2], 2, {"me"}) == Held(Hindrance.SLOT)
    slots = journal.slots(jobs[3], 2, {"me"})
    assert (slots.running, slots.limit, slots.ahead) == (2, 2, 1)


def test_the_dead_and_the_other_account_take_no_slot(journal: Journal) -> None:
    sent(journal)
    ours = journal.intend(text_order(take=1).intent("a"))
    journal.claim(ours, "two", {"two"})
    assert journal.slots(ours, 1, {"two"}).free
    assert not journal.slots(ours, 1, {"two", "me"}).free


def test_credits_of_the_create_stand_where_a_look_says_nothing(journal: Journal) -> None:
    job = journal.accepted(sent(journal), ACCEPTED)
    assert journal.completed(job, Task("vid_1", "completed")).credits_used == 30.0


def test_how_long_jobs_take_is_learned_from_the_gateways_own_times(place: Place) -> None:
    now = 1000.0
    journal = Journal(place, clock=lambda: now)
    job = journal.accepted(sent(journal), ACCEPTED)
    now = 90_000.0
    journal.completed(job, Task("vid_1", "completed", run_seconds=108.0))
    assert [run.seconds for run in journal.runs("a", job.kind)] == [108.0]


def test_the_history_of_a_job_is_kept_step_by_step(journal: Journal) -> None:
    job = finished(journal)
    assert [step for _, step, _ in Records(journal.place).steps(job)] == [
        "intended",
        "post 1",
        "accepted",
        "completed",
        "delivered",
    ]


def test_a_task_from_elsewhere_is_taken_in_once_and_dropped_when_it_is_unknown(journal: Journal) -> None:
    foreign = journal.adopt_task("a", "vid_9")
    assert journal.adopt_task("a", "vid_9").id == foreign.id
    journal.forget_task(foreign)
    assert journal.by_task("a", "vid_9") is None


def test_a_job_of_our_own_is_never_dropped(journal: Journal) -> None:
    job = journal.accepted(sent(journal), ACCEPTED)
    journal.forget_task(job)
    assert journal.get(job.id).task_id == "vid_1"


def test_uploads_are_remembered_by_content_and_account_for_a_while(journal: Journal) -> None:
    journal.remember_upload("a", "digest", "https://cdn/1")
    assert journal.uploaded("a", "digest", 0.0) == "https://cdn/1"
    assert journal.uploaded("b", "digest", 0.0) is None
    assert journal.uploaded("a", "digest", 1e12) is None
    journal.forget_upload("a", "digest")
    assert journal.uploaded("a", "digest", 0.0) is None


def test_a_refused_job_keeps_the_request_id_that_support_will_ask_for(place: Place) -> None:
    journal = Journal(place)
    refused = journal.rejected(sent(journal), PromptBlocked("no", request_id="req_1", status=451))
    assert refused.request_id == "req_1"
    assert refused.ending is not None
    assert (refused.ending.kind, refused.ending.status) == ("PromptBlocked", 451)


# How a job stands, what is done about it, what went wrong last, and how it ended


def test_a_state_never_goes_back(journal: Journal) -> None:
    job = journal.accepted(sent(journal), ACCEPTED)
    journal.completed(job, COMPLETED)
    assert journal.not_sent(job).state is State.COMPLETED
    assert journal.accepted(job, Accepted("vid_2", "req_2")).task_id == "vid_1"
    assert journal.rejected(job, PromptBlocked("no")).state is State.COMPLETED


def test_what_was_given_up_for_lost_may_be_there_after_all(journal: Journal) -> None:
    done = journal.completed(journal.accepted(sent(journal), ACCEPTED), COMPLETED)
    lost = journal.expired(done, GONE)
    assert (lost.state, lost.charge, lost.unfinished) == (State.EXPIRED, Charge.CHARGED, False)
    assert lost.ending is not None
    found = journal.completed(lost, COMPLETED)
    assert (found.state, found.ending, found.unfinished) == (State.COMPLETED, None, True)
    assert journal.expired(found, GONE).state is State.EXPIRED


@pytest.mark.parametrize("state", State)
def test_every_state_says_what_may_follow_and_what_it_has_cost(state: State, journal: Journal) -> None:
    assert not state.may_become(State.INTENDED) or state is State.SENT
    job = replace(sent(journal), state=state)
    assert isinstance(job.charge, Charge)
    assert isinstance(job.unfinished, bool)


def test_a_clip_may_lie_in_two_folders_and_each_is_remembered(journal: Journal) -> None:
    job = finished(journal)
    elsewhere = replace(DELIVERY, folder="e" * 32, mtime_ns=9)
    again = journal.delivered(job, elsewhere, "https://cdn/2.mp4")
    assert set(journal.deliveries(job)) == {DELIVERY, elsewhere}
    assert again.delivered_at == job.delivered_at
    assert not again.unfinished


def test_a_problem_is_told_with_its_time_and_passes_when_the_job_goes_on(place: Place) -> None:
    journal = Journal(place, clock=lambda: 1000.0)
    job = journal.park(sent(journal), "me", Parking.UNREACHED, ReplyLost("lost", status=None, request_id="req_7"))
    assert job is not None
    assert job.problem is not None
    assert (job.parked, job.holder) == (Parking.UNREACHED, None)
    assert (job.problem.kind, job.problem.request_id, job.problem.at) == ("ReplyLost", "req_7", 1000.0)
    claimed = journal.claim(job, "me", {"me"})
    assert claimed is not None
    assert claimed.parked is None
    assert claimed.request_id is None, "only the create's own answer names its request"


def test_nobody_parks_a_job_that_somebody_else_has(journal: Journal) -> None:
    job = journal.accepted(sent(journal), ACCEPTED)
    assert journal.park(job, "another", Parking.HINDERED, SetupError("no")) is None
    now = journal.get(job.id)
    assert (now.holder, now.parked, now.problem) == ("me", None, None)


def test_what_was_withdrawn_before_it_was_sent_is_not_unfinished(journal: Journal) -> None:
    job = journal.intend(text_order().intent("a"))
    journal.claim(job, "me", {"me"})
    records = Records(journal.place)
    assert records.unfinished("a") == 1
    journal.park(job, "me", Parking.WITHDRAWN)
    assert records.unfinished("a") == 0
    assert journal.intend(text_order().intent("a")).id == job.id


def test_the_rows_property_and_the_journals_own_count_agree_on_what_is_unfinished(journal: Journal) -> None:
    finished(journal, 0)
    journal.expired(journal.completed(journal.accepted(sent(journal, 1), ACCEPTED), COMPLETED), GONE)
    journal.completed(journal.accepted(sent(journal, 2), Accepted("vid_2")), COMPLETED)
    journal.rejected(sent(journal, 3), PromptBlocked("no"))
    journal.intend(text_order(take=4).intent("a"))
    jobs = jobs_of(journal, "a")
    assert sum(job.unfinished for job in jobs) == Records(journal.place).unfinished("a") == 2


# Retention


def test_only_what_is_settled_and_old_is_forgotten(place: Place) -> None:
    now = 1_800_000_000.0
    journal = Journal(place, clock=lambda: now)
    done = finished(journal, 0)
    journal.rejected(sent(journal, 1), PromptBlocked("no"))
    failed = journal.accepted(sent(journal, 2), Accepted("vid_2", credits_used=30.0))
    journal.failed(failed, Task("vid_2", "failed", credits_refunded=10.0), TaskFailed("no"))
    sent(journal, 3)
    journal.accepted(sent(journal, 4), Accepted("vid_4"))
    now += 100.0
    finished(journal, 5)
    assert journal.forget_before("another", now) == 0
    assert journal.forget_before("a", now) == 2
    assert sorted(job.take for job in jobs_of(journal, "a")) == [2, 3, 4, 5]
    assert Records(place).steps(done) == []
    assert journal.deliveries(done) == []


def test_a_job_that_a_clock_not_yet_set_has_dated_is_neither_forgotten_nor_left_alone(place: Place) -> None:
    now = 120.0
    journal = Journal(place, clock=lambda: now)
    finished(journal, 0)
    unfinished = journal.accepted(sent(journal, 1), Accepted("vid_1"))
    journal.park(unfinished, "me", Parking.REFUSED, PromptBlocked("no"))
    now = 1_800_000_000.0
    assert journal.forget_before("a", now) == 0
    assert [job.id for job in journal.resumable("a", now - 1.0)] == [unfinished.id]


def test_an_old_job_is_followed_unasked_until_its_user_was_told_once(place: Place) -> None:
    now = 1_800_000_000.0
    journal = Journal(place, clock=lambda: now)
    job = journal.accepted(sent(journal), Accepted("vid_1"))
    journal.release(job, "me")
    now += 400 * 86_400.0
    assert [each.id for each in journal.resumable("a", now - 1.0)] == [job.id]
    journal.claim(job, "me", {"me"})
    journal.park(job, "me", Parking.REFUSED, PromptBlocked("no"))
    assert journal.resumable("a", now - 1.0) == []


def test_a_closed_journal_says_so_in_its_own_words(place: Place) -> None:
    journal = Journal(place)
    journal.close()
    with pytest.raises(JournalError):
        journal.forget_before("a", 1.0)


def test_many_threads_share_one_journal(journal: Journal) -> None:
    ids: list[int] = []

    def ask() -> None:
        ids.extend(journal.intend(text_order(take=take).intent("a")).id for take in range(25))

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ids) == 150
    assert len(set(ids)) == 25


def test_a_job_is_as_old_as_what_happened_to_it_last_not_as_its_row(place: Place) -> None:
    now = 1_800_000_000.0
    journal = Journal(place, clock=lambda: now)
    takes = [journal.intend(text_order(take=take).intent("a")).take for take in range(2)]
    now += 20 * 86_400.0
    finished(journal, takes[0])
    broken = journal.completed(journal.accepted(sent(journal, takes[1]), Accepted("vid_2")), COMPLETED)
    journal.park(broken, "me", Parking.NOT_HOME, GONE)
    two_weeks_ago = now - 14 * 86_400.0
    assert journal.forget_before("a", two_weeks_ago) == 0
    assert [job.id for job in journal.resumable("a", two_weeks_ago)] == [broken.id]
