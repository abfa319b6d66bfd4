"""Times are the packets' own: recordings of screens and phones, target rates, parts that end in the middle."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from nodes.jobs import order_media
from nodes.media.audio import decode_audio
from nodes.media.decode import decode_frames, decode_last_of, measure
from nodes.media.encode import encode_clip, trim_clip
from nodes.media.errors import EmptySpan
from nodes.media.span import Span
from nodes.stopping import never_stop

TICKS = 90_000


def shade(number: int) -> int:
    return 20 + 3 * (number % 70)


def numbered(count: int) -> list[np.ndarray[Any, Any]]:
    """Grey pictures that tell their number."""
    return [np.full((48, 64, 3), shade(number), np.uint8) for number in range(count)]


def numbers_of(pixels: np.ndarray[Any, Any]) -> list[int]:
    return [round((float(picture.mean()) * 255 - 20) / 3) for picture in pixels]


def told(numbers: list[int]) -> list[int]:
    """As pictures tell them: their shades begin anew after a while."""
    return [number % 70 for number in numbers]


def recording(path: Path, moments: list[float], codec: str = "libx264") -> Path:
    """A clip whose pictures are shown at these moments, as screen recorders write them."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=30)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.time_base = stream.codec_context.time_base = Fraction(1, TICKS)
        for picture, moment in zip(numbered(len(moments)), moments, strict=True):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = round(moment * TICKS), Fraction(1, TICKS)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


BUSY_STILL_BUSY = [number / 30 for number in range(60)] + [8 + number / 30 for number in range(60)]
"""60 pictures in 2 s, 6 s still, 60 in 2 s."""


@pytest.fixture(params=["libx264", "libvpx-vp9"])
def screen(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    suffix = ".mp4" if request.param == "libx264" else ".mkv"
    return recording(tmp_path / f"screen{suffix}", BUSY_STILL_BUSY, request.param)


def shown_at(path: Path) -> list[float]:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        return [float(frame.pts * stream.time_base) for frame in container.decode(stream)]


def test_a_cut_keeps_the_times_of_its_pictures(screen: Path, tmp_path: Path) -> None:
    cut = trim_clip(screen, tmp_path / "cut.mp4", Span(start_seconds=1.0))
    times = shown_at(cut.path)
    assert len(times) == 90
    assert times[29:31] == pytest.approx([29 / 30, 7.0], abs=0.002)
    assert times[-1] == pytest.approx(7.0 + 59 / 30, abs=0.002)
    assert cut.seconds == pytest.approx(9.0, abs=0.1)


def test_a_part_that_ends_in_the_stillness_is_as_long_as_was_asked(screen: Path) -> None:
    part = measure(screen, Span(seconds=3.0))
    assert part.frames == 60 and part.seconds == pytest.approx(3.0, abs=0.01)
    constant = measure(screen, Span(seconds=3.0, fps=30))
    assert (constant.frames, constant.fps) == (90, 30)


def test_what_is_sent_of_it_keeps_its_length(screen: Path, tmp_path: Path) -> None:
    folder = tmp_path / "uploads"
    folder.mkdir()
    sent = order_media.of_file(screen, never_stop, "wan2-6", seconds=3.0).write(folder, never_stop)
    times = shown_at(sent.path)
    assert len(times) == 90 and times == pytest.approx([number / 30 for number in range(90)], abs=0.001)


def test_a_constant_rate_shows_what_a_player_shows_then(screen: Path) -> None:
    frames = decode_frames(screen, Span(fps=10))
    assert (frames.pixels.shape[0], frames.fps) == (100, 10)
    expected = [sum(1 for moment in BUSY_STILL_BUSY if moment <= number / 10 + 0.001) - 1 for number in range(100)]
    assert numbers_of(frames.pixels) == told(expected)


@pytest.mark.parametrize(("rate", "wanted", "frames"), [(30, 16, 32), (59.94, 24, 48), (24, 30, 60), (25, 25, 50)])
def test_a_target_rate_keeps_the_duration(tmp_path: Path, rate: float, wanted: float, frames: int) -> None:
    path = encode_clip(numbered(round(2 * rate)), rate, tmp_path / "clip.mp4", preset="ultrafast").path
    loaded = decode_frames(path, Span(fps=wanted))
    assert (loaded.pixels.shape[0], loaded.fps) == (frames, wanted)
    assert loaded.seconds == pytest.approx(2.0, abs=1 / wanted)
    expected = [int(number / wanted * rate + 0.001 * rate) for number in range(frames)]
    assert np.abs(np.subtract(numbers_of(loaded.pixels), told(expected))).max() <= 1
    assert decode_audio(path, loaded.start_seconds, loaded.seconds).samples.shape[2] == round(loaded.seconds * 44_100)


def test_a_target_rate_begins_at_the_moment_asked_for(screen: Path) -> None:
    """In the stillness the picture before it is on the screen, not the next one that comes."""
    frames = decode_frames(screen, Span(start_seconds=5.0, fps=2, max_frames=8))
    assert frames.start_seconds == 5.0
    assert numbers_of(frames.pixels) == told([59, 59, 59, 59, 59, 59, 60, 75])


def test_every_nth_and_the_last_frame_go_by_the_target_rate(screen: Path) -> None:
    span = Span(fps=10, every_nth=5, max_frames=18)
    frames = decode_frames(screen, span)
    assert (frames.fps, len(frames.pixels)) == (2, 18)
    last = decode_last_of(screen, span)
    assert numbers_of(last) == numbers_of(frames.pixels[-1:])


def test_a_start_behind_the_end_is_refused_at_any_rate(screen: Path) -> None:
    with pytest.raises(EmptySpan):
        measure(screen, Span(start_seconds=11.0, fps=24))


@pytest.mark.parametrize("span", [{"fps": -1.0}, {"fps": float("nan")}, {"seconds": float("inf")}])
def test_a_rate_or_a_length_that_cannot_be_meant_is_refused(span: dict[str, float]) -> None:
    with pytest.raises(EmptySpan):
        Span(**span)  # type: ignore[arg-type]


def test_a_rate_is_what_the_steps_add_up_to(tmp_path: Path) -> None:
    """Each step is a tick from what the header says, always to the same side: after a minute that is two seconds."""
    path = recording(tmp_path / "drift.mkv", [number * 0.035 for number in range(120)])
    assert measure(path, Span()).fps == pytest.approx(1 / 0.035, rel=0.002)
