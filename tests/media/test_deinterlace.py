"""Interlaced clips come out as pictures of one moment each, as many as before; progressive ones stay as they are."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any

import av
import av.filter
import numpy as np
import pytest

from nodes.media import deinterlace
from nodes.media.decode import decode_frames, decode_last_frame, decode_last_of
from nodes.media.deinterlace import deinterlaced
from nodes.media.encode import trim_clip
from nodes.media.probe import probe
from nodes.media.source import Source
from nodes.media.span import Span
from tests.support.clips import Array, frame_of, planes_of, write_clip

WIDTH, HEIGHT, COUNT = 96, 64, 12
X264 = {"qp": "0", "x264-params": "interlaced=1:bframes=2:keyint=5"}
MPEG2 = {"flags": "+ilme+ildct", "qmin": "1", "qmax": "1", "g": "5"}
FORMS = {
    "H.264, top field first": ("libx264", X264, "a.mp4", True),
    "H.264, bottom field first": ("libx264", X264, "a.mkv", False),
    "MPEG-2, top field first": ("mpeg2video", MPEG2, "a.mpg", True),
    "MPEG-2, bottom field first": ("mpeg2video", MPEG2, "a.ts", False),
}


def moment(number: int) -> Array:
    """Luma of a scene that moves, 50 moments a second."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    waves = 128 + 60 * np.sin((x - 2 * number) / 9) + 40 * np.cos((y + number) / 11)
    shade: Array = waves.clip(16, 235).astype(np.uint8)
    return shade


def woven(number: int, top_first: bool) -> Array:
    """Two moments in the lines of one picture."""
    luma = moment(2 * number)
    later = 1 if top_first else 0
    luma[later::2] = moment(2 * number + 1)[later::2]
    return luma


