"""What was found, as JSON between runs and as markdown for people."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
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
    """Rows under a heading, and what must be known to read them. rounds: runs that each figure is the median of."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()
    rounds: int = 1

    @property
    def told(self) -> str:
        """Of how many runs its figures are."""
        return f"Medians of {self.rounds} runs." if self.rounds > 1 else "One run."


@dataclass(frozen=True)
class Bar:
    """One reader in the chart: seconds, and memory at its peak over that of the frames (0: not known)."""

    name: str
    seconds: float
    memory: float


@dataclass(frozen=True)
class Part:
    """One part of the benchmarks. `load`: how busy the machine was with other things while this was measured.

    machine: what it was measured on and with, as (what, which). bars: what of it the chart shows, under chart_title.
    """

    name: str
    goals: tuple[Goal, ...]
    tables: tuple[Table, ...]
    load: str
    measured_at: float
    machine: tuple[tuple[str, str], ...]
    bars: tuple[Bar, ...] = ()
    chart_title: str = ""

    def save(self, folder: Path) -> None:
        """Keep it for later reports."""
        folder.mkdir(exist_ok=True)
        text = json.dumps(asdict(self), indent=1, ensure_ascii=False)
        (folder / f"{self.name}.json").write_text(text + "\n", encoding="utf-8")

    @classmethod
    def load_from(cls, folder: Path, name: str) -> Part | None:
        """What was last kept under that name, or None."""
        path = folder / f"{name}.json"
        if not path.exists():
            return None
        fields: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        fields["goals"] = tuple(Goal(**goal) for goal in fields["goals"])
        fields["tables"] = tuple(
            Table(
                table["title"],
                tuple(table["head"]),
                tuple(tuple(row) for row in table["rows"]),
                tuple(table["notes"]),
                table["rounds"],
            )
            for table in fields["tables"]
        )
        fields["machine"] = tuple((what, which) for what, which in fields["machine"])
        fields["bars"] = tuple(Bar(**bar) for bar in fields.get("bars", ()))
        return cls(**fields)


def at_most(measure: str, figure: float, limit: float, *, unit: str = "", digits: int = 2, note: str = "") -> Goal:
    """A goal that is an upper limit."""
    more = f" ({note})" if note else ""
    return Goal(measure, f"<= {limit:g}{unit}", f"{figure:.{digits}f}{unit}{more}", figure <= limit)


def no_figure(measure: str, goal: str, why: str) -> Goal:
    """A goal that this run says nothing about."""
    return Goal(measure, goal, why, None)


def markdown(parts: Sequence[Part], how: str) -> str:
    """The whole of docs/benchmarks.md."""
    lines = [how.rstrip(), "", "## Goals", ""]
    lines += _table(("measure", "goal", "here", "met"), [_goal(goal) for part in parts for goal in part.goals])
    lines += ["", "## Machine and versions", *_machines(parts)]
    for part in parts:
        lines += ["", f"## {part.name.capitalize()}", "", _measured(part)]
        for table in part.tables:
            lines += ["", f"### {table.title}", "", table.told, "", *_table(table.head, table.rows)]
            lines += [line for note in table.notes for line in ("", note)]
    return "\n".join(lines) + "\n"


def plain(part: Part) -> str:
    """For the terminal."""
    lines = [f"== {part.name}: {_measured(part)}"]
    for table in part.tables:
        lines += ["", f"{table.title} ({table.told})", *_columns(table.head, table.rows), *table.notes]
    lines += ["", *_columns(("measure", "goal", "here", "met"), [_goal(goal) for goal in part.goals])]
    return "\n".join(lines) + "\n"


def _machines(parts: Sequence[Part]) -> Iterator[str]:
    """Each machine, with the parts that were measured on it and with these versions."""
    for machine in dict.fromkeys(part.machine for part in parts):
        names = ", ".join(part.name for part in parts if part.machine == machine)
        yield from ("", f"Of {names}:", "", *_table(("what", "which"), machine))


def _measured(part: Part) -> str:
    day = time.strftime("%Y-%m-%d", time.gmtime(part.measured_at))
    return f"Measured {day}; {part.load}"


def _goal(goal: Goal) -> tuple[str, str, str, str]:
    return goal.measure, goal.goal, goal.figure, {True: "met", False: "**not met**", None: "not measured"}[goal.met]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    marks = ["---"] * len(head)
    return ["| " + " | ".join(cells) + " |" for cells in (head, marks, *rows)]


def _columns(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in (head, *rows)]
