"""How long a job of a machine that was killed waits for the one that is asked for it: in seconds of real clocks."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

from nodes.gateway.errors import Charge
from nodes.jobs.clocks import Clocks
from nodes.journal.postgres import Address
from nodes.journal.verbs import Journal
from nodes.rehearsal.server import RehearsalGateway
from tests.soak.soak import ROOT
from tests.support import harness

_STEP_SECONDS = 0.7
"""Deaths come at other moments each time: whoever waits looks only now and then."""


def take_over_seconds(folder: Path, database: str, deaths: int = 6) -> list[float]:
    """From each kill -9 to the row that says that another machine has the job."""
    # No task ends: only who has it changes.
    with harness.rehearsal(folder / "gateway", seconds_per_task=86_400.0) as gateway:
        return [_take_over(folder / str(number), database, gateway, number) for number in range(deaths)]


def _take_over(folder: Path, database: str, gateway: RehearsalGateway, number: int) -> float:
    place, order = Address(database), harness.text_order(f"taken over {number}")
    told = {"folder": str(folder / "one"), "base_url": gateway.base_url, "database": database, "prompt": [order.prompt]}
    one = subprocess.Popen(
        [sys.executable, "-m", "tests.support.child", json.dumps({**told, "kind": "text"})], cwd=ROOT
    )
    journal = Journal(place)
    try:
        with harness.bench(folder / "two", gateway.base_url, harness.Wiring(place=place, clocks=Clocks())) as two:
            harness.eventually(lambda: len(gateway.record.tasks) > number, "the first machine has sent it")
            job = two.runner.submit(order).status().job
            harness.eventually(lambda: journal.get(job.id).charge is Charge.RUNNING, "it is written as sent")
            assert journal.get(job.id).holder != two.holders.own
            time.sleep(number * _STEP_SECONDS)
            one.kill()
            killed = time.monotonic()
            harness.eventually(lambda: journal.get(job.id).holder == two.holders.own, "the other machine takes it over")
            return time.monotonic() - killed
    finally:
        one.kill()
        one.wait()
        journal.close()
