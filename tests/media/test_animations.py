"""Animated pictures that are stored turned or mirrored are shown as stills of the same EXIF are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps, features

from nodes.media import webp
from nodes.media.decode import decode_frames, decode_last_frame
from nodes.media.probe import probe

ORIENTATION = 0x0112


def _exif(orientation: int, order: str = "MM") -> bytes:
    exif = Image.Exif()
    exif.endian = "<" if order == "II" else ">"
    exif[0x010F] = "a camera"  # another entry, before it
    exif[ORIENTATION] = orientation
    return exif.tobytes()


def _pictures() -> list[Image.Image]:
    """No two of the eight ways to turn them look alike."""
    pixels = np.zeros((48, 64, 3), np.uint8)
    pixels[:20, :40], pixels[20:, 40:] = (200, 40, 10), (20, 90, 240)
    return [Image.fromarray(pixels + np.uint8(shade)) for shade in (0, 5, 10)]


def _written(path: Path, exif: bytes) -> Path:
    first, *others = _pictures()
    first.save(path, save_all=True, append_images=others, duration=40, exif=exif, lossless=True)
    return path


def _as_read(path: Path, tmp_path: Path) -> Path:
    """Load Video's way: where this PyAV reads no animated WebP, a clip that is made of it."""
    if not webp.needs_pillow(path):
        return path
    webp.write_clip_of(path, tmp_path / "made.mkv")
    return tmp_path / "made.mkv"


@pytest.mark.parametrize("order", ["MM", "II"])
@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".png", ".webp"])
def test_animations_are_shown_upright(suffix: str, orientation: int, order: str, tmp_path: Path) -> None:
    if suffix == ".webp" and not features.check("webp"):
        pytest.skip("this Pillow knows no WebP")
    exif = _exif(orientation, order)
    path = _as_read(_written(tmp_path / f"turned{suffix}", exif), tmp_path)
    expected: list[Any] = []
    for picture in _pictures():
        picture.getexif()[ORIENTATION] = orientation
        expected.append(np.asarray(ImageOps.exif_transpose(picture)))
    frames = decode_frames(path).pixels
    assert np.array_equal(np.rint(frames * 255).astype(np.uint8), np.stack(expected))
    assert np.array_equal(decode_last_frame(path)[0], frames[-1])
    clip = probe(path)
    assert (clip.height, clip.width) == expected[0].shape[:2]


DAMAGES: list[Callable[[bytes], bytes]] = [
    lambda exif: exif[:9],
    lambda exif: exif.replace(b"\0\0\0\x08", b"\xff\xff\xff\xff", 1),
    lambda exif: exif.replace(b"MM", b"XX", 1),
    lambda exif: exif[:8] + b"\xff\xff" + exif[10:],
]


@pytest.mark.parametrize("damage", DAMAGES)
def test_an_exif_that_is_damaged_is_no_obstacle(damage: Callable[[bytes], bytes], tmp_path: Path) -> None:
    path = _written(tmp_path / "damaged.png", damage(_exif(3)))
    assert decode_frames(path).pixels.shape[1:] == (48, 64, 3)  # FFmpeg 8 itself leaves one of such pictures out
