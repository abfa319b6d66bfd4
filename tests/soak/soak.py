"""Many jobs through the real runner, with faults and random kills: are any lost, are any paid twice?

python -m tests.soak.soak [jobs] [percent of faults] [kills]
"""

from __future__ import annotations

import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, fields
from pathlib import Path

from nodes.journal.verbs import Journal
from nodes.media.probe import verify
from nodes.rehearsal.server import RehearsalGateway
from tests.soak.worker import SPEED
from tests.support import harness
from tests.support.dice import Dice

ROOT = Path(__file__).resolve().parents[2]
WORKERS = 2
PLAN = 5
"""Tasks at a time: fewer than each of the workers believes."""

_BUDGETED = ("create", "poll", "upload_url", "base64")

FAULTS: dict[str, list[str]] = {
    "create": [
        "reset",
        "drop-before",
        "drop-after",
        "reset-after",
        "stall-before:30",
        "stall:30",
        *["400", "401", "402", "403", "408", "409", "425", "429", "451", "500", "503"],
        "500+done",
        "409:task",
        "html:502",
        "html:504+done",
        "truncate",
        "cut",
        "shape",
        "not-success",
        "nulls",
        "redirect:https://elsewhere.example/",
        "fail:all",
        "fail:later",
    ],
    "poll": [
        "drop-before",
        *["401", "404", "408", "429", "500", "503"],
        "html:502",
        "truncate",
        "shape",
        "status:unknown",
        "status:never heard of",
        "no-url",
        "only-result-urls",
        "expired",
        "fail:part",
    ],
    "upload_url": ["drop-after", "429", "500", "404", "html:502"],
    "put": ["drop-after", "403", "500"],
    "download": [
        "drop-before",
        "cut",
        "truncate",
        "html:200",
        "broken",
        "expired",
        "503",
    ],
}


@dataclass(frozen=True)
class Balance:
    """What a soak comes to. `lost`: paid and not on disk. `doubled`: paid more than once.

    `busiest_minute`: requests of both workers together. `median_lateness_seconds`: from a clip's end to its download.
    Minutes and seconds as the workers count them.
    """

    jobs: int
    charges: int
    refunded_in_full_or_part: int
    lost: int
    doubled: int
    requests_per_job: float
    busiest_minute: int
    median_lateness_seconds: float
    faults_played: int
    kills: int
    peak_threads: int
    peak_megabytes: float
    seconds: float

    def lines(self) -> str:
        """For people."""
        return "\n".join(f"{field.name.replace('_', ' '):<26}{getattr(self, field.name):>10}" for field in fields(self))


class Soak:
    """Two workers on one user folder, killed and started again until every job has come home."""

    def __init__(self, folder: Path, jobs: int, percent: float, kills: int, seed: int = 1) -> None:
        self._folder, self._jobs, self._kills = folder, jobs, kills
        self._dice = random.Random(seed)
        self._gateway = harness.rehearsal(
            folder / "gateway",
            credits=10**9,
            faults=Dice(FAULTS, percent / 100, seed),
            seconds_per_task=0.05,
            most_running=PLAN,
        )
        self._reports: list[Path] = []

    def run(self) -> Balance:
        begun = time.monotonic()
        with self._gateway as gateway:
            killed = 0
            workers = [self._start() for _ in range(WORKERS)]
            while killed < self._kills and all(worker.poll() is None for worker in workers):
                step = max(1, 2 * self._jobs // (self._kills + 1))
                self._until(gateway.record.count("create") + self._dice.randint(1, step), workers)
                victim = self._dice.randrange(WORKERS)
                workers[victim].kill()
                workers[victim].communicate()
                killed += 1
                workers[victim] = self._start()
            for worker in workers:
                printed, complaint = worker.communicate(timeout=3600)
                assert worker.returncode == 0, complaint[-2000:]
                assert json.loads(printed)["left"] == [], printed
            return self._balance(gateway, killed, time.monotonic() - begun)

    def _start(self) -> subprocess.Popen[str]:
        self._reports.append(self._folder / f"report-{len(self._reports)}.json")
        told = {
            "folder": str(self._folder / "user"),
            "base_url": self._gateway.base_url,
            "jobs": [0, self._jobs],
            "report": str(self._reports[-1]),
        }
        command = [sys.executable, "-m", "tests.soak.worker", json.dumps(told)]
        return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def _until(self, creates: int, workers: list[subprocess.Popen[str]]) -> None:
        while not self._gateway.record.wait_for("create", creates, 0.5):
            if any(worker.poll() is not None for worker in workers):
                return

    def _balance(self, gateway: RehearsalGateway, kills: int, seconds: float) -> Balance:
        tasks = gateway.record.tasks
        paid = Counter(task.prompt for task in tasks if task.status != "failed")
        home = self._delivered()
        reports = [json.loads(path.read_text()) for path in self._reports if path.exists()]
        return Balance(
            jobs=self._jobs,
            charges=sum(paid.values()),
            refunded_in_full_or_part=sum(task.status == "failed" for task in tasks),
            lost=sum(prompt not in home for prompt in paid),
            doubled=sum(count > 1 for count in paid.values()),
            busiest_minute=busiest_minute(gateway),
            median_lateness_seconds=round(_median_lateness(gateway), 1),
            requests_per_job=round(gateway.record.count() / self._jobs, 2),
            faults_played=sum(request.fault is not None for request in gateway.record.requests),
            kills=kills,
            peak_threads=max((report["threads"] for report in reports), default=0),
            peak_megabytes=round(max((report["megabytes"] for report in reports), default=0.0), 1),
            seconds=round(seconds, 1),
        )

    def _delivered(self) -> set[str]:
        """Prompts of the jobs whose row says delivered and whose file plays."""
        journal = Journal(self._folder / "user" / "journal.sqlite3")
        rows = [row for row in harness.jobs_of(journal) if row.delivered_at is not None]
        journal.close()
        for row in rows:
            verify(self._folder / "user" / "results" / str(row.file))
        return {row.prompt for row in rows}


def busiest_minute(gateway: RehearsalGateway, speed: float = SPEED) -> int:
    """The most requests within a minute, of all who asked, as the workers count minutes."""
    times = budgeted_times(gateway)
    minute = 60 / speed
    return max(bisect_left(times, at + minute) - number for number, at in enumerate(times))


def budgeted_times(gateway: RehearsalGateway) -> list[float]:
    """When each request came that counts against the plan, in order."""
    return sorted(request.at for request in gateway.record.requests if request.step in _BUDGETED)


def _median_lateness(gateway: RehearsalGateway) -> float:
    fetched: dict[str, float] = {}
    for request in gateway.record.of("download"):
        for part in request.path.split("/"):
            fetched.setdefault(part, request.at)
    ended = {task.task_id: task.ended_at for task in gateway.record.tasks if task.ended_at is not None}
    late = [(at - ended[name]) * SPEED for name, at in fetched.items() if name in ended]
    return statistics.median(late) if late else 0.0


def main(arguments: list[str]) -> int:
    numbers = [int(argument) for argument in arguments] + [1000, 10, 20][len(arguments) :]
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        balance = Soak(Path(folder), *numbers).run()
    print(balance.lines())  # noqa: T201 - what it is for
    sound = balance.lost == balance.doubled == 0 and balance.charges == balance.jobs
    return 0 if sound else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
