"""How often three machines on one database ask the gateway in their busiest minute, at a pace near life.

python -m tests.fleet.minute [jobs]

Faults and many more jobs than places: all machines have more to ask than they may, for minutes on end. The clocks run
only twice as fast: a delay of this machine counts twice, not fifteen times.
"""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from pathlib import Path

from tests.fleet.fleet import Fleet
from tests.soak.soak import budgeted_times, busiest_minute
from tests.support import postgres

JOBS = 70
PERCENT_OF_FAULTS = 10
SPEED = 2.0
PLAN_PER_MINUTE = 60
FULL_MINUTE = 45
"""The budget refills 48 a minute: whoever asks so often is held up by it."""
FULL_MINUTES = 5


def main(arguments: list[str]) -> int:
    jobs = int(arguments[0]) if arguments else JOBS
    with tempfile.TemporaryDirectory(prefix="fleet-") as folder, postgres.lasting() as server:
        fleet = Fleet(Path(folder), server, jobs, PERCENT_OF_FAULTS, SPEED)
        fleet.make_all()
        busiest, minutes = busiest_minute(fleet.gateway, SPEED), _by_minute(budgeted_times(fleet.gateway))
    full = sum(count >= FULL_MINUTE for count in minutes)
    print(f"requests in the busiest minute {busiest}, minute by minute {minutes}, {full} of them full")  # noqa: T201
    return 0 if busiest <= PLAN_PER_MINUTE and full >= FULL_MINUTES else 1


def _by_minute(times: list[float]) -> list[int]:
    counts = Counter(int((at - times[0]) * SPEED // 60) for at in times)
    return [counts[number] for number in range(max(counts) + 1)]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
