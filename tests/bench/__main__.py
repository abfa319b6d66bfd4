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
    "waiting": jobs.waiting,
    "lateness": jobs.lateness,
    "plan": jobs.full_plan,
    "again": jobs.again,
    "journal": jobs.journal,
}
_ROUNDS = 3
# Takes minutes and next to no time of a processor, so it goes on beside the others.
_BESIDE = "waiting"
_CHART = REPOSITORY / "docs" / "images" / "benchmarks.svg"
_REPORT = REPOSITORY / "docs" / "benchmarks.md"
_HOW = """\
# Benchmarks

Written by `nox -s bench`; do not edit. Ratios are what counts: both sides of each were measured in one run, in new
processes, in an order shuffled anew for every round, and medians are compared. Seconds belong to this machine.

To repeat: `COMFYUI_PATH=<a ComfyUI>[:<an older one>] nox -s bench`, about twelve minutes on two cores.
Parts:
`nox -s bench -- decode encode upload host waiting lateness plan again journal`; the other parts stay as they were
measured last. `--rounds N` sets how often (3). `--draft` prints, and writes nothing here.

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
        bench = Bench(folder, Path(scratch), found, asked.rounds, _tell)
        for part in _measured(bench, list(asked.parts or PARTS)):
            if not asked.draft:
                part.save(folder)
            sys.stdout.write("\n" + plain(part) + "\n")
            sys.stdout.flush()
    _tell(f"done in {(time.monotonic() - begun) / 60:.0f} minutes")
    if not asked.draft:
        _write([known for name in PARTS if (known := Part.load_from(folder, name)) is not None], found)


def _measured(bench: Bench, names: Sequence[str]) -> Iterator[Part]:
    """One part after the other, and the one that mostly waits beside them. One that breaks off costs only itself."""
    with ThreadPoolExecutor(1) as pool:
        beside = pool.submit(PARTS[_BESIDE], bench) if _BESIDE in names else None
        todo: list[tuple[str, Callable[[], Part]]] = [
            (name, partial(PARTS[name], bench)) for name in names if name != _BESIDE
        ]
        if beside is not None:
            todo.append((_BESIDE, beside.result))
        for name, measure in todo:
            _tell(f"{name} ...")
            try:
                yield measure()
            except Exception as error:  # noqa: BLE001  (the other parts are worth having)
                _tell(f"{name} broke off: {type(error).__name__}: {error}")


def _write(kept: Sequence[Part], found: Sequence[Install]) -> None:
    _REPORT.parent.mkdir(exist_ok=True)
    _REPORT.write_text(markdown(kept, described(found), _HOW), encoding="utf-8")
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
