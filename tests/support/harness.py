"""A user folder, a stand-in gateway with tiny clips, and runners wired as `service` wires them, but on quick clocks."""

from __future__ import annotations

import csv
import functools
import io
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import requests

from nodes.gateway.client import Gateway, Timeouts, open_session
from nodes.gateway.contract import Stored
from nodes.gateway.errors import APIMallError, Charge
from nodes.gateway.models import TEXT_TO_VIDEO
from nodes.guard.downloads import Glance, download
from nodes.guard.storage import put
from nodes.jobs.budget import Budget
from nodes.jobs.clocks import Clocks
from nodes.jobs.events import Observer, unobserved
from nodes.jobs.order import Medium, MediumFile, Order
from nodes.jobs.pace import next_poll
from nodes.jobs.results import Verify
from nodes.jobs.runner import Runner
from nodes.jobs.work import Ticket
from nodes.journal.presence import Presence
from nodes.journal.reads import Records
from nodes.journal.rows import Allowance, Job
from nodes.journal.sqlite_file import Database
from nodes.journal.store import Place
from nodes.journal.verbs import Journal
from nodes.media.encode import encode_clip
from nodes.media.probe import verify
from nodes.panel.job_facts import card, csv_heading, csv_lines
from nodes.rehearsal.book import What
from nodes.rehearsal.scenes import Scene
from nodes.rehearsal.server import RehearsalGateway
from nodes.service import Folders, guarded, wire
from nodes.stopping import Stop

KEY = "sk-test-0123456789abcdef"
ACCOUNT = "account-of-the-tests"
SPEED = 100.0
"""How much faster than life a quick runner counts its seconds: pauses shrink, and their proportions stay."""

PATIENCE_SECONDS = 30.0
PATIENT = Timeouts(connect_seconds=10.0, read_seconds=20.0, reply_seconds=30.0)
"""On a busy machine an answer may take its time: only tests of slow answers count on short ones."""


def quick_clocks(wall: Callable[[], float] = time.time, speed: float = SPEED) -> Clocks:
    """Clocks that run `speed` times too fast, and wait accordingly."""
    return Clocks(
        wall=wall,
        monotonic=lambda: time.monotonic() * speed,
        wait=lambda condition, seconds: condition.wait(seconds / speed),
        sleep=lambda seconds: time.sleep(seconds / speed),
        chance=lambda: 0.5,
    )


@functools.cache
def tiny_clip() -> bytes:
    """An MP4 of three small pictures that decodes."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tiny.mp4"
        pictures = [np.full((64, 64, 3), shade, np.uint8) for shade in (40, 120, 200)]
        encode_clip(pictures, Fraction(30), path)
        return path.read_bytes()


def render_tiny(scene: Scene, path: Path) -> None:
    """What a scene shows does not matter here, that two scenes differ does: a box behind the clip says which it is."""
    note = f"{scene.type} {scene.prompt} {scene.variation}".encode()
    path.write_bytes(tiny_clip() + (8 + len(note)).to_bytes(4, "big") + b"free" + note)


def rehearsal(folder: Path, **settings: Any) -> RehearsalGateway:
    """A stand-in gateway whose tasks are done at once."""
    usual: dict[str, Any] = {"seconds_per_task": 0.0, "render": render_tiny, "credits": 1_000_000, "most_running": None}
    return RehearsalGateway(folder, **(usual | settings))


def text_order(prompt: str = "a lighthouse", take: int = 0) -> Order:
    """A text-to-video job."""
    return Order("wan2-6", TEXT_TO_VIDEO, prompt, "5", "720p", take)


def medium(content: bytes, content_type: str = "image/png") -> Medium:
    """A picture or clip of the user's; the stand-in looks at no pixel of it."""
    import hashlib
    import uuid

    def write(folder: Path, stop: Stop) -> MediumFile:
        path = folder / uuid.uuid4().hex
        path.write_bytes(content)
        return MediumFile(path, content_type, ours=True)

    return Medium(hashlib.sha256(content).hexdigest(), write)


@functools.cache
def tiny_picture() -> bytes:
    """A PNG."""
    import io

    from PIL import Image

    file = io.BytesIO()
    Image.new("RGB", (64, 64), (10, 20, 30)).save(file, "PNG")
    return file.getvalue()


def picture_order(prompt: str = "it moves", content: bytes | None = None, take: int = 0) -> Order:
    """An image-to-video job with one picture to upload."""
    picture = medium(content or tiny_picture())
    return Order("wan2-6", "image-to-video", prompt, "5", "720p", take, (picture,))


def clip_order(prompt: str = "repaint it", take: int = 0) -> Order:
    """A video-to-video job with one clip to upload."""
    return Order("wan2-6", "video-to-video", prompt, "5", "720p", take, (medium(tiny_clip(), "video/mp4"),))


@dataclass
class Bench:
    """One process's wiring: what `service` makes for an account."""

    runner: Runner
    journal: Journal
    holders: Presence

    def close(self) -> None:
        """As a ComfyUI that stops."""
        self.runner.close()
        self.holders.close()
        self.journal.close()

    def make(self, order: Order) -> Ticket:
        """Submit and wait to the end, whatever it is."""
        return ended(self.runner.submit(order))


def ended(ticket: Ticket) -> Ticket:
    """The ticket, once its job is done."""
    assert ticket.wait(PATIENCE_SECONDS), f"still {ticket.status().text!r} after {PATIENCE_SECONDS} s"
    return ticket


def failure(ticket: Ticket) -> APIMallError:
    """What the job ended with, which must have failed."""
    try:
        ended(ticket).result()
    except APIMallError as failed:
        return failed
    raise AssertionError("it did not fail")


