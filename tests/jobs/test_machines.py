"""Machines that share a journal in a database: own state, own results, one bill."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import pytest

from nodes.gateway.errors import Charge, NotDownloaded, SetupError
from nodes.jobs.budget import Budget, Share
from nodes.jobs.events import Event
from nodes.jobs.origin import Origin
from nodes.jobs.results import FOLDER_FILE
from nodes.journal import shared_presence
from nodes.journal.postgres import Address
from nodes.journal.presence import machine
from nodes.journal.rows import State
from nodes.journal.shared_database import Database
from nodes.journal.shared_tokens import SharedTokens
from nodes.journal.verbs import Journal
from nodes.rehearsal.server import RehearsalGateway
from tests.support import harness, postgres
from tests.support.harness import Bench, Wiring

ROOT = Path(__file__).resolve().parents[2]
MOST_STATEMENTS = 120
"""For a job of a hundred seconds, of all three machines; how often it is asked who lives depends on their load."""


LOOK_SECONDS = shared_presence._LOOK_SECONDS


@pytest.fixture(autouse=True)
def _quick_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A death is looked for often: what comes of it is what is tested."""
    monkeypatch.setattr(shared_presence, "_LOOK_SECONDS", 0.5)


@pytest.fixture
def uri() -> str:
    return postgres.new_database()


@pytest.fixture
def machines(uri: str, gateway: RehearsalGateway, tmp_path: Path) -> Iterator[list[Bench]]:
    """Three machines: nothing but the database is shared."""
    with ExitStack() as stack:
        yield [
            stack.enter_context(harness.bench(tmp_path / name, gateway.base_url, Wiring(place=Address(uri))))
            for name in ("one", "two", "three")
        ]


def test_the_same_job_asked_of_three_machines_at_once_is_paid_once_and_all_get_it(
    machines: list[Bench], gateway: RehearsalGateway
) -> None:
    tickets = [each.runner.submit(harness.text_order()) for each in machines]
    results = [harness.ended(ticket).result() for ticket in tickets]
    assert len(gateway.record.posts) == 1
    assert len({result.path for result in results}) == 3
    assert len({result.path.read_bytes() for result in results}) == 1
    assert harness.books_agree(machines[0].journal.place, gateway)


def test_a_finished_job_asked_of_another_machine_is_downloaded_again_and_not_paid(
    machines: list[Bench], gateway: RehearsalGateway
) -> None:
    machines[0].make(harness.text_order()).result()
    before = gateway.record.count()
    result = machines[1].make(harness.text_order()).result()
    assert result.downloaded
    assert len(gateway.record.posts) == 1
    # One look for a fresh address, one download.
    assert gateway.record.count() - before <= 2
    assert {delivery.machine for delivery in machines[0].journal.deliveries(result.job)} == {machine()}


def test_on_a_shared_folder_another_machine_asks_nobody(uri: str, gateway: RehearsalGateway, tmp_path: Path) -> None:
    wiring = Wiring(place=Address(uri), results=str(tmp_path / "shared"))
    with (
        harness.bench(tmp_path / "one", gateway.base_url, wiring) as one,
        harness.bench(tmp_path / "two", gateway.base_url, wiring) as two,
    ):
        one.make(harness.text_order()).result()
        before = gateway.record.count()
        assert not two.make(harness.text_order()).result().downloaded
        assert gateway.record.count() == before


def test_copies_of_one_results_folder_on_two_machines_are_told_apart(
    machines: list[Bench], gateway: RehearsalGateway, tmp_path: Path
) -> None:
    orders = []
    for name, workflow in (("one", "{}"), ("two", '{"made": "with more"}')):
        (tmp_path / name / "results").mkdir(parents=True, exist_ok=True)
        (tmp_path / name / "results" / FOLDER_FILE).write_text("ab" * 16)
        orders.append(replace(harness.text_order(), origin=Origin("{}", workflow)))
    for order, each in zip(orders, machines, strict=False):
        assert each.make(order).result().downloaded
    before = gateway.record.count()
    for order, each in zip(orders, machines, strict=False):
        assert not each.make(order).result().downloaded
    assert gateway.record.count() == before


