"""What was found, as JSON between runs and as markdown for people."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Goal:
    """One line of the table of goals. `met` is None where there is nothing to judge by."""

    measure: str
    goal: str
    figure: str
    met: bool | None


@dataclass(frozen=True)
class Table:
    """Rows under a heading, and what must be known to read them."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Bar:
    """One reader in the chart: seconds, and memory at its peak over that of the frames (0: not known)."""

    name: str
    seconds: float
    memory: float


@dataclass(frozen=True)
class Part:
    """One part of the benchmarks. `load`: how busy the machine was with other things while this was measured.

    bars: what of it the chart shows, under chart_title.
    """

    name: str
    goals: tuple[Goal, ...]
    tables: tuple[Table, ...]
    load: str
    measured_at: float
    rounds: int
    bars: tuple[Bar, ...] = ()
    chart_title: str = ""

    def save(self, folder: Path) -> None:
        """Keep it for a later report."""
        (folder / f"part-{self.name}.json").write_text(json.dumps(asdict(self)), encoding="utf-8")

    @classmethod
    def load_from(cls, folder: Path, name: str) -> Part | None:
        """What was last kept under that name, or None."""
        path = folder / f"part-{name}.json"
        if not path.exists():
            return None
        fields: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        fields["goals"] = tuple(Goal(**goal) for goal in fields["goals"])
        fields["tables"] = tuple(
            Table(
                table["title"], tuple(table["head"]), tuple(tuple(row) for row in table["rows"]), tuple(table["notes"])
            )
            for table in fields["tables"]
        )
        fields["bars"] = tuple(Bar(**bar) for bar in fields.get("bars", ()))
        return cls(**fields)


def at_most(measure: str, figure: float, limit: float, *, unit: str = "", digits: int = 2, note: str = "") -> Goal:
    """A goal that is an upper limit."""
    more = f" ({note})" if note else ""
    return Goal(measure, f"<= {limit:g}{unit}", f"{figure:.{digits}f}{unit}{more}", figure <= limit)


def no_figure(measure: str, goal: str, why: str) -> Goal:
    """A goal that this run says nothing about."""
    return Goal(measure, goal, why, None)


def markdown(parts: Sequence[Part], machine: Iterable[tuple[str, str]], how: str) -> str:
    """The whole of docs/benchmarks.md."""
    lines = [how.rstrip(), "", "## Machine and versions", "", *_table(("what", "which"), list(machine)), ""]
    lines += ["## Goals", "", *_table(("measure", "goal", "here", "met"), [_goal(g) for p in parts for g in p.goals])]
    for part in parts:
        lines += ["", f"## {part.name.capitalize()}", "", _measured(part)]
        for table in part.tables:
            lines += ["", f"### {table.title}", "", *_table(table.head, table.rows)]
            lines += [line for note in table.notes for line in ("", note)]
    return "\n".join(lines) + "\n"


def plain(part: Part) -> str:
    """For the terminal."""
    lines = [f"== {part.name}: {_measured(part)}"]
    for table in part.tables:
        lines += ["", table.title, *_columns(table.head, table.rows), *table.notes]
    lines += ["", *_columns(("measure", "goal", "here", "met"), [_goal(goal) for goal in part.goals])]
    return "\n".join(lines) + "\n"


def _measured(part: Part) -> str:
    day = time.strftime("%Y-%m-%d", time.gmtime(part.measured_at))
    runs = f"{part.rounds} runs each" if part.rounds > 1 else "one run"
    return f"Measured {day}, {runs}; {part.load}"


def _goal(goal: Goal) -> tuple[str, str, str, str]:
    return goal.measure, goal.goal, goal.figure, {True: "met", False: "**not met**", None: "not measured"}[goal.met]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    marks = ["---"] * len(head)
    return ["| " + " | ".join(cells) + " |" for cells in (head, marks, *rows)]


def _columns(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in (head, *rows)]