@dataclass(frozen=True)
class Wiring:
    """What a test may want different from the usual."""

    account: str = ACCOUNT
    place: Place | None = None
    results: str = "results"
    key: str = KEY
    max_jobs: int = 3
    observe: Observer = unobserved
    allowance: Callable[[], Allowance | None] = lambda: None
    timeouts: Timeouts = PATIENT
    clocks: Clocks | None = None
    budget: Callable[[], Budget] = lambda: Budget(6000, 1000)
    download: Callable[..., Any] = download
    put: Callable[..., Stored] = put
    look: Callable[..., Glance] | None = None
    verify: Verify = verify
    pace: Callable[..., float] = next_poll
    session: Callable[[str], requests.Session] = open_session


def open_bench(folder: Path, base_url: str, wiring: Wiring = Wiring()) -> Bench:
    """A runner on the user folder `folder`, talking to `base_url`."""
    clocks = wiring.clocks or quick_clocks()
    journal = Journal(wiring.place or folder / "journal.sqlite3", clock=clocks.wall)
    holders = journal.presence(folder / "holders")
    sessions = threading.local()

    def session() -> Any:
        if not hasattr(sessions, "own"):
            sessions.own = wiring.session(base_url)
        return sessions.own

    guard = guarded(lambda: {"loopback_origin": base_url, "gateway_hosts": ()})
    runner = wire(
        wiring.account,
        journal,
        holders,
        Folders(folder, folder / wiring.results),
        gateway=lambda: Gateway(base_url, wiring.key, session=session, timeouts=wiring.timeouts, clock=clocks.wall),
        outside=replace(
            guard,
            download=lambda url, part, tell, stop: wiring.download(
                url, part, loopback_origin=base_url, deadline_seconds=5.0, tell=tell, stop=stop, keep=True
            ),
            put=lambda url, file, kind: wiring.put(url, file, kind, loopback_origin=base_url),
            look=wiring.look or guard.look,
            verify=wiring.verify,
        ),
        secrets=lambda: (wiring.key,),
        max_jobs=wiring.max_jobs,
        clocks=clocks,
        budget=wiring.budget(),
        allowance=wiring.allowance,
        observe=wiring.observe,
        pace=wiring.pace,
    )
    return Bench(runner, journal, holders)


@contextmanager
def bench(folder: Path, base_url: str, wiring: Wiring = Wiring()) -> Iterator[Bench]:
    """`open_bench`, closed at the end."""
    opened = open_bench(folder, base_url, wiring)
    try:
        yield opened
    finally:
        opened.close()


def books_agree(journal: Place, gateway: RehearsalGateway) -> bool:
    """Whether what rows, the panel's sums, days and cards, and its export tell of all jobs is what the gateway's own
    book says: credits that were charged, and those that came back."""
    records, day = Records(journal), 86_400.0
    book = tuple(
        sum(entry.credits for entry in gateway.record.entries if entry.what is what)
        for what in (What.CHARGE, What.REFUND)
    )
    jobs = [job for jobs in records.chunks(ACCOUNT) for job in jobs]
    total = records.sum_since(ACCOUNT, 0.0)
    days = records.days(ACCOUNT, time.time() - 20 * day, 40)
    cards = [card(job) for job in jobs]
    export = list(csv.DictReader(io.StringIO(csv_heading().removeprefix("\ufeff") + csv_lines(jobs))))
    told = {
        "the sum": (total.credits + total.refunded, total.refunded),
        "the days": (sum(each.credits + each.refunded for each in days), sum(each.refunded for each in days)),
        "the cards": _credits_of(cards),
        "the export": _credits_of(export),
    }
    return all(sums == book for sums in told.values())


def _credits_of(rows: Sequence[Mapping[str, Any]]) -> tuple[float, float]:
    used, refunded = (sum(float(row[name] or 0) for row in rows) for name in ("credits_used", "credits_refunded"))
    return used, refunded


def untrue_of_money(failure: APIMallError, gateway: RehearsalGateway) -> str | None:
    """What a message says about the money of the only job there is that its gateway's book does not; None when all of
    it is so."""
    tasks = gateway.record.tasks
    words = failure.charge.words(failure.credits_used, failure.credits_refunded)
    if words not in str(failure):
        return f"the charge is not told: {failure}"
    if failure.charge in (Charge.NOT_SENT, Charge.REJECTED):
        return f"charged: {tasks}" if tasks else None
    if failure.charge is Charge.UNCERTAIN:
        return None if gateway.record.count("create") else "nothing was ever sent"
    if not tasks:
        return "nothing was charged"
    if failure.charge is Charge.REFUNDED and tasks[-1].status != "failed":
        return f"it did not fail: {tasks[-1]}"
    if failure.credits_used not in (None, tasks[-1].credits_used):
        return f"another sum was charged: {tasks[-1]}"
    if (failure.credits_refunded or 0) > tasks[-1].credits_refunded:
        return f"less has come back: {tasks[-1]}"
    return None


def eventually(truth: Callable[[], object], what: str) -> None:
    """Wait for something that announces itself to nobody."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    pause = threading.Event()
    while not truth():
        assert time.monotonic() < deadline, f"not within {PATIENCE_SECONDS} s: {what}"
        pause.wait(0.005)


def file_of(journal: Journal) -> Path:
    """The SQLite file of a journal."""
    assert isinstance(journal.place, Path)
    return journal.place


def pragma(journal: Journal, name: str) -> object:
    """What SQLite says to a pragma on the journal's own connection."""
    assert isinstance(journal._store, Database)
    told = journal._store._connection.execute(f"PRAGMA {name}").fetchone()
    return told and told[0]


def jobs_of(journal: Journal, account: str = ACCOUNT) -> list[Job]:
    """All rows of an account, newest first."""
    return [job for jobs in Records(journal.place).chunks(account) for job in jobs]