def test_who_waits_for_the_job_of_another_machine_is_told_its_name(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ExitStack() as stack:
        gateway = stack.enter_context(harness.rehearsal(tmp_path / "gateway", seconds_per_task=60.0))
        with monkeypatch.context() as elsewhere:
            elsewhere.setattr(shared_presence, "machine", lambda: "render-7")
            one = stack.enter_context(harness.bench(tmp_path / "one", gateway.base_url, Wiring(place=Address(uri))))
        two = stack.enter_context(harness.bench(tmp_path / "two", gateway.base_url, Wiring(place=Address(uri))))
        one.runner.submit(harness.text_order())
        harness.eventually(lambda: gateway.record.tasks, "it is sent")
        ticket = two.runner.submit(harness.text_order())
        harness.eventually(lambda: "on render-7" in ticket.status().text, "its machine is named")


def test_a_clip_that_the_gateway_no_longer_has_is_told_with_the_machine_and_folder_that_do(
    machines: list[Bench], gateway: RehearsalGateway
) -> None:
    made = machines[0].make(harness.text_order()).result()
    gateway.always("poll", "404")
    ticket = machines[1].make(harness.text_order())
    with pytest.raises(NotDownloaded) as caught:
        ticket.result()
    assert str(made.path.parent) in str(caught.value)
    assert machine() in str(caught.value)


def test_a_medium_that_one_machine_uploaded_is_not_uploaded_by_another(
    machines: list[Bench], gateway: RehearsalGateway
) -> None:
    machines[0].make(harness.picture_order("one")).result()
    uploads = gateway.record.count("presign")
    machines[1].make(harness.picture_order("two")).result()
    assert gateway.record.count("presign") == uploads


def test_the_plans_slots_are_shared(uri: str, tmp_path: Path) -> None:
    with (
        harness.rehearsal(tmp_path / "slow", seconds_per_task=3600.0) as gateway,
        harness.bench(tmp_path / "one", gateway.base_url, Wiring(place=Address(uri), max_jobs=1)) as one,
        harness.bench(tmp_path / "two", gateway.base_url, Wiring(place=Address(uri), max_jobs=1)) as two,
    ):
        first = one.runner.submit(harness.text_order())
        harness.eventually(lambda: first.status().accepted, "the first runs")
        second = two.runner.submit(harness.text_order(take=1))
        harness.eventually(lambda: second.status().slots is not None, "the second waits")
        assert len(gateway.record.posts) == 1


def test_a_job_of_a_hundred_seconds_that_three_machines_wait_for_costs_the_database_little(tmp_path: Path) -> None:
    speed = 20.0
    clocks = harness.quick_clocks(speed=speed)
    with (
        patch.object(shared_presence, "_LOOK_SECONDS", LOOK_SECONDS / speed),
        postgres.running() as server,
        harness.rehearsal(tmp_path / "gateway", seconds_per_task=100.0 / speed) as gateway,
        ExitStack() as stack,
    ):
        place = Address(uri := postgres.new_database(server.uri))
        server.write_statements_down(uri)

        def budget() -> Budget:
            return Budget(6000, 1000, tokens=SharedTokens(Database(place), clocks.monotonic), account=harness.ACCOUNT)

        wiring = Wiring(place=place, clocks=clocks, budget=budget)
        opened = [harness.open_bench(tmp_path / name, gateway.base_url, wiring) for name in ("one", "two", "three")]
        for each in opened:
            stack.callback(each.close)
        before = server.statements()
        tickets = [each.runner.submit(harness.text_order()) for each in opened]
        assert all(harness.ended(ticket).result().path.is_file() for ticket in tickets)
        assert len(gateway.record.posts) == 1
        assert server.statements() - before <= MOST_STATEMENTS


def test_machines_have_one_budget_of_requests(uri: str) -> None:
    journals = [Journal(Address(uri)) for _ in range(3)]
    budgets = [Budget(tokens=journal.tokens(Path("unused")), account="one") for journal in journals]
    assert all(isinstance(budget._store, SharedTokens) for budget in budgets)
    began = time.monotonic()
    gone = sum(budget.try_spend(Share.POLL, time.monotonic()) == 0 for _ in range(8) for budget in budgets)
    refilled = (time.monotonic() - began) * 48 / 60
    assert 10 <= gone <= 11 + refilled
    for journal in journals:
        journal.close()


CHILD = """
import sys
from pathlib import Path
from nodes.journal.postgres import Address
from tests.support import harness
bench = harness.open_bench(Path(sys.argv[2]), sys.argv[3], harness.Wiring(place=Address(sys.argv[1])))
ticket = bench.runner.submit(harness.text_order())
harness.eventually(lambda: ticket.status().accepted, "it runs")
print("running", flush=True)
sys.stdin.read()
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no kill -9 here")
def test_the_job_of_a_machine_that_is_killed_is_taken_over_by_the_one_that_is_asked_for_it(
    uri: str, tmp_path: Path
) -> None:
    with harness.rehearsal(tmp_path / "gateway", seconds_per_task=1.0) as gateway:
        command = [sys.executable, "-c", CHILD, uri, str(tmp_path / "one"), gateway.base_url]
        process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None and process.stdout.readline() == "running\n"
        with harness.bench(tmp_path / "two", gateway.base_url, Wiring(place=Address(uri))) as two:
            ticket = two.runner.submit(harness.text_order())
            os.kill(process.pid, signal.SIGKILL)
            process.communicate()
            assert harness.ended(ticket).result().path.is_file()
        assert len(gateway.record.posts) == 1


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no kill -9 here")
def test_the_slot_of_a_machine_that_is_killed_is_free_for_a_job_that_waits_elsewhere(uri: str, tmp_path: Path) -> None:
    wiring = Wiring(place=Address(uri), max_jobs=1)
    with harness.rehearsal(tmp_path / "gateway", seconds_per_task=3600.0) as gateway:
        command = [sys.executable, "-c", CHILD, uri, str(tmp_path / "one"), gateway.base_url]
        process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None and process.stdout.readline() == "running\n"
        with harness.bench(tmp_path / "two", gateway.base_url, wiring) as two:
            ticket = two.runner.submit(harness.text_order(take=1))
            harness.eventually(lambda: ticket.status().slots is not None, "it waits")
            assert len(gateway.record.posts) == 1
            os.kill(process.pid, signal.SIGKILL)
            process.communicate()
            harness.eventually(lambda: ticket.status().accepted, "it has the slot")


def test_without_its_database_a_machine_sends_nothing_new_and_goes_on_with_what_runs(tmp_path: Path) -> None:
    with postgres.running() as server, harness.rehearsal(tmp_path / "gateway", seconds_per_task=2.0) as gateway:
        place = Address(postgres.new_database(server.uri))
        with harness.bench(tmp_path / "one", gateway.base_url, Wiring(place=place)) as one:
            runs = one.runner.submit(harness.text_order())
            harness.eventually(lambda: runs.status().accepted, "it runs")
            server.stop()
            with pytest.raises(SetupError) as caught:
                one.runner.submit(harness.text_order(take=1))
            assert "Nothing new is sent" in str(caught.value)
            assert caught.value.charge is Charge.NOT_SENT
            assert len(gateway.record.posts) == 1
            server.start()
            assert harness.ended(runs).result().path.is_file()
            assert one.make(harness.text_order(take=1)).result().path.is_file()
            assert harness.books_agree(place, gateway)
        assert len(gateway.record.posts) == 2


def test_an_answer_that_nobody_could_write_down_is_written_when_the_database_is_back(tmp_path: Path) -> None:
    with postgres.running() as server, harness.rehearsal(tmp_path / "gateway") as gateway:
        place = Address(postgres.new_database(server.uri))
        stopped: list[Event] = []

        def stop_once(event: Event, job: object) -> None:
            if event is Event.ANSWERED and not stopped:
                stopped.append(event)
                server.stop()

        with harness.bench(tmp_path / "one", gateway.base_url, Wiring(place=place, observe=stop_once)) as one:
            ticket = one.runner.submit(harness.text_order())
            harness.eventually(lambda: "does not answer" in ticket.status().text, "it is said that nobody can write")
            server.start()
            result = harness.ended(ticket).result()
            assert result.job.state is State.COMPLETED
            assert result.job.posts == 1
        assert len(gateway.record.posts) == 1
