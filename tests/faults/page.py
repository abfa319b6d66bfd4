"""Writes the fault matrix for people: `python -m tests.faults.page` makes docs/fault-matrix.md anew."""

from __future__ import annotations

from pathlib import Path

from nodes.gateway.errors import Charge
from tests.faults.table import CELLS, FAULTS, STEPS, Again, Cell, Outcome, counts

PAGE = Path(__file__).resolve().parents[2] / "docs" / "fault-matrix.md"

CHARGES = {
    Charge.NOT_SENT: "not sent",
    Charge.REJECTED: "rejected, not charged",
    Charge.REFUNDED: "refunded n of m",
    Charge.RUNNING: "still running, charged m",
    Charge.CHARGED: "charged once",
    Charge.UNCERTAIN: "uncertain",
}


def page() -> str:
    """The whole page."""
    parts = [_head(), *(_step(step, what) for step, what in STEPS.items())]
    return "\n".join(parts)


def summary() -> str:
    """The counts, one a line."""
    return "\n".join(f"- {what}: {count}" for what, count in counts().items())


def _head() -> str:
    return f"""# Fault matrix

Generated from the table in `tests/faults/table.py` by `python -m tests.faults.page`; the tests play every cell over
real HTTP against the rehearsal gateway and fail when this page is out of date.

Each fault strikes once, and then goes on for as long as anybody asks. In no cell is a job paid twice.

{summary()}

How to read a row: **once** is what comes of it when the fault strikes once. The other columns tell what happens when
it goes on (or when once is already final): what the job has cost, how many paid requests reached the gateway, what the
message says, and what queueing the same node again does after the fault is gone. *You stop waiting* means that the
pack itself never gives up.
"""


def _step(step: str, what: str) -> str:
    rows = [
        f"## {what}",
        "",
        "| fault | once | if it goes on | credits | POSTs | the message says | queueing again |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    voids: dict[str, list[str]] = {}
    for fault, title in FAULTS.items():
        cell = CELLS[step, fault]
        if isinstance(cell, Cell):
            rows.append(_row(title, cell))
        else:
            voids.setdefault(cell.why, []).append(title)
    rows += ["", "Cannot happen here:", ""]
    rows += [f"- {why}: {', '.join(titles)}" for why, titles in voids.items()] or ["- nothing"]
    return "\n".join(rows) + "\n"


def _row(title: str, cell: Cell) -> str:
    last = cell.on or cell.once
    once = "final" if cell.on is None and last.result != "delivered" else _short(cell.once)
    told = "" if last.again is Again.DISK else f"\u2026{last.told}\u2026"
    cells = (title, once, _name(last), CHARGES[last.charge], str(last.posts), told, last.again.value)
    return f"| {' | '.join(cells)} |"


def _short(outcome: Outcome) -> str:
    return f"delivered, {outcome.posts} POSTs" if outcome.posts > 1 else "delivered"


def _name(outcome: Outcome) -> str:
    if outcome.waits:
        return "keeps trying; you stop waiting"
    return outcome.result if outcome.result == "delivered" else f"`{outcome.result}`"


if __name__ == "__main__":
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page(), encoding="utf-8", newline="\n")
    print(summary())  # noqa: T201 - for the README
