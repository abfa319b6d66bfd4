"""What frames will need in memory, asked before any is decoded, so that too much is an answer and not a crash."""

from __future__ import annotations

import ctypes
import functools
import math
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ..remarks import Remark, remark
from ..troubles import Trouble
from .errors import TooLarge
from .span import Span

BYTES_PER_PIXEL = 12  # three float32
_MIB = 1024**2
_GIB = 1024**3
RESERVE_BYTES = 256 * _MIB
"""Left to everything else: the graph's next node, the browser, the system."""
_DECODER_PICTURES = 24  # held by a threaded decoder and the converters at 8 bit, reference pictures included
_SIDE_STEP = 16
_SMALLEST_SIDE = 64
_VM_STAT_SECONDS = 2.0


@dataclass(frozen=True)
class Forecast:
    """Frames and the float32 array that holds them: [frames, height, width, 3].

    stored_pixels: of a picture as the decoder holds it, where that is not width x height.
    """

    frames: int
    width: int
    height: int
    stored_pixels: int = 0

    @property
    def bytes(self) -> int:
        return self.frames * self.width * self.height * BYTES_PER_PIXEL

    @property
    def working_bytes(self) -> int:
        """What decoding needs beside the array."""
        return RESERVE_BYTES + _DECODER_PICTURES * (self.stored_pixels or self.width * self.height) * 3

    def fits(self, free_bytes: int) -> bool:
        return self.bytes + self.working_bytes <= free_bytes

    def frames_that_fit(self, free_bytes: int) -> int:
        room = free_bytes - self.working_bytes
        return max(0, room // (self.width * self.height * BYTES_PER_PIXEL))


def require_fit(wanted: Forecast, span: Span, free_bytes: int, *, clip_frames: int) -> None:
    """Raise TooLarge, with the numbers and the nearest settings that fit, unless `wanted` fits into free memory.

    clip_frames: pictures from the span's start to the clip's end, before every_nth and max_frames.
    """
    if wanted.fits(free_bytes):
        return
    usable = max(0, free_bytes - wanted.working_bytes)
    fitting = list(_settings_that_fit(wanted, span, free_bytes, clip_frames))
    told: dict[str, str | int] = {
        "width": wanted.width,
        "height": wanted.height,
        "needed": readable(wanted.bytes),
        "usable": readable(usable),
        "free": readable(free_bytes),
        "advice": _advice(fitting),
    }
    if wanted.frames == 1:
        raise TooLarge(remark(Trouble.FRAME_TOO_LARGE, **told))
    raise TooLarge(remark(Trouble.FRAMES_TOO_LARGE, frames=wanted.frames, **told))


def _advice(fitting: list[str]) -> Remark:
    if not fitting:
        return remark(Trouble.NOTHING_FITS)
    settings = functools.reduce(lambda one, other: remark(Trouble.OR, one=one, other=other), fitting)
    return remark(Trouble.FITS, settings=settings)


def _settings_that_fit(wanted: Forecast, span: Span, free_bytes: int, clip_frames: int) -> Iterator[str]:
    most = wanted.frames_that_fit(free_bytes)
    if most:
        nth = max(span.every_nth + 1, math.ceil(max(clip_frames, wanted.frames) / most))
        if nth <= clip_frames:
            yield f"every_nth {nth}"
    side = _side_that_fits(wanted, free_bytes)
    if side:
        yield f"max_side {side}"
    if most:
        yield f"max_frames {most}"


def _side_that_fits(wanted: Forecast, free_bytes: int) -> int:
    longer = max(wanted.width, wanted.height)
    shrink = math.sqrt(max(0, free_bytes - wanted.working_bytes) / wanted.bytes)
    side = int(longer * shrink) // _SIDE_STEP * _SIDE_STEP
    return side if side >= _SMALLEST_SIDE else 0


def readable(count: int) -> str:
    """Bytes for people: 10.4 GiB, 812 MiB."""
    return f"{count / _GIB:.1f} GiB" if count >= _GIB else f"{count / _MIB:.0f} MiB"


def free_memory_bytes() -> int:
    """Memory that can still be taken without swapping: the system's, and this container's if it is limited."""
    if sys.platform == "win32":
        return _windows_free()
    if sys.platform == "darwin":
        return _macos_free()
    return min([_meminfo_available(), *_cgroup_rooms()])


def _meminfo_available(meminfo: Path = Path("/proc/meminfo")) -> int:
    with suppress(OSError):
        found = re.search(r"^MemAvailable:\s+(\d+) kB", meminfo.read_text(), re.MULTILINE)
        if found:
            return int(found[1]) * 1024
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _cgroup_rooms(membership: Path = Path("/proc/self/cgroup"), mount: Path = Path("/sys/fs/cgroup")) -> Iterator[int]:
    """Room under each memory limit above this process, cgroup v2 and v1. Inactive page cache counts as free."""
    try:
        lines = membership.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        number, controllers, place = (line.split(":", 2) + ["", ""])[:3]
        if number == "0" and not controllers:
            root, names = mount, ("memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            root, names = mount / "memory", ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        else:
            continue
        # Inside a container the mount shows its own group as the root, while the membership may name the outer path.
        group = root / place.strip("/")
        for folder in {group, *group.parents} if group.is_relative_to(root) else {root}:
            if folder.is_relative_to(root):
                room = _group_room(folder, *names)
                if room is not None:
                    yield room


def _group_room(folder: Path, limit_name: str, usage_name: str, cache_name: str) -> int | None:
    with suppress(OSError, ValueError):
        limit = int((folder / limit_name).read_text())
        usage = int((folder / usage_name).read_text())
        cached = re.search(rf"^{cache_name} (\d+)$", (folder / "memory.stat").read_text(), re.MULTILINE)
        return max(0, limit - usage + (int(cached[1]) if cached else 0))
    return None


class _MemoryStatus(ctypes.Structure):
    """MEMORYSTATUSEX of the Windows API."""

    _fields_ = (
        ("length", ctypes.c_uint32),
        ("load_percent", ctypes.c_uint32),
        ("total_physical", ctypes.c_uint64),
        ("available_physical", ctypes.c_uint64),
        ("total_page_file", ctypes.c_uint64),
        ("available_page_file", ctypes.c_uint64),
        ("total_virtual", ctypes.c_uint64),
        ("available_virtual", ctypes.c_uint64),
        ("available_extended_virtual", ctypes.c_uint64),
    )


def _windows_free() -> int:
    status = _MemoryStatus(length=ctypes.sizeof(_MemoryStatus))
    windll = getattr(ctypes, "windll")  # noqa: B009  (absent elsewhere, where types are checked)
    if not windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status)):
        raise TooLarge(remark(Trouble.MEMORY_UNKNOWN))
    return int(min(status.available_physical, status.available_page_file))


def _macos_free() -> int:
    """Free, inactive, speculative and purgeable pages, as vm_stat counts them."""
    try:
        report = subprocess.run(
            ["/usr/bin/vm_stat"], capture_output=True, text=True, timeout=_VM_STAT_SECONDS, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return int(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2)
    size = re.search(r"page size of (\d+) bytes", report)
    pages = re.findall(r"^Pages (?:free|inactive|speculative|purgeable):\s+(\d+)\.", report, re.MULTILINE)
    return sum(map(int, pages)) * (int(size[1]) if size else 4096)
