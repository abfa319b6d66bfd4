"""What a browser plays, and a small copy of a clip, or of a part of it, for one that does not."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from itertools import takewhile
from pathlib import Path

from ..stopping import Stop, never_stop
from .audio import decode_audio
from .decode import iterate_pictures, measure
from .encode import encode_clip
from .probe import Clip, probe
from .span import Span

_SIDE_PIXELS = 512
_MOST_SECONDS = 20.0
_MOST_FRAMES = 1200
_PATIENCE_SECONDS = 2.0
_CRF = 26
_EIGHT_BITS = ("yuv420p", "yuvj420p")
# What browsers of every make play, in the containers that they open.
_PLAYED = {".mp4": ("h264", "av1", "libdav1d"), ".m4v": ("h264",), ".mov": ("h264",)}
_PLAYED_WEBM = ("vp8", "vp9", "libvpx", "libvpx-vp9", "av1", "libdav1d")


def is_played(clip: Clip) -> bool:
    """Whether browsers of every make show a clip as it is."""
    suffix = clip.path.suffix.lower()
    codecs = _PLAYED_WEBM if suffix == ".webm" else _PLAYED.get(suffix, ())
    return clip.codec in codecs and clip.pixel_format in _EIGHT_BITS and clip.hdr is None


def write_copy(
    path: Path,
    out: Path,
    span: Span,
    *,
    stop: Stop = never_stop,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """The beginning of a part of a clip, small, as H.264 with its sound: as much of it as a few seconds of work give.

    At least one picture, at most twenty seconds. Raises NotAClip, EmptySpan, NoEncoder, NoRoom, Stopped.
    """
    begins = replace(span, max_frames=min(span.max_frames or _MOST_FRAMES, _MOST_FRAMES))
    part = measure(path, begins, stop=stop)
    frames = max(1, min(part.frames, int(_MOST_SECONDS * part.fps)))
    side = min(span.max_side or _SIDE_PIXELS, _SIDE_PIXELS)
    part, pictures = iterate_pictures(path, replace(span, max_frames=frames, max_side=side), stop=stop)
    with closing(pictures):  # type: ignore[type-var]
        sound = decode_audio(path, part.start_seconds, part.seconds, stop=stop) if probe(path).has_audio else None
        begun: list[float] = []

        def in_time(_: object) -> bool:
            begun.append(clock())
            return begun[-1] - begun[0] < _PATIENCE_SECONDS

        shown = takewhile(in_time, pictures)
        encode_clip(shown, part.fps, out, sound=sound, stop=stop, preset="ultrafast", crf=_CRF, moments=part.moments)
