"""Single pictures for upload, their identity, and the sheet."""

from __future__ import annotations

import functools
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from nodes.media.errors import BadPicture, NotAClip
from nodes.media.sheet import contact_sheet
from nodes.media.stills import encode_still, pixel_digest, to_bytes
from tests.support import clips

still_of = functools.partial(encode_still, smallest_side=360, largest_side=2000, largest_bytes=10_000_000)


def _picture(width: int = 480, height: int = 400, seed: int = 2) -> Any:
    y, x = np.mgrid[0:height, 0:width]
    waves = np.stack([0.5 + 0.4 * np.sin(x / 31), 0.5 + 0.4 * np.cos(y / 23), (x + y) / (width + height)], 2)
    return (waves + np.random.default_rng(seed).normal(0, 0.02, waves.shape)).clip(0, 1).astype(np.float32)


def _noise(width: int, height: int) -> Any:
    return np.random.default_rng(1).random((height, width, 3), dtype=np.float32)


def _read(data: bytes) -> Any:
    with Image.open(io.BytesIO(data)) as image:
        assert image.mode == "RGB"
        assert not image.info.get("icc_profile")
        assert not image.getexif()
        return np.asarray(image)


def test_a_png_is_exact_to_the_rounded_byte() -> None:
    picture = _picture()
    still = still_of(picture)
    assert (still.content_type, still.suffix, still.width, still.height, still.notes) == (
        "image/png",
        ".png",
        480,
        400,
        (),
    )
    assert np.array_equal(_read(still.data), np.rint(picture * np.float32(255)))


def test_a_large_picture_is_scaled_and_says_so() -> None:
    still = still_of(_picture(1200, 800), largest_side=600)
    assert _read(still.data).shape == (400, 600, 3)
    assert [str(note) for note in still.notes] == ["scaled from 1200x800 to 600x400"]
    expected = _picture(1200, 800).reshape(400, 2, 600, 2, 3).mean(axis=(1, 3)) * 255
    assert np.abs(_read(still.data) - expected).mean() < 2


def test_a_small_picture_is_sent_and_says_so() -> None:
    assert [str(note) for note in still_of(_picture(480, 200)).notes] == ["480x200 is under 360 px"]


def test_what_is_too_big_as_png_goes_as_a_fine_jpeg() -> None:
    picture = _picture(seed=9)
    as_png = len(still_of(picture).data)
    still = still_of(picture, largest_bytes=as_png - 1)
    assert (still.content_type, still.suffix) == ("image/jpeg", ".jpg")
    assert [str(note) for note in still.notes] == ["sent as JPEG, quality 95"]
    assert np.abs(_read(still.data) - picture * 255).mean() < 4


def test_a_jpeg_keeps_the_colour_of_every_pixel() -> None:
    picture = _noise(400, 400)
    still = still_of(picture, largest_bytes=len(still_of(picture).data) - 1)
    assert still.suffix == ".jpg"
    assert np.abs(_read(still.data) - picture * 255).mean() < 10


@pytest.mark.parametrize("limit", [60_000, 12_000, 3_000])
def test_a_limit_in_bytes_is_kept(limit: int) -> None:
    still = still_of(_noise(400, 400), largest_bytes=limit)
    assert len(still.data) <= limit
    assert _read(still.data).shape == (still.height, still.width, 3)
    assert any("JPEG" in str(note) for note in still.notes)


def test_a_limit_that_nothing_keeps_is_refused() -> None:
    with pytest.raises(BadPicture, match="as small as 10 bytes"):
        still_of(_picture(), largest_bytes=10)


def test_transparent_parts_become_white() -> None:
    picture = np.zeros((400, 400, 4), np.float32)
    picture[..., 0] = 1.0
    picture[:200, :, 3] = 1.0
    picture[200:300, :, 3] = 0.5
    pixels = _read(still_of(picture).data)
    assert pixels[0, 0].tolist() == [255, 0, 0]
    assert pixels[250, 0].tolist() in ([255, 127, 127], [255, 128, 128])
    assert pixels[399, 0].tolist() == [255, 255, 255]


@pytest.mark.parametrize(
    ("picture", "message"),
    [
        (np.zeros((4, 4), np.float32), r"\[4, 4\]"),
        (np.zeros((1, 4, 4, 3), np.float32), r"\[1, 4, 4, 3\]"),
        (np.zeros((4, 4, 2), np.float32), r"\[4, 4, 2\]"),
        (np.zeros((0, 4, 3), np.float32), "empty"),
        (np.full((4, 4, 3), np.nan, np.float32), "NaN"),
        (np.full((4, 4, 3), 255.0, np.float32), "run from 255 to 255"),
        (np.full((4, 4, 3), -1.0, np.float32), "run from -1 to -1"),
        (np.full((4, 4, 3), np.inf, np.float32), "run from inf"),
        (np.zeros((4, 4, 3), np.int64), "int64"),
    ],
)
def test_what_is_no_picture_is_refused(picture: Any, message: str) -> None:
    with pytest.raises(BadPicture, match=message):
        still_of(picture)
    with pytest.raises(BadPicture, match=message):
        pixel_digest(picture)


def test_a_little_beyond_black_and_white_is_cut_off() -> None:
    picture = np.full((400, 400, 3), 1.2, np.float32)
    picture[0] = -0.2
    pixels = _read(still_of(picture).data)
    assert pixels[0, 0].tolist() == [0, 0, 0]
    assert pixels[1, 0].tolist() == [255, 255, 255]


def test_the_digest_follows_what_can_be_seen() -> None:
    picture = _picture(64, 48)
    digest = pixel_digest(picture)
    assert digest == pixel_digest(picture.copy()) == pixel_digest(picture.astype(np.float64))
    assert digest == pixel_digest(np.asfortranarray(picture)) == pixel_digest(to_bytes(picture))
    assert len(digest) == 64
    other = picture.copy()
    other[5, 7, 1] += 1 / 255 if other[5, 7, 1] < 0.5 else -1 / 255
    assert pixel_digest(other) != digest
    assert pixel_digest(picture.reshape(64, 48, 3)) != digest


def test_the_digest_is_the_same_on_every_machine_and_forever() -> None:
    ramp = (np.arange(300 * 2 * 3, dtype=np.float32).reshape(300, 2, 3) % 256) / 255
    assert pixel_digest(ramp) == "f697194106bf159bf7000299d07c858eae3a65b08e14c670955767de9c597df6"


@pytest.mark.parametrize(("count", "rows"), [(20, 4), (7, 2), (3, 1)])
def test_a_contact_sheet_shows_pictures_from_the_whole_clip(count: int, rows: int, tmp_path: Path) -> None:
    path = clips.write_clip(tmp_path / "clip.mp4", clips.numbered_pictures(count), "libx264", options={"crf": "4"})
    contact_sheet(path, tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.size == (5 * 64, rows * 48)
        left, last = sheet.getpixel((2, 2)), sheet.getpixel((64 * ((count - 1) % 5) + 2, rows * 48 - 2))
    assert isinstance(left, tuple)
    assert isinstance(last, tuple)
    assert left[1] < last[1]


def test_a_contact_sheet_of_no_clip_is_refused(tmp_path: Path) -> None:
    (tmp_path / "no.mp4").write_bytes(b"nothing")
    with pytest.raises(NotAClip):
        contact_sheet(tmp_path / "no.mp4", tmp_path / "sheet.png")
    assert not (tmp_path / "sheet.png").exists()
