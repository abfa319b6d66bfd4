"""A process that reads files from strangers in every way the nodes do, and tells of each how it went.

python -m tests.security.read_all '{"folder": ..., "numbers": [...], "free_bytes": ...}'

One JSON object a line: `begun`, then what came of it. Whoever listens notices a hang, and a crash.
"""

from __future__ import annotations

import gc
import json
import logging
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np

from nodes.media import forecast
from nodes.media.audio import decode_audio
from nodes.media.decode import (
    Frames,
    decode_frames,
    decode_last_frame,
    decode_last_of,
    iterate_pictures,
    measure,
    spread_pictures,
)
from nodes.media.encode import trim_clip
from nodes.media.errors import MediaError
from nodes.media.probe import Clip, probe, verify
from nodes.media.span import Span
from tests.security import mutations, written

_STATUS = Path("/proc/self/status")
PART = Span(start_seconds=0.2, every_nth=2, max_frames=4, max_side=48)


def peak_bytes() -> int:
    """The most memory this process has held since `forget_peak`; 0 where the system does not say."""
    if not _STATUS.is_file():
        return 0
    (line,) = (line for line in _STATUS.read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


def forget_peak() -> None:
    """Measure from here on (proc_pid_clear_refs(5))."""
    if _STATUS.is_file():
        _STATUS.with_name("clear_refs").write_text("5")


def readings(path: Path, out: Path) -> dict[str, Callable[[], object]]:
    """Everything that a node does with a file."""
    return {
        "probe": lambda: _plausible_clip(probe(path)),
        "verify": lambda: _plausible_clip(verify(path)),
        "measure": lambda: measure(path, Span()),
        "frames": lambda: _plausible_frames(decode_frames(path)),
        "part": lambda: _plausible_frames(decode_frames(path, PART)),
        "last": lambda: _plausible_pixels(decode_last_frame(path)),
        "last of part": lambda: _plausible_pixels(decode_last_of(path, PART)),
        "sound": lambda: decode_audio(path),
        "part of sound": lambda: decode_audio(path, 0.2, 0.3),
        "sheet": lambda: spread_pictures(path, 3, max_side=48),
        "trim": lambda: trim_clip(path, out, PART, preset="ultrafast"),
    }


def read(path: Path) -> dict[str, Any]:
    """What came of each reading: "ok", "refused", or what escaped; the slowest in seconds of this process's work."""
    told: dict[str, Any] = {"outcomes": {}, "escaped": [], "silent": [], "slowest": 0.0}
    out = path.with_name("trimmed.mp4")
    for name, reading in readings(path, out).items():
        begun, worked = time.monotonic(), time.process_time()
        try:
            reading()
            told["outcomes"][name] = "ok"
        except MediaError as refusal:
            told["outcomes"][name] = "refused"
            if not str(refusal).rstrip().endswith(".") or len(str(refusal)) > 600:
                told["silent"].append(f"{name}: {refusal}")
        except Exception as problem:  # noqa: BLE001 - whatever it is, the parent fails over it
            told["escaped"].append(f"{name}: {type(problem).__name__}: {problem}")
        # Work alone: on a busy machine the clock on the wall runs for others too. Threads may add up, waits count.
        seconds = min(time.monotonic() - begun, time.process_time() - worked)
        if seconds > told["slowest"]:
            told["slowest"], told["slowest_in"] = seconds, name
        out.unlink(missing_ok=True)
    gc.collect()  # what PyAV would free twice, it frees here
    return told


def _plausible_clip(clip: Clip) -> None:
    assert 0 < clip.width * clip.height <= forecast_pixels(), (clip.width, clip.height)
    assert np.isfinite([clip.fps, clip.seconds]).all() and clip.fps > 0 and clip.seconds >= 0, (clip.fps, clip.seconds)


def forecast_pixels() -> int:
    """More than any picture may have: 16 times for aspects that are put right."""
    from nodes.media.demuxer import LARGEST_PICTURE_PIXELS

    return LARGEST_PICTURE_PIXELS * 16


def _plausible_frames(frames: Frames) -> None:
    _plausible_pixels(frames.pixels)
    assert np.isfinite([frames.fps, frames.seconds, frames.start_seconds]).all()
    assert frames.fps > 0 and frames.seconds > 0


def _plausible_pixels(pixels: np.ndarray[Any, np.dtype[np.float32]]) -> None:
    assert pixels.ndim == 4 and pixels.shape[0] > 0 and pixels.shape[3] == 3, pixels.shape
    assert pixels.dtype == np.float32 and pixels.flags.c_contiguous
    assert pixels.min() >= 0 and pixels.max() <= 1


def cases(told: dict[str, Any], whole: dict[str, bytes], folder: Path) -> Iterator[tuple[str, Path]]:
    """The files to read, written when their turn comes."""
    yield from ((Path(file).name, Path(file)) for file in told.get("files", ()))
    yield from ((f"whole {name}", folder / "whole" / name) for name in whole)
    for number in told.get("numbers", ()):
        name, content = mutations.mutated(whole, number)
        path = folder / f"broken-{name}"
        path.write_bytes(content)
        yield f"mutation {number} of {name}", path
    for what, (name, content) in mutations.absurd(whole).items() if told.get("absurd") else ():
        path = folder / name
        path.write_bytes(content)
        yield what, path
    if told.get("written"):
        for path in written.clips_of_all(folder, whole=told["written"] == "whole"):
            yield path.name, path


def main(told: dict[str, Any]) -> None:
    av.logging.set_level(av.logging.ERROR)  # as where torchvision is installed
    logging.getLogger("libav").addHandler(logging.NullHandler())
    logging.getLogger("libav").propagate = False
    free_bytes = int(told["free_bytes"])
    forecast.free_memory_bytes = lambda: free_bytes  # as on a small machine
    for asks in (decode_frames, decode_last_frame, decode_last_of, iterate_pictures):
        asks.__kwdefaults__["free_bytes"] = forecast.free_memory_bytes  # type: ignore[index]
    folder = Path(told["folder"])
    whole = mutations.base_clips(folder / "whole")
    for name in ("bframes.mp4", "ours.mp4", "vp9.webm"):
        _tell(begun=name)
        read(folder / "whole" / name)  # libraries, threads and caches are there before anything is measured
    gc.freeze()  # the libraries' own objects need no look after every file
    forget_peak()
    _tell(baseline=peak_bytes())
    for what, path in cases(told, whole, folder):
        _tell(begun=what)
        forget_peak()
        _tell(done=what, **read(path), peak=peak_bytes())


def _tell(**facts: Any) -> None:
    print(json.dumps(facts), flush=True)  # noqa: T201 - read by the test


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
