"""Measures, and writes docs/benchmarks.md: `nox -s bench`, or parts of it: `nox -s bench -- decode journal`."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from tests.bench.bench import Bench
from tests.bench.chart import svg
from tests.bench.contest import REPOSITORY
from tests.bench.machine import described
from tests.bench.parts import decoding, encoding, hosts, jobs
from tests.bench.report import Part, markdown, plain
from tests.host.real_host import Install, installs

PARTS: Mapping[str, Callable[[Bench], Part]] = {
    "decode": decoding.measure,
    "encode": encoding.measure,
    "upload": encoding.stills,
    "host": hosts.measure,
    "crowd": hosts.crowd,
    "waiting": jobs.waiting,
    "lateness": jobs.lateness,
    "plan": jobs.full_plan,
    "again": jobs.again,
    "journal": jobs.journal,
}
_ROUNDS = 3
# Take minutes and next to no time of a processor, so they go on beside the others.
_BESIDE = ("waiting", "crowd")
_FIGURES = Path(__file__).resolve().parent / "figures"
_CHART = REPOSITORY / "docs" / "images" / "benchmarks.svg"
_REPORT = REPOSITORY / "docs" / "benchmarks.md"
_HOW = """\
# Benchmarks

Written by `nox -s bench`; do not edit. Ratios are what counts: both sides of each were measured in one run, in new
processes, in an order shuffled anew for every round, and medians are compared. Seconds belong to this machine.

To repeat: `COMFYUI_PATH=<a ComfyUI>[:<an older one>] nox -s bench`, about a quarter of an hour on two idle cores, and
some minutes more the first time, when the clips are made. Parts:
`nox -s bench -- decode encode upload host crowd waiting lateness plan again journal`; the figures of the others stay
(`tests/bench/figures`), with their own day and machine. `--rounds N` sets how often what is timed is run (3). `--draft`
prints, and writes nothing.

Clips: a zooming fractal, a moving chart and grain; x264 medium, crf 20, yuv420p, bt709 limited and tagged, AAC. Peak
memory is what the operating system calls the resident high water mark, over what was resident before. Before a clock
starts, libraries are loaded by reading a tiny clip, and as much memory as frames need is touched and given back: a
virtual machine's host is slow to lend memory again that it took back, and that would be most of what is measured.

Core is ComfyUI's own code, run by that ComfyUI's interpreter; ours and imageio's pyav plugin run by the newest one's,
so that all decode with the same PyAV.
"""


def main(line: Sequence[str] | None = None) -> None:
    """Measure the parts asked for and write the report."""
    asked = _arguments(line)
    begun = time.monotonic()
    folder = Path(tempfile.gettempdir()) / "apimall-bench"
    folder.mkdir(exist_ok=True)
    found = sorted(installs(), key=_by_version, reverse=True)
    with tempfile.TemporaryDirectory(prefix="apimall-bench-") as scratch:
        bench = Bench(folder, Path(scratch), found, asked.rounds, _tell, tuple(described(found)))
        wanted = list(asked.parts or PARTS)
        for part in _measured(bench, wanted):
            wanted.remove(part.name)
            if not asked.draft:
                part.save(_FIGURES)
            sys.stdout.write("\n" + plain(part) + "\n")
            sys.stdout.flush()
    _tell(f"done in {(time.monotonic() - begun) / 60:.0f} minutes")
    if not asked.draft:
        write_report()
    if wanted:
        sys.exit(f"not measured anew: {', '.join(wanted)}")


def _measured(bench: Bench, names: Sequence[str]) -> Iterator[Part]:
    """One part after the other, and those that mostly wait beside them. One that breaks off costs only itself."""
    with ThreadPoolExecutor(len(_BESIDE)) as pool:
        beside = {name: pool.submit(PARTS[name], bench) for name in names if name in _BESIDE}
        todo: list[tuple[str, Callable[[], Part]]] = [
            (name, partial(PARTS[name], bench)) for name in names if name not in beside
        ]
        todo += [(name, started.result) for name, started in beside.items()]
        for name, measure in todo:
            begun = time.monotonic()
            _tell(f"{name} ...")
            try:
                yield measure()
            except Exception as error:  # noqa: BLE001  (the other parts are worth having)
                _tell(f"{name} broke off: {type(error).__name__}: {error}")
            _tell(f"{name}: {time.monotonic() - begun:.0f} s")


def write_report() -> None:
    """The page and the chart, of the figures that are kept."""
    kept = [part for name in PARTS if (part := Part.load_from(_FIGURES, name)) is not None]
    _REPORT.write_text(markdown(kept, _HOW), encoding="utf-8")
    for part in kept:
        if part.bars:
            _CHART.write_text(svg(part.chart_title, part.bars), encoding="utf-8")


def _arguments(line: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="nox -s bench --", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="part", help=", ".join(PARTS))
    parser.add_argument("--rounds", type=int, default=_ROUNDS, help=f"runs of everything that is timed ({_ROUNDS})")
    parser.add_argument("--draft", action="store_true", help="print only; the report stays as it is")
    asked = parser.parse_args(line)
    unknown = set(asked.parts) - set(PARTS)
    if unknown:
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    return asked


def _by_version(install: Install) -> tuple[int, ...]:
    return tuple(int(number) for number in install.version.split(".") if number.isdigit())


def _tell(line: str) -> None:
    sys.stderr.write(line + os.linesep)
    sys.stderr.flush()


if __name__ == "__main__":
    main()
