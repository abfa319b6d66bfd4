"""Animated WebP where this PyAV's FFmpeg reads none (before PyAV 19): Pillow decodes it into a clip that is read.

Every picture is kept to the byte, upright, with its alpha and the time it stands, one at a time.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image, UnidentifiedImageError

from ..files import whole
from ..remarks import remark
from ..stopping import Stop, Stopped, never_stop
from ..troubles import Trouble
from . import pyav
from .colour import Turn
from .demuxer import LARGEST_PICTURE_PIXELS
from .errors import NoRoom, NotAClip
from .exif import turn_of_animation
from .kinds import title_of

SUFFIX = ".mkv"
_TICK = Fraction(1, 1000)
# As browsers and FFmpeg do: nothing is meant by less.
_SHORTEST_MILLISECONDS = 10
_USUAL_MILLISECONDS = 100


def needs_pillow(path: Path) -> bool:
    """Whether a file is an animated WebP and this PyAV reads none."""
    return not pyav.can_read("webp_anim") and title_of(path) == Trouble.ANIMATED_WEBP.value


def write_clip_of(path: Path, out: Path, *, stop: Stop = never_stop) -> None:
    """Write an animated WebP as a lossless clip. Raises NotAClip, NoRoom, Stopped; nothing is left behind then."""
    try:
        with whole(out) as part, Image.open(path, formats=["WEBP"]) as animation:
            if animation.width * animation.height > LARGEST_PICTURE_PIXELS:
                told = {"width": animation.width, "height": animation.height}
                raise NotAClip(remark(Trouble.WEBP_TOO_LARGE, file=path.name, **told))
            _write(animation, turn_of_animation(path), part, stop)
    except (UnidentifiedImageError, Image.DecompressionBombError, EOFError, SyntaxError, ValueError) as error:
        raise NotAClip(remark(Trouble.DAMAGED_WEBP, file=path.name)) from error
    except (av.error.OSError, OSError) as error:
        if error.errno is None:  # how Pillow says that a picture is damaged
            raise NotAClip(remark(Trouble.DAMAGED_WEBP, file=path.name)) from error
        raise NoRoom(remark(Trouble.CLIP_NOT_WRITTEN, file=out.name, reason=str(error.strerror))) from error


def _write(animation: Image.Image, turn: Turn, part: Path, stop: Stop) -> None:
    count = int(getattr(animation, "n_frames", 1))
    kind, form = ("RGBA", "bgra") if animation.mode == "RGBA" else ("RGB", "bgr0")
    begins = 0
    with av.open(str(part.absolute()), "w", format="matroska") as container:
        stream: Any = container.add_stream("ffv1", rate=1000)
        stream.width, stream.height = animation.size[::-1] if turn.transpose else animation.size
        stream.pix_fmt, stream.time_base = form, _TICK
        stream.codec_context.thread_count = 1
        for number in range(count):
            if stop():
                raise Stopped
            animation.seek(number)
            pixels = np.ascontiguousarray(turn.apply(np.asarray(animation.convert(kind))))
            frame = av.VideoFrame.from_ndarray(pixels, format=kind.lower() if kind == "RGBA" else "rgb24")
            frame = frame.reformat(format=form)
            stands = round(animation.info.get("duration") or 0)
            stands = stands if stands >= _SHORTEST_MILLISECONDS else _USUAL_MILLISECONDS
            frame.pts, frame.time_base = begins, _TICK
            for packet in stream.encode(frame):
                packet.duration = stands
                container.mux(packet)
            begins += stands
