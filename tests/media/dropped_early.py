"""A process in which PyAV's logging is on, as torchvision leaves it, and readings end before their clip does.

python -m tests.media.dropped_early FOLDER ROUNDS

Prints one JSON object a reading, before it begins: whoever listens notices where it froze.
"""

from __future__ import annotations

import itertools
import json
import logging
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import av

from nodes.media.audio import decode_audio
from nodes.media.decode import decode_frames, decode_last_frame, decode_last_of, iterate_pictures
from nodes.media.encode import trim_clip
from nodes.media.errors import MediaError
from nodes.media.probe import probe
from nodes.media.span import Span
from nodes.rehearsal.scenes import Scene, pictures
from nodes.stopping import Stop, Stopped
from tests.support import clips

PICTURES, WIDTH, HEIGHT = 48, 320, 240
GROUPS = {"crf": "20", "x264-params": "keyint=12:min-keyint=12:scenecut=0:bframes=3:b-adapt=0:b-pyramid=normal"}


def stop_at(question: int) -> Stop:
    asked = itertools.count()
    return lambda: next(asked) > question


def first_of(path: Path) -> None:
    """One picture, then the iterator is dropped."""
    _, shown = iterate_pictures(path)
    next(shown, None)


def rehearsed(path: Path) -> None:
    scene = Scene("video-to-video", "dropped", 1, 96, 64, source=path)
    next(iter(pictures(scene)))


def readings(path: Path, number: int) -> dict[str, Callable[[], object]]:
    """Everything that ends before the clip does, a little different for each number."""
    start = (number % 17) / 10
    return {
        "max_frames": lambda: decode_frames(path, Span(max_frames=1 + number % 7)),
        "start": lambda: decode_frames(path, Span(start_seconds=start, every_nth=1 + number % 3, max_frames=2)),
        "last frame": lambda: decode_last_frame(path),
        "last of a part": lambda: decode_last_of(path, Span(start_seconds=start, max_frames=3)),
        "stop": lambda: decode_frames(path, stop=stop_at(10 + number % 29)),
        "stopped trim": lambda: trim_clip(path, path.with_suffix(".out"), Span(), stop=stop_at(4 + number % 17)),
        "a dropped iterator": lambda: first_of(path),
        "probe": lambda: probe(path),
        "sound": lambda: decode_audio(path, start, 0.1),
        "rehearsal": lambda: rehearsed(path),
    }


def base_clips(folder: Path) -> list[Path]:
    """A whole clip and a damaged one, whose decoder has much to report."""
    moving = clips.moving_pictures(PICTURES, WIDTH, HEIGHT)
    whole = clips.write_clip(folder / "whole.mp4", moving, "libx264", options=GROUPS)
    content = bytearray(whole.read_bytes())
    for at in range(content.index(b"mdat") + 2000, content.index(b"moov") - 8, 1500):
        content[at : at + 4] = b"\x55\xaa\x55\xaa"
    damaged = folder / "damaged.mp4"
    damaged.write_bytes(content)
    return [whole, damaged]


def main(folder: Path, rounds: int) -> None:
    av.logging.set_level(av.logging.ERROR)
    logging.getLogger("libav").addHandler(logging.NullHandler())
    logging.getLogger("libav").propagate = False
    paths = base_clips(folder)
    for number in range(rounds):
        for path in paths:
            for name, reading in readings(path, number).items():
                _tell(f"{name} of {path.name}, round {number}")
                with suppress(MediaError, Stopped):
                    reading()


def _tell(begun: str) -> None:
    print(json.dumps({"begun": begun}), flush=True)  # noqa: T201 - read by the test


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