def yuv(luma: Array) -> Any:
    grey = np.full((HEIGHT // 2, WIDTH // 2), 128, np.uint8)
    return frame_of((luma, grey, grey), "yuv420p", WIDTH, HEIGHT)


def marked(frames: Iterator[Any], top_first: bool, size: tuple[int, int] = (WIDTH, HEIGHT)) -> Iterator[Any]:
    """Frames that say which of their fields comes first."""
    graph = av.filter.Graph()
    source = graph.add_buffer(
        width=size[0], height=size[1], format=av.VideoFormat("yuv420p"), time_base=Fraction(1, 25)
    )
    field, sink = graph.add("setfield", "tff" if top_first else "bff"), graph.add("buffersink")
    source.link_to(field)
    field.link_to(sink)
    graph.configure()
    for number, frame in enumerate(frames):
        frame.pts, frame.time_base = number, Fraction(1, 25)
        source.push(frame)
        yield graph.pull()


def interlaced_clip(folder: Path, form: str) -> Path:
    codec, options, name, top_first = FORMS[form]
    frames = marked((yuv(woven(number, top_first)) for number in range(COUNT)), top_first)
    return write_clip(folder / name, frames, codec, options=options)


def progressive_clip(path: Path) -> Path:
    return write_clip(path, (yuv(moment(2 * number)) for number in range(COUNT)), "libx264", options={"qp": "0"})


def levels(a: Array, b: Array) -> float:
    """The largest difference, in 8-bit levels."""
    return float(np.abs(a - b).max() * 255)


@pytest.mark.parametrize("form", FORMS)
def test_each_frame_is_the_moment_of_its_first_field(form: str, tmp_path: Path) -> None:
    frames = decode_frames(interlaced_clip(tmp_path, form)).pixels
    assert len(frames) == COUNT, "one for each picture"
    for number, frame in enumerate(frames):
        truth = (moment(2 * number).astype(float) - 16) / 219
        rms = float(np.sqrt(((frame[..., 1] - truth) ** 2).mean()) * 255)
        assert rms < 3, f"frame {number} is {rms:.1f} levels away from its moment"
        combed = float(np.abs(np.diff(frame[..., 1], 2, axis=0)).mean() * 255)
        assert combed < 3, f"frame {number} shows combs"


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="no ffmpeg program here")
@pytest.mark.parametrize("form", FORMS)
def test_frames_are_those_of_the_ffmpeg_program(form: str, tmp_path: Path) -> None:
    clip = interlaced_clip(tmp_path, form)
    theirs = tmp_path / "theirs.mkv"
    filters = ["-vf", "bwdif=send_frame:auto:interlaced", "-c:v", "ffv1", "-pix_fmt", "yuv420p"]
    subprocess.run(["ffmpeg", "-v", "error", "-i", str(clip), "-map", "0:v", *filters, str(theirs)], check=True)
    ours, expected = decode_frames(clip).pixels, decode_frames(theirs).pixels
    assert ours.shape == expected.shape
    # The first one has no picture before it, which releases of the filter treat in different ways at the edges.
    assert levels(ours[1:], expected[1:]) == 0 and levels(ours[:, 8:-8], expected[:, 8:-8]) == 0


@pytest.mark.parametrize("form", FORMS)
def test_parts_and_last_frames_are_those_of_the_whole(form: str, tmp_path: Path) -> None:
    clip = interlaced_clip(tmp_path, form)
    whole = decode_frames(clip).pixels
    for first in (1, 5, 6):
        part = decode_frames(clip, Span(start_seconds=first / 25, max_frames=3)).pixels
        assert levels(part, whole[first : first + 3]) == 0, first
    assert levels(decode_frames(clip, Span(every_nth=3)).pixels, whole[::3]) == 0
    assert levels(decode_last_frame(clip), whole[-1:]) == 0
    assert levels(decode_last_of(clip, Span(max_frames=7)), whole[6:7]) == 0


def test_a_clip_whose_every_picture_is_a_key_frame_ends_as_the_whole_does(tmp_path: Path) -> None:
    frames = marked((yuv(woven(number, True)) for number in range(COUNT)), True)
    options = {"qp": "0", "x264-params": "interlaced=1:keyint=1"}
    clip = write_clip(tmp_path / "intra.mp4", frames, "libx264", options=options)
    assert levels(decode_last_frame(clip), decode_frames(clip).pixels[-1:]) == 0


def test_progressive_pictures_pass_as_they_are(tmp_path: Path) -> None:
    with (
        Source(progressive_clip(tmp_path / "p.mp4")) as still,
        Source(interlaced_clip(tmp_path, "H.264, top field first")) as moving,
    ):
        before = [[plane.copy() for plane in planes_of(picture)] for picture in still.pictures(still.packets())]
        still.reopen()
        mixed = chain(still.pictures(still.packets()), moving.pictures(moving.packets()))
        after = list(deinterlaced(mixed))
    assert len(after) == 2 * COUNT
    for planes, picture in zip(before, after, strict=False):
        assert all(np.array_equal(a, b) for a, b in zip(planes, planes_of(picture), strict=True))


def test_a_progressive_clip_needs_no_filter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[object] = []
    monkeypatch.setattr(deinterlace, "_deinterlacer_for", made.append)
    decode_frames(progressive_clip(tmp_path / "p.mp4"))
    assert made == []


def test_what_is_uploaded_or_cut_shows_no_combs(tmp_path: Path) -> None:
    out = tmp_path / "cut.mp4"
    trim_clip(interlaced_clip(tmp_path, "H.264, top field first"), out, Span(), crf=1)
    cut = probe(out)
    assert not cut.interlaced and cut.frame_count == COUNT
    frames = decode_frames(out).pixels
    assert float(np.abs(np.diff(frames[..., 1], 2, axis=1)).mean() * 255) < 3


def test_the_clip_says_what_is_done_to_its_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = probe(interlaced_clip(tmp_path, "H.264, top field first"))
    assert [str(each) for each in clip.remarks] == ["interlaced: the lines between are worked out anew"]
    monkeypatch.setattr(av.filter, "filters_available", frozenset())
    deinterlace.deinterlacer.cache_clear()
    try:
        assert [str(each) for each in clip.remarks] == ["interlaced: each frame holds the lines of two moments"]
        assert len(decode_frames(clip.path).pixels) == COUNT, "as they are, where this PyAV has no filter for it"
    finally:
        monkeypatch.undo()
        deinterlace.deinterlacer.cache_clear()


@pytest.mark.parametrize("size", [(2, 2), (16, 2)])
def test_pictures_too_small_for_the_filter_come_as_they_are(size: tuple[int, int]) -> None:
    pictures = list(marked((av.VideoFrame(*size, "yuv420p") for _ in range(3)), True, size))
    assert all(picture.interlaced_frame for picture in pictures)
    assert [id(picture) for picture in deinterlaced(iter(pictures))] == [id(picture) for picture in pictures]


def test_a_clip_is_read_picture_by_picture(tmp_path: Path) -> None:
    read = 0

    def counted(pictures: Iterator[Any]) -> Iterator[Any]:
        nonlocal read
        for picture in pictures:
            read += 1
            yield picture

    with Source(interlaced_clip(tmp_path, "MPEG-2, top field first")) as source:
        pictures = deinterlaced(counted(source.pictures(source.packets())))
        for number, _ in enumerate(pictures, 1):
            assert read <= number + 2
    assert read == COUNT
