"""Pictures and clips as media of an order: identified by their content, encoded only when they are uploaded."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..files import sha256_of
from ..gateway.contract import LARGEST_UPLOAD_BYTES
from ..media.encode import trim_clip
from ..media.probe import Clip, probe
from ..media.span import Span
from ..media.stills import encode_still, pixel_digest
from ..progress import Stop
from .order import Medium, MediumFile

if TYPE_CHECKING:
    import numpy as np

_SHORTEST_SECONDS, _LONGEST_SECONDS = 2.0, 30.0
_MP4 = "video/mp4"


def of_picture(pixels: np.ndarray[Any, Any]) -> Medium:
    """A float [height, width, 3 or 4] picture, 0..1, sent as PNG or JPEG. Raises BadPicture."""

    def write(folder: Path, stop: Stop) -> MediumFile:
        still = encode_still(pixels)
        path = folder / f"{uuid.uuid4().hex}{still.suffix}"
        path.write_bytes(still.data)
        return MediumFile(path, still.content_type, ours=True, notes=still.notes)

    return Medium(pixel_digest(pixels), write)


def of_file(path: Path, stop: Stop, *, start_seconds: float = 0.0, seconds: float = 0.0) -> Medium:
    """A clip on disk, or a part of it (`seconds` 0: to its end). Raises NotAClip, Stopped.

    A whole H.264 MP4 goes as it is, never decoded; anything else is encoded once, streamed, with its sound.
    """
    clip = probe(path)
    digest = sha256_of(path, stop)
    notes = notes_on_length(seconds or clip.seconds - start_seconds)
    if not start_seconds and not seconds and _goes_as_it_is(clip):
        return Medium(digest, lambda folder, stop: MediumFile(path, _MP4, ours=False, notes=notes))

    def encode(out: Path, stop: Stop) -> None:
        count = round(seconds * clip.fps) if seconds else 0
        trim_clip(path, out, Span(start_seconds=start_seconds, max_frames=count), stop=stop)

    part = hashlib.sha256(repr((digest, start_seconds, seconds)).encode()).hexdigest()
    return Medium(part, encoded(encode, notes))


def encoded(encode: Callable[[Path, Stop], None], notes: tuple[str, ...]) -> Callable[[Path, Stop], MediumFile]:
    """How a medium is written that has to be encoded first: `encode(path, stop)` makes the file."""

    def write(folder: Path, stop: Stop) -> MediumFile:
        path = folder / f"{uuid.uuid4().hex}.mp4"
        encode(path, stop)
        return MediumFile(path, _MP4, ours=True, notes=(*notes, "encoded as H.264"))

    return write


def _goes_as_it_is(clip: Clip) -> bool:
    return clip.codec == "h264" and "mp4" in clip.container and clip.size_bytes <= LARGEST_UPLOAD_BYTES


def notes_on_length(seconds: float) -> tuple[str, ...]:
    """A warning for sources that hosts of this mode may refuse (`docs/gateway.md`, "Pictures and source videos")."""
    if _SHORTEST_SECONDS <= seconds <= _LONGEST_SECONDS:
        return ()
    return (f"the source lasts {seconds:.1f} s; the model is known to take 2 to 30 s, so it may be refused",)
