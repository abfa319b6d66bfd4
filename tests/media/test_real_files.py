"""Files as recorders and old programs leave them: numbered as they lie, begun anywhere, with sound that is broken."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from nodes.media.decode import decode_frames, decode_last_frame, measure
from nodes.media.source import Source
from nodes.media.span import WHOLE, Span
from tests.support import clips, fields

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


@pytest.mark.parametrize("suffix", [".ts", ".mp4", ".mkv"])
def test_two_fields_in_a_packet_each_are_one_picture(suffix: str, tmp_path: Path) -> None:
    path = fields.write_fields(tmp_path / "camcorder.ts", COUNT)
    if suffix != ".ts":
        path = clips.copied(path, tmp_path / f"copy{suffix}")
    whole = decode_frames(path)
    assert clips.numbers_of(whole.pixels) == list(range(COUNT))
    assert whole.fps == pytest.approx(25)
    part = decode_frames(path, Span(start_seconds=0.4, every_nth=3, max_frames=2))
    assert clips.numbers_of(part.pixels) == [10, 13]
    assert clips.numbers_of(decode_frames(path, Span(max_frames=1)).pixels) == [0]
    assert clips.numbers_of(decode_last_frame(path)) == [COUNT - 1]


def _hidden(packet: Any, bit: int) -> Any:
    data = bytearray(bytes(packet))
    data[0] &= ~bit
    hidden = av.Packet(bytes(data))
    hidden.pts, hidden.dts, hidden.time_base = packet.pts, packet.dts, packet.time_base
    return hidden


# show_frame: RFC 6386, 9.1; for VP9's key frames the sixth bit (6.2 of its bitstream, profile 0).
@pytest.mark.parametrize(("codec", "bit"), [("libvpx", 0x10), ("libvpx-vp9", 0x02)])
def test_pictures_that_are_never_shown_are_neither_rows_nor_times(codec: str, bit: int, tmp_path: Path) -> None:
    options = {"deadline": "realtime", "cpu-used": "8", "crf": "4", "b": "8M", "g": "1"}
    numbered = clips.write_clip(tmp_path / "whole.webm", clips.numbered_pictures(COUNT), codec, options=options)

    def each_third(number: int, packet: Any) -> list[Any]:
        return [_hidden(packet, bit) if number % 3 == 2 else packet]

    path = clips.copied(numbered, tmp_path / "hidden.webm", each_third)
    shown = [number for number in range(COUNT) if number % 3 != 2]
    whole = decode_frames(path)
    assert clips.numbers_of(whole.pixels) == pytest.approx(shown, abs=1)
    assert measure(path, WHOLE).moments == pytest.approx([number / 25 for number in shown])
    part = decode_frames(path, Span(start_seconds=0.44, max_frames=2))
    assert clips.numbers_of(part.pixels) == pytest.approx([12, 13], abs=1)


def test_a_vp9_packet_of_a_hidden_and_a_shown_frame_is_one_picture(tmp_path: Path) -> None:
    options = {"deadline": "realtime", "cpu-used": "8", "crf": "4", "b": "8M", "g": "1"}
    numbered = clips.write_clip(tmp_path / "whole.webm", clips.numbered_pictures(COUNT), "libvpx-vp9", options=options)

    def doubled(_number: int, packet: Any) -> list[Any]:
        """The frame twice, hidden and shown, with the index of annex B."""
        parts = [bytes(_hidden(packet, 0x02)), bytes(packet)]
        mark = bytes((0xC0 | 3 << 3 | len(parts) - 1,))
        index = mark + b"".join(len(part).to_bytes(4, "little") for part in parts) + mark
        joined = av.Packet(b"".join(parts) + index)
        joined.pts, joined.dts, joined.time_base = packet.pts, packet.dts, packet.time_base
        return [joined]

    path = clips.copied(numbered, tmp_path / "joined.webm", doubled)
    assert np.array_equal(decode_frames(path).pixels, decode_frames(numbered).pixels)


@pytest.mark.parametrize("span", [Span(start_seconds=0.6, max_frames=4), Span(start_seconds=0.6, every_nth=4)])
def test_a_table_of_key_frames_that_lies_is_not_believed(span: Span, tmp_path: Path) -> None:
    options = {"x264-params": "bframes=0:keyint=48:scenecut=0:qp=1"}
    frames = clips.moving_pictures(48)
    path = clips.write_clip(tmp_path / "lies.mp4", frames, "libx264", options=options)
    honest = decode_frames(path, span).pixels
    # The one entry of the table (ISO/IEC 14496-12, 8.6.2), which names picture 1: now picture 12.
    clips.patched(path, b"stss", 8, (12).to_bytes(4, "big"))
    assert np.array_equal(decode_frames(path, span).pixels, honest)
    assert np.array_equal(decode_last_frame(path), decode_frames(path).pixels[-1:])


def test_444_of_x264_is_decoded_after_a_seek_by_the_version_in_the_first_packet(tmp_path: Path) -> None:
    """Before version 151 it differs from the standard; a new stream that says it is old comes out wrong, everywhere."""
    rng = np.random.default_rng(5)
    planes = clips.gentle_planes(rng, 96, 64, (1, 1))
    frames = [
        clips.frame_of([np.roll(plane, 3 * number, 1) for plane in planes], "yuv444p", 96, 64)
        for number in range(COUNT)
    ]
    options = {"x264-params": "bframes=0:keyint=8:scenecut=0:crf=6:8x8dct=1"}
    path = clips.write_clip(tmp_path / "new.mp4", frames, "libx264", options=options)
    true = decode_frames(path).pixels
    assert np.array_equal(decode_frames(path, Span(start_seconds=0.4)).pixels, true[10:])
    content = path.read_bytes()
    at = content.index(b"x264 - core ") + len(b"x264 - core ")
    path.write_bytes(content[:at] + b"120" + content[at + 3 :])
    for found in (decode_frames(path), decode_frames(path, Span(start_seconds=0.4))):
        assert np.abs(found.pixels - true[-len(found.pixels) :]).mean() > 0.05


@pytest.mark.parametrize(("codec", "suffix"), [("libx264", ".h264"), ("libx265", ".hevc")])
def test_a_bare_stream_keeps_the_rate_that_it_says_itself(codec: str, suffix: str, tmp_path: Path) -> None:
    options = {"libx264": {"qp": "1"}, "libx265": {"x265-params": "log-level=none:qp=1"}}[codec]
    path = tmp_path / f"bare{suffix}"
    clips.write_clip(path, clips.numbered_pictures(COUNT), codec, rate=Fraction(50), options=options)
    assert decode_frames(path).fps == pytest.approx(50)
    part = decode_frames(path, Span(start_seconds=0.2, max_frames=3))
    assert clips.numbers_of(part.pixels) == [10, 11, 12]


def test_a_picture_left_out_at_the_start_is_not_rounding(tmp_path: Path) -> None:
    """AVI counts pictures: there a step of three is three, where in milliseconds 33 and 35 are the same."""
    times = [0, *range(3, COUNT)]
    path = clips.write_clip(
        tmp_path / "gap.avi", clips.numbered_pictures(len(times)), "mpeg4", times=times, options={"qscale": "2"}
    )
    assert measure(path, WHOLE).moments == pytest.approx([time / 25 for time in times])


def test_a_last_picture_stands_as_long_as_its_file_says(tmp_path: Path) -> None:
    times = [0, 40, 80, 120, 160, 1000]

    def lasting(number: int, packet: Any) -> list[Any]:
        packet.duration = round((2 if number == 5 else 0.04) / packet.time_base)
        return [packet]

    options = {"x264-params": "bframes=0:qp=1"}
    pictures = clips.numbered_pictures(6)
    path = tmp_path / "short.mp4"
    clips.write_clip(path, pictures, "libx264", times=times, tick=Fraction(1, 1000), options=options)
    still = clips.copied(path, tmp_path / "still.mp4", lasting)
    assert decode_frames(still, Span(fps=10)).seconds == pytest.approx(3.0)


def test_pictures_before_the_first_key_frame_count_where_their_group_is_closed(tmp_path: Path) -> None:
    """As HDV cameras write it; an open group begins with its key frame."""
    options = {"bf": "2", "g": "12", "q": "1"}
    whole = clips.write_clip(tmp_path / "open.mpg", clips.numbered_pictures(40), "mpeg2video", options=options)
    with av.open(str(whole)) as container:
        keys = [n for n, packet in enumerate(container.demux(video=0)) if packet.size and packet.is_keyframe]

    def from_the_second(number: int, packet: Any) -> list[Any]:
        return [packet] if number >= keys[1] else []

    def closed(number: int, packet: Any) -> list[Any]:
        if number != keys[1]:
            return from_the_second(number, packet)
        data = bytearray(bytes(packet))
        data[data.index(b"\0\0\1\xb8") + 7] |= 0x40
        again = av.Packet(bytes(data))
        again.pts, again.dts, again.time_base = packet.pts, packet.dts, packet.time_base
        again.is_keyframe = True
        return [again]

    counts = [
        len(decode_frames(clips.copied(whole, tmp_path / name, change)).pixels)
        for name, change in (("a.mkv", from_the_second), ("b.mkv", closed))
    ]
    assert counts[1] == counts[0] + 2


@pytest.mark.parametrize("size", [1.0, 0.9], ids=["whole", "cut off"])
def test_parts_of_an_mxf_are_found_with_and_without_its_table(size: float, tmp_path: Path) -> None:
    """Without the table at its end, FFmpeg seeks to a guess and says that it is the time that was asked for."""
    options = {"g": "12", "bf": "2", "q": "2"}
    path = clips.write_clip(tmp_path / "clip.mxf", clips.moving_pictures(100), "mpeg2video", options=options)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * size)])
    whole = decode_frames(path).pixels
    for number in (10, 45, 60):
        part = decode_frames(path, Span(start_seconds=number / 25, max_frames=3)).pixels
        assert np.array_equal(part, whole[number : number + 3])
    assert np.array_equal(decode_last_frame(path)[0], whole[-1])


def test_where_ticks_count_pictures_the_rate_is_theirs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of Theora in Ogg, FFmpeg tells a rounded rate first: 30 for 361 pictures in 12 seconds."""
    monkeypatch.setattr(Source, "rates", property(lambda source: [Fraction(30), Fraction(361, 12)]))
    path = tmp_path / "clip.ogv"
    frames = [av.VideoFrame(64, 48, "yuv420p") for _ in range(181)]
    clips.write_clip(path, frames, "libvpx", options={"deadline": "realtime"}, rate=Fraction(361, 12))
    chosen = measure(path, WHOLE)
    assert chosen.frames == 181 and not chosen.moments
    assert chosen.fps == pytest.approx(361 / 12, abs=1e-6)


def test_key_frames_that_are_shown_before_the_first_are_pictures_too(tmp_path: Path) -> None:
    """A cut whose begin was encoded anew: each of its pictures stands alone, in the order of the old ones."""
    frames = clips.numbered_pictures(12)
    plain = clips.write_clip(tmp_path / "plain.mp4", frames, "libx264", options={"x264-params": "keyint=1:qp=10"})
    order = [1, 0, 3, 2, *range(4, 12)]
    path = tmp_path / "cut.mkv"
    with av.open(str(plain)) as source, av.open(str(path), "w") as container:
        copy = container.add_stream_from_template(source.streams.video[0], opaque=True)
        packets = [packet for packet in source.demux(video=0) if packet.size]
        for place, number in enumerate(order):
            packet = packets[number]
            packet.dts = (place - 2) * packets[1].pts
            packet.stream = copy
            container.mux(packet)
    assert clips.numbers_of(decode_frames(path).pixels) == list(range(12))
