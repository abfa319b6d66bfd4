"""A probe: one promise of ComfyUI or of ours in it, tried where it has to hold."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Generic, TypeVar

Site = TypeVar("Site")


class Mark(Enum):
    """What a probe found, as the table shows it."""

    HOLDS = "holds"
    ABSENT = "-"
    FAILS = "FAILS"


class Absent(Exception):
    """This host or page has nothing that the promise could be about."""


@dataclass(frozen=True)
class Finding:
    """`why`: what was seen instead, for a promise that does not hold."""

    mark: Mark
    why: str = ""


@dataclass(frozen=True)
class Probe(Generic[Site]):
    """`run` raises AssertionError, or whatever breaks, where the promise does not hold."""

    area: str
    promise: str
    run: Callable[[Site], None]

    def look(self, site: Site) -> Finding:
        """Try it. Never raises for what it finds."""
        try:
            self.run(site)
        except Absent:
            return Finding(Mark.ABSENT)
        except Exception as problem:  # noqa: BLE001 - whatever breaks here is the finding
            where = traceback.extract_tb(problem.__traceback__)[-1]
            told = " ".join(str(problem).split()) or where.line or ""
            return Finding(Mark.FAILS, f"{type(problem).__name__}: {told}"[:300])
        return Finding(Mark.HOLDS)


class Probes(Generic[Site]):
    """Those of one kind of site, in the order of their definition."""

    def __init__(self) -> None:
        self.all: list[Probe[Site]] = []

    def that(self, area: str, promise: str) -> Callable[[Callable[[Site], None]], Callable[[Site], None]]:
        """Decorator: this function tries that promise."""

        def add(run: Callable[[Site], None]) -> Callable[[Site], None]:
            self.all.append(Probe(area, promise, run))
            return run

        return add
