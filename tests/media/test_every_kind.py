"""Clips of every kind that people have: frames, times, sound, colours and what is sent of them.

Each row is a clip of a second or less that is made here, of known pictures: one still pattern that grows lighter from
picture to picture, under a tone of 440 Hz. What comes out is held against the pattern by the float64 conversion.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from nodes.jobs.order_media import of_file
from nodes.media.audio import decode_audio
from nodes.media.decode import decode_frames, decode_last_frame, measure
from nodes.media.probe import probe
from nodes.media.span import WHOLE, Span
from nodes.stopping import never_stop
from tests.support import clips
from tests.support.clips import BT601, BT709, BT2020, FULL, HLG, LIMITED, PQ

COUNT = 10
LIGHTER = 6  # levels of 8 bits, from picture to picture
TONE_HZ = 440
CANARY = "a place that nobody should know"
X264 = {"qp": "4", "preset": "veryfast"}
X265 = {"preset": "ultrafast", "x265-params": "log-level=none:qp=4"}
VPX = {"deadline": "realtime", "cpu-used": "8", "crf": "4", "b": "20M", "qmin": "0", "qmax": "8"}
FINE = {"qscale": "1", "qmin": "1", "qmax": "1"}
COPIED, ENCODED = "copied", "encoded"

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Kind:
    """One row. matrix: how the numbers were made; tagged: whether the clip says so. sent: what becomes of it."""

    suffix: str
    codec: str
    options: dict[str, str] = field(default_factory=dict)
    form: str = "yuv420p"
    width: int = 64
    height: int = 48
    rate: Fraction = Fraction(25)
    steps: tuple[int, ...] = ()  # how many 1/1000 s each picture stands; empty: as the rate says
    matrix: int = BT601
    full: bool = False
    tagged: bool = True
    transfer: int = 0
    aspect: Fraction | None = None
    turn: tuple[int, int, int, int] | None = None
    sound: str | None = "aac"
    sound_rate: int = 48_000
    layout: str = "stereo"
    metadata: bool = False
    interlaced: bool = False
    tolerance: float = 4.0  # levels of 8 bits, on average
    sent: str = ENCODED

    @property
    def times(self) -> list[float]:
        if self.steps:
            return [sum(self.steps[:number]) / 1000 for number in range(COUNT)]
        return [float(number / self.rate) for number in range(COUNT)]

    @property
    def seconds(self) -> float:
        return sum(self.steps) / 1000 if self.steps else float(COUNT / self.rate)

    @property
    def bits(self) -> int:
        deepest = max(component.bits for component in av.VideoFormat(self.form, 16, 16).components)
        return max(8, deepest)

    @property
    def is_rgb(self) -> bool:
        return bool(av.VideoFormat(self.form, 16, 16).is_rgb)

    @property
    def chroma(self) -> tuple[int, int]:
        form = av.VideoFormat(self.form, 16, 16)
        return 16 // form.chroma_width(16), 16 // form.chroma_height(16)


def h264(suffix: str = ".mp4", **more: Any) -> Kind:
    """H.264 with AAC goes as it is, unless something else about it does not."""
    return Kind(**{"suffix": suffix, "codec": "libx264", "options": X264, "sent": COPIED, **more})


VARIABLE = (40, 40, 120, 40, 20, 20, 300, 40, 40, 60)
KINDS = {
    "H.264": h264(),
    "H.264, mov": h264(".mov"),
    "H.264, mkv": h264(".mkv"),
    "H.264, ts": h264(".ts"),
    "H.264, flv": h264(".flv"),
    "H.264, avi": h264(".avi", sound="mp3", sent=ENCODED),
    "H.264, nut": h264(".nut", sound="mp3", sent=ENCODED),
    "H.264, m4v": h264(".m4v"),
    "H.264, 3gp": h264(".3gp"),
    "H.264, no B-frames": h264(options={**X264, "bf": "0"}),
    "H.264, many B-frames": h264(options={**X264, "bf": "5", "preset": "medium"}),
    "H.264, open groups": h264(options={**X264, "x264-params": "open-gop=1:keyint=5:bframes=2:b-adapt=0"}),
    "H.264, all key frames": h264(options={**X264, "g": "1"}),
    "H.264, 10 bit": h264(form="yuv420p10le", sent=ENCODED),
    "H.264, 4:2:2": h264(form="yuv422p", sent=ENCODED),
    "H.264, 4:4:4": h264(form="yuv444p", sent=ENCODED),
    "H.264, full range": h264(full=True, form="yuvj420p"),
    "H.264, HD, BT.709": h264(width=1280, height=720, matrix=BT709),
    "H.264, HD, untagged": h264(width=1280, height=720, matrix=BT709, tagged=False),
    "H.264, SD, untagged": h264(tagged=False),
    "H.264, SD, BT.709": h264(matrix=BT709),
    "H.264, BT.2020, not HDR": h264(matrix=BT2020),
    "H.264, 23.976": h264(rate=Fraction(24000, 1001)),
    "H.264, 24": h264(rate=Fraction(24)),
    "H.264, 29.97": h264(rate=Fraction(30000, 1001)),
    "H.264, 29.97, mkv": h264(".mkv", rate=Fraction(30000, 1001)),
    "H.264, 50": h264(rate=Fraction(50)),
    "H.264, 59.94": h264(rate=Fraction(60000, 1001)),
    "H.264, 120": h264(rate=Fraction(120), sent=ENCODED),
    "H.264, variable": h264(steps=VARIABLE),
    "H.264, variable, mkv": h264(".mkv", steps=VARIABLE),
    "H.264, turned 90": h264(turn=(0, 1, -1, 0), sent=ENCODED),
    "H.264, turned 180": h264(turn=(-1, 0, 0, -1), sent=ENCODED),
    "H.264, turned 270": h264(turn=(0, -1, 1, 0), sent=ENCODED),
    "H.264, mirrored": h264(turn=(-1, 0, 0, 1), sent=ENCODED),
    "H.264, wide pixels": h264(aspect=Fraction(4, 3), sent=ENCODED),
    "H.264, narrow pixels": h264(aspect=Fraction(8, 9), sent=ENCODED),
    "H.264, top field first": h264(
        options={**X264, "x264-params": "tff=1"}, interlaced=True, tolerance=7.0, sent=ENCODED
    ),
    "H.264, bottom field first": h264(
        options={**X264, "x264-params": "bff=1"}, interlaced=True, tolerance=7.0, sent=ENCODED
    ),
    "H.264, told a place": h264(metadata=True),
    "H.264, told a place, mov": h264(".mov", metadata=True),
    "H.264, told a place, mkv": h264(".mkv", metadata=True),
    "H.264, no sound": h264(sound=None),
    "H.264, AC-3": h264(sound="ac3", sent=ENCODED),
    "H.264, MP3": h264(sound="mp3", sent=ENCODED),
    "H.264, PCM": h264(".mov", sound="pcm_s16le", sent=ENCODED),
    "H.264, FLAC": h264(".mkv", sound="flac", sent=ENCODED),
    "H.264, Opus": h264(".mkv", sound="libopus", sent=ENCODED),
    "H.264, ALAC": h264(".mov", sound="alac", sent=ENCODED),
    "H.264, one channel of 22 kHz": h264(layout="mono", sound_rate=22_050),
    "H.264, 5.1": h264(layout="5.1"),
    "HEVC": Kind(".mp4", "libx265", X265),
    "HEVC, mkv": Kind(".mkv", "libx265", X265),
    "HEVC, ts": Kind(".ts", "libx265", X265),
    "HEVC, 10 bit": Kind(".mp4", "libx265", X265, form="yuv420p10le", matrix=BT709),
    "HEVC, 12 bit": Kind(".mp4", "libx265", X265, form="yuv420p12le"),
    "HEVC, 4:2:2 of 10 bit": Kind(".mp4", "libx265", X265, form="yuv422p10le"),
    "HEVC, HLG": Kind(".mp4", "libx265", X265, form="yuv420p10le", matrix=BT2020, transfer=HLG),
    "HEVC, PQ": Kind(".mp4", "libx265", X265, form="yuv420p10le", matrix=BT2020, transfer=PQ),
    "VP8": Kind(".webm", "libvpx", VPX, sound="libopus"),
    "VP8, variable": Kind(".webm", "libvpx", VPX, steps=VARIABLE, sound="libopus"),
    "VP9": Kind(".webm", "libvpx-vp9", VPX, sound="libopus"),
    "VP9, mp4": Kind(".mp4", "libvpx-vp9", VPX),
    "VP9, 4:4:4": Kind(".webm", "libvpx-vp9", VPX, form="yuv444p", sound=None),
    "VP9, odd size": Kind(".webm", "libvpx-vp9", VPX, width=65, height=49, sound=None),
    "AV1": Kind(".mp4", "libsvtav1", {"preset": "12", "crf": "8"}, width=128, height=96),
    "AV1, webm": Kind(".webm", "libsvtav1", {"preset": "12", "crf": "8"}, width=128, height=96, sound="libopus"),
    "MPEG-4": Kind(".mp4", "mpeg4", FINE),
    "MPEG-4, avi, B-frames": Kind(".avi", "mpeg4", {**FINE, "bf": "2"}, sound="mp3"),
    "MPEG-4, mkv, B-frames": Kind(".mkv", "mpeg4", {**FINE, "bf": "2"}),
    "MPEG-2, mpg": Kind(".mpg", "mpeg2video", FINE, sound="mp2"),
    "MPEG-2, ts, B-frames": Kind(".ts", "mpeg2video", {**FINE, "bf": "2"}, sound="mp2"),
    "MPEG-2, interlaced": Kind(
        ".ts", "mpeg2video", {**FINE, "flags": "+ildct+ilme"}, interlaced=True, sound="mp2", tolerance=6.0
    ),
    "MPEG-1": Kind(".mpg", "mpeg1video", FINE, sound="mp2"),
    "Motion JPEG, avi": Kind(".avi", "mjpeg", FINE, form="yuvj420p", full=True, sound="pcm_s16le"),
    "Motion JPEG, odd size": Kind(
        ".mov", "mjpeg", FINE, form="yuvj420p", full=True, width=65, height=49, sound="pcm_s16le"
    ),
    "ProRes": Kind(".mov", "prores_ks", {"profile": "3"}, form="yuv422p10le", sound="pcm_s16le"),
    "ProRes 4444": Kind(".mov", "prores_ks", {"profile": "4"}, form="yuv444p10le", sound=None),
    "DNxHR": Kind(
        ".mov", "dnxhd", {"profile": "dnxhr_hq"}, form="yuv422p", width=256, height=128, sound=None, tolerance=6.0
    ),
    "DNxHR, mxf": Kind(
        ".mxf", "dnxhd", {"profile": "dnxhr_hq"}, form="yuv422p", width=256, height=128, sound=None, tolerance=6.0
    ),
    "FFV1": Kind(".mkv", "ffv1", sound="flac"),
    "FFV1, 4:4:4 of 16 bit": Kind(".mkv", "ffv1", form="yuv444p16le", sound="flac"),
    "FFV1, avi": Kind(".avi", "ffv1", form="yuv422p", sound="pcm_s16le"),
    "Huffyuv": Kind(".avi", "huffyuv", form="yuv422p", sound="pcm_s16le"),
    "Ut Video": Kind(".avi", "utvideo", form="yuv420p", sound="pcm_s16le"),
    "raw pictures": Kind(".avi", "rawvideo", sound="pcm_s16le"),
    "raw pictures, nut": Kind(".nut", "rawvideo", sound="pcm_s16le"),
    "QuickTime Animation": Kind(".mov", "qtrle", form="rgb24", sound="pcm_s16le"),
    "PNG pictures": Kind(".mov", "png", form="rgb24", sound=None),
    "APNG": Kind(".apng", "apng", form="rgb24", sound=None),
    "GIF": Kind(".gif", "gif", form="rgb8", sound=None, tolerance=20.0),
    "Windows Media": Kind(".wmv", "wmv2", FINE, sound="mp3"),
    "Flash": Kind(".flv", "flv", FINE, sound="mp3", sound_rate=44_100),
    "H.263, 3gp": Kind(".3gp", "h263", FINE, width=176, height=144, aspect=Fraction(12, 11)),
    "JPEG 2000": Kind(".mov", "jpeg2000", form="yuv420p", sound=None, tolerance=6.0),
}


def test_there_are_at_least_sixty() -> None:
    assert len(KINDS) >= 60


@dataclass(frozen=True)
class Seen:
    """A clip and its frames, read once for all tests of its row."""

    kind: Kind
    path: Path
    pixels: Array
    fps: float
    planes: list[Array]


@pytest.fixture(scope="module")
def see(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Seen]:
    folder = tmp_path_factory.mktemp("kinds")
    kept: dict[str, Seen] = {}

    def seen(name: str) -> Seen:
        if name not in kept:
            kind = KINDS[name]
            path, planes = _made(kind, folder / f"clip{len(kept)}{kind.suffix}")
            frames = decode_frames(path)
            kept[name] = Seen(kind, path, frames.pixels, frames.fps, planes)
        return kept[name]

    return seen


def _made(kind: Kind, path: Path) -> tuple[Path, list[Array]]:
    """The clip, and the planes of its first picture (RGB: one plane [height, width, 3])."""
    clips.require_encoder(kind.codec)
    if kind.sound:
        clips.require_encoder(kind.sound)
    rng = np.random.default_rng(7)
    planes = clips.gentle_planes(rng, kind.width, kind.height, kind.chroma, kind.bits)
    planes[0] = planes[0] // 2 + (40 << (kind.bits - 8))  # room to grow lighter
    if kind.is_rgb:
        planes = [np.stack([planes[0], *planes[1:]], axis=2)]
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(kind.codec, rate=kind.rate, options=_tagged_options(kind))
        stream.width, stream.height, stream.pix_fmt = kind.width, kind.height, kind.form
        tick = Fraction(1, 1000) if kind.steps else 1 / kind.rate
        _tag(stream.codec_context, kind, tick)
        sound = _sound_stream(container, kind)
        if kind.metadata:
            container.metadata["title"] = container.metadata["comment"] = CANARY
        for number in range(COUNT):
            frame = _picture(kind, planes, number)
            frame.pts = sum(kind.steps[:number]) if kind.steps else number
            frame.time_base = tick
            container.mux(_lasting(_encoded(stream, frame), kind))
        container.mux(_lasting(stream.encode(None), kind))
        if sound is not None:
            _write_tone(container, sound, kind)
    if kind.turn is not None:
        clips.with_display_matrix(path, *kind.turn)
    return path, planes


def _encoded(stream: Any, frame: Any) -> list[Any]:
    try:
        return list(stream.encode(frame))
    except av.error.FFmpegError as error:
        pytest.skip(f"this PyAV's encoder {stream.codec_context.name} does not take such pictures: {error}")


def _lasting(packets: list[Any], kind: Kind) -> list[Any]:
    """The last picture of a variable clip stands as long as the row says."""
    for packet in packets:
        if kind.steps and packet.pts is not None and packet.pts * packet.time_base > kind.times[-1] - 0.001:
            packet.duration = round(Fraction(kind.steps[-1], 1000) / packet.time_base)
    return packets


def _tagged_options(kind: Kind) -> dict[str, str]:
    if not kind.transfer:
        return dict(kind.options)
    transfer = {PQ: "smpte2084", HLG: "arib-std-b67"}[kind.transfer]
    told = f":colorprim=bt2020:transfer={transfer}:colormatrix=bt2020nc"
    return {**kind.options, "x265-params": kind.options["x265-params"] + told}


def _tag(context: Any, kind: Kind, tick: Fraction) -> None:
    context.time_base = tick
    if kind.aspect is not None:
        context.sample_aspect_ratio = kind.aspect
    if kind.is_rgb:
        return
    context.color_range = FULL if kind.full else LIMITED
    if kind.tagged:
        context.colorspace = kind.matrix


def _picture(kind: Kind, planes: list[Array], number: int) -> Any:
    lighter = number * LIGHTER << (kind.bits - 8) if not kind.is_rgb else number * LIGHTER
    if kind.is_rgb:
        picture = av.VideoFrame.from_ndarray(planes[0] + np.uint8(lighter), format="rgb24")
        return picture if kind.form == "rgb24" else picture.reformat(format=kind.form)
    luma = planes[0] + planes[0].dtype.type(lighter)
    frame = clips.frame_of([luma, *planes[1:]], kind.form, kind.width, kind.height)
    frame.color_range = FULL if kind.full else LIMITED
    if kind.tagged:
        frame.colorspace = kind.matrix
    return frame


def _sound_stream(container: Any, kind: Kind) -> Any:
    if kind.sound is None:
        return None
    return container.add_stream(kind.sound, rate=kind.sound_rate, layout=kind.layout)


def _write_tone(container: Any, stream: Any, kind: Kind) -> None:
    count = round(kind.seconds * kind.sound_rate)
    tone = 0.4 * np.sin(np.arange(count) * TONE_HZ * 2 * np.pi / kind.sound_rate)
    channels = len(av.AudioLayout(kind.layout).channels)
    samples = np.repeat(tone[None].astype(np.float32), channels, axis=0)
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples), format="fltp", layout=kind.layout)
    frame.sample_rate, frame.pts, frame.time_base = kind.sound_rate, 0, Fraction(1, kind.sound_rate)
    into = av.AudioResampler(format=stream.codec_context.format, layout=kind.layout, rate=kind.sound_rate)
    fifo = av.AudioFifo()
    for resampled in into.resample(frame):
        fifo.write(resampled)
    size = stream.codec_context.frame_size or 1024
    while (part := fifo.read(size)) is not None or (part := fifo.read(size, partial=True)) is not None:
        container.mux(stream.encode(part))
    container.mux(stream.encode(None))


def _true(seen: Seen, number: int) -> Array:
    """What picture `number` of a row is, upright and with square pixels apart; float64."""
    kind = seen.kind
    if kind.is_rgb:
        rgb: Array = (seen.planes[0] + np.uint8(number * LIGHTER)) / 255
        return rgb
    luma = seen.planes[0].astype(np.int64) + (number * LIGHTER << (kind.bits - 8))
    left = None if kind.codec not in ("mjpeg", "mpeg1video", "jpeg2000") else False
    if kind.chroma[0] == 1:
        u, v = (plane.astype(np.int64) for plane in seen.planes[1:])
        planes = [luma, u, v]
    else:
        planes = [luma, *seen.planes[1:]]
    return clips.reference_rgb(planes, matrix=kind.matrix, full=kind.full, bits=kind.bits, left_sited=left)


def _upright(picture: Array, turn: tuple[int, int, int, int] | None) -> Array:
    return {
        None: picture,
        (0, 1, -1, 0): np.rot90(picture, -1),
        (-1, 0, 0, -1): np.rot90(picture, 2),
        (0, -1, 1, 0): np.rot90(picture, 1),
        (-1, 0, 0, 1): picture[:, ::-1],
    }[turn]


@pytest.mark.parametrize("name", KINDS)
def test_its_frames_and_their_times_are_those_that_were_written(name: str, see: Callable[[str], Seen]) -> None:
    seen = see(name)
    kind = seen.kind
    assert len(seen.pixels) == COUNT
    levels = [float(frame.mean()) for frame in seen.pixels]
    assert levels == sorted(levels), "pictures out of order"
    chosen = measure(seen.path, WHOLE)
    moments = list(chosen.moments) or [number / chosen.fps for number in range(COUNT)]
    assert moments == pytest.approx(kind.times, abs=0.011 if kind.suffix == ".gif" else 0.002)
    # Matroska does not tell how long the last picture stands.
    assert seen.fps == pytest.approx(COUNT / kind.seconds, rel=0.04 if kind.steps else 0.005)
    middle = decode_frames(seen.path, Span(start_seconds=kind.times[5] - 0.002, max_frames=2)).pixels
    assert np.array_equal(middle, seen.pixels[5:7]) or kind.interlaced
    assert np.abs(decode_last_frame(seen.path)[0] - seen.pixels[-1]).mean() < 0.01


@pytest.mark.parametrize("name", KINDS)
def test_its_colours_and_shape_are_those_that_were_meant(name: str, see: Callable[[str], Seen]) -> None:
    seen = see(name)
    kind = seen.kind
    clip = probe(seen.path)
    assert (clip.height, clip.width) == seen.pixels.shape[1:3]
    if kind.transfer:
        assert clip.hdr == {PQ: "PQ", HLG: "HLG"}[kind.transfer]
        assert 0.05 < seen.pixels.mean() < 0.95
        return
    if kind.aspect is not None:
        wide = kind.width * max(float(kind.aspect), 1.0)
        high = kind.height / min(float(kind.aspect), 1.0)
        assert (clip.width, clip.height) == (round(wide), round(high))
        assert seen.pixels[3].mean() == pytest.approx(_true(seen, 3).mean(), abs=kind.tolerance / 255)
        return
    for number in (0, COUNT - 1):
        away = np.abs(seen.pixels[number] - _upright(_true(seen, number), kind.turn)) * 255
        assert away.mean() <= kind.tolerance


@pytest.mark.parametrize("name", [name for name, kind in KINDS.items() if kind.sound])
def test_its_sound_is_the_tone_and_as_long_as_its_pictures(name: str, see: Callable[[str], Seen]) -> None:
    seen = see(name)
    kind = seen.kind
    sound = decode_audio(seen.path)
    assert sound.sample_rate == kind.sound_rate
    length = sound.samples.shape[2] / sound.sample_rate
    assert length == pytest.approx(kind.seconds, abs=0.08), "encoders fill up their last block"
    one = sound.samples[0, 0, : round(kind.seconds * sound.sample_rate)]
    heard = one[len(one) // 4 : len(one) * 3 // 4]
    spectrum = np.abs(np.fft.rfft(heard * np.hanning(len(heard)), 1 << 17))
    assert np.argmax(spectrum) * sound.sample_rate / (1 << 17) == pytest.approx(TONE_HZ, abs=15)
    assert np.sqrt((heard**2).mean()) == pytest.approx(0.283, abs=0.06)


@pytest.mark.parametrize("name", KINDS)
def test_what_is_sent_of_it_plays_everywhere_and_tells_nothing(
    name: str, see: Callable[[str], Seen], tmp_path: Path
) -> None:
    seen = see(name)
    kind = seen.kind
    medium = of_file(seen.path, never_stop, "wan2-6").write(tmp_path, never_stop)
    told = " ".join(map(str, medium.notes))
    assert ("encoded" in told) == (kind.sent == ENCODED), told
    data = medium.path.read_bytes()
    assert CANARY.encode() not in data
    sent = probe(medium.path)
    assert (sent.codec, sent.upright, sent.square_pixels, sent.hdr) == ("h264", True, True, None)
    assert sent.pixel_format == (kind.form if kind.sent == COPIED else "yuv420p")
    shown = decode_frames(medium.path).pixels
    if kind.sent == COPIED:
        assert np.array_equal(shown, seen.pixels)
    # 4:2:0 has even sizes only.
    assert shown.shape[1:3] == pytest.approx(seen.pixels.shape[1:3], abs=1)
    assert measure(medium.path, WHOLE).seconds == pytest.approx(kind.seconds, abs=1.1 / min(float(kind.rate), 60.0))
    assert shown.mean() == pytest.approx(seen.pixels.mean(), abs=0.03)
    assert sent.has_audio == (kind.sound is not None)
    if kind.sound:
        assert decode_audio(medium.path).samples.shape[2] > 0
