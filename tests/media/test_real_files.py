"""Files as recorders and old programs leave them: numbered as they lie, begun anywhere, with sound that is broken."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nodes.media.decode import decode_frames, decode_last_frame
from nodes.media.span import WHOLE, Span
from tests.support import clips

COUNT = 24
H264 = {"x264-params": "bframes=3:b-adapt=0:keyint=12:scenecut=0:qp=1"}


def _same(found: Any, wanted: Any) -> bool:
    return found.shape == wanted.shape and bool(np.abs(found - wanted).max() < 6 / 255)


@pytest.mark.parametrize(
    "span",
    [WHOLE, Span(start_seconds=0.28, max_frames=6), Span(every_nth=5), Span(start_seconds=0.6)],
    ids=["whole", "middle", "sparse", "end"],
)
def test_h264_in_avi_lies_in_the_order_it_is_shown(span: Span, tmp_path: Path) -> None:
    avi, mp4 = (
        clips.write_clip(tmp_path / name, clips.moving_pictures(COUNT), "libx264", options=H264)
        for name in ("clip.avi", "clip.mp4")
    )
    assert _same(decode_frames(avi, span).pixels, decode_frames(mp4, span).pixels)
    assert _same(decode_last_frame(avi), decode_last_frame(mp4))


@pytest.mark.parametrize(
    ("codec", "suffix", "options"),
    [
        ("libx264", ".ts", {"x264-params": "bframes=2:b-adapt=0:keyint=12:scenecut=0:qp=1"}),
        ("libx264", ".mkv", {"x264-params": "bframes=0:keyint=12:scenecut=0:qp=1"}),
        ("libx264", ".ts", {"x264-params": "bframes=2:b-adapt=0:keyint=12:scenecut=0:qp=1:open-gop=1"}),
        ("libx265", ".ts", {"x265-params": "keyint=12:min-keyint=12:bframes=2:open-gop=1:log-level=none:qp=1"}),
        ("mpeg2video", ".ts", {"bf": "2", "g": "12", "q": "1"}),
    ],
)
def test_a_recording_that_begins_anywhere_begins_with_its_first_whole_picture(
    codec: str, suffix: str, options: dict[str, str], tmp_path: Path
) -> None:
    path = clips.write_clip(
        tmp_path / f"cut{suffix}",
        clips.numbered_pictures(40),
        codec,
        options=options,
        keep=lambda number, packet: number >= 5,
    )
    whole = decode_frames(path)
    numbers = clips.numbers_of(whole.pixels)
    first = numbers[0]
    assert 6 <= first <= 13
    assert numbers == pytest.approx(list(range(first, 40)), abs=1)  # MPEG-2 loses a little of a shade
    assert whole.start_seconds == 0
    assert whole.fps == pytest.approx(25)
    assert clips.numbers_of(decode_frames(path, Span(max_frames=3)).pixels) == numbers[:3]
    later = decode_frames(path, Span(start_seconds=0.4, max_frames=2))
    assert clips.numbers_of(later.pixels) == numbers[10:12]
    assert later.start_seconds == pytest.approx(0.4)
