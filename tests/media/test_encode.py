"""Frames into clips: streamed, tagged, whole or not there at all."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from nodes.media.decode import Span, decode_frames
from nodes.media.encode import encode_clip, exact_fps, trim_clip
from nodes.media.errors import BadPicture, NoRoom
from nodes.media.probe import verify
from tests.support import clips


def _pictures(count: int, width: int = 96, height: int = 64) -> Any:
    y, x = np.mgrid[0:height, 0:width]
    stack = [
        np.stack([0.5 + 0.4 * np.sin(x / 15 + n / 5), 0.5 + 0.4 * np.cos(y / 11), np.full(x.shape, n / count)], 2)
        for n in range(count)
    ]
    return np.stack(stack).astype(np.float32)


def test_the_clip_looks_like_the_frames(tmp_path: Path) -> None:
    pictures = _pictures(12)
    clip = encode_clip(pictures, 24, tmp_path / "out.mp4")
    assert (clip.width, clip.height, clip.fps, clip.frame_count, clip.codec) == (96, 64, 24.0, 12, "h264")
    pixels = decode_frames(clip.path).pixels
    assert np.abs(pixels - pictures).mean() < 2.5 / 255


def test_a_clip_of_high_quality_is_neither_darker_nor_lighter_than_its_frames(tmp_path: Path) -> None:
    pictures = _pictures(12)
    encode_clip(pictures, 24, tmp_path / "out.mp4", crf=10)
    assert np.abs((decode_frames(tmp_path / "out.mp4").pixels - pictures).mean()) < 0.1 / 255


def test_bytes_and_floats_make_the_same_clip(tmp_path: Path) -> None:
    pictures = _pictures(3)
    # Without loss, because x264's choices differ a little from run to run on the same pictures.
    encode_clip(pictures, 24, tmp_path / "floats.mp4", crf=0)
    encode_clip(np.rint(pictures * 255).astype(np.uint8), 24, tmp_path / "bytes.mp4", crf=0)
    assert np.array_equal(decode_frames(tmp_path / "floats.mp4").pixels, decode_frames(tmp_path / "bytes.mp4").pixels)


def test_players_are_told_what_the_colours_are(tmp_path: Path) -> None:
    encode_clip(_pictures(2), 24, tmp_path / "out.mp4")
    with av.open(str(tmp_path / "out.mp4")) as container:
        context = container.streams.video[0].codec_context
        tags = (context.colorspace, context.color_primaries, context.color_trc, context.color_range)
        assert tuple(map(int, tags)) == (1, 1, 1, 1)
        assert context.pix_fmt == "yuv420p"


def test_the_index_comes_first_so_that_players_start_at_once(tmp_path: Path) -> None:
    encode_clip(_pictures(2), 24, tmp_path / "out.mp4")
    content = (tmp_path / "out.mp4").read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")


@pytest.mark.parametrize(("width", "height"), [(97, 64), (96, 65), (97, 65), (1, 1)])
def test_odd_sizes_repeat_their_last_row_and_column(width: int, height: int, tmp_path: Path) -> None:
    pictures = _pictures(2, width, height)
    clip = encode_clip(pictures, 24, tmp_path / "odd.mp4", crf=4)
    assert (clip.width, clip.height) == (width + width % 2, height + height % 2)
    pixels = decode_frames(clip.path).pixels
    assert np.abs(pixels[:, :height, :width] - pictures).mean() < 3 / 255
    if height % 2 and height > 1:
        assert np.abs(pixels[:, -1] - pixels[:, -2]).mean() < 3 / 255


@pytest.mark.parametrize(
    ("fps", "exact"),
    [
        (24, Fraction(24)),
        (29.97, Fraction(30000, 1001)),
        (23.976, Fraction(24000, 1001)),
        (30000 / 1001, Fraction(30000, 1001)),
        (25 / 3, Fraction(25, 3)),
        (12.5, Fraction(25, 2)),
        (Fraction(24000, 1001), Fraction(24000, 1001)),
    ],
)
def test_rates_are_written_exactly(fps: float, exact: Fraction, tmp_path: Path) -> None:
    assert exact_fps(fps) == exact
    clip = encode_clip(_pictures(6), fps, tmp_path / "out.mp4")
    assert clip.fps == pytest.approx(float(exact), abs=1e-6)


@pytest.mark.parametrize("fps", [0, -1, float("nan"), float("inf"), 1e6])
def test_rates_that_cannot_be_written_are_refused(fps: float, tmp_path: Path) -> None:
    with pytest.raises(BadPicture, match="frames a second"):
        encode_clip(_pictures(1), fps, tmp_path / "out.mp4")


@pytest.mark.parametrize(
    ("pictures", "message"),
    [
        ([], "at least one picture"),
        ([np.zeros((8, 8), np.float32)], r"this one is \[8, 8\]"),
        ([np.zeros((8, 8, 4), np.float32)], r"this one is \[8, 8, 4\]"),
        ([np.zeros((0, 8, 3), np.float32)], r"this one is \[0, 8, 3\]"),
        ([np.zeros((8, 8, 3), np.float32), np.zeros((8, 10, 3), np.float32)], "one size"),
        ([np.full((8, 8, 3), np.nan, np.float32)], "NaN"),
        ([np.zeros((2, 20_000, 3), np.float32)], "too large for H.264"),
    ],
)
def test_pictures_that_make_no_clip_are_refused_and_leave_nothing(
    pictures: list[Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(BadPicture, match=message):
        encode_clip(pictures, 24, tmp_path / "out.mp4")
    assert list(tmp_path.iterdir()) == []


def test_values_beyond_white_and_black_are_cut_off(tmp_path: Path) -> None:
    pictures = np.stack([np.full((16, 16, 3), value, np.float32) for value in (-3.0, 4.0, np.inf)])
    encode_clip(pictures, 24, tmp_path / "out.mp4", crf=0)
    pixels = decode_frames(tmp_path / "out.mp4").pixels
    assert [float(frame.mean()) for frame in pixels] == pytest.approx([0, 1, 1], abs=0.005)


def test_a_failing_source_leaves_what_was_there_before(tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    encode_clip(_pictures(2), 24, out)
    before = out.read_bytes()

    def failing() -> Iterator[Any]:
        yield from _pictures(5)
        raise RuntimeError("upstream")

    with pytest.raises(RuntimeError, match="upstream"):
        encode_clip(failing(), 24, out)
    assert out.read_bytes() == before
    assert list(tmp_path.iterdir()) == [out]


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(NoRoom, match=r"out\.mp4 could not be written"):
        encode_clip(_pictures(1), 24, tmp_path / "file" / "out.mp4")


def test_frames_are_streamed_and_never_copied_as_a_whole(tmp_path: Path) -> None:
    pictures = np.zeros((60, 96, 128, 3), np.float32)
    encode_clip(pictures[:2], 24, tmp_path / "warm.mp4")
    tracemalloc.start()
    encode_clip(pictures, 24, tmp_path / "out.mp4")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < pictures.nbytes / 10


def test_a_trimmed_clip_has_the_pictures_of_its_span_at_its_size(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    planes = [clips.gentle_planes(rng, 160, 96, (2, 2)) for _ in range(24)]
    frames = [clips.frame_of(three, "yuv420p", 160, 96) for three in planes]
    source = clips.write_clip(tmp_path / "in.mkv", frames, "libvpx-vp9", colorspace=1)
    span = Span(start_seconds=0.2, every_nth=2, max_side=80)
    clip = trim_clip(source, tmp_path / "out.mp4", span, crf=4)
    assert verify(clip.path).fps == 12.5
    expected = decode_frames(source, span)
    written = decode_frames(clip.path)
    assert written.pixels.shape == expected.pixels.shape == (10, 48, 80, 3)
    assert np.abs(written.pixels - expected.pixels).mean() < 4 / 255
    assert not clip.has_audio


def test_deep_and_turned_sources_are_trimmed_as_they_are_shown(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    frames = [clips.frame_of(clips.gentle_planes(rng, 96, 64, (2, 2), 10), "yuv420p10le", 96, 64) for _ in range(3)]
    source = clips.write_clip(tmp_path / "in.mp4", frames, "libx264", colorspace=1)
    clips.with_display_matrix(source, 0, 1, -1, 0)
    clip = trim_clip(source, tmp_path / "out.mp4", Span(every_nth=2), crf=1)
    assert (clip.width, clip.height, clip.rotation) == (64, 96, 0)
    assert np.abs(decode_frames(clip.path).pixels - decode_frames(source, Span(every_nth=2)).pixels).mean() < 5 / 255
