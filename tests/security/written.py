"""Every kind of clip that this PyAV writes: each software encoder in each container that we read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import av

from tests.support import clips

CHOOSY = (".mp4", ".mov", ".mkv", ".webm", ".avi", ".flv", ".ogv", ".asf", ".gif", ".3gp")
ANYTHING = (".ts", ".mpg")  # most of it comes back as data
WIDTH, HEIGHT, PICTURES = 128, 96, 4  # a size that H.263 has too
# They talk to a device, or to nothing.
_ELSEWHERE = (
    *("_amf", "_mf", "_nvenc", "_qsv", "_rkmpp", "_v4l2m2m", "_vaapi", "_videotoolbox", "_vulkan"),
    *("wrapped_", "vnull"),
)
_QUICK = {
    "libx265": {"x265-params": "log-level=none", "preset": "ultrafast"},
    "libsvtav1": {"preset": "12"},
    "libaom-av1": {"cpu-used": "8", "usage": "realtime"},
    "librav1e": {"speed": "10"},
}


def encoders() -> list[str]:
    """The names of the video encoders that need nothing but a processor."""
    found = []
    for name in sorted(av.codecs_available):
        if not any(mark in name for mark in _ELSEWHERE):
            with suppress(Exception):  # a decoder only; PyAV's class for it changed between versions
                if av.codec.Codec(name, "w").type == "video":
                    found.append(name)
    return found


def clips_of_all(folder: Path, *, whole: bool) -> Iterator[Path]:
    """Each encoder in one container that is particular about what it holds, in all by turns; `whole`: in everyone.

    Those of MP4's family are turned.
    """
    made: Counter[str] = Counter()
    for codec in encoders():
        for suffix in (*CHOOSY, *ANYTHING) if whole else sorted(CHOOSY, key=made.__getitem__):
            path = _write(folder / f"{codec}{suffix}", codec)
            if path is None:
                continue
            if b"tkhd" in path.read_bytes():
                clips.with_display_matrix(path, 0, 1, -1, 0)
            made[suffix] += 1
            yield path
            if not whole:
                break


def _write(path: Path, codec: str) -> Path | None:
    """A short clip, None if this PyAV cannot put that into this container."""
    pix_fmt = _pixel_format(codec)
    try:
        frames = _frames(pix_fmt)
        clips.write_clip(path, frames, codec, options=_QUICK.get(codec, {}))
    except Exception:  # noqa: BLE001 - whatever an encoder or a container objects to
        return None
    return path if path.is_file() else None


def _frames(pix_fmt: str) -> list[Any]:
    if pix_fmt != "pal8":
        return [frame.reformat(format=pix_fmt) for frame in clips.moving_pictures(PICTURES, WIDTH, HEIGHT)]
    # Old scalers crash over palettes. The readings never make one; nor does this.
    frames = [av.VideoFrame(WIDTH, HEIGHT, pix_fmt) for _ in range(PICTURES)]
    for number, frame in enumerate(frames):
        for plane in frame.planes:
            plane.update(bytes(range(number, number + 128)) * (plane.buffer_size // 128))
    return frames


def _pixel_format(codec: str) -> str:
    known: Any = av.codec.Codec(codec, "w").video_formats
    names = [each.name for each in known or ()]
    return next((name for name in ("yuvj420p", "yuv420p") if name in names), str([*names, "yuv420p"][0]))
