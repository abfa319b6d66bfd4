"""One ComfyUI of the soak: asks for its jobs, a hundred at once, again for what failed, and reports how it fares.

python -m tests.soak.worker '{"folder": ..., "base_url": ..., "jobs": [first, last], "report": ...}'

With "database": an address, it is one of several machines that share the journal there. With "speed": so many times too
fast, in place of SPEED.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

from nodes.gateway.client import Timeouts
from nodes.gateway.errors import APIMallError, DatabaseAway, SetupError, TaskFailed
from nodes.jobs.budget import Budget
from nodes.jobs.clocks import Clocks
from nodes.jobs.events import Event
from nodes.jobs.order import Order
from nodes.jobs.work import Ticket
from nodes.journal import shared_tokens
from nodes.journal.postgres import Address
from nodes.journal.request_budget import TokenFile, TokenStore
from nodes.journal.rows import Job
from nodes.journal.shared_database import Database
from nodes.journal.shared_tokens import SharedTokens
from tests.support import harness

MOST_ATTEMPTS = 40
PLACES = 12
AT_ONCE = 100
SPEED = 30.0
AGAIN_SECONDS = 1.0
IMPATIENT = Timeouts(connect_seconds=5.0, read_seconds=2.0, reply_seconds=4.0)


def order(number: int, take: int = 0) -> Order:
    """Of ten jobs one repaints a clip, two move a picture, seven tell a text."""
    prompt = f"soak {number}"
    if number % 10 == 0:
        return harness.clip_order(prompt, take=take)
    if number % 10 < 3:
        return harness.picture_order(prompt, take=take)
    return harness.text_order(prompt, take=take)


class Gauge:
    """The greatest number of threads of ours, and of megabytes."""

    def __init__(self, report: Path) -> None:
        self._report, self.threads = report, 0

    def __call__(self, event: Event, job: Job) -> None:
        self.threads = max(self.threads, sum(t.name.startswith("apimall") for t in threading.enumerate()))
        if event is Event.DELIVERED:
            # Written as we go: this process will be killed without a word.
            self._report.write_text(json.dumps({"threads": self.threads, "megabytes": peak_megabytes()}))


def peak_megabytes() -> float:
    """The most memory this process has held; 0 where the system does not say."""
    try:
        import resource
    except ImportError:
        return 0.0
    peak: int = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1e6 if sys.platform == "darwin" else 1e3)


def main(told: dict[str, Any]) -> dict[str, Any]:
    speed = told.get("speed", SPEED)
    clocks = harness.quick_clocks(speed=speed)
    # The database's clock, too, counts as quickly as everything else here.
    shared_tokens.CLOCK = f"{speed} * ({shared_tokens.CLOCK})"
    place = Address(told["database"]) if "database" in told else None
    wiring = harness.Wiring(
        place=place,
        max_jobs=PLACES,
        observe=Gauge(Path(told["report"])),
        budget=lambda: Budget(tokens=_tokens(place, Path(told["folder"]), clocks), account=harness.ACCOUNT),
        timeouts=IMPATIENT,
        clocks=clocks,
    )
    first, end = told["jobs"]
    left: list[int] = []
    endings: Counter[str] = Counter()
    with closing(_opened(Path(told["folder"]), told["base_url"], wiring)) as bench:
        for start in range(first, end, AT_ONCE):
            numbers = range(start, min(start + AT_ONCE, end))
            left += see_through(bench, list(numbers), endings)
    return {"left": left, "endings": endings}


def _opened(folder: Path, base_url: str, wiring: harness.Wiring) -> harness.Bench:
    """Once there is a journal: a ComfyUI that is started while its database is away waits for it, too."""
    while True:
        try:
            return harness.open_bench(folder, base_url, wiring)
        except DatabaseAway:
            time.sleep(AGAIN_SECONDS)


def _tokens(place: Address | None, folder: Path, clocks: Clocks) -> TokenStore:
    if place is None:
        return TokenFile(folder / "requests.sqlite3")
    return SharedTokens(Database(place), clocks.monotonic)


def see_through(bench: harness.Bench, numbers: list[int], endings: Counter[str]) -> list[int]:
    """Have these jobs made, each attempt that failed followed by another; gives those that did not come home.

    What failed and was refunded in part is asked for under another take, as its user would.
    """
    takes = Counter[int]()
    for _ in range(MOST_ATTEMPTS):
        tickets, numbers = _asked(bench, numbers, takes), []
        for number, ticket in tickets.items():
            assert ticket.wait(900), f"job {number}: {ticket.status()}"
            try:
                endings["downloaded" if ticket.result().downloaded else "served"] += 1
            except APIMallError as failure:
                endings[type(failure).__name__] += 1
                numbers.append(number)
                takes[number] += isinstance(failure, TaskFailed) and 0 < (failure.credits_refunded or 0) < 30
    return numbers


def _asked(bench: harness.Bench, numbers: list[int], takes: Counter[int]) -> dict[int, Ticket]:
    """All of them asked for; who is told that the journal is away asks again, as its user would."""
    tickets: dict[int, Ticket] = {}
    while left := [number for number in numbers if number not in tickets]:
        try:
            for number in left:
                tickets[number] = bench.runner.submit(order(number, takes[number]))
        except SetupError:
            time.sleep(AGAIN_SECONDS)
    return tickets


if __name__ == "__main__":
    print(json.dumps(main(json.loads(sys.argv[1]))), flush=True)  # noqa: T201 - read by the soak
