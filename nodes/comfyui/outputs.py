"""What a node hands over of a clip on disk: only what is linked is decoded."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import host

if TYPE_CHECKING:
    from ..media.span import Span
    from ..stopping import Stop


class Output(IntEnum):
    """The outputs of the four nodes that deliver a generated clip, in order; Load Video shares the first four."""

    VIDEO = 0
    FRAMES = 1
    LAST_FRAME = 2
    AUDIO = 3
    TASK_ID = 4
    VIDEO_URL = 5


@dataclass(frozen=True)
class Part:
    """The part of a clip that is wanted, and where it begins and how long it is."""

    span: Span
    start_seconds: float
    seconds: float


def decoded(
    path: Path, linked: frozenset[int], node_id: str, stop: Stop, part: Part | None = None
) -> tuple[Any, Any, Any]:
    """Frames, last frame and sound of a clip or a part of it, blocked where nothing is linked. Blocking.

    Raises MediaError, Stopped.
    """
    from ..media.audio import decode_audio
    from ..media.decode import decode_frames, decode_last_frame, decode_last_of
    from ..media.span import WHOLE

    def tell(fraction: float) -> None:
        host.show_progress(node_id, fraction, 1.0)

    frames: Any = host.blocked()
    last_frame: Any = host.blocked()
    audio: Any = host.blocked()
    if Output.FRAMES in linked:
        frames = host.as_image(decode_frames(path, part.span if part else WHOLE, stop=stop, tell=tell).pixels)
    if Output.LAST_FRAME in linked and Output.FRAMES in linked:
        last_frame = frames[-1:].clone()  # a view would hold all frames as long as somebody keeps this one
    elif Output.LAST_FRAME in linked:
        last = decode_last_of(path, part.span, stop=stop) if part else decode_last_frame(path, stop=stop)
        last_frame = host.as_image(last)
    if Output.AUDIO in linked:
        start_seconds, seconds = (part.start_seconds, part.seconds) if part else (0.0, None)
        audio = host.as_audio(decode_audio(path, start_seconds, seconds, stop=stop))
    return frames, last_frame, audio
