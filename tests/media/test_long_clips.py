"""A part of a long clip costs what the part costs: the rest of it is not read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from nodes.jobs import order_media
from nodes.media import audio, containers, demuxer, forecast
from nodes.media.audio import decode_audio
from nodes.media.decode import decode_frames, decode_last_of, measure, usual_rate
from nodes.media.encode import encode_clip, trim_clip
from nodes.media.errors import TooLarge
from nodes.media.playable import write_copy
from nodes.media.span import WHOLE, Span
from nodes.stopping import never_stop

SECONDS, RATE = 600, 24
PART = Span(start_seconds=401.2, seconds=2.0)
ENOUGH = 400
"""Packets: those of a few groups of pictures, of their sound, and what tells where the clip begins."""


@pytest.fixture(scope="module", params=[".mp4", ".mkv"])
def long(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten minutes: the packets of two seconds over and over, with sound."""
    folder = tmp_path_factory.mktemp("long")
    tone = audio.Sound(np.sin(np.arange(2 * 44_100, dtype=np.float32) / 20)[np.newaxis, np.newaxis], 44_100)
    greys = [np.full((48, 64, 3), 20 + 4 * number, np.uint8) for number in range(2 * RATE)]
    short = encode_clip(greys, RATE, folder / "short.mp4", sound=tone).path
    path = folder / f"long{request.param}"
    with av.open(str(short)) as one:
        held = [(packet.stream.type, packet.pts, packet.dts, bytes(packet), packet) for packet in one.demux()]
        with av.open(str(path), "w") as out:
            tracks = {stream.type: out.add_stream_from_template(stream, opaque=True) for stream in one.streams}
            for again in range(SECONDS // 2):
                for kind, pts, dts, data, packet in held:
                    if not data or pts < 0:
                        continue
                    copy: Any = av.Packet(data)
                    later = round(Fraction(2 * again) / packet.time_base)
                    copy.pts, copy.dts, copy.time_base = pts + later, dts + later, packet.time_base
                    copy.duration, copy.is_keyframe = packet.duration, packet.is_keyframe
                    copy.stream = tracks[kind]
                    out.mux(copy)
    return path


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by one with every packet that is read of any file."""
    packets: list[int] = []

    class Counted:
        def __init__(self, container: Any) -> None:
            self._container = container

        def __getattr__(self, name: str) -> Any:
            return getattr(self._container, name)

        def demux(self, *streams: Any) -> Iterator[Any]:
            for packet in self._container.demux(*streams):
                packets.append(1)
                yield packet

    plain = containers.open_container
    for module in (demuxer, audio):
        monkeypatch.setattr(module, "open_container", lambda path: Counted(plain(path)))
    return packets


@pytest.mark.parametrize(
    "work",
    [
        pytest.param(lambda path, out: measure(path, PART), id="its length"),
        pytest.param(lambda path, out: measure(path, Span(401.2, max_frames=32, fps=16)), id="at a target rate"),
        pytest.param(lambda path, out: decode_frames(path, Span(401.2, seconds=2.0, fps=16)), id="its frames"),
        pytest.param(lambda path, out: decode_last_of(path, Span(401.2, max_frames=9, fps=16)), id="its last frame"),
        pytest.param(lambda path, out: decode_audio(path, 401.2, 2.0), id="its sound"),
        pytest.param(lambda path, out: usual_rate(path, PART), id="its rate"),
        pytest.param(lambda path, out: trim_clip(path, out, PART), id="as a clip of its own"),
    ],
)
def test_a_part_of_a_long_clip_is_read_alone(
    work: Callable[[Path, Path], object], long: Path, read: list[int], tmp_path: Path
) -> None:
    work(long, tmp_path / "part.mp4")
    assert len(read) <= ENOUGH < SECONDS * RATE // 10


def test_what_is_sent_of_a_long_clip_is_read_alone(long: Path, read: list[int], tmp_path: Path) -> None:
    medium = order_media.of_file(long, never_stop, "wan2-6", start_seconds=401.2, seconds=2.0)
    sent = medium.write(tmp_path, never_stop)
    assert len(read) <= 2 * ENOUGH
    assert decode_frames(sent.path).seconds == pytest.approx(2.0, abs=1 / RATE)


def test_the_player_s_copy_of_a_long_clip_reads_its_beginning(long: Path, read: list[int], tmp_path: Path) -> None:
    write_copy(long, tmp_path / "copy.mp4", WHOLE, clock=iter(np.arange(0.0, 9.0, 0.05).tolist()).__next__)
    assert len(read) <= SECONDS * RATE // 4


@pytest.mark.parametrize("fps", [0.0, 16.0])
def test_a_part_of_a_long_clip_holds_the_pictures_of_its_time(long: Path, fps: float) -> None:
    """The same pictures as a part that begins as far from the start of the two seconds."""
    early = decode_frames(long, Span(start_seconds=1.2, seconds=2.0, fps=fps))
    late = decode_frames(long, Span(start_seconds=401.2, seconds=2.0, fps=fps))
    assert (late.fps, late.seconds) == pytest.approx((early.fps, early.seconds))
    assert np.allclose(late.pixels.mean(axis=(1, 2, 3)), early.pixels.mean(axis=(1, 2, 3)), atol=0.002)


def test_more_frames_than_fit_are_refused_without_reading_on(long: Path, read: list[int]) -> None:
    # By the header, which in some releases of PyAV tells of a Matroska's last block of sound, too.
    with pytest.raises(TooLarge, match=f"({SECONDS * 30}|{SECONDS * 30 + 1}) frames"):
        decode_frames(long, Span(fps=30), free_bytes=lambda: forecast.RESERVE_BYTES + (48 << 20))
    assert len(read) <= SECONDS * RATE // 4
