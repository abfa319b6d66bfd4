"""Rotation, mirroring, pixels that are not square, sizes."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nodes.media.colour import Turn, shape_for
from nodes.media.decode import Span, decode_frames, decode_last_frame
from nodes.media.probe import probe
from tests.support import clips

# Display matrix (a, b, c, d) and what a viewer must see of a stored picture.
TURNS: dict[str, tuple[tuple[int, int, int, int], Any, int]] = {
    "upright": ((1, 0, 0, 1), lambda p: p, 0),
    "quarter turn clockwise": ((0, 1, -1, 0), lambda p: np.rot90(p, -1), 90),
    "half turn": ((-1, 0, 0, -1), lambda p: np.rot90(p, 2), 180),
    "quarter turn the other way": ((0, -1, 1, 0), lambda p: np.rot90(p, 1), 270),
    "mirrored left to right": ((-1, 0, 0, 1), lambda p: p[:, ::-1], 0),
    "mirrored top to bottom": ((1, 0, 0, -1), lambda p: p[::-1], 180),
    "mirrored on the diagonal": ((0, 1, 1, 0), lambda p: p.transpose(1, 0, 2), 270),
    "mirrored on the other diagonal": ((0, -1, -1, 0), lambda p: np.rot90(p, 2).transpose(1, 0, 2), 90),
}


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    frames = clips.moving_pictures(3, 96, 64)
    return clips.write_clip(tmp_path_factory.mktemp("shapes") / "stored.mp4", frames, "libx264", colorspace=1)


@pytest.mark.parametrize("name", TURNS)
def test_pictures_are_shown_as_the_display_matrix_says(name: str, stored: Path, tmp_path: Path) -> None:
    matrix, seen, degrees = TURNS[name]
    path = tmp_path / "turned.mp4"
    path.write_bytes(stored.read_bytes())
    clips.with_display_matrix(path, *matrix)
    plain = decode_frames(stored).pixels
    turned = decode_frames(path).pixels
    assert np.array_equal(turned, np.stack([seen(picture) for picture in plain]))
    assert turned.flags.c_contiguous
    clip = probe(path)
    assert (clip.height, clip.width) == turned.shape[1:3]
    assert clip.rotation == degrees
    assert np.array_equal(decode_last_frame(path)[0], turned[-1])


def test_a_slanted_display_matrix_is_left_alone(stored: Path, tmp_path: Path) -> None:
    path = tmp_path / "slanted.mp4"
    path.write_bytes(stored.read_bytes())
    clips.patched(path, b"tkhd", 40, bytes.fromhex("0000b504 0000b504 00000000 ffff4afc 0000b504"))
    assert np.array_equal(decode_frames(path).pixels, decode_frames(stored).pixels)


def test_pixels_that_are_not_square_are_made_square_by_widening(tmp_path: Path) -> None:
    frames = clips.moving_pictures(2, 144, 96)
    path = clips.write_clip(tmp_path / "wide.mp4", frames, "libx264", aspect=Fraction(4, 3))
    assert decode_frames(path).pixels.shape == (2, 96, 192, 3)
    assert (probe(path).width, probe(path).height) == (192, 96)


@pytest.mark.parametrize(
    ("size", "aspect", "max_side", "shown"),
    [
        ((1440, 1080), Fraction(4, 3), 0, (1920, 1080)),
        ((720, 576), Fraction(8, 15), 0, (720, 1080)),
        ((854, 480), Fraction(1280, 1281), 0, (854, 480)),
        ((640, 480), Fraction(1, 1_000_000), 0, (640, 480)),
        ((640, 480), None, 0, (640, 480)),
        ((1920, 1080), None, 960, (960, 540)),
        ((1080, 1920), None, 960, (540, 960)),
        ((640, 480), None, 960, (640, 480)),
        ((4000, 2), None, 100, (100, 1)),
    ],
)
def test_shapes(size: tuple[int, int], aspect: Fraction | None, max_side: int, shown: tuple[int, int]) -> None:
    shape = shape_for(*size, aspect, Turn(), max_side)
    assert (shape.width, shape.height) == shown


def test_max_side_shrinks_while_decoding_and_keeps_the_picture(stored: Path) -> None:
    small = decode_frames(stored, Span(max_side=48)).pixels
    assert small.shape == (3, 32, 48, 3)
    whole = decode_frames(stored).pixels
    averaged = whole.reshape(3, 32, 2, 48, 2, 3).mean(axis=(2, 4))
    assert np.abs(small - averaged).mean() < 0.03
    assert np.abs((small - averaged).mean()) < 0.002
    assert decode_last_frame(stored, max_side=48).shape == (1, 32, 48, 3)


def test_a_size_that_changes_on_the_way_keeps_the_first(tmp_path: Path) -> None:
    first, second = (
        clips.write_clip(
            tmp_path / f"{w}.ts", clips.moving_pictures(4, w, h), "libx264", options={"crf": "1", "g": "4"}
        )
        for w, h in ((96, 64), (128, 96))
    )
    both = tmp_path / "both.ts"
    both.write_bytes(first.read_bytes() + second.read_bytes())
    assert decode_frames(both).pixels.shape[1:] == (64, 96, 3)
