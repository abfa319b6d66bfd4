"""Which pictures come, when they are shown, and what a part of a clip holds."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from nodes.media import containers, demuxer, source
from nodes.media.cadence import quick_step
from nodes.media.decode import Span, decode_frames, decode_last_frame, decode_last_of, measure, usual_rate
from nodes.media.encode import trim_clip
from nodes.media.errors import EmptySpan
from tests.support import clips

X264 = {"crf": "4", "preset": "medium", "x264-params": "scenecut=0:bframes=3:b-adapt=0:keyint=24"}
COUNTED = 50


@pytest.fixture(scope="module")
def numbered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("times") / "numbered.mp4"
    return clips.write_clip(path, clips.numbered_pictures(COUNTED), "libx264", options=X264)


@pytest.fixture(scope="module")
def moving(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("times") / "moving.mp4"
    return clips.write_clip(path, clips.moving_pictures(72), "libx264", options=X264)


@pytest.mark.parametrize(
    ("span", "numbers", "fps"),
    [
        (Span(), list(range(50)), 25),
        (Span(start_seconds=1.2), list(range(30, 50)), 25),
        (Span(start_seconds=1.21), list(range(31, 50)), 25),
        (Span(start_seconds=0.96, max_frames=3), [24, 25, 26], 25),
        (Span(every_nth=10), [0, 10, 20, 30, 40], 2.5),
        (Span(every_nth=7, max_frames=3), [0, 7, 14], Fraction(25, 7)),
        (Span(start_seconds=0.4, every_nth=3, max_frames=4), [10, 13, 16, 19], Fraction(25, 3)),
        (Span(start_seconds=1.96), [49], 25),
        (Span(max_frames=1000), list(range(50)), 25),
    ],
)
def test_a_span_holds_exactly_its_pictures(
    span: Span, numbers: list[int], fps: Fraction | float, numbered: Path
) -> None:
    frames = decode_frames(numbered, span)
    assert clips.numbers_of(frames.pixels) == numbers
    assert frames.fps == pytest.approx(float(fps))
    assert frames.start_seconds == pytest.approx(numbers[0] / 25)
    assert frames.seconds == pytest.approx(len(numbers) / float(fps))


@pytest.mark.parametrize("codec", ["libx264", "libx265"])
@pytest.mark.parametrize("nth", [2, 3, 5, 10])
def test_every_nth_gives_the_same_pixels_as_taking_them_from_all(codec: str, nth: int, tmp_path: Path) -> None:
    options = X264 if codec == "libx264" else {"preset": "fast", "x265-params": "log-level=none:keyint=24"}
    path = clips.write_clip(tmp_path / "moving.mp4", clips.moving_pictures(48), codec, options=options)
    whole = decode_frames(path).pixels
    assert np.array_equal(decode_frames(path, Span(every_nth=nth)).pixels, whole[::nth])
    part = decode_frames(path, Span(start_seconds=0.72, every_nth=nth)).pixels
    assert np.array_equal(part, whole[18::nth])


def _decoded_pictures(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    counted: list[int] = []
    decode = source.Source.decode

    def counting(self: source.Source, packet: Any) -> list[Any]:
        pictures = decode(self, packet)
        counted.extend([1] * len(pictures))
        return pictures

    monkeypatch.setattr(source.Source, "decode", counting)
    return counted


def test_every_nth_leaves_pictures_undecoded_that_no_other_needs(moving: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counted = _decoded_pictures(monkeypatch)
    assert len(decode_frames(moving, Span(every_nth=12)).pixels) == 6
    assert len(counted) < 50


def test_start_decodes_nothing_from_far_before(moving: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counted = _decoded_pictures(monkeypatch)
    frames = decode_frames(moving, Span(start_seconds=2.0, max_frames=4))
    assert len(frames.pixels) == 4
    assert len(counted) <= 10


def test_a_start_behind_the_end_is_named(numbered: Path) -> None:
    with pytest.raises(EmptySpan, match=r"start 2 s lies behind the last picture.*2\.00 s long"):
        decode_frames(numbered, Span(start_seconds=2.0))


@pytest.mark.parametrize(
    "wrong",
    [{"start_seconds": -1.0}, {"start_seconds": float("nan")}, {"every_nth": 0}, {"max_frames": -1}, {"max_side": -2}],
)
def test_a_span_that_cannot_be_meant_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(EmptySpan, match=next(iter(wrong)).removesuffix("_seconds")):
        Span(**wrong)


def test_changing_rates_give_every_picture_and_the_true_mean_rate(tmp_path: Path) -> None:
    # 24 pictures at 24 a second, then 16 at 8: three seconds.
    times = [number * 1000 // 24 for number in range(24)] + [1000 + number * 125 for number in range(16)]
    path = clips.write_clip(
        tmp_path / "vfr.mkv",
        clips.numbered_pictures(40),
        "libx264",
        options=X264,
        times=times,
        tick=Fraction(1, 1000),
    )
    frames = decode_frames(path)
    assert clips.numbers_of(frames.pixels) == list(range(40))
    assert frames.seconds == pytest.approx(3.0, abs=0.15)
    late = decode_frames(path, Span(start_seconds=2.0))
    assert clips.numbers_of(late.pixels) == list(range(32, 40))
    assert late.start_seconds == pytest.approx(2.0)
    assert late.fps == pytest.approx(8.0)


def test_a_clip_whose_clock_starts_late_counts_from_its_first_picture(tmp_path: Path) -> None:
    times = [1000 + number for number in range(30)]
    path = clips.write_clip(
        tmp_path / "late.mkv", clips.numbered_pictures(30), "libx264", options=X264, times=times, tick=Fraction(1, 25)
    )
    frames = decode_frames(path, Span(start_seconds=0.4, max_frames=2))
    assert clips.numbers_of(frames.pixels) == [10, 11]
    assert frames.start_seconds == pytest.approx(0.4)


def test_an_edit_list_decides_what_is_shown(tmp_path: Path) -> None:
    """Cut without re-encoding, players skip what lies before the cut; the header still counts it."""
    times = list(range(-10, 40))  # the first 10 pictures lie before zero
    path = clips.write_clip(
        tmp_path / "edited.mp4", clips.numbered_pictures(50), "libx264", options=X264, times=times, tick=Fraction(1, 25)
    )
    with av.open(str(path)) as container:
        assert container.streams.video[0].frames == 50
    frames = decode_frames(path)
    assert clips.numbers_of(frames.pixels) == list(range(10, 50))
    assert frames.start_seconds == 0
    assert clips.numbers_of(decode_frames(path, Span(start_seconds=0.4, max_frames=2)).pixels) == [20, 21]
    assert clips.numbers_of(decode_frames(path, Span(every_nth=15)).pixels) == [10, 25, 40]


def test_pictures_that_refer_to_a_lost_start_are_left_out(tmp_path: Path) -> None:
    """An open group of pictures: the first B pictures need what was cut away."""
    options = {"crf": "4", "x264-params": "open-gop=1:keyint=12:min-keyint=12:scenecut=0:bframes=3:b-adapt=0"}
    whole = clips.write_clip(tmp_path / "whole.ts", clips.numbered_pictures(36), "libx264", options=options)
    key_frames: list[int] = []

    def after_the_first_group(number: int, packet: Any) -> bool:
        if packet.is_keyframe:
            key_frames.append(number)
        return len(key_frames) > 1

    path = clips.write_clip(
        tmp_path / "open.mkv", clips.numbered_pictures(36), "libx264", options=options, keep=after_the_first_group
    )
    numbers = clips.numbers_of(decode_frames(path).pixels)
    assert numbers[-1] == 35
    assert numbers == sorted(numbers)
    assert set(range(14, 36)) <= set(numbers)
    assert clips.numbers_of(decode_frames(whole).pixels) == list(range(36))


def test_a_missing_last_packet_costs_one_picture(tmp_path: Path) -> None:
    options = {"crf": "4", "x264-params": "bframes=0:keyint=100"}
    path = clips.write_clip(
        tmp_path / "short.mp4", clips.numbered_pictures(20), "libx264", options=options, keep=lambda n, _: n < 19
    )
    assert clips.numbers_of(decode_frames(path).pixels) == list(range(19))


def test_a_file_cut_off_gives_the_pictures_that_are_there(tmp_path: Path) -> None:
    whole = clips.write_clip(
        tmp_path / "whole.mp4",
        clips.moving_pictures(40),
        "libx264",
        options={"crf": "10", "x264-params": "bframes=0"},
        container_options={"movflags": "faststart"},
    )
    content = whole.read_bytes()
    path = tmp_path / "cut.mp4"
    path.write_bytes(content[: len(content) * 2 // 3])
    frames = decode_frames(path)
    assert 10 < len(frames.pixels) < 40
    assert frames.pixels.flags.owndata
    assert frames.seconds == pytest.approx(len(frames.pixels) / 25)
    assert np.array_equal(frames.pixels[:10], decode_frames(whole, Span(max_frames=10)).pixels)


@pytest.mark.parametrize(
    ("codec", "suffix"), [("mpeg4", ".avi"), ("libvpx", ".webm"), ("libx264", ".ts"), ("libvpx-vp9", ".webm")]
)
def test_containers_without_a_table_give_every_picture(codec: str, suffix: str, tmp_path: Path) -> None:
    path = clips.write_clip(
        tmp_path / f"clip{suffix}", clips.numbered_pictures(30), codec, options={"qmin": "1", "qmax": "4", "b": "4M"}
    )
    assert clips.numbers_of(decode_frames(path).pixels) == list(range(30))
    part = decode_frames(path, Span(start_seconds=0.4, every_nth=2, max_frames=4))
    assert clips.numbers_of(part.pixels) == [10, 12, 14, 16]


def test_an_mp4_with_a_table_is_opened_once_for_its_frames(moving: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Path] = []
    plain = containers.open_container

    def opening(path: Path) -> Any:
        opened.append(path)
        return plain(path)

    monkeypatch.setattr(demuxer, "open_container", opening)
    assert len(decode_frames(moving).pixels) == 72
    assert len(opened) == 1


def test_fragments_that_state_no_count_give_every_picture(tmp_path: Path) -> None:
    path = clips.write_clip(
        tmp_path / "fragmented.mp4",
        clips.numbered_pictures(40),
        "libx264",
        options=X264,
        container_options={"movflags": "frag_keyframe+empty_moov"},
    )
    assert clips.numbers_of(decode_frames(path).pixels) == list(range(40))
    assert clips.numbers_of(decode_frames(path, Span(1.0, max_frames=2)).pixels) == [25, 26]


def _timed(folder: Path, suffix: str, times: list[int]) -> Path:
    """Numbered pictures, key frames among them, whose packets carry these times, in milliseconds."""
    options = {"x264-params": "bframes=0:keyint=6:scenecut=0:qp=1"}
    plain = clips.write_clip(folder / "plain.mp4", clips.numbered_pictures(len(times)), "libx264", options=options)

    def at_its_time(number: int, packet: Any) -> list[Any]:
        packet.time_base, packet.pts, packet.dts = Fraction(1, 1000), times[number], number - len(times)
        packet.duration = 100
        return [packet]

    return clips.copied(plain, folder / f"timed{suffix}", at_its_time)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize(
    ("span", "numbers", "begins"),
    [
        (Span(), list(range(40)), 0.0),
        (Span(start_seconds=0.8), list(range(20, 40)), 0.8),
        (Span(start_seconds=1.75), list(range(31, 40)), 1.8),
        (Span(start_seconds=1.0, seconds=0.5), [22, 23, 24, 25, 26, 27], 1.0),
        (Span(start_seconds=0.8, every_nth=4, max_frames=3), [20, 24, 28], 0.8),
        (Span(start_seconds=1.15, seconds=0.5, fps=10), [23, 25, 26, 27, 28], 1.15),
    ],
)
def test_a_part_of_a_clip_in_which_two_pictures_have_one_time_begins_where_it_says(
    span: Span, numbers: list[int], begins: float, suffix: str, tmp_path: Path
) -> None:
    """Twenty pictures at 25 a second, then twenty at 10, of which the fifth and the sixth have one time."""
    times = [*range(0, 800, 40), *range(800, 1300, 100), *range(1200, 2700, 100)]
    path = _timed(tmp_path, suffix, times)
    frames = decode_frames(path, span)
    assert clips.numbers_of(frames.pixels) == numbers
    assert frames.start_seconds == pytest.approx(begins)
    assert clips.numbers_of(decode_last_of(path, span)) == numbers[-1:]
    assert clips.numbers_of(decode_last_frame(path)) == [39]


def test_two_pictures_of_one_time_share_what_there_is_until_the_next(tmp_path: Path) -> None:
    path = _timed(tmp_path, ".mkv", [0, 40, 80, 200, 200, 300, 400, 500, 600])
    told = [0, 0.04, 0.08, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6]
    assert measure(path, Span()).moments == pytest.approx(told)
    part = measure(path, Span(start_seconds=0.08, seconds=0.3))
    assert part.moments == pytest.approx([moment - 0.08 for moment in told[2:6]])
    assert part.seconds == pytest.approx(0.3, abs=0.002)
    assert trim_clip(path, tmp_path / "part.mp4", Span(start_seconds=0.08)).frame_count == 7


def test_where_half_of_a_clip_is_twice_as_quick_its_usual_rate_is_one_of_the_two(tmp_path: Path) -> None:
    path = _timed(tmp_path, ".mkv", [*range(0, 250, 50), *range(300, 700, 100)])
    assert usual_rate(path) == pytest.approx(20)


def test_the_usual_rate_of_a_clip_with_two_pictures_of_one_time_is_that_of_the_others(tmp_path: Path) -> None:
    path = _timed(tmp_path, ".mkv", [*range(0, 900, 100), *range(800, 1500, 100)])
    assert usual_rate(path) == pytest.approx(10)


def test_a_screen_that_moves_for_a_tenth_of_its_pictures_is_sent_at_the_rate_at_which_it_moves(tmp_path: Path) -> None:
    path = _timed(tmp_path, ".mkv", [*range(0, 13_500, 500), *range(13_500, 13_700, 40), *range(13_700, 20_000, 500)])
    assert usual_rate(path) == pytest.approx(25)


def test_of_times_that_come_twice_the_step_is_that_between_those_that_differ() -> None:
    assert quick_step([time for number in range(40) for time in (10 * number, 10 * number)]) == 10
    assert quick_step([5] * 40) == 0


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_last_picture_that_stands_longer_than_the_rest_is_a_part_of_the_clip(suffix: str, tmp_path: Path) -> None:
    """Twenty pictures at 10 a second, of which the last stands for three seconds more, with sound to the end."""
    path = _last_stands(_timed(tmp_path, suffix, [*range(0, 2000, 100)]), 3.1, tmp_path / f"stands{suffix}")
    frames = decode_frames(path)
    assert clips.numbers_of(frames.pixels) == list(range(20))
    assert frames.seconds == pytest.approx(5.0, abs=0.01)
    assert measure(path, Span()).moments == pytest.approx([number / 10 for number in range(20)])
    assert decode_frames(path, Span(start_seconds=1.0, max_frames=5)).fps == pytest.approx(10)
    cut = trim_clip(path, tmp_path / "cut.mp4", Span(start_seconds=1.0))
    assert cut.frame_count == 10 and cut.seconds == pytest.approx(4.0, abs=0.01)


def _last_stands(path: Path, seconds: float, out: Path) -> Path:
    with av.open(str(path)) as given, av.open(str(out), "w") as container:
        copy = container.add_stream_from_template(given.streams.video[0], opaque=True)
        packets = [packet for packet in given.demux(video=0) if packet.size]
        packets[-1].duration = round(seconds / packets[-1].time_base)
        for packet in packets:
            packet.stream = copy
            container.mux(packet)
    with av.open(str(out)) as written:
        *_, last = (packet for packet in written.demux(video=0) if packet.size)
        if float((last.duration or 0) * last.time_base) < seconds:
            pytest.skip(f"PyAV {av.__version__} writes no length of a last picture into {out.suffix}")
    return out


def test_where_all_pictures_have_one_time_they_are_counted_at_the_rate_that_is_told(tmp_path: Path) -> None:
    path = _timed(tmp_path, ".mkv", [0] * 20)
    whole = decode_frames(path)
    assert clips.numbers_of(whole.pixels) == list(range(20))
    for span in (Span(start_seconds=5 / whole.fps, max_frames=3), Span(5 / whole.fps, seconds=3 / whole.fps)):
        part = decode_frames(path, span)
        assert clips.numbers_of(part.pixels) == [5, 6, 7]
        assert part.start_seconds == pytest.approx(5 / whole.fps)
