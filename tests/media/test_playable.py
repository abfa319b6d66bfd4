"""Which clips browsers play, and the small copy of one that they do not."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from nodes.media.decode import decode_frames
from nodes.media.encode import encode_clip
from nodes.media.errors import EmptySpan
from nodes.media.playable import is_played, write_copy
from nodes.media.probe import probe
from nodes.media.span import WHOLE, Span
from nodes.stopping import Stopped
from tests.support.clips import HLG, hdr_clip, numbered_pictures, numbers_of, write_clip

CLIPS = {
    "a.mp4": ("libx264", {}, True),
    "a.mov": ("libx264", {}, True),
    "a.webm": ("libvpx-vp9", {"deadline": "realtime", "cpu-used": "8"}, True),
    "a.mkv": ("libx264", {}, False),
    "a.avi": ("mpeg4", {}, False),
    "b.mp4": ("libx265", {"x265-params": "log-level=none"}, False),
    "b.mov": ("prores_ks", {}, False),
    "a.gif": ("gif", {}, False),
}


def clip(folder: Path, name: str, count: int = 12) -> Path:
    codec, options, _ = CLIPS[name]
    frames = numbered_pictures(count)
    if codec == "prores_ks":
        frames = [frame.reformat(format="yuv422p10le") for frame in frames]
    if codec == "gif":
        frames = [frame.reformat(format="rgb8") for frame in frames]
    return write_clip(folder / name, frames, codec, options=options)


@pytest.mark.parametrize("name", CLIPS)
def test_what_browsers_play_is_known_by_its_form(name: str, tmp_path: Path) -> None:
    assert is_played(probe(clip(tmp_path, name))) is CLIPS[name][2]


def test_a_clip_for_bright_displays_is_copied(tmp_path: Path) -> None:
    hdr_clip(tmp_path / "phone.mp4", [[203, 203, 203]], HLG)
    assert not is_played(probe(tmp_path / "phone.mp4"))


@pytest.mark.parametrize("name", CLIPS)
def test_the_copy_is_the_part_and_plays_everywhere(name: str, tmp_path: Path) -> None:
    out = tmp_path / "copy.mp4"
    write_copy(clip(tmp_path, name), out, Span(every_nth=2, max_frames=4))
    assert is_played(probe(out)) and probe(out).frame_count == 4
    if name != "a.gif":  # its colours are few
        assert numbers_of(decode_frames(out).pixels) == [0, 2, 4, 6]


def test_the_copy_of_a_long_clip_is_as_much_as_there_is_time_for(tmp_path: Path) -> None:
    path, out = clip(tmp_path, "a.mp4"), tmp_path / "copy.mp4"
    seconds = itertools.count(step=0.5)
    write_copy(path, out, WHOLE, clock=lambda: float(next(seconds)))
    assert 1 <= (probe(out).frame_count or 0) < 12
    slow = itertools.count(step=100)
    write_copy(path, out, WHOLE, clock=lambda: float(next(slow)))
    assert probe(out).frame_count == 1, "one picture at the least"


def test_the_copy_is_small(tmp_path: Path) -> None:
    frames = [frame.to_ndarray(format="rgb24") for frame in numbered_pictures(2, 1280, 720)]
    encode_clip(frames, 24, tmp_path / "large.mp4")
    write_copy(tmp_path / "large.mp4", tmp_path / "copy.mp4", WHOLE)
    assert (probe(tmp_path / "copy.mp4").width, probe(tmp_path / "copy.mp4").height) == (512, 288)


def test_nothing_is_left_of_a_copy_that_was_stopped_or_has_no_picture(tmp_path: Path) -> None:
    path, out = clip(tmp_path, "a.mp4"), tmp_path / "copy.mp4"
    with pytest.raises(Stopped):
        write_copy(path, out, WHOLE, stop=lambda: True)
    with pytest.raises(EmptySpan):
        write_copy(path, out, Span(start_seconds=100))
    assert not out.exists()
