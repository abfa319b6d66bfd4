"""Which part of a clip is wanted, and how large."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..remarks import remark
from ..troubles import Trouble
from .errors import EmptySpan

START_TOLERANCE_SECONDS = 0.0005
"""A frame this little before `start_seconds` still counts: the widget and most containers think in milliseconds."""


@dataclass(frozen=True)
class Span:
    """A part of a clip.

    start_seconds: counted from the first picture shown. every_nth: 1 takes each picture, 2 every other one.
    max_frames: after every_nth, 0 takes all. max_side: the longer side in pixels at most, 0 leaves the size alone.
    fps: frames at this constant rate, chosen by time, before every_nth; 0 takes the pictures as they come. seconds: how
    long the part is, 0 to the clip's end.
    """

    start_seconds: float = 0.0
    every_nth: int = 1
    max_frames: int = 0
    max_side: int = 0
    fps: float = 0.0
    seconds: float = 0.0

    def __post_init__(self) -> None:
        if not math.isfinite(self.start_seconds) or self.start_seconds < 0:
            raise EmptySpan(remark(Trouble.START_IS, value=str(self.start_seconds)))
        if self.every_nth < 1:
            raise EmptySpan(remark(Trouble.EVERY_NTH_IS, value=self.every_nth))
        if self.max_frames < 0:
            raise EmptySpan(remark(Trouble.MAX_FRAMES_IS, value=self.max_frames))
        if not math.isfinite(self.fps) or self.fps < 0:
            raise EmptySpan(remark(Trouble.FPS_IS, value=str(self.fps)))
        if not math.isfinite(self.seconds) or self.seconds < 0:
            raise EmptySpan(remark(Trouble.PART_IS, value=str(self.seconds)))
        if self.max_side < 0:
            raise EmptySpan(remark(Trouble.MAX_SIDE_IS, value=self.max_side))


WHOLE = Span()
"""The whole clip at its own size."""
