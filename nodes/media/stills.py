"""Single pictures: files for upload, and a digest that names their content.

PNG where it is small enough, because it is exact; level 1, because it is about four times as quick as Pillow's default
for a sixth more bytes. Else JPEG with full chroma (4:4:4), which keeps 43 dB and more where 4:2:0 keeps 36 to 41.
"""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from ..remarks import Remark, Sentence, remark
from ..troubles import Trouble
from .errors import BadPicture

_PNG_LEVEL = 1
_JPEG_QUALITIES = (95, 90, 80, 65)
_OVERSHOOT = 0.5  # samplers and upscalers leave 0..1 a little; a picture in 0..255 leaves it by far
_SHRINK = 0.75
_ROWS_A_BLOCK = 64
_BACKGROUND = 1.0  # transparent parts become white

Pixels = np.ndarray[Any, np.dtype[Any]]
Bytes = np.ndarray[Any, np.dtype[np.uint8]]


@dataclass(frozen=True)
class Still:
    """An image file for upload. notes: what was done to the picture, or is worth knowing, for the status text."""

    data: bytes
    content_type: str
    suffix: str
    width: int
    height: int
    notes: tuple[Remark, ...]


def encode_still(pixels: Pixels, *, smallest_side: int, largest_side: int, largest_bytes: int) -> Still:
    """A float [height, width, 3 or 4] picture, 0..1, as an opaque sRGB file without metadata. Raises BadPicture.

    Exact to the rounded byte while it stays a PNG. Transparent parts become white. smallest_side: pixels; a note tells
    of a side below it.
    """
    picture = Image.fromarray(_opaque_bytes(pixels))
    notes: list[Remark] = []
    if min(picture.size) < smallest_side:
        notes.append(remark(Sentence.SMALL_PICTURE, width=picture.width, height=picture.height, side=smallest_side))
    if max(picture.size) > largest_side:
        picture = _scaled(picture, largest_side, notes)
    data = _png(picture)
    if len(data) <= largest_bytes:
        return Still(data, "image/png", ".png", picture.width, picture.height, tuple(notes))
    while True:
        for quality in _JPEG_QUALITIES:
            data = _jpeg(picture, quality)
            if len(data) <= largest_bytes:
                notes.append(remark(Sentence.AS_JPEG, quality=quality))
                return Still(data, "image/jpeg", ".jpg", picture.width, picture.height, tuple(notes))
        if max(picture.size) == 1:
            raise BadPicture(f"No picture file can be as small as {largest_bytes} bytes.")
        picture = _scaled(picture, max(1, int(max(picture.size) * _SHRINK)), notes)


def pixel_digest(pixels: Pixels) -> str:
    """SHA-256, in hex, of a picture's shape and its rounded bytes: its identity, whatever file it will be sent as.

    pixels: float [height, width, 3 or 4], 0..1. Raises BadPicture.
    """
    _check(pixels)
    digest = hashlib.sha256(repr(tuple(int(size) for size in pixels.shape)).encode())
    for top in range(0, pixels.shape[0], _ROWS_A_BLOCK):
        digest.update(to_bytes(pixels[top : top + _ROWS_A_BLOCK]).tobytes())
    return digest.hexdigest()


def to_bytes(pixels: Pixels) -> Bytes:
    """Round 0..1 to 0..255, cutting off what lies beyond; uint8 passes as it is. Raises BadPicture for NaN.

    In blocks of rows, so that the float copy stays in the processor's cache.
    """
    if pixels.dtype == np.uint8:
        return pixels
    out: Bytes = np.empty(pixels.shape, np.uint8)
    for top in range(0, pixels.shape[0], _ROWS_A_BLOCK):
        block = np.multiply(pixels[top : top + _ROWS_A_BLOCK], np.float32(255), dtype=np.float32)
        if np.isnan(block.min(initial=0)):
            raise BadPicture(remark(Trouble.PICTURE_OF_NAN))
        np.rint(np.clip(block, 0, 255, out=block), out=block)
        out[top : top + _ROWS_A_BLOCK] = block
    return out


def _check(pixels: Pixels) -> None:
    if pixels.ndim != 3 or pixels.shape[2] not in (3, 4):
        raise BadPicture(remark(Trouble.PICTURE_SHAPE, shape=str(list(pixels.shape))))
    if not pixels.size:
        raise BadPicture(remark(Trouble.PICTURE_EMPTY, shape=str(list(pixels.shape))))
    if pixels.dtype == np.uint8:
        return
    if not np.issubdtype(pixels.dtype, np.floating):
        raise BadPicture(remark(Trouble.PICTURE_OF_TYPE, type=str(pixels.dtype)))
    low, high = float(pixels.min()), float(pixels.max())
    if np.isnan(low) or np.isnan(high):
        raise BadPicture(remark(Trouble.PICTURE_OF_NAN))
    if low < -_OVERSHOOT or high > 1 + _OVERSHOOT:
        raise BadPicture(remark(Trouble.PICTURE_OUT_OF_RANGE, low=f"{low:g}", high=f"{high:g}"))


def _opaque_bytes(pixels: Pixels) -> Bytes:
    _check(pixels)
    if pixels.shape[2] == 3:
        return np.ascontiguousarray(to_bytes(pixels))
    scale = 255.0 if pixels.dtype == np.uint8 else 1.0
    alpha = np.clip(pixels[..., 3:].astype(np.float32) / scale, 0, 1)
    colours = np.clip(pixels[..., :3].astype(np.float32) / scale, 0, 1)
    return to_bytes(colours * alpha + _BACKGROUND * (1 - alpha))


def _scaled(picture: Image.Image, side: int, notes: list[Remark]) -> Image.Image:
    factor = side / max(picture.size)
    size = (max(1, round(picture.width * factor)), max(1, round(picture.height * factor)))
    told = {"width": picture.width, "height": picture.height, "new_width": size[0], "new_height": size[1]}
    notes.append(remark(Sentence.SCALED, **told))
    return picture.resize(size, Image.Resampling.LANCZOS)


def _png(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, "PNG", compress_level=_PNG_LEVEL)
    return file.getvalue()


def _jpeg(picture: Image.Image, quality: int) -> bytes:
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=quality, subsampling=0)
    return file.getvalue()
