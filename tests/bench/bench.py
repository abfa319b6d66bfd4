"""What every part is given: folders, hosts, how often, whom to tell."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.bench.clips import ClipKind, clip
from tests.bench.contest import Entrant
from tests.bench.report import Goal, Part, Table
from tests.host.real_host import Install


@dataclass(frozen=True)
class Bench:
    """`folder` keeps clips between runs. `scratch` is emptied after this one. `hosts`: newest first.

    machine: what the figures belong to.
    """

    folder: Path
    scratch: Path
    hosts: Sequence[Install]
    rounds: int
    tell: Callable[[str], None]
    machine: tuple[tuple[str, str], ...]

    @property
    def python(self) -> Path:
        """Runs ours and whatever is compared to core: the newest ComfyUI's interpreter, so that PyAV is the same."""
        return self.hosts[0].python if self.hosts else Path(sys.executable)

    def clip(self, kind: ClipKind) -> Path:
        """A clip to read."""
        self.tell(f"  clip {kind.name}")
        return clip(kind, self.folder)

    def ours(self, name: str, module: str, function: str, **arguments: object) -> Entrant:
        """Something of the pack's, or compared to it."""
        return Entrant(name, module, function, dict(arguments), self.python)

    def part(self, name: str, goals: Sequence[Goal], tables: Sequence[Table], others: float) -> Part:
        """Wrap up. `others`: the share of all cores that other programs took."""
        load = f"other programs took {others:.0%} of the machine meanwhile."
        return Part(name, tuple(goals), tuple(tables), load, time.time(), self.machine)


def ffmpeg_programs() -> dict[str, str]:
    """Every ffmpeg at hand by a name for tables: the system's and imageio's."""
    found = {}
    if system := shutil.which("ffmpeg"):
        found["ffmpeg program"] = system
    try:
        import imageio_ffmpeg  # type: ignore[import-not-found,import-untyped,unused-ignore]

        found["ffmpeg program of imageio-ffmpeg"] = imageio_ffmpeg.get_ffmpeg_exe()
    except (ImportError, RuntimeError):
        pass
    return found


def cores() -> int:
    return os.cpu_count() or 1
