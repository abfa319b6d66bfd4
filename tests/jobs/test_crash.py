"""kill -9 between any two steps of a job, then the same again: one charge, one result (money rules 1 to 3, 5)."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nodes.jobs.events import Event
from nodes.journal.postgres import Address
from nodes.media.probe import verify
from nodes.rehearsal.scenes import Scene
from nodes.rehearsal.server import RehearsalGateway
from tests.support import harness
from tests.support.child import FETCHING, HALF_WAY, INTENDED, ORDERS, STORED, UPLOADING
from tests.support.postgres import STORES, new_store

ROOT = Path(__file__).resolve().parents[2]
BEFORE_PAYING = (INTENDED, Event.BEGUN, Event.ALLOWED)
UPLOADS = (UPLOADING, STORED, Event.UPLOADED, Event.READY)
PAYING = (Event.SENT, Event.ANSWERED, Event.ACCEPTED)
HOMECOMING = (Event.FINISHED, Event.COMPLETED, FETCHING, Event.DOWNLOADED, Event.RENAMED, Event.DELIVERED)

MATRIX = [
    *(("text", step) for step in (*BEFORE_PAYING, *PAYING, *HOMECOMING)),
    *(("image", step) for step in (*BEFORE_PAYING, *UPLOADS, *PAYING, *HOMECOMING)),
    *(("video", step) for step in (*BEFORE_PAYING, *UPLOADS, *PAYING, *HOMECOMING)),
    *(("collect", step) for step in (INTENDED, *HOMECOMING)),
]
# One of each sort for the fast suite; `nox -s soak` plays them all.
WORST = {
    *(("text", step) for step in (Event.ALLOWED, *PAYING, Event.COMPLETED, Event.RENAMED, Event.DELIVERED)),
    ("image", UPLOADING),
    ("video", Event.READY),
    ("collect", Event.DOWNLOADED),
}
# The same in a database: what its rows are asked for at these; `nox -s fleet` plays them all.
WORST_SHARED: set[tuple[str, str]] = {("text", Event.ALLOWED), ("text", Event.ANSWERED), ("video", Event.COMPLETED)}


def run_child(**told: Any) -> tuple[int, dict[str, Any]]:
    """Exit code and what the child printed, {} when it died."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.child", json.dumps(told)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, json.loads(done.stdout) if done.stdout else {}


def begin_and_leave(gateway: RehearsalGateway, user: Path, wiring: harness.Wiring) -> str:
    """A job that was submitted and left before anybody saw it finished: its task id."""
    gateway.always("poll", "status:processing")
    with harness.bench(user, gateway.base_url, wiring) as bench:
        ticket = bench.runner.submit(harness.text_order())
        harness.eventually(lambda: ticket.status().accepted, "the job is accepted")
    gateway.faults.clear()
    return str(ticket.status().job.task_id)


def marked(matrix: list[tuple[str, str]]) -> Iterator[Any]:
    for store in STORES:
        fast = WORST_SHARED if store == "postgresql" else WORST
        for kind, die_at in matrix:
            name = die_at.value if isinstance(die_at, Event) else die_at
            marks = () if (kind, die_at) in fast else pytest.mark.soak
            yield pytest.param(store, kind, die_at, marks=marks, id=f"{store}-{kind}-{name}")


@pytest.mark.parametrize(("store", "kind", "die_at"), list(marked(MATRIX)))
def test_a_job_survives_kill_9(store: str, kind: str, die_at: str, gateway: RehearsalGateway, user: Path) -> None:
    database = new_store(store)
    wiring = harness.Wiring(place=Address(database) if database else None)
    told = {"folder": str(user), "base_url": gateway.base_url, "kind": kind, "database": database}
    if kind == "collect":
        told["task_id"] = begin_and_leave(gateway, user, wiring)

    code, printed = run_child(**told, die_at=die_at)
    assert code != 0, "the child was to die"
    assert printed == {}

    with harness.bench(user, gateway.base_url, wiring) as bench:
        ticket = bench.runner.collect(told["task_id"]) if kind == "collect" else bench.runner.submit(ORDERS[kind]())
        assert ticket is not None
        result = harness.ended(ticket).result()
        bench.runner.resume()
        assert harness.books_agree(bench.journal.place, gateway)
        left = ticket.leave("You look at what it says")
        assert (wrong := harness.untrue_of_money(left, gateway)) is None, wrong
    assert len(gateway.record.tasks) == 1, "one charge"
    assert gateway.record.charges() == gateway.record.tasks[0].credits_used
    assert result.task_id == gateway.record.tasks[0].task_id
    verify(result.path)
    assert [path.name for path in (user / "results").glob("*.*4*")] == [result.path.name], "one result, no rest"
    assert not [path for path in (user / "uploads").rglob("*") if path.is_file()], (
        "the next start cleared what was left"
    )
    keys = {request.headers["Idempotency-Key"] for request in gateway.record.posts}
    bodies = {request.body for request in gateway.record.posts}
    assert (len(keys), len(bodies)) == (1, 1), "every POST had the same key and the same bytes"
    if die_at in (Event.RENAMED, Event.DELIVERED):
        assert not result.downloaded, "what lies on the disk is served from there, whether that was written or not"
        assert len(gateway.record.of("download")) == 1
    if die_at == Event.ANSWERED:
        assert len(gateway.record.posts) == 2, "nobody had written down the answer"


def test_a_download_goes_on_where_kill_9_broke_it(tmp_path: Path, user: Path) -> None:
    def render(scene: Scene, path: Path) -> None:
        path.write_bytes(harness.tiny_clip() + (12_000_000).to_bytes(4, "big") + b"free" + bytes(12_000_000 - 8))

    with harness.rehearsal(tmp_path / "gateway", render=render) as gateway:
        code, _ = run_child(folder=str(user), base_url=gateway.base_url, kind="text", die_at=HALF_WAY)
        assert code != 0, "the child was to die"
        with harness.bench(user, gateway.base_url) as bench:
            result = bench.make(harness.text_order()).result()
        asked = [request.headers["Range"] for request in gateway.record.of("download")]
        assert len(asked) == 2
        assert asked[0] is None
        assert int(str(asked[1]).removeprefix("bytes=").removesuffix("-")) >= 4 * 1024**2
        verify(result.path)
        assert result.path.stat().st_size == len(harness.tiny_clip()) + 12_000_000


def test_every_kind_of_job_is_in_the_matrix() -> None:
    assert {kind for kind, _ in MATRIX} == {*ORDERS, "collect"}


def test_a_dead_process_is_followed_by_the_next_at_once(gateway: RehearsalGateway, user: Path) -> None:
    told = {"folder": str(user), "base_url": gateway.base_url, "kind": "text"}
    run_child(**told, die_at=Event.ACCEPTED)
    with harness.bench(user, gateway.base_url) as bench:
        assert bench.runner.resume() == 1
        harness.eventually(lambda: bench.journal.get(1).delivered_at, "the job is home unasked")
        assert bench.make(harness.text_order()).result().downloaded is False
    assert len(gateway.record.posts) == 1
