"""The runner over real HTTP: re-attachment, waiters, accounts, refunds, uploads, and clips that went missing."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from nodes.gateway.errors import (
    APIMallError,
    Charge,
    KeyConflict,
    PromptBlocked,
    SetupError,
    TaskFailed,
    TaskUnknown,
    Unsettled,
)
from nodes.jobs import clocks, failures
from nodes.jobs.events import Event
from nodes.jobs.work import Phase, Ticket
from nodes.journal.errors import JournalError
from nodes.journal.reads import Records
from nodes.journal.rows import Job, Parking
from nodes.panel import job_facts
from nodes.rehearsal import faults
from nodes.rehearsal.server import RehearsalGateway
from tests.support import harness


def keys(gateway: RehearsalGateway) -> list[str]:
    return [request.headers["Idempotency-Key"] for request in gateway.record.posts]


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
    told = harness.failure(bench.runner.submit(harness.text_order()))
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
        harness.failure(bench.runner.submit(harness.text_order()))
    posts = len(gateway.record.posts)
    gateway.faults.clear()
    now += clocks.REPLAY_SECONDS + 60
    with harness.bench(user, gateway.base_url, wiring) as bench:
        told = harness.failure(bench.runner.submit(harness.text_order()))
    assert type(told) is Unsettled
    assert told.charge is Charge.UNCERTAIN
    assert "take" in str(told)
    assert len(gateway.record.posts) == posts


def test_a_conflict_never_brings_a_new_key(bench: harness.Bench, gateway: RehearsalGateway) -> None:
    gateway.always("create", "409")
    for _ in range(3):
        assert type(harness.failure(bench.runner.submit(harness.text_order()))) is KeyConflict
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
    assert type(harness.failure(bench.runner.submit(harness.text_order()))) is PromptBlocked
    bench.make(harness.text_order()).result()
    assert len(set(keys(gateway))) == 2
    assert len(gateway.record.tasks) == 1


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
        told = harness.failure(bench.runner.submit(harness.text_order()))
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
    told = harness.failure(ticket)
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
    assert isinstance(harness.failure(bench.make(harness.text_order())), Unsettled)
    bench.close()
    with harness.bench(user, gateway.base_url) as later:
        assert later.runner.resume() == 0
        assert gateway.record.tasks == []
        later.make(harness.text_order()).result()
    assert len(set(keys(gateway))) == 1


def test_the_key_is_nowhere_in_the_journal_or_the_results(
    bench: harness.Bench, gateway: RehearsalGateway, user: Path, caplog: pytest.LogCaptureFixture
) -> None:
    gateway.script("create", faults.instead(500, message=f"no {harness.KEY}"), "fail")
    gateway.script("poll", f'fields:{{"error_message":"bad key {harness.KEY}"}}')
    told = harness.failure(bench.runner.submit(harness.picture_order()))
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
        harness.failure(bench.runner.submit(harness.text_order()))
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
    harness.failure(bench.runner.submit(harness.text_order()))
    before = bench.journal.get(1)
    assert before.problem is not None
    assert before.problem.status == 401
    told = harness.failure(bench.runner.submit(harness.text_order()))
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
    told = harness.failure(bench.runner.submit(harness.text_order()))
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
        assert type(harness.failure(bench.runner.submit(harness.text_order()))) is Unsettled
    with harness.bench(user, gateway.base_url, wiring) as later:
        told = harness.failure(later.runner.submit(harness.text_order()))
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
        harness.failure(bench.runner.submit(harness.text_order()))
    gateway.faults.clear()
    after = replace(clocks, boot="after", uptime=lambda: 1e9)
    with harness.bench(user, gateway.base_url, harness.Wiring(clocks=after)) as later:
        later.make(harness.text_order()).result()
    assert len(gateway.record.tasks) == 1
