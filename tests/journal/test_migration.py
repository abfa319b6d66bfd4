"""A journal that the version before wrote: it opens, says the same, and serves its clips."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from nodes.gateway.errors import APIMallError, Charge, NotDownloaded, Unsettled
from nodes.jobs.failures import recall
from nodes.jobs.order import Order
from nodes.journal.reads import Records
from nodes.journal.rows import Job, Parking, State
from nodes.journal.verbs import Journal
from nodes.panel import job_facts
from nodes.rehearsal.server import RehearsalGateway
from tests.journal import version_1
from tests.support import harness

CLIP = "vid_old-0123456789ab.mp4"


def row(order: Order, state: str, charge: str, **columns: object) -> dict[str, object]:
    body = order.request(()).body()
    identity = order.identity(harness.ACCOUNT)
    told: dict[str, Any] = {
        "account": harness.ACCOUNT,
        "identity": identity,
        "prompt": order.prompt,
        "take": order.take,
    }
    return told | {"body": body, "state": state, "charge": charge, **columns}


def delivered(folder: Path, take: int = 0, **columns: object) -> dict[str, object]:
    """A delivered row, and its clip in the results folder."""
    folder.mkdir(parents=True, exist_ok=True)
    clip = folder / CLIP
    clip.write_bytes(harness.tiny_clip())
    file: dict[str, object] = {
        "task_id": "vid_old",
        "credits_used": 30.0,
        "file": CLIP,
        "file_bytes": clip.stat().st_size,
        "file_mtime_ns": clip.stat().st_mtime_ns,
        "file_sha256": hashlib.sha256(clip.read_bytes()).hexdigest(),
        "sent_at": 1000.0,
        "accepted_at": 1001.0,
        "ended_at": 1100.0,
        "delivered_at": 1101.0,
    }
    return row(harness.text_order(take=take), "delivered", "charged") | file | columns


@pytest.fixture
def path(user: Path) -> Path:
    return user / "journal.sqlite3"


def only(path: Path, old: dict[str, object]) -> Job:
    version_1.write(path, [old])
    journal = Journal(path)
    try:
        return journal.get(1)
    finally:
        journal.close()


def test_a_clip_that_an_old_journal_delivered_is_served_without_a_request(
    path: Path, user: Path, gateway: RehearsalGateway
) -> None:
    version_1.write(path, [delivered(user / "results")])
    for _ in range(2):
        with harness.bench(user, gateway.base_url) as bench:
            result = bench.make(harness.text_order()).result()
            assert result.path == user / "results" / CLIP
            assert not result.downloaded
    assert gateway.record.count() == 0


def test_a_clip_that_an_old_journal_had_lost_sight_of_is_served_when_it_lies_there(
    path: Path, user: Path, gateway: RehearsalGateway
) -> None:
    # The results folder was away for one queueing: the old version turned the row back and could not download it.
    lost = delivered(user / "results", state="completed", error="NotHome", reason="The link expired", http_status=410)
    version_1.write(path, [lost])
    with harness.bench(user, gateway.base_url) as bench:
        assert bench.make(harness.text_order()).result().path == user / "results" / CLIP
    assert gateway.record.count() == 0


def test_delivered_rows_become_completed_ones_with_a_delivery(path: Path, user: Path) -> None:
    job = only(path, delivered(user / "results"))
    assert (job.state, job.charge, job.file, job.delivered_at) == (State.COMPLETED, Charge.CHARGED, CLIP, 1101.0)
    assert not job.unfinished
    [delivery] = Records(path).deliveries(job)
    assert (delivery.folder, delivery.file, delivery.size_bytes) == ("", CLIP, len(harness.tiny_clip()))


def test_failed_and_rejected_rows_keep_why_they_ended(path: Path) -> None:
    told = {"error": "PromptBlocked", "reason": "blocked", "http_status": 451, "code": "moderation", "request_id": "r"}
    job = only(path, row(harness.text_order(), "rejected", "rejected", ended_at=1009.0, **told))
    assert job.problem is None
    assert job.ending is not None
    assert (job.ending.kind, job.ending.text, job.ending.status) == ("PromptBlocked", "blocked", 451)
    assert (job.ending.code, job.ending.request_id, job.ending.at) == ("moderation", "r", 1009.0)


@pytest.mark.parametrize(
    ("state", "error", "parked", "unfinished"),
    [
        ("intended", None, Parking.WITHDRAWN, False),
        ("intended", "SetupError", Parking.HINDERED, False),
        ("sent", None, None, True),
        ("sent", "ReplyLost", Parking.UNREACHED, True),
        ("sent", "KeyConflict", Parking.UNCERTAIN, True),
        ("sent", "Parked", Parking.UNCERTAIN, True),
        ("running", None, None, True),
        # Lost once, then accepted: what went wrong on the way is history.
        ("running", "ReplyLost", None, True),
        ("running", "StillRunning", Parking.REFUSED, True),
        ("completed", "NotHome", Parking.NOT_HOME, True),
        ("completed", None, None, True),
    ],
)
def test_what_was_not_ended_is_parked_for_the_reason_that_its_row_gives(
    state: str, error: str | None, parked: Parking | None, unfinished: bool, path: Path
) -> None:
    job = only(path, row(harness.text_order(), state, "uncertain", error=error, reason="why", sent_at=1000.0))
    assert (job.state, job.parked, job.unfinished) == (State(state), parked, unfinished)
    assert (job.problem.kind if job.problem else None) == error


@pytest.mark.parametrize(
    ("state", "error", "today"), [("sent", "Parked", Unsettled), ("completed", "NotHome", NotDownloaded)]
)
def test_an_error_of_a_former_name_is_told_as_what_it_is_called_today(
    state: str, error: str, today: type[APIMallError], path: Path
) -> None:
    job = only(path, row(harness.text_order(), state, "uncertain", error=error, reason="why", sent_at=1000.0))
    assert type(recall(job)) is today
    assert job_facts.card(job)["error"] == today.__name__


def test_history_and_uploads_come_along(path: Path) -> None:
    job = only(path, row(harness.text_order(), "running", "running", task_id="vid_1"))
    assert [step for _, step, _ in Records(path).steps(job)] == ["intended"]


def test_a_damaged_old_journal_gives_out_its_jobs_and_their_deliveries(
    path: Path, user: Path, gateway: RehearsalGateway
) -> None:
    crowd = [row(harness.text_order("x" * 900, take), "rejected", "rejected") for take in range(1, 60)]
    version_1.write(path, [delivered(user / "results"), *crowd])
    whole = path.read_bytes()
    path.write_bytes(whole[: -2 * 4096] + b"\x55" * (2 * 4096))
    with harness.bench(user, gateway.base_url) as bench:
        bench.journal.require_sound()
        assert bench.journal.set_aside is not None
        assert bench.make(harness.text_order()).result().path == user / "results" / CLIP
    assert gateway.record.count() == 0
