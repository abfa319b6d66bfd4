"""Media on their way to the gateway, over real HTTP: once for many jobs, anew where they are gone, and nothing left."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import pytest

from nodes.gateway.errors import BadRequest, Charge
from nodes.jobs.order import Medium, MediumFile
from nodes.media.errors import BadPicture
from nodes.rehearsal.server import RehearsalGateway
from nodes.stopping import Stop, Stopped
from tests.support import harness


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
    assert type(harness.failure(bench.runner.submit(harness.picture_order()))) is BadRequest
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
    found = harness.failure(bench.runner.submit(order))
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
