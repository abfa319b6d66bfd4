"""A small picture that stands for a clip in a list."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image

from .decode import iterate_pictures
from .probe import probe
from .span import Span

POSTER_SIDE_PIXELS = 360
_QUALITY = 78
_INTO_SECONDS = 0.5


def poster(path: Path) -> bytes:
    """A JPEG of a picture near the beginning, where a fade from black is over. Raises MediaError."""
    start = min(_INTO_SECONDS, probe(path).seconds / 4)
    picture = next(iterate_pictures(path, Span(start_seconds=start, max_frames=1, max_side=POSTER_SIDE_PIXELS))[1])
    out = io.BytesIO()
    Image.fromarray(picture).save(out, "JPEG", quality=_QUALITY, optimize=True)
    return out.getvalue()
