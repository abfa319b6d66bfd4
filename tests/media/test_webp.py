"""Animated WebP is read through Pillow where PyAV reads none: the same pictures and times as where it does."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from PIL import features

from nodes.media.decode import decode_frames, measure
from nodes.media.demuxer import LARGEST_PICTURE_PIXELS
from nodes.media.errors import NotAClip
from nodes.media.probe import probe
from nodes.media.span import WHOLE, Span
from nodes.media.webp import needs_pillow, write_clip_of
from nodes.stopping import Stopped
from tests.support.clips import animated_webp

pytestmark = pytest.mark.skipif(not features.check("webp"), reason="this Pillow knows no WebP")
SHADES = (40, 80, 120, 160)
DURATIONS = (100, 0, 250, 40)


@pytest.fixture
def animation(tmp_path: Path) -> Path:
    return animated_webp(tmp_path / "a.webp", SHADES, DURATIONS)


def made(animation: Path) -> Path:
    out = animation.with_suffix(".mkv")
    write_clip_of(animation, out)
    return out


def test_its_pictures_are_exact_and_stand_as_long_as_they_should(animation: Path) -> None:
    clip = made(animation)
    frames = decode_frames(clip)
    assert [set(np.unique(picture * 255).round(4)) for picture in frames.pixels] == [{shade} for shade in SHADES]
    assert measure(clip, WHOLE).moments == pytest.approx([0, 0.1, 0.2, 0.45]), "no time at all is a tenth of a second"
    assert frames.seconds == pytest.approx(0.49)
    assert decode_frames(clip, Span(fps=20)).pixels.shape[0] == 10


@pytest.mark.skipif("webp_anim" not in av.formats_available, reason="this PyAV reads none to compare with")
def test_it_is_as_pyav_reads_it_where_it_does(animation: Path) -> None:
    clip = made(animation)
    assert not needs_pillow(animation)
    assert np.array_equal(decode_frames(clip).pixels, decode_frames(animation).pixels)
    assert measure(clip, WHOLE).moments == pytest.approx(measure(animation, WHOLE).moments)


@pytest.mark.skipif("webp_anim" in av.formats_available, reason="this PyAV reads them itself")
def test_only_animated_ones_need_it(animation: Path, tmp_path: Path) -> None:
    assert needs_pillow(animation)
    assert not needs_pillow(animated_webp(tmp_path / "still.webp", SHADES[:1], DURATIONS[:1]))


def test_what_is_transparent_lies_on_white(tmp_path: Path) -> None:
    clip = made(animated_webp(tmp_path / "a.webp", (0, 100), (100, 100), alpha=0))
    assert probe(clip).transparent and decode_frames(clip).pixels.min() == 1


def test_a_damaged_or_huge_one_is_called_by_its_name(animation: Path, tmp_path: Path) -> None:
    data = animation.read_bytes()
    damaged = tmp_path / "damaged.webp"
    damaged.write_bytes(data[:60] + bytes(len(data) - 60))
    with pytest.raises(NotAClip, match="an animated WebP that is damaged"):
        made(damaged)
    canvas = (1 << 14) - 1
    assert (canvas + 1) ** 2 > LARGEST_PICTURE_PIXELS
    damaged.write_bytes(data[:24] + canvas.to_bytes(3, "little") * 2 + data[30:])
    with pytest.raises(NotAClip, match=r"too large|damaged"):
        made(damaged)
    assert not damaged.with_suffix(".mkv").exists()


def test_a_stop_leaves_nothing_behind(animation: Path) -> None:
    with pytest.raises(Stopped):
        write_clip_of(animation, animation.with_suffix(".mkv"), stop=lambda: True)
    assert [path.name for path in animation.parent.iterdir()] == ["a.webp"]
