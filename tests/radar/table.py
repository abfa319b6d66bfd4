"""What holds where, as a table that can be read in a terminal and pasted into a document."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tests.radar.probe import Finding, Mark, Probe


@dataclass(frozen=True)
class Column:
    """All findings at one place, in the order of the probes."""

    name: str
    findings: list[Finding]
    seconds: float

    @property
    def failed(self) -> int:
        return sum(finding.mark is Mark.FAILS for finding in self.findings)


def table(probes: Sequence[Probe[Any]], columns: Sequence[Column]) -> str:
    """A row for each probe, then what was seen where something fails, then the sums."""
    rows = [["area", "promise", *(column.name for column in columns)]]
    reasons = []
    for number, probe in enumerate(probes):
        findings = [column.findings[number] for column in columns]
        rows.append([probe.area, probe.promise, *(finding.mark.value for finding in findings)])
        reasons += [
            f"- {probe.promise} ({column.name}): {finding.why}"
            for column, finding in zip(columns, findings, strict=True)
            if finding.mark is Mark.FAILS
        ]
    rows.append(["", f"{len(probes)} promises", *(f"{column.failed} fail" for column in columns)])
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    rows.insert(1, ["-" * width for width in widths])
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows
    ]
    return "\n".join(["", *lines, "", *reasons, ""])
