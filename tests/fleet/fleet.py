"""Three machines and one database: the same jobs asked of all, with faults, kills, restarts and partitions.

python -m tests.fleet.fleet [jobs] [percent of faults] [kills] [restarts of the database] [partitions]
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, fields
from pathlib import Path

from nodes.journal.postgres import Address
from nodes.journal.verbs import Journal
from nodes.media.probe import verify
from tests.fleet.take_over import take_over_seconds
from tests.soak.soak import FAULTS, PLAN, ROOT, busiest_minute
from tests.support import harness, postgres
from tests.support.cut_line import Line, line_to
from tests.support.dice import Dice

MACHINES = 3
SPEED = 15.0
"""Slower than a soak: what a busy machine lets a request wait counts as often, too."""
MOST_IN_A_MINUTE = 66
"""At the gateway. The budget lets 60 go; half a second by which a busy machine delays what has left already is 7.5 of
this fleet's seconds, in which 6 more leave. `minute` shows the 60, at a pace near life.
"""
PARTITION_SECONDS = 20.0
OUTAGE_SECONDS = 3.0


@dataclass(frozen=True)
class Balance:
    """What a fleet comes to. `lost`: paid, and not on the disk of every machine. `doubled`: paid more than once."""

    jobs: int
    charges: int
    lost: int
    doubled: int
    books_agree: bool
    busiest_minute: int
    requests_per_job: float
    faults_played: int
    kills: int
    restarts: int
    partitions: int
    peak_threads: int
    longest_take_over_seconds: float
    seconds: float

    @property
    def is_sound(self) -> bool:
        """Nothing was paid twice and nothing was lost, and the gateway was not asked too often."""
        in_order = self.books_agree and self.busiest_minute <= MOST_IN_A_MINUTE
        return self.lost == self.doubled == 0 and self.charges == self.jobs and in_order

    def lines(self) -> str:
        """For people."""
        return "\n".join(f"{field.name.replace('_', ' '):<20}{getattr(self, field.name):>10}" for field in fields(self))


class Fleet:
    """Machines with a state, results and a process of their own, each with a line of its own to the database."""

    def __init__(
        self, folder: Path, server: postgres.Server, jobs: int, percent: float, speed: float = SPEED, seed: int = 1
    ) -> None:
        self._folder, self._server, self._jobs, self._speed = folder, server, jobs, speed
        self._uri = postgres.new_database(server.uri)
        self.gateway = harness.rehearsal(
            folder / "gateway",
            credits=10**9,
            faults=Dice(FAULTS, percent / 100, seed),
            seconds_per_task=0.05,
            most_running=PLAN,
        )
        self._lines: list[Line] = []
        self._workers: list[subprocess.Popen[str]] = []
        self._reports: list[Path] = []

    def run(self, kills: int, restarts: int, partitions: int) -> Balance:
        """With so many blows, and six take-overs measured afterwards."""
        begun = time.monotonic()
        self.make_all(_spread({self._kill: kills, self._restart: restarts, self._partition: partitions}))
        seconds = time.monotonic() - begun
        taken_over = take_over_seconds(self._folder / "taken-over", postgres.new_database(self._server.uri))
        return self._balance(kills, restarts, partitions, max(taken_over), seconds)

    def make_all(self, blows: Sequence[Callable[[int], None]] = ()) -> None:
        """All machines make all jobs, whatever befalls them."""
        with ExitStack() as stack:
            stack.enter_context(self.gateway)
            self._lines = [stack.enter_context(line_to(self._server.socket)) for _ in range(MACHINES)]
            self._workers = [self._start(number) for number in range(MACHINES)]
            for number, blow in enumerate(blows):
                self._until(self._jobs * (number + 1) // (len(blows) + 1))
                blow(number % MACHINES)
            for worker in self._workers:
                printed, complaint = worker.communicate(timeout=7200)
                assert worker.returncode == 0, complaint[-3000:]
                assert json.loads(printed)["left"] == [], printed

    def _start(self, number: int) -> subprocess.Popen[str]:
        self._reports.append(self._folder / f"report-{len(self._reports)}.json")
        database = self._uri.partition("?")[0].rpartition("/")[2]
        told = {
            "folder": str(self._folder / f"machine-{number}"),
            "base_url": self.gateway.base_url,
            "jobs": [0, self._jobs],
            "report": str(self._reports[-1]),
            "speed": self._speed,
            "database": f"postgresql://postgres@127.0.0.1:{self._lines[number].port}/{database}",
        }
        command = [sys.executable, "-m", "tests.soak.worker", json.dumps(told)]
        return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def _until(self, charges: int) -> None:
        while len(self.gateway.record.tasks) < charges and any(worker.poll() is None for worker in self._workers):
            time.sleep(0.1)

    def _kill(self, number: int) -> None:
        self._workers[number].kill()
        self._workers[number].communicate()
        self._workers[number] = self._start(number)

    def _restart(self, number: int) -> None:
        self._server.stop()
        time.sleep(OUTAGE_SECONDS)
        self._server.start()

    def _partition(self, number: int) -> None:
        self._lines[number].swallow()
        threading.Timer(PARTITION_SECONDS, self._lines[number].mend).start()

    def _balance(self, kills: int, restarts: int, partitions: int, take_over: float, seconds: float) -> Balance:
        gateway = self.gateway
        tasks = gateway.record.tasks
        paid = Counter(task.prompt for task in tasks if task.status != "failed")
        journal = Journal(Address(self._uri))
        books_agree = harness.books_agree(journal.place, gateway)
        rows = [row for row in harness.jobs_of(journal) if row.delivered_at is not None]
        journal.close()
        homes = [self._folder / f"machine-{number}" / "results" for number in range(MACHINES)]
        home = {row.prompt for row in rows if all(_plays(folder / str(row.file)) for folder in homes)}
        reports = [json.loads(path.read_text()) for path in self._reports if path.exists()]
        return Balance(
            jobs=self._jobs,
            charges=sum(paid.values()),
            lost=sum(prompt not in home for prompt in paid),
            doubled=sum(count > 1 for count in paid.values()),
            books_agree=books_agree,
            busiest_minute=busiest_minute(gateway, self._speed),
            requests_per_job=round(gateway.record.count() / self._jobs, 2),
            faults_played=sum(request.fault is not None for request in gateway.record.requests),
            kills=kills,
            restarts=restarts,
            partitions=partitions,
            peak_threads=max((report["threads"] for report in reports), default=0),
            longest_take_over_seconds=round(take_over, 1),
            seconds=round(seconds, 1),
        )


def _plays(path: Path) -> bool:
    if path.is_file():
        verify(path)
    return path.is_file()


def _spread(blows: dict[Callable[[int], None], int]) -> list[Callable[[int], None]]:
    """Each kind of blow evenly over the whole."""
    at = [((turn + 0.5) / count, blow) for blow, count in blows.items() for turn in range(count)]
    return [blow for _, blow in sorted(at, key=lambda each: each[0])]


def main(arguments: list[str]) -> int:
    jobs, percent, kills, restarts, partitions = [int(each) for each in arguments] + [1000, 10, 20, 3, 2][
        len(arguments) :
    ]
    with tempfile.TemporaryDirectory(prefix="fleet-") as folder, postgres.lasting() as server:
        balance = Fleet(Path(folder), server, jobs, percent).run(kills, restarts, partitions)
    print(balance.lines())  # noqa: T201 - what it is for
    return 0 if balance.is_sound else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
