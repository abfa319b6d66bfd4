"""The runner over real HTTP: re-attachment, waiters, accounts, refunds, uploads, and clips that went missing."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from nodes.gateway.contract import Task
from nodes.gateway.errors import (
    APIMallError,
    BadRequest,
    Charge,
    InputError,
    KeyConflict,
    PromptBlocked,
    SetupError,
    TaskFailed,
    TaskUnknown,
    Unsettled,
)
from nodes.jobs import clocks, failures
from nodes.jobs.events import Event
from nodes.jobs.order import Medium, MediumFile
from nodes.jobs.work import Phase, Ticket
from nodes.journal.errors import JournalError
from nodes.journal.reads import Records
from nodes.journal.rows import Job, Parking, State
from nodes.media.errors import BadPicture
from nodes.panel import job_facts
from nodes.rehearsal import faults
from nodes.rehearsal.book import What
from nodes.rehearsal.server import RehearsalGateway
from nodes.stopping import Stop, Stopped
from tests.support import harness


def failure(ticket: Ticket) -> APIMallError:
    with pytest.raises(APIMallError) as caught:
        harness.ended(ticket).result()
    return caught.value


def keys(gateway: RehearsalGateway) -> list[str]:
    return [request.headers["Idempotency-Key"] for request in gateway.record.posts]


@pytest.fixture
def bench(gateway: RehearsalGateway, user: Path) -> Iterator[harness.Bench]:
    with harness.bench(user, gateway.base_url) as opened:
        yield opened


def test_a_prompt_becomes_a_clip_on_disk(bench: harness.Bench, gateway: RehearsalGateway) -> None:
    result = bench.make(harness.text_order()).result()
    assert result.path.read_bytes().startswith(harness.tiny_clip())
    assert result.task_id == gateway.record.tasks[0].task_id
    assert result.downloaded
    assert bench.journal.get(1).charge == Charge.CHARGED.value


def test_a_finished_job_queued_again_makes_no_request_at_all(
    bench: harness.Bench, gateway: RehearsalGateway, user: Path
) -> None:
    first = bench.make(harness.text_order()).result()
    requests = gateway.record.count()
    again = bench.make(harness.text_order())
    assert again.result().path == first.path
    assert "already paid" in again.status().text
    bench.close()
    with harness.bench(user, gateway.base_url) as later:
        assert later.make(harness.text_order()).result().path == first.path
    assert gateway.record.count() == requests


def test_a_finished_job_is_served_even_when_the_gateway_is_gone(
    bench: harness.Bench, gateway: RehearsalGateway
) -> None:
    first = bench.make(harness.text_order()).result()
    gateway.stop()
    assert bench.make(harness.text_order()).result().path == first.path


def test_another_take_pays_again(bench: harness.Bench, gateway: RehearsalGateway) -> None:
    paths = {bench.make(harness.text_order(take=take)).result().path for take in range(2)}
    assert len(paths) == 2
    assert len(set(keys(gateway))) == 2


def test_a_file_that_is_gone_is_fetched_again_without_a_post(bench: harness.Bench, gateway: RehearsalGateway) -> None:
    first = bench.make(harness.text_order()).result()
    first.path.unlink()
    again = bench.make(harness.text_order()).result()
    assert again.path.is_file()
    assert again.downloaded
    assert len(gateway.record.posts) == 1


@pytest.mark.parametrize(
    "spoil", [lambda path: path.write_bytes(b"x" * path.stat().st_size), lambda path: path.write_bytes(b"short")]
)
def test_a_file_that_was_changed_is_fetched_again(
    spoil: Callable[[Path], object], bench: harness.Bench, gateway: RehearsalGateway
) -> None:
    first = bench.make(harness.text_order()).result()
    spoil(first.path)
    assert bench.make(harness.text_order()).result().path.read_bytes().startswith(harness.tiny_clip())
    assert len(gateway.record.posts) == 1


def test_a_file_that_was_only_touched_is_served(bench: harness.Bench, gateway: RehearsalGateway) -> None:
    import os

    first = bench.make(harness.text_order()).result()
    os.utime(first.path, (1, 1))
    assert not bench.make(harness.text_order()).result().downloaded


def test_every_waiter_of_one_job_gets_its_result(bench: harness.Bench, gateway: RehearsalGateway) -> None:
    tickets = [bench.runner.submit(harness.text_order()) for _ in range(10)]
    assert len({harness.ended(ticket).result().path for ticket in tickets}) == 1
    assert len(gateway.record.posts) == 1


def test_a_lost_reply_is_sent_again_with_the_same_key_and_the_same_bytes(
    bench: harness.Bench, gateway: RehearsalGateway
) -> None:
    gateway.script("create", "drop-after", "reset-after")
    bench.make(harness.text_order()).result()
    assert len(keys(gateway)) == 3
    assert len(set(keys(gateway))) == 1
    assert len({request.body for request in gateway.record.posts}) == 1
    assert len(gateway.record.tasks) == 1


def test_an_answer_after_a_lost_one_that_says_no_is_not_taken_for_a_refusal(
    bench: harness.Bench, gateway: RehearsalGateway
) -> None:
    gateway.script("create", "drop-after", "402")
    told = failure(bench.runner.submit(harness.text_order()))
    assert type(told) is Unsettled
    assert told.charge is Charge.UNCERTAIN
    assert "earlier create" in str(told)
    bench.make(harness.text_order()).result()
    assert len(set(keys(gateway))) == 1
    assert len(gateway.record.tasks) == 1


def test_a_lost_reply_is_not_repeated_after_a_day(gateway: RehearsalGateway, user: Path) -> None:
    now = 1_800_000_000.0
    wiring = harness.Wiring(clocks=harness.quick_clocks(wall=lambda: now))
    gateway.always("create", "drop-after")
    with harness.bench(user, gateway.base_url, wiring) as bench:
        failure(bench.runner.submit(harness.text_order()))
    posts = len(gateway.record.posts)
    gateway.faults.clear()
    now += clocks.REPLAY_SECONDS + 60
    with harness.bench(user, gateway.base_url, wiring) as bench:
        told = failure(bench.runner.submit(harness.text_order()))
    assert type(told) is Unsettled
    assert told.charge is Charge.UNCERTAIN
    assert "take" in str(told)
    assert len(gateway.record.posts) == posts


def test_a_conflict_never_brings_a_new_key(bench: harness.Bench, gateway: RehearsalGateway) -> None:
    gateway.always("create", "409")
    for _ in range(3):
        assert type(failure(bench.runner.submit(harness.text_order()))) is KeyConflict
    assert len(set(keys(gateway))) == 1


def test_a_provider_that_is_busy_for_a_quarter_of_an_hour_costs_no_batch(
    bench: harness.Bench, gateway: RehearsalGateway
) -> None:
    gateway.script("create", *["503"] * 15)
    assert bench.make(harness.text_order()).result().downloaded
    assert len(set(keys(gateway))) == 1
    assert len(gateway.record.tasks) == 1


def test_a_lost_reply_after_many_busy_answers_is_asked_for_again(
    bench: harness.Bench, gateway: RehearsalGateway
) -> None:
    gateway.script("create", *["503"] * 6, "drop-after")
    assert bench.make(harness.text_order()).result().downloaded
    assert len(gateway.record.tasks) == 1


def test_a_conflict_with_our_own_create_that_is_still_under_way_is_waited_out(
    bench: harness.Bench, gateway: RehearsalGateway
) -> None:
    gateway.script("create", "busy:0.6")
    assert bench.make(harness.text_order()).result().downloaded
    assert len(gateway.record.posts) > 2
    assert len({request.body for request in gateway.record.posts}) == 1
    assert len(gateway.record.tasks) == 1


def test_a_blocked_prompt_may_be_tried_anew_and_owes_nothing(bench: harness.Bench, gateway: RehearsalGateway) -> None:
    gateway.script("create", "451")
    assert type(failure(bench.runner.submit(harness.text_order()))) is PromptBlocked
    bench.make(harness.text_order()).result()
    assert len(set(keys(gateway))) == 2
    assert len(gateway.record.tasks) == 1


def test_a_refund_that_comes_late_is_read_once_more(bench: harness.Bench, gateway: RehearsalGateway) -> None:
    gateway.script("poll", "fail:later")
    told = failure(bench.runner.submit(harness.text_order()))
    assert type(told) is TaskFailed
    assert "30 credits were charged, none refunded yet" in str(told)
    harness.eventually(lambda: bench.journal.get(1).credits_refunded == 30, "the refund is in the journal")
    assert len(gateway.record.of("poll")) == 2


def test_a_full_refund_is_not_read_again(bench: harness.Bench, gateway: RehearsalGateway) -> None:
    gateway.script("poll", "fail:all")
    failure(bench.runner.submit(harness.text_order()))
    bench.make(harness.text_order(take=1)).result()
    assert [request.path.rsplit("/", 1)[1] for request in gateway.record.of("poll")].count(
        gateway.record.tasks[0].task_id
    ) == 1


def test_two_accounts_on_one_folder_never_meet(gateway: RehearsalGateway, user: Path) -> None:
    with harness.bench(user, gateway.base_url) as ours:
        ours.make(harness.text_order()).result()
    with harness.bench(user, gateway.base_url, harness.Wiring(account="another", key="sk-another")) as theirs:
        assert theirs.runner.collect(None) is None
        assert theirs.runner.resume() == 0
        theirs.make(harness.text_order()).result()
    assert len(set(keys(gateway))) == 2


def test_a_spending_limit_keeps_a_job_from_being_sent(gateway: RehearsalGateway, user: Path) -> None:
    def refuse() -> None:
        raise SetupError("The limit of today cannot be read", advice="Set it again.")

    with harness.bench(user, gateway.base_url, harness.Wiring(allowance=refuse)) as bench:
        told = failure(bench.runner.submit(harness.text_order()))
        assert told.charge is Charge.NOT_SENT
        assert bench.journal.get(1).state == "intended"
    assert gateway.record.count() == 0


# Poll Result


def test_a_task_from_elsewhere_is_collected_by_its_id(
    bench: harness.Bench, gateway: RehearsalGateway, tmp_path: Path
) -> None:
    task_id = bench.make(harness.text_order()).result().task_id
    with harness.bench(tmp_path / "another machine", gateway.base_url) as other:
        ticket = other.runner.collect(task_id)
        assert ticket is not None
        assert harness.ended(ticket).result().path.is_file()
        again = other.runner.collect(task_id)
        assert again is not None
        assert not harness.ended(again).result().downloaded
    assert len(gateway.record.posts) == 1


def test_an_id_the_gateway_does_not_know_is_told_and_not_kept(bench: harness.Bench) -> None:
    ticket = bench.runner.collect("vid_nobody")
    assert ticket is not None
    told = failure(ticket)
    assert type(told) is TaskUnknown
    assert "vid_nobody" in str(told)
    assert told.charge is Charge.NOT_SENT
    assert bench.journal.by_task(harness.ACCOUNT, "vid_nobody") is None


def test_without_an_id_the_newest_job_that_nobody_was_handed_is_collected(
    bench: harness.Bench, gateway: RehearsalGateway
) -> None:
    assert bench.runner.collect(None) is None
    gateway.always("poll", "status:processing")
    tickets = [bench.runner.submit(harness.text_order(take=take)) for take in range(2)]
    harness.eventually(lambda: all(ticket.status().accepted for ticket in tickets), "accepted")
    newest = bench.runner.collect(None)
    assert newest is not None
    gateway.faults.clear()
    newest.poll_now()
    assert harness.ended(newest).result().task_id == bench.journal.get(2).task_id


def test_what_a_killed_process_left_is_followed_without_being_asked(
    bench: harness.Bench, gateway: RehearsalGateway, user: Path
) -> None:
    gateway.always("poll", "status:processing")
    ticket = bench.runner.submit(harness.text_order())
    harness.eventually(lambda: ticket.status().accepted, "accepted")
    bench.close()
    gateway.faults.clear()
    with harness.bench(user, gateway.base_url) as later:
        assert later.runner.resume() == 1
        harness.eventually(lambda: later.journal.get(1).delivered_at, "home")
    assert len(gateway.record.posts) == 1


def test_a_start_never_repeats_a_create_that_would_buy_what_an_earlier_one_did_not(
    bench: harness.Bench, gateway: RehearsalGateway, user: Path
) -> None:
    gateway.script("create", "drop-before", "402")
    assert isinstance(failure(bench.make(harness.text_order())), Unsettled)
    bench.close()
    with harness.bench(user, gateway.base_url) as later:
        assert later.runner.resume() == 0
        assert gateway.record.tasks == []
        later.make(harness.text_order()).result()
    assert len(set(keys(gateway))) == 1


# Uploads


def test_one_medium_is_uploaded_once_for_many_jobs(bench: harness.Bench, gateway: RehearsalGateway) -> None:
    for take in range(3):
        bench.make(harness.picture_order(take=take)).result()
    assert len(gateway.record.of("put")) == 1
    assert len({task.media for task in gateway.record.tasks}) == 1


def test_an_earlier_upload_that_the_gateway_cannot_read_is_made_anew_once(
    bench: harness.Bench, gateway: RehearsalGateway
) -> None:
    bench.make(harness.picture_order()).result()
    gateway.script("create", "400")
    result = bench.make(harness.picture_order(take=1)).result()
    assert result.path.is_file()
    assert len(gateway.record.of("put")) == 2
    assert len(gateway.record.tasks) == 2


def test_a_400_is_believed_when_the_upload_was_fresh(bench: harness.Bench, gateway: RehearsalGateway) -> None:
    gateway.always("create", "400")
    assert type(failure(bench.runner.submit(harness.picture_order()))) is BadRequest
    assert len(gateway.record.posts) == 1


def test_the_upload_carries_no_key_and_its_file_is_cleared_away(
    bench: harness.Bench, gateway: RehearsalGateway, user: Path
) -> None:
    bench.make(harness.clip_order()).result()
    put = gateway.record.of("put")[0]
    assert "Authorization" not in put.headers
    assert put.headers["Content-Length"] == str(len(harness.tiny_clip()))
    assert put.headers["Content-Type"] == "video/mp4"
    assert not [path for path in (user / "uploads").rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    ("problem", "told"),
    [(BadPicture("It holds NaN."), "It holds NaN"), (OSError(28, "No space left"), "No space left")],
)
def test_a_medium_that_cannot_be_made_costs_nothing_and_says_why(
    problem: Exception, told: str, bench: harness.Bench, gateway: RehearsalGateway
) -> None:
    def write(folder: Path, stop: Stop) -> MediumFile:
        raise problem

    order = replace(harness.picture_order(), references=(Medium("d", write),))
    found = failure(bench.runner.submit(order))
    assert told in str(found)
    assert found.charge is Charge.NOT_SENT
    assert gateway.record.count() == 0


def test_whoever_leaves_during_an_upload_has_paid_nothing(bench: harness.Bench, gateway: RehearsalGateway) -> None:
    begun, left = threading.Event(), threading.Event()

    def write(folder: Path, stop: Stop) -> MediumFile:
        begun.set()
        assert left.wait(20)
        assert stop(), "nobody waits any more"
        raise Stopped

    order = replace(harness.picture_order(), references=(Medium("d", write),))
    ticket = bench.runner.submit(order)
    assert begun.wait(20)
    told = ticket.leave("You stopped the wait")
    left.set()
    assert told.charge is Charge.NOT_SENT
    harness.ended(ticket)
    assert bench.journal.get(1).state == "intended"
    assert gateway.record.posts == []


def test_the_key_is_nowhere_in_the_journal_or_the_results(
    bench: harness.Bench, gateway: RehearsalGateway, user: Path, caplog: pytest.LogCaptureFixture
) -> None:
    gateway.script("create", faults.instead(500, message=f"no {harness.KEY}"), "fail")
    gateway.script("poll", f'fields:{{"error_message":"bad key {harness.KEY}"}}')
    told = failure(bench.runner.submit(harness.picture_order()))
    bench.make(harness.picture_order()).result()
    assert harness.KEY not in str(told)
    assert harness.KEY not in caplog.text
    for path in user.rglob("*"):
        assert path.is_dir() or harness.KEY.encode() not in path.read_bytes(), path


def test_what_this_disk_would_not_take_is_not_bought(
    bench: harness.Bench, gateway: RehearsalGateway, user: Path
) -> None:
    (user / "results").write_bytes(b"a file where the folder should be")
    for order in (harness.text_order(), harness.picture_order()):
        with pytest.raises(SetupError, match="could not be written") as caught:
            bench.make(order).result()
        assert caught.value.charge is Charge.NOT_SENT
    assert gateway.record.count() == 0
    (user / "results").unlink()
    assert bench.make(harness.text_order()).result().path.is_file()


# How a job stands, and what went wrong on the way


def test_a_job_that_was_accepted_on_a_second_try_is_followed_after_a_restart(
    gateway: RehearsalGateway, user: Path
) -> None:
    gateway.always("create", "drop-after")
    gateway.always("poll", "status:processing")
    with harness.bench(user, gateway.base_url) as bench:
        failure(bench.runner.submit(harness.text_order()))
        assert bench.journal.get(1).parked is Parking.UNREACHED
        gateway.faults.clear()
        gateway.always("poll", "status:processing")
        ticket = bench.runner.submit(harness.text_order())
        harness.eventually(lambda: ticket.status().accepted, "accepted")
        job = bench.journal.get(1)
        assert job.parked is None
        assert job_facts.card(job)["error"] is None, "what passed is history"
    gateway.faults.clear()
    with harness.bench(user, gateway.base_url) as later:
        assert later.runner.resume() == 1
        harness.eventually(lambda: later.journal.get(1).delivered_at, "home")
    assert len(gateway.record.tasks) == 1


def test_a_failed_job_tells_its_own_end_and_the_request_of_its_create(
    bench: harness.Bench, gateway: RehearsalGateway
) -> None:
    gateway.script("poll", *["401"] * 3, "fail:all")
    failure(bench.runner.submit(harness.text_order()))
    before = bench.journal.get(1)
    assert before.problem is not None
    assert before.problem.status == 401
    told = failure(bench.runner.submit(harness.text_order()))
    after = bench.journal.get(1)
    assert type(told) is TaskFailed
    assert (told.status, told.code) == (None, None)
    assert after.ending is not None
    assert (after.ending.kind, after.ending.status) == ("TaskFailed", None)
    assert after.request_id == before.request_id == told.request_id
    assert type(failures.recall(after)) is TaskFailed


def test_what_the_gateway_named_is_told_and_logged_even_when_nobody_can_write_it_down(
    bench: harness.Bench, gateway: RehearsalGateway, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(job: Job, reply: object) -> Job:
        raise JournalError("database or disk is full")

    caplog.set_level("INFO")
    monkeypatch.setattr(bench.journal, "accepted", full)
    told = failure(bench.runner.submit(harness.text_order()))
    task = gateway.record.tasks[0]
    assert task.task_id in str(told)
    assert told.charge is Charge.RUNNING
    assert told.credits_used == task.credits_used
    assert str(told.request_id) in caplog.text
    assert task.task_id in caplog.text


def test_a_watcher_whose_journal_is_locked_for_a_moment_writes_nothing_and_goes_on_watching(
    bench: harness.Bench, gateway: RehearsalGateway, user: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway.always("poll", "status:processing")
    ours = bench.runner.submit(harness.text_order())
    harness.eventually(lambda: ours.status().accepted, "accepted")
    with harness.bench(user, gateway.base_url) as watcher:
        theirs = watcher.runner.submit(harness.text_order())
        harness.eventually(lambda: theirs.status().phase is Phase.ELSEWHERE, "watched")
        sound, refused = watcher.journal.current, threading.Event()

        def locked(*asked: object) -> Job:
            refused.set()
            raise JournalError("database is locked")

        monkeypatch.setattr(watcher.journal, "current", locked)
        assert refused.wait(harness.PATIENCE_SECONDS)
        before = bench.journal.get(1)
        assert (before.holder, before.parked, before.problem) == (bench.holders.own, None, None)
        monkeypatch.setattr(watcher.journal, "current", sound)
        gateway.faults.clear()
        assert harness.ended(theirs).result().path.is_file()


def test_the_same_order_between_a_refusal_and_its_new_attempt_is_one_work(
    bench: harness.Bench, gateway: RehearsalGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.make(harness.picture_order()).result()
    gateway.script("create", "400")
    others: list[Ticket] = []
    threads: list[threading.Thread] = []
    sound = bench.journal.rejected

    def rejected(job: Job, refusal: APIMallError) -> Job:
        settled = sound(job, refusal)
        thread = threading.Thread(target=lambda: others.append(bench.runner.submit(harness.picture_order(take=1))))
        thread.start()
        thread.join(0.3)
        threads.append(thread)
        return settled

    monkeypatch.setattr(bench.journal, "rejected", rejected)
    first = bench.make(harness.picture_order(take=1))
    threads[0].join()
    assert harness.ended(others[0]).result().path == first.result().path
    assert len(gateway.record.tasks) == 2
    assert len(gateway.record.of("create")) == 3


def test_what_dead_processes_wanted_to_send_is_not_unfinished_for_ever(gateway: RehearsalGateway, user: Path) -> None:
    with harness.bench(user, gateway.base_url) as bench:
        job = bench.journal.intend(harness.text_order().intent(harness.ACCOUNT))
        bench.journal.claim(job, "a process that died", set())
        assert Records(bench.journal.place).unfinished(harness.ACCOUNT) == 1
        bench.runner.resume()
        assert Records(bench.journal.place).unfinished(harness.ACCOUNT) == 0
        bench.make(harness.text_order()).result()


# The age of an unanswered create


@pytest.mark.parametrize(("wall_days", "uptime_days"), [(2, 0), (0, 2), (-2, 0), (2, 2)])
def test_an_unanswered_create_is_repeated_only_while_every_clock_says_that_it_is_young(
    wall_days: float, uptime_days: float, gateway: RehearsalGateway, user: Path
) -> None:
    wall, uptime = 1_800_000_000.0, 5000.0
    clocks = replace(harness.quick_clocks(wall=lambda: wall), uptime=lambda: uptime, boot="this one")
    wiring = harness.Wiring(clocks=clocks)

    def slept(event: Event, job: Job) -> None:
        nonlocal wall, uptime
        if event is Event.SENT and len(gateway.record.posts) == 0:
            wall += wall_days * 86_400
            uptime += uptime_days * 86_400

    gateway.script("create", "drop-after")
    with harness.bench(user, gateway.base_url, replace(wiring, observe=slept)) as bench:
        assert type(failure(bench.runner.submit(harness.text_order()))) is Unsettled
    with harness.bench(user, gateway.base_url, wiring) as later:
        told = failure(later.runner.submit(harness.text_order()))
        assert type(told) is Unsettled
        assert told.charge is Charge.UNCERTAIN
        assert later.journal.get(1).parked is Parking.UNCERTAIN
    assert len(gateway.record.posts) == 1


def test_after_a_restart_of_the_machine_the_wall_clock_alone_tells_the_age(
    gateway: RehearsalGateway, user: Path
) -> None:
    clocks = harness.quick_clocks()
    gateway.always("create", "drop-after")
    with harness.bench(user, gateway.base_url, harness.Wiring(clocks=replace(clocks, boot="before"))) as bench:
        failure(bench.runner.submit(harness.text_order()))
    gateway.faults.clear()
    after = replace(clocks, boot="after", uptime=lambda: 1e9)
    with harness.bench(user, gateway.base_url, harness.Wiring(clocks=after)) as later:
        later.make(harness.text_order()).result()
    assert len(gateway.record.tasks) == 1


# Refunds


def test_a_failed_job_that_is_not_refunded_in_full_is_not_paid_again(
    bench: harness.Bench, gateway: RehearsalGateway
) -> None:
    gateway.script("poll", "fail:part")
    failure(bench.runner.submit(harness.text_order()))
    told = failure(bench.runner.submit(harness.text_order()))
    assert type(told) is TaskFailed
    assert "Refunded: 15 of 30" in str(told)
    assert "another `take` pays again" in str(told)
    assert len(gateway.record.posts) == 1
    bench.make(harness.text_order(take=1)).result()


def test_queueing_a_failed_job_again_asks_for_its_refund_and_pays_once_all_is_back(
    bench: harness.Bench, gateway: RehearsalGateway
) -> None:
    gateway.script("poll", "fail:later")
    failure(bench.runner.submit(harness.text_order()))
    bench.make(harness.text_order()).result()
    assert len(gateway.record.posts) == 2
    assert [entry.credits for entry in gateway.record.entries if entry.what is What.REFUND] == [30]


def test_a_refund_that_takes_an_hour_is_read_until_it_is_there(bench: harness.Bench, gateway: RehearsalGateway) -> None:
    gateway.script("poll", "fail:none")
    failure(bench.runner.submit(harness.text_order()))
    harness.eventually(lambda: len(gateway.record.of("poll")) == 3, "read after 30 s and after 5 min")


def test_refunds_are_read_again_at_the_next_start(gateway: RehearsalGateway, user: Path) -> None:
    gateway.script("poll", "fail:later")
    with harness.bench(user, gateway.base_url) as bench:
        failure(bench.runner.submit(harness.text_order()))
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


# A way out for what nobody can settle


def unanswered(bench: harness.Bench, gateway: RehearsalGateway) -> Job:
    """A job that the gateway took, and whose answer was lost for good."""
    gateway.always("create", "drop-after")
    failure(bench.runner.submit(harness.text_order()))
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
    failure(bench.make(harness.text_order()))
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
    told = failure(bench.runner.submit(harness.text_order()))
    assert "You closed this job" in str(told)
    assert "`take`" in str(told)
    assert len(gateway.record.posts) == posts
    bench.make(harness.text_order(take=1)).result()


def test_the_clip_of_a_closed_job_is_served_when_it_lies_on_this_disk_all_the_same(
    bench: harness.Bench, gateway: RehearsalGateway
) -> None:
    gateway.always("poll", "403")
    failure(bench.runner.submit(harness.text_order()))
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
