"""Which encoder writes a clip where PyAV was built without x264, and what is said where none serves."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from nodes.media import pyav
from nodes.media.decode import decode_frames, measure
from nodes.media.encode import encode_clip
from nodes.media.encoders import FOR_EVERYBODY, FOR_US, MPEG4, OPENH264, X264, Encoder, choose, remark_on
from nodes.media.errors import NoEncoder
from nodes.media.span import WHOLE
from tests.support.clips import Array, require_encoder

ROOT = Path(__file__).parents[2]
OTHERS = (OPENH264, MPEG4)


def scene(count: int = 12) -> list[Array]:
    y, x = np.mgrid[:96, :128]
    return [
        np.stack([(x + 3 * number) % 256, 255 - y * 2, np.full_like(x, 90)], axis=-1).astype(np.uint8)
        for number in range(count)
    ]


@pytest.mark.parametrize(
    ("wanted", "there", "chosen"),
    [
        (FOR_EVERYBODY, ("libx264", "libopenh264", "mpeg4"), X264),
        (FOR_EVERYBODY, ("libopenh264", "mpeg4"), OPENH264),
        (FOR_US, ("libopenh264", "mpeg4"), OPENH264),
        (FOR_US, ("mpeg4",), MPEG4),
    ],
)
def test_the_best_encoder_that_is_there_is_taken(
    wanted: Sequence[Encoder], there: tuple[str, ...], chosen: Encoder
) -> None:
    assert choose(wanted, lambda name: name in there) is chosen


def test_what_leaves_this_machine_is_h264_or_nothing() -> None:
    with pytest.raises(NoEncoder, match=r"cannot write H\.264.*libx264, libopenh264.*package av of PyPI"):
        choose(FOR_EVERYBODY, lambda name: name == "mpeg4")


def test_another_encoder_is_named_and_the_usual_one_is_not() -> None:
    assert remark_on(X264) is None
    assert str(remark_on(MPEG4)) == "written as MPEG-4 (mpeg4), since this PyAV has no libx264"


@pytest.mark.parametrize("encoder", OTHERS, ids=lambda encoder: encoder.name)
@pytest.mark.parametrize("fps", [Fraction(25), Fraction(30000, 1001), Fraction(120000, 1001)], ids=str)
def test_its_clips_have_the_pictures_times_and_colours(encoder: Encoder, fps: Fraction, tmp_path: Path) -> None:
    require_encoder(encoder.name)
    clip = encode_clip(scene(), fps, tmp_path / "clip.mp4", encoders=(encoder,))
    assert clip.codec == ("h264" if encoder is OPENH264 else "mpeg4")
    found = decode_frames(clip.path)
    assert len(found.pixels) == 12 and found.fps == pytest.approx(float(fps), rel=1e-3)
    wrong = np.sqrt(np.mean((found.pixels - np.stack(scene()) / 255.0) ** 2)) * 255
    assert wrong < 8, f"{wrong:.1f} levels away"


@pytest.mark.parametrize("encoder", OTHERS, ids=lambda encoder: encoder.name)
def test_its_clips_keep_moments_of_their_own(encoder: Encoder, tmp_path: Path) -> None:
    require_encoder(encoder.name)
    moments = (0.0, 0.04, 0.5, 1.0)
    clip = encode_clip(scene(4), 2.0, tmp_path / "clip.mp4", moments=moments, encoders=(encoder,))
    assert measure(clip.path, WHOLE).moments == pytest.approx(moments, abs=0.001)


def test_its_clips_keep_to_a_size(tmp_path: Path) -> None:
    require_encoder(OPENH264.name)
    dice = np.random.default_rng(1)
    grain = [np.clip(each + dice.normal(0, 8, each.shape), 0, 255).astype(np.uint8) for each in scene(50)]
    free = encode_clip(grain, 25, tmp_path / "free.mp4", encoders=(OPENH264,))
    held = encode_clip(grain, 25, tmp_path / "held.mp4", most_bits_a_second=30_000, encoders=(OPENH264,))
    assert held.frame_count == 50 and held.size_bytes < 1.5 * 2 * 30_000 / 8 < free.size_bytes


def test_a_pyav_below_the_floor_is_named_in_one_line_with_the_floor() -> None:
    with pytest.raises(ImportError) as caught:
        pyav.require_floor("13.1.0")
    assert str(caught.value) == "PyAV 13.1.0 is here, and 14.2 or newer is needed: update the package av"
    for version in ("14.2.0", "15.0.0rc1", pyav.VERSION):
        pyav.require_floor(version)


def test_the_floor_is_the_one_that_the_requirements_say() -> None:
    floor = "av>=" + ".".join(map(str, pyav.FLOOR))
    for file in ("pyproject.toml", "requirements.txt"):
        assert re.search(rf"\b{floor}\b", (ROOT / file).read_text("utf-8")), file
