"""A power cut: of the journal only what was synced is there, and then the same job is queued again."""

from __future__ import annotations

from pathlib import Path

import pytest

from nodes.jobs.events import Event
from nodes.journal.reads import Records
from nodes.journal.rows import Job, State
from nodes.journal.verbs import Journal
from nodes.rehearsal.server import RehearsalGateway
from tests.support import harness

FRAME_HEAD_BYTES, PAGE_BYTES, WAL_HEAD_BYTES = 24, 4096, 32
STATE_AFTER = {
    Event.SENT: State.SENT,
    Event.ANSWERED: State.SENT,
    Event.ACCEPTED: State.RUNNING,
    Event.FINISHED: State.RUNNING,
    Event.COMPLETED: State.COMPLETED,
    Event.DOWNLOADED: State.COMPLETED,
    Event.RENAMED: State.COMPLETED,
    Event.DELIVERED: State.COMPLETED,
}


class Camera:
    """Keeps what is on disk of the journal at each step."""

    def __init__(self, user: Path) -> None:
        self._file = user / "journal.sqlite3"
        self.shots: dict[Event, tuple[bytes, bytes]] = {}

    def __call__(self, event: Event, job: Job) -> None:
        self.shots[event] = (self._file.read_bytes(), Path(f"{self._file}-wal").read_bytes())


def restored(folder: Path, database: bytes, log: bytes) -> Path:
    folder.mkdir()
    (folder / "journal.sqlite3").write_bytes(database)
    (folder / "journal.sqlite3-wal").write_bytes(log)
    return folder


@pytest.fixture
def shots(gateway: RehearsalGateway, user: Path) -> dict[Event, tuple[bytes, bytes]]:
    camera = Camera(user)
    with harness.bench(user, gateway.base_url, harness.Wiring(observe=camera)) as bench:
        bench.make(harness.text_order()).result()
    return camera.shots


@pytest.mark.parametrize("torn", [0, 1, 500, PAGE_BYTES], ids=["clean", "1 byte", "500 bytes", "a page"])
def test_after_a_power_cut_at_any_step_one_charge_is_made_and_the_result_comes(
    torn: int, shots: dict[Event, tuple[bytes, bytes]], gateway: RehearsalGateway, tmp_path: Path
) -> None:
    assert [event for event in shots if event in STATE_AFTER] == list(STATE_AFTER)
    for step, state in STATE_AFTER.items():
        database, log = shots[step]
        # What was being written when the power went is there in part, or as rubbish.
        folder = restored(tmp_path / step.value, database, log + b"\xa5" * torn)
        with harness.bench(folder, gateway.base_url) as bench:
            assert bench.journal.set_aside is None
            assert bench.journal.get(1).state is state
            assert bench.make(harness.text_order()).result().path.is_file()
    assert len(gateway.record.tasks) == 1, "one job, one charge, after eight power cuts"
    assert len({request.headers["Idempotency-Key"] for request in gateway.record.posts}) == 1


def test_a_log_cut_anywhere_shows_a_state_that_was_once_true(
    shots: dict[Event, tuple[bytes, bytes]], tmp_path: Path
) -> None:
    database, log = shots[Event.DELIVERED]
    frame_bytes = FRAME_HEAD_BYTES + PAGE_BYTES
    frames = (len(log) - WAL_HEAD_BYTES) // frame_bytes
    assert frames > 10
    seen: list[int] = []
    order = [None, State.INTENDED, State.SENT, State.RUNNING, State.COMPLETED]
    for frame in range(frames + 1):
        for extra in (0, 700):
            cut = log[: WAL_HEAD_BYTES + frame * frame_bytes + extra]
            journal = Journal(restored(tmp_path / f"{frame}-{extra}", database, cut) / "journal.sqlite3")
            assert journal.set_aside is None
            row = Records(journal.place).job(harness.ACCOUNT, 1)
            steps = [] if row is None else [step for _, step, _ in Records(journal.place).steps(row)]
            home = row is not None and row.delivered_at is not None
            assert len(steps) == order.index(row.state if row else None) + home, (
                "rows and history were written together"
            )
            seen.append(len(steps))
            journal.close()
    assert seen == sorted(seen), "nothing that was synced is undone by more of the log"
    assert set(seen) == set(range(6))
