"""A small picture that stands for a clip in a list."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image

from .decode import Pictures8, iterate_pictures
from .errors import NotAClip
from .probe import probe
from .span import Span

POSTER_SIDE_PIXELS = 360
_QUALITY = 78
_INTO_SECONDS = 0.5


def _picture(path: Path, start_seconds: float) -> Pictures8 | None:
    span = Span(start_seconds=start_seconds, max_frames=1, max_side=POSTER_SIDE_PIXELS)
    return next(iterate_pictures(path, span)[1], None)


def poster(path: Path) -> bytes:
    """A JPEG of a picture near the beginning, where a fade from black is over. Raises MediaError.

    Where the one there is damaged: of the first that is whole.
    """
    start = min(_INTO_SECONDS, probe(path).seconds / 4)
    picture = _picture(path, start)
    if picture is None:
        picture = _picture(path, 0.0)
    if picture is None:
        raise NotAClip(f"No picture of {path.name} near its beginning can be decoded: it is damaged.")
    out = io.BytesIO()
    Image.fromarray(picture).save(out, "JPEG", quality=_QUALITY, optimize=True)
    return out.getvalue()
