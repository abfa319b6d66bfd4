"""Pictures in the form that H.264 wants them: three planes, composed with Pillow, which is quick at exactly that.

Drawing in colour and encoding with `media.encode` would need neither this file nor `film.py`, and was measured: it
takes 2.5 times as long, most of it for turning every picture from RGB into planes. A rehearsal should not keep its
user's processor busy, so both stay.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

# bt709: what a pixel's red and blue are worth in brightness; limited range: 16..235 and 16..240.
RED_SHARE, BLUE_SHARE = 0.2126, 0.0722
LUMA_SPAN, CHROMA_SPAN = 219 / 255, 112 / 255
BLACK = (16, 128, 128)

Bytes = npt.NDArray[np.uint8]
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Mask:
    """How much of a pasted picture is seen: 0..255, for brightness and, at half the size, for colour."""

    full: Image.Image
    half: Image.Image

    @staticmethod
    def of(alpha: npt.NDArray[Any]) -> Mask:
        """From [height, width], 0..255, both sides even."""
        full = Image.fromarray(np.clip(alpha, 0, 255).astype(np.uint8))
        return Mask(full, full.resize((full.width // 2, full.height // 2), Image.Resampling.BOX))

    def crop(self, left: int, top: int, right: int, bottom: int) -> Mask:
        box = (left, top, right, bottom)
        return Mask(self.full.crop(box), self.half.crop(_halved(box)))


@dataclass(frozen=True)
class Picture:
    """A yuv420p picture, bt709 and limited range: y [height, width], u and v [height/2, width/2], all mode L."""

    y: Image.Image
    u: Image.Image
    v: Image.Image

    @property
    def size(self) -> tuple[int, int]:
        return self.y.size

    @staticmethod
    def of(rgb: npt.NDArray[Any]) -> Picture:
        """From [height, width, 3], 0..255, both sides even; colour is the mean of each 2x2 block."""
        height, width = rgb.shape[:2]
        red, green, blue = (rgb[..., channel].astype(np.float32) for channel in range(3))
        luma = RED_SHARE * red + (1 - RED_SHARE - BLUE_SHARE) * green + BLUE_SHARE * blue
        planes = [_plane(16 + luma * LUMA_SPAN)]
        for channel, share in ((blue, BLUE_SHARE), (red, RED_SHARE)):
            difference = ((channel - luma) * (CHROMA_SPAN / (1 - share))).reshape(height // 2, 2, width // 2, 2)
            planes.append(_plane(128 + difference.mean(axis=(1, 3))))
        return Picture(*planes)

    @staticmethod
    def of_flat(flat: Bytes) -> Picture:
        """From yuv420p as PyAV gives it: [height * 3/2, width]."""
        height, width = flat.shape[0] * 2 // 3, flat.shape[1]
        luma, chroma = width * height, width * height // 4
        line, half = flat.reshape(-1), (height // 2, width // 2)
        planes = (line[luma : luma + chroma].reshape(half), line[luma + chroma :].reshape(half))
        return Picture(Image.fromarray(flat[:height]), *(Image.fromarray(plane) for plane in planes))

    @staticmethod
    def plain(width: int, height: int, colour: tuple[int, int, int] = BLACK) -> Picture:
        """One colour, given as y, u, v."""
        half = (width // 2, height // 2)
        sizes = ((width, height), half, half)
        return Picture(*(Image.new("L", size, value) for size, value in zip(sizes, colour, strict=True)))

    def flat(self) -> Bytes:
        """As PyAV takes it: [height * 3/2, width]."""
        lines = np.concatenate([np.asarray(plane).reshape(-1) for plane in (self.y, self.u, self.v)])
        return lines.reshape(-1, self.y.width)

    def copy(self) -> Picture:
        return Picture(self.y.copy(), self.u.copy(), self.v.copy())

    def crop(self, left: int, top: int, right: int, bottom: int) -> Picture:
        box = (left, top, right, bottom)
        return Picture(self.y.crop(box), self.u.crop(_halved(box)), self.v.crop(_halved(box)))

    def zoom(self, box: Box, width: int, height: int) -> Picture:
        """The part within `box` (fractions of a pixel are fine) at another size, smoothly."""
        left, top, right, bottom = box
        half_box = (left / 2, top / 2, right / 2, bottom / 2)
        half_size = (width // 2, height // 2)
        smooth = Image.Resampling.BILINEAR
        y = self.y.resize((width, height), smooth, box)
        return Picture(y, *(plane.resize(half_size, smooth, half_box) for plane in (self.u, self.v)))

    def paste(self, other: Picture, left: int, top: int, mask: Mask | None = None) -> None:
        """Lays another picture over this one; `top` is even."""
        self.y.paste(other.y, (left, top), mask.full if mask else None)
        for mine, theirs in ((self.u, other.u), (self.v, other.v)):
            mine.paste(theirs, (left // 2, top // 2), mask.half if mask else None)

    def turned(self, degrees: int) -> Picture:
        """Turned counter-clockwise by a multiple of 90 degrees."""
        turns = {90: Image.Transpose.ROTATE_90, 180: Image.Transpose.ROTATE_180, 270: Image.Transpose.ROTATE_270}
        turn = turns.get(degrees % 360)
        return self if turn is None else Picture(*(plane.transpose(turn) for plane in (self.y, self.u, self.v)))


def _plane(values: npt.NDArray[Any]) -> Image.Image:
    return Image.fromarray(np.rint(values).clip(0, 255).astype(np.uint8))


def _halved(box: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
    left, top, right, bottom = box
    return left // 2, top // 2, left // 2 + (right - left) // 2, top // 2 + (bottom - top) // 2
