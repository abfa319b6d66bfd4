"""Recordings of broadcasts and camcorders: put end to end, scrambled, hit by a fault of reception."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from nodes.jobs import order_media
from nodes.media.decode import (
    Span,
    decode_audio,
    decode_frames,
    decode_last_frame,
    decode_last_of,
    measure,
)
from nodes.media.errors import NotAClip
from nodes.media.probe import probe
from nodes.stopping import never_stop
from tests.support import clips

FPS, EACH, RATE = 25, 50, 48_000
PICTURES = 0x100  # the packet identifiers that FFmpeg gives
PACKET_BYTES = 188
KINDS = [("mpegts", "libx264", "aac"), ("mpegts", "mpeg2video", "mp2"), ("mpeg", "mpeg2video", "mp2")]


def label(number: int) -> int:
    """What picture `number` shows: there are not as many greys as pictures."""
    return number // 2


def labels(numbers: Iterable[int]) -> list[int]:
    return [label(number) for number in numbers]


def recording(path: Path, form: str, codec: str, sound: str, *, first: int = 0, begin: float = 0.0) -> Path:
    """Two seconds: pictures numbered from `first` on, a louder tone with each, on a clock that begins at `begin`."""
    with av.open(str(path), "w", format=form) as container:
        video, track = container.add_stream(codec, rate=FPS), container.add_stream(sound, rate=RATE)
        video.width, video.height, video.pix_fmt, video.bit_rate = 64, 48, "yuv420p", 4_000_000
        video.codec_context.gop_size = 10
        labelled = clips.numbered_pictures(EACH)
        for number in range(EACH):
            frame = labelled[label(first + number)]
            frame.pts, frame.time_base = number + round(begin * FPS), Fraction(1, FPS)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        wave = np.full((1, 2 * RATE), 0.01 * (first + 1), np.float32)
        wave *= np.sin(np.arange(2 * RATE, dtype=np.float32) * np.float32(0.1))
        block = av.AudioFrame.from_ndarray(wave, format="flt", layout="mono")
        block.sample_rate, block.pts, block.time_base = RATE, round(begin * RATE), Fraction(1, RATE)
        for resampled in av.AudioResampler(format=track.format, layout=track.layout, rate=RATE).resample(block):
            container.mux(track.encode(resampled))
        container.mux(track.encode(None))
    return path


def joined(folder: Path, form: str, codec: str, sound: str, begins: tuple[float, float]) -> Path:
    """Two recordings put end to end, as camcorders and people do."""
    halves = [
        recording(folder / f"half{number}", form, codec, sound, first=number * EACH, begin=begin)
        for number, begin in enumerate(begins)
    ]
    path = folder / "joined.ts"
    path.write_bytes(b"".join(half.read_bytes() for half in halves))
    return path


@pytest.mark.parametrize("begins", [(0.0, 0.0), (50.0, 0.0), (0.0, 5000.0)], ids=["again", "earlier", "much later"])
@pytest.mark.parametrize("kind", KINDS)
def test_recordings_put_end_to_end_go_on_where_the_first_ends(
    kind: tuple[str, str, str], begins: tuple[float, float], tmp_path: Path
) -> None:
    path = joined(tmp_path, *kind, begins)
    whole = decode_frames(path)
    assert clips.numbers_of(whole.pixels) == labels(range(2 * EACH))
    assert whole.fps == FPS and whole.seconds == pytest.approx(4.0)
    for span, numbers in {
        Span(start_seconds=1.0, max_frames=3): [25, 26, 27],
        Span(start_seconds=1.8, every_nth=5, max_frames=3): [45, 50, 55],
        Span(start_seconds=3.0, max_frames=2): [75, 76],
        Span(start_seconds=1.9, fps=5, max_frames=3): [47, 52, 57],
    }.items():
        assert clips.numbers_of(decode_frames(path, span).pixels) == labels(numbers)
        assert clips.numbers_of(decode_last_of(path, span)) == labels(numbers[-1:])
    assert clips.numbers_of(decode_last_frame(path)) == [label(2 * EACH - 1)]


@pytest.mark.parametrize("kind", KINDS)
def test_the_sound_of_recordings_put_end_to_end_changes_with_their_pictures(
    kind: tuple[str, str, str], tmp_path: Path
) -> None:
    path = joined(tmp_path, *kind, (0.0, 0.0))
    for begin, wanted in ((1.5, 0.007), (2.3, 0.36), (3.5, 0.36)):
        sound = decode_audio(path, begin, 0.3).samples
        assert float(np.abs(sound).max()) == pytest.approx(wanted, rel=0.25)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_sent_of_recordings_put_end_to_end_lasts_as_long_as_they_do(
    kind: tuple[str, str, str], tmp_path: Path
) -> None:
    sent = order_media.of_file(joined(tmp_path, *kind, (0.0, 0.0)), never_stop, "wan2-6").write(tmp_path, never_stop)
    assert clips.numbers_of(decode_frames(sent.path).pixels) == pytest.approx(labels(range(2 * EACH)), abs=1)
    assert probe(sent.path).seconds == pytest.approx(4.0)


def test_one_damaged_time_of_a_broadcast_leaves_the_others_as_they_are(tmp_path: Path) -> None:
    path = recording(tmp_path / "clip.ts", *KINDS[0])
    data = bytearray(path.read_bytes())
    begins = [at for at in range(0, len(data), PACKET_BYTES) if _stream(data, at) == PICTURES and data[at + 1] & 0x40]
    start = data.index(b"\0\0\1", begins[20] + 4)
    data[start + 9] ^= 0x08  # the highest bit of its time but two
    path.write_bytes(data)
    plan = measure(path, Span())
    assert plan.frames == EACH and plan.seconds == pytest.approx(2.0, abs=0.05)
    assert clips.numbers_of(decode_frames(path).pixels) == labels(range(EACH))


def _stream(data: bytes | bytearray, at: int) -> int:
    return (data[at + 1] & 0x1F) << 8 | data[at + 2]


def _with_prefix(data: bytes) -> bytes:
    """As camcorders and Blu-ray discs have it: a time stamp before each packet."""
    return b"".join(b"\0\0\0\0" + data[at : at + PACKET_BYTES] for at in range(0, len(data), PACKET_BYTES))


@pytest.mark.parametrize("packed", [bytes, _with_prefix], ids=["ts", "m2ts"])
def test_scrambled_pictures_are_called_encrypted(packed: Callable[[bytes], bytes], tmp_path: Path) -> None:
    path = recording(tmp_path / "clip.ts", *KINDS[0])
    path.write_bytes(packed(_scrambled(path.read_bytes(), PICTURES)))
    with pytest.raises(NotAClip, match="is encrypted: only a player that has its key"):
        probe(path)


def test_pictures_whose_sound_alone_is_scrambled_are_shown(tmp_path: Path) -> None:
    path = recording(tmp_path / "clip.ts", *KINDS[0])
    path.write_bytes(_scrambled(path.read_bytes(), PICTURES + 1))
    clip = probe(path)
    assert not clip.has_audio and [str(each) for each in clip.remarks] == ["its sound is encrypted, and left out"]
    assert clips.numbers_of(decode_frames(path).pixels) == labels(range(EACH))


def _scrambled(data: bytes, stream: int) -> bytes:
    """With a payload that is noise, and transport_scrambling_control saying so."""
    out = bytearray(data)
    for at in range(0, len(out), PACKET_BYTES):
        if _stream(out, at) == stream and out[at + 3] & 0x10:
            begin = at + (5 + out[at + 4] if out[at + 3] & 0x20 else 4)
            out[begin : at + PACKET_BYTES] = bytes(byte ^ 0x5A for byte in out[begin : at + PACKET_BYTES])
            out[at + 3] |= 0x80
    return bytes(out)
