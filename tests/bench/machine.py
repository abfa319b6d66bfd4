"""The machine and the versions that figures belong to. Names no folder of it."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.bench.bench import ffmpeg_programs
from tests.host.real_host import Install

_PACKAGES = ("av", "numpy", "pillow", "imageio", "imageio-ffmpeg", "opencv-python-headless", "requests")
_HOST_PACKAGES = ("av", "numpy", "pillow", "imageio", "torch")
_LIST = (
    "import importlib.metadata as m, sys;"
    "print(sys.version.split()[0], *(name + ' ' + m.version(name) for name in sys.argv[1:]), sep=', ')"
)


def described(hosts: Sequence[Install]) -> Iterator[tuple[str, str]]:
    """What to print: (what, which)."""
    yield "processor", f"{_processor()}, {os.cpu_count()} cores"
    yield "memory", _memory()
    yield "system", f"{platform.system()} {platform.release()}, huge pages: {_huge_pages()}"
    yield "bench's own Python", ", ".join([platform.python_version(), *_own_packages()])
    for host in hosts:
        done = subprocess.run(
            [str(host.python), "-c", _LIST, *_HOST_PACKAGES], capture_output=True, text=True, check=False
        )
        found = done.stdout.strip() or "its packages could not be listed"
        yield f"ComfyUI {host.version}", f"Python {found}"
    for name, program in ffmpeg_programs().items():
        first = subprocess.run([program, "-version"], capture_output=True, text=True, check=False).stdout
        yield name, first.split(" Copyright")[0].splitlines()[0] if first else "unknown"


def _own_packages() -> Iterator[str]:
    for name in _PACKAGES:
        try:
            yield f"{name} {importlib.metadata.version(name)}"
        except importlib.metadata.PackageNotFoundError:
            continue


def _processor() -> str:
    try:
        found = re.search(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text(encoding="utf-8"))
    except OSError:
        found = None
    return found[1] if found else platform.processor() or platform.machine()


def _memory() -> str:
    try:
        found = re.search(r"MemTotal:\s+(\d+) kB", Path("/proc/meminfo").read_text(encoding="utf-8"))
    except OSError:
        found = None
    return f"{int(found[1]) / 2**20:.1f} GiB" if found else "unknown"


def _huge_pages() -> str:
    try:
        text = Path("/sys/kernel/mm/transparent_hugepage/enabled").read_text(encoding="utf-8")
    except OSError:
        return "unknown"
    found = re.search(r"\[(\w+)\]", text)
    return found[1] if found else "unknown"
