"""`nox -s radar`: what of all we lean on holds where. Exits with 1 if something does not.

Each ComfyUI of COMFYUI_PATH is started once with our pack and `tests/radar/pack` in it. `pages` adds the browser half:
each ComfyUI with its own front end, the newer ones with each of `front_ends.VERSIONS`, too.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from tests.host.place import open_place
from tests.host.real_host import NO_HOST, PACK_NAME, REPOSITORY, Install, installs
from tests.radar import in_host
from tests.radar.probe import Probe
from tests.radar.table import Column, table

RADAR_PACK = Path(__file__).with_name("pack")


def main(arguments: list[str]) -> int:
    """The table, on standard output."""
    parser = argparse.ArgumentParser(prog="radar", description=__doc__)
    parser.add_argument("halves", nargs="*", choices=["hosts", "pages", []], help="hosts, pages; without: both")
    parser.add_argument("--pack", type=Path, default=REPOSITORY, help="the pack to try, if not this one")
    told = parser.parse_args(arguments)
    halves = told.halves or ["hosts", "pages"]
    found = installs()
    if not found:
        sys.stdout.write(f"{NO_HOST}\n")
        return 1
    failed = 0
    if "hosts" in halves:
        failed += _report(in_host.PROBES.all, (_host_column(install, told.pack) for install in found))
    if "pages" in halves:
        from tests.radar import in_page

        failed += _report(in_page.PROBES.all, in_page.columns(found, told.pack))
    return 1 if failed else 0


def _host_column(install: Install, pack: Path) -> Column:
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="radar-") as folder:
        packs = {PACK_NAME: pack, "apimall-radar": RADAR_PACK}
        with open_place(install, Path(folder), packs) as place:
            findings = [probe.look(place) for probe in in_host.PROBES.all]
    return Column(f"{install.path.name} {install.version}", findings, time.monotonic() - started)


def _report(probes: Sequence[Probe[Any]], columns: Iterable[Column]) -> int:
    done = []
    for column in columns:
        done.append(column)
        sys.stdout.write(f"{column.name}: {column.seconds:.0f} s\n")
        sys.stdout.flush()
    sys.stdout.write(table(probes, done))
    return sum(column.failed for column in done)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
