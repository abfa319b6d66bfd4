"""Entrants against each other: every run in a new process, in an order that is shuffled anew for each round."""

from __future__ import annotations

import json
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]
_RUN_SECONDS = 1800.0


@dataclass(frozen=True)
class Entrant:
    """Something to measure: a function of this package, run by `python` with `arguments` (JSON values)."""

    name: str
    module: str
    function: str
    arguments: dict[str, Any] = field(default_factory=dict)
    python: Path = Path(sys.executable)
    address_bytes: int = 0
    warm_bytes: int = 0

    def run(self) -> dict[str, Any]:
        """One sample, from a new process."""
        task = {
            "module": f"tests.bench.{self.module}",
            "function": self.function,
            "arguments": self.arguments,
            "address_bytes": self.address_bytes,
            "warm_bytes": self.warm_bytes,
        }
        environ = {name: value for name, value in os.environ.items() if not name.startswith(("APIMALL_", "PYTHON"))}
        done = subprocess.run(
            [str(self.python), "-m", "tests.bench.child", json.dumps(task)],
            cwd=REPOSITORY,
            env=environ,
            capture_output=True,
            text=True,
            timeout=_RUN_SECONDS,
            check=False,
        )
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
            return {"failed": reason}
        sample: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return sample


@dataclass(frozen=True)
class Score:
    """All samples of one entrant."""

    entrant: Entrant
    samples: tuple[dict[str, Any], ...]

    @property
    def failed(self) -> str | None:
        """Why there is no figure, or None."""
        return next((sample["failed"] for sample in self.samples if "failed" in sample), None)

    def median(self, name: str) -> float:
        """Of one figure over all runs."""
        return float(statistics.median(sample[name] for sample in self.samples))

    def spread(self, name: str) -> tuple[float, float]:
        """The least and the greatest."""
        values = [sample[name] for sample in self.samples]
        return min(values), max(values)

    def over(self, other: Score, name: str = "wall") -> float:
        """This median divided by that of another."""
        return self.median(name) / other.median(name)


@dataclass(frozen=True)
class Outcome:
    """Scores by name, and the share of the machine that other programs took meanwhile."""

    scores: dict[str, Score]
    others_share: float

    def __getitem__(self, name: str) -> Score:
        return self.scores[name]

    def has(self, name: str) -> bool:
        """Whether that entrant took part and has figures."""
        return name in self.scores and self.scores[name].failed is None


def compete(entrants: Sequence[Entrant], rounds: int, tell: Callable[[str], None]) -> Outcome:
    """Run all entrants `rounds` times. One that fails is not run again."""
    samples: dict[str, list[dict[str, Any]]] = {entrant.name: [] for entrant in entrants}
    shuffle = random.Random(rounds)
    with Others() as others:
        for number in range(rounds):
            for entrant in shuffle.sample(list(entrants), len(entrants)):
                kept = samples[entrant.name]
                if kept and "failed" in kept[-1]:
                    continue
                sample = entrant.run()
                kept.append(sample)
                told = sample.get("failed") or f"{sample['wall']:.3f} s"
                tell(f"  round {number + 1}/{rounds}  {entrant.name}: {told}")
    scores = {entrant.name: Score(entrant, tuple(samples[entrant.name])) for entrant in entrants}
    return Outcome(scores, others.share)


class Others:
    """What share of all cores other programs took, from the system's count less ours and our children's (Linux)."""

    share = 0.0

    def __enter__(self) -> Others:
        self._began, self._busy, self._own = time.monotonic(), _busy_seconds(), _own_seconds()
        return self

    def __exit__(self, *problem: object) -> None:
        seconds = (time.monotonic() - self._began) * (os.cpu_count() or 1)
        others = (_busy_seconds() - self._busy) - (_own_seconds() - self._own)
        self.share = max(0.0, others / seconds) if seconds else 0.0


def _busy_seconds() -> float:
    try:
        fields = Path("/proc/stat").read_text().splitlines()[0].split()[1:]
    except OSError:
        return 0.0
    user, nice, system, _idle, _wait, irq, soft = (int(value) for value in fields[:7])
    return (user + nice + system + irq + soft) / os.sysconf("SC_CLK_TCK")


def _own_seconds() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system
