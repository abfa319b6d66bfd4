"""Many at once: one charge for one job whoever asks, places, one shared pace, few threads (money rules 4 and 8)."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from itertools import pairwise
from pathlib import Path

import pytest

from nodes.gateway.errors import StillRunning, TaskFailed
from nodes.jobs.budget import Budget
from nodes.jobs.events import Event
from nodes.journal.errors import JournalError
from nodes.journal.rows import Job
from nodes.rehearsal.server import RehearsalGateway
from tests.support import harness

ROOT = Path(__file__).resolve().parents[2]


def start_child(user: Path, gateway: RehearsalGateway, kind: str = "text", die_at: str = "") -> subprocess.Popen[str]:
    told = {"folder": str(user), "base_url": gateway.base_url, "kind": kind, "die_at": die_at}
    command = [sys.executable, "-m", "tests.support.child", json.dumps(told)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("kind", ["text", "image"])
def test_two_processes_that_want_the_same_job_pay_once_and_both_get_it(
    kind: str, gateway: RehearsalGateway, user: Path
) -> None:
    gateway.always("poll", "status:processing")
    children = [start_child(user, gateway, kind) for _ in range(2)]
    assert gateway.record.wait_for("poll", 3, harness.PATIENCE_SECONDS)
    gateway.faults.clear()
    told = [json.loads(child.communicate(timeout=60)[0]) for child in children]
    assert told[0]["path"] == told[1]["path"]
    assert len(gateway.record.posts) == 1


def test_two_runners_on_one_folder_pay_once_for_each_of_many_jobs(gateway: RehearsalGateway, user: Path) -> None:
    with harness.bench(user, gateway.base_url) as one, harness.bench(user, gateway.base_url) as two:
        tickets = [bench.runner.submit(harness.text_order(take=take)) for take in range(12) for bench in (one, two)]
        paths = [harness.ended(ticket).result().path for ticket in tickets]
    assert len(set(paths)) == 12
    assert len(gateway.record.posts) == 12
    assert len(gateway.record.of("download")) == 12


def test_the_job_of_a_process_that_dies_is_taken_over_by_the_one_that_waits(
    gateway: RehearsalGateway, user: Path
) -> None:
    gateway.always("poll", "status:processing")
    child = start_child(user, gateway, die_at="finished")
    assert gateway.record.wait_for("poll", 1, harness.PATIENCE_SECONDS)
    with harness.bench(user, gateway.base_url) as bench:
        ticket = bench.runner.submit(harness.text_order())
        harness.eventually(lambda: "another ComfyUI" in ticket.status().text, "the other one has it")
        gateway.faults.clear()
        child.communicate(timeout=60)
        assert child.returncode != 0
        assert harness.ended(ticket).result().path.is_file()
    assert len(gateway.record.posts) == 1


def test_a_waiter_in_another_process_is_told_how_the_job_failed(gateway: RehearsalGateway, user: Path) -> None:
    gateway.always("poll", "status:processing")
    with harness.bench(user, gateway.base_url) as one, harness.bench(user, gateway.base_url) as two:
        first = one.runner.submit(harness.text_order())
        harness.eventually(lambda: first.status().accepted, "accepted")
        second = two.runner.submit(harness.text_order())
        harness.eventually(lambda: "another ComfyUI" in second.status().text, "the other one has it")
        gateway.always("poll", "fail:all")
        messages = set()
        for ticket in (first, second):
            with pytest.raises(Exception, match="Refunded: 30 of 30") as caught:
                harness.ended(ticket).result()
            messages.add(str(caught.value).split(" (")[0])
    assert len(messages) == 1
    assert len(gateway.record.posts) == 1


def test_a_waiter_in_another_process_goes_on_with_the_attempt_that_a_refund_makes_room_for(
    gateway: RehearsalGateway, user: Path
) -> None:
    with harness.bench(user, gateway.base_url) as one, harness.bench(user, gateway.base_url) as two:
        gateway.script("poll", "fail:later", "stall:1")
        with pytest.raises(TaskFailed):
            one.make(harness.text_order()).result()
        first = one.runner.submit(harness.text_order())
        harness.eventually(lambda: one.journal.get(1).holder == one.holders.own, "its refund is asked for")
        second = two.runner.submit(harness.text_order())
        assert harness.ended(first).result().path == harness.ended(second).result().path
    assert len(gateway.record.tasks) == 2


def test_who_waited_in_another_process_for_a_job_that_failed_pays_no_new_attempt(
    gateway: RehearsalGateway, user: Path
) -> None:
    go = threading.Event()

    def hold(event: Event, job: Job) -> None:
        assert event is not Event.ALLOWED or go.wait(harness.PATIENCE_SECONDS)

    holding = harness.Wiring(observe=hold)
    with harness.bench(user, gateway.base_url, holding) as one, harness.bench(user, gateway.base_url) as two:
        gateway.script("poll", "fail:later")
        first = one.runner.submit(harness.text_order())
        harness.eventually(lambda: one.journal.get(1).holder == one.holders.own, "it is in hand")
        second = two.runner.submit(harness.text_order())
        harness.eventually(lambda: "another ComfyUI" in second.status().text, "the other one has it")
        go.set()
        for ticket in (first, second):
            with pytest.raises(TaskFailed):
                harness.ended(ticket).result()
    assert len(gateway.record.tasks) == 1


def test_a_process_that_could_not_write_how_a_job_ended_keeps_no_other_one_waiting(
    gateway: RehearsalGateway, user: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def locked(*_: object) -> None:
        raise JournalError("database is locked")

    gateway.always("poll", "401")
    with harness.bench(user, gateway.base_url) as one, harness.bench(user, gateway.base_url) as two:
        monkeypatch.setattr(one.journal, "park", locked)
        with pytest.raises(StillRunning):
            one.make(harness.text_order()).result()
        gateway.faults.clear()
        assert two.make(harness.text_order()).result().path.is_file()
    assert len(gateway.record.posts) == 1


def test_no_more_jobs_run_than_the_plan_allows_and_the_rest_say_so(gateway: RehearsalGateway, user: Path) -> None:
    gateway.always("poll", "status:processing")
    with harness.bench(user, gateway.base_url) as bench:
        tickets = [bench.runner.submit(harness.text_order(take=take)) for take in range(8)]
        harness.eventually(lambda: sum(ticket.status().accepted for ticket in tickets) == 3, "three are running")
        waiting = "waiting for a slot (3 of 3 running)"
        harness.eventually(lambda: [t.status().text for t in tickets].count(waiting) == 5, "five say that they wait")
        assert len(gateway.record.posts) == 3
        gateway.faults.clear()
        for ticket in tickets:
            harness.ended(ticket).result()
    assert len(gateway.record.tasks) == 8


def test_places_are_given_in_the_order_of_asking(user: Path, tmp_path: Path) -> None:
    with harness.rehearsal(tmp_path / "gateway") as gateway:
        gateway.always("poll", "status:processing")
        with harness.bench(user, gateway.base_url, harness.Wiring(max_jobs=1)) as bench:
            tickets = [bench.runner.submit(harness.text_order(prompt=f"number {number}")) for number in range(6)]
            harness.eventually(lambda: sum(t.status().phase.name == "WAITING" for t in tickets) == 5, "five wait")
            gateway.faults.clear()
            for ticket in tickets:
                harness.ended(ticket).result()
        assert [task.prompt for task in gateway.record.tasks] == [f"number {number}" for number in range(6)]


def test_two_processes_share_the_places_of_one_account(user: Path, tmp_path: Path) -> None:
    with (
        harness.rehearsal(tmp_path / "gateway", seconds_per_task=0.05) as gateway,
        harness.bench(user, gateway.base_url) as one,
        harness.bench(user, gateway.base_url) as two,
    ):
        tickets = [one.runner.submit(harness.text_order(take=take)) for take in range(8)]
        tickets += [two.runner.submit(harness.text_order(take=take)) for take in range(100, 108)]
        for ticket in tickets:
            harness.ended(ticket).result()
        assert gateway.record.most_running() <= 3
        assert len(gateway.record.posts) == 16


def test_too_many_jobs_at_the_gateway_is_waited_for_not_failed(user: Path, tmp_path: Path) -> None:
    with (
        harness.rehearsal(tmp_path / "gateway", seconds_per_task=0.05, most_running=2) as gateway,
        harness.bench(user, gateway.base_url, harness.Wiring(max_jobs=6)) as bench,
    ):
        tickets = [bench.runner.submit(harness.text_order(take=take)) for take in range(6)]
        for ticket in tickets:
            harness.ended(ticket).result()
        assert len(gateway.record.tasks) == 6
        assert len({request.headers["Idempotency-Key"] for request in gateway.record.posts}) == 6


def test_two_hundred_unfinished_jobs_need_few_threads_and_keep_within_sixty_requests_a_minute(
    gateway: RehearsalGateway, user: Path
) -> None:
    gateway.always("poll", "status:processing")
    peak = 0

    def count(event: Event, job: Job) -> None:
        nonlocal peak
        ours = [thread for thread in threading.enumerate() if not thread.name.startswith("apimall-rehearsal")]
        peak = max(peak, sum(thread.name.startswith("apimall") for thread in ours))

    clocks = harness.quick_clocks()
    wiring = harness.Wiring(max_jobs=200, observe=count, clocks=clocks, budget=lambda: Budget(60, 10))
    begun = clocks.monotonic()
    with harness.bench(user, gateway.base_url, wiring) as bench:
        tickets = [bench.runner.submit(harness.text_order(take=take)) for take in range(200)]
        harness.eventually(lambda: sum(ticket.status().accepted for ticket in tickets) == 200, "all are running")
        assert gateway.record.wait_for("poll", 40, harness.PATIENCE_SECONDS)
        count(Event.BEGUN, tickets[0].work.job)
        requests = gateway.record.count()
        assert requests <= 10 + (clocks.monotonic() - begun) + 4, "sixty a minute, ten at once, what is in flight"
    assert 0 < peak <= 12


def test_creates_do_not_wait_behind_the_polls_of_others(gateway: RehearsalGateway, user: Path) -> None:
    gateway.always("poll", "status:processing")
    wiring = harness.Wiring(max_jobs=100, budget=lambda: Budget(60, 5))
    with harness.bench(user, gateway.base_url, wiring) as bench:
        crowd = [bench.runner.submit(harness.text_order(take=take)) for take in range(30)]
        harness.eventually(lambda: all(ticket.status().accepted for ticket in crowd), "the crowd is running")
        late = bench.runner.submit(harness.text_order(take=1000))
        polls = gateway.record.count("poll")
        harness.eventually(lambda: late.status().accepted, "the late one is accepted")
        steps = [request.step for request in gateway.record.requests]
        before_it = steps[: len(steps) - steps[::-1].index("create")].count("poll")
        assert before_it - polls < 30, "not after a round of everybody"


def test_a_429_slows_everybody_down(gateway: RehearsalGateway, user: Path) -> None:
    gateway.always("poll", "status:processing")
    with harness.bench(user, gateway.base_url) as bench:
        tickets = [bench.runner.submit(harness.text_order(take=take)) for take in range(3)]
        assert gateway.record.wait_for("poll", 6, harness.PATIENCE_SECONDS)
        gateway.script("poll", "429:100")
        assert tickets
        harness.eventually(lambda: any(r.fault == "429:100" for r in gateway.record.of("poll")), "a 429 was given")
        number = [request.fault for request in gateway.record.of("poll")].index("429:100")
        # Up to three others may be on their way in that moment; then there is silence for all.
        assert gateway.record.wait_for("poll", number + 6, harness.PATIENCE_SECONDS)
        times = [request.at for request in gateway.record.of("poll")][number:]
        gaps = [later - earlier for earlier, later in pairwise(times)]
        assert max(gaps[:4]) * harness.SPEED > 60, "a hundred seconds were asked for"


def test_however_many_wait_for_a_place_those_that_have_one_get_on(gateway: RehearsalGateway, user: Path) -> None:
    # So quick a clock that checks for a place are always due: more than there are threads for.
    wiring = harness.Wiring(max_jobs=1, clocks=harness.quick_clocks(speed=20_000.0))
    with harness.bench(user, gateway.base_url, wiring) as bench:
        tickets = [bench.runner.submit(harness.text_order(take=take)) for take in range(120)]
        for ticket in tickets[:5]:
            harness.ended(ticket).result()
