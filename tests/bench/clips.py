"""The clips that are measured: a zooming fractal, a moving chart and grain, made once and kept.

Neither the easiest material for a codec nor noise: about the bit rates that a generator's results have.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image, ImageDraw

Picture = np.ndarray[Any, np.dtype[np.uint8]]

_SOUND_RATE = 48_000
_SEED = 26
_ESCAPE_STEPS = 96
_GRAIN_LEVELS = 3.0
_GRAIN_TILES = 8
_ZOOM_A_SECOND = 0.93
_BARS = 12
_making = threading.Lock()


@dataclass(frozen=True)
class ClipKind:
    """What a clip is made like. Encoded by x264, preset medium, crf 20, yuv420p, bt709 limited and tagged as such.

    deep: by x265 at 10 bit instead; hlg: the same numbers, called HLG of BT.2020, as phones film. variable: each second
    picture comes late by half its time.
    """

    name: str
    width: int
    height: int
    fps: int
    seconds: int
    deep: bool = False
    hlg: bool = False
    variable: bool = False

    @property
    def codec(self) -> str:
        return "libx265" if self.deep else "libx264"

    @property
    def form(self) -> str:
        return "yuv420p10le" if self.deep else "yuv420p"

    @property
    def options(self) -> dict[str, str]:
        if not self.deep:
            return {"preset": "medium", "crf": "20"}
        told = ":colorprim=bt2020:transfer=arib-std-b67:colormatrix=bt2020nc" if self.hlg else ""
        return {"preset": "superfast", "crf": "20", "x265-params": f"log-level=none{told}"}

    @property
    def frames(self) -> int:
        return self.fps * self.seconds

    @property
    def frames_bytes(self) -> int:
        """Of the float32 array that holds all frames."""
        return self.frames * self.width * self.height * 12


HD_5 = ClipKind("720p 5 s", 1280, 720, 24, 5)
FULL_HD_5 = ClipKind("1080p 5 s", 1920, 1080, 30, 5)
DEEP_5 = ClipKind("1080p 5 s, SDR of 10 bit", 1920, 1080, 30, 5, deep=True)
HLG_5 = ClipKind("1080p 5 s, HLG of 10 bit", 1920, 1080, 30, 5, deep=True, hlg=True)
VARIABLE_5 = ClipKind("1080p 5 s, variable rate", 1920, 1080, 30, 5, variable=True)
FULL_HD_15 = ClipKind("1080p 15 s", 1920, 1080, 30, 15)
TINY = ClipKind("tiny", 128, 96, 24, 1)
"""Read once before every measurement, so that libraries are loaded and initialized in all entrants alike."""
HD_3 = ClipKind("720p 3 s", 1280, 720, 24, 3)
KINDS = {kind.name: kind for kind in (HD_5, FULL_HD_5, FULL_HD_15, HD_3, TINY)}


def clip(kind: ClipKind, folder: Path) -> Path:
    """The clip of a kind, made if it is not there yet."""
    form = "".join(f"-{name}" for name in ("deep", "hlg", "variable") if getattr(kind, name))
    path = folder / f"{kind.width}x{kind.height}-{kind.fps}-{kind.seconds}{form}.mp4"
    with _making:  # parts that go on beside each other want the same clip
        if not path.exists():
            part = path.with_suffix(".part")
            _write(kind, part)
            part.replace(path)
    return path


def repeated(kind: ClipKind, times: int, folder: Path) -> Path:
    """The packets of a kind's clip over and over, as one clip."""
    source = clip(kind, folder)
    path = folder / f"{source.stem}-x{times}.mp4"
    if not path.exists():
        part = path.with_suffix(".part")
        with av.open(str(part), "w", format="mp4", options={"movflags": "+faststart"}) as container:
            for number in range(times):
                _append(container, source, number * kind.seconds)
        part.replace(path)
    return path


def stored_pictures(kind: ClipKind, folder: Path) -> Path:
    """The pictures of a kind before they are encoded, uint8 [frames, height, width, 3], as a file of numpy."""
    path = folder / f"{kind.width}x{kind.height}-{kind.fps}-{kind.seconds}.npy"
    if not path.exists():
        part = path.with_suffix(".part")
        with part.open("wb") as file:
            np.save(file, np.stack(list(pictures(kind))))
        part.replace(path)
    return path


def _append(container: Any, source: Path, later_seconds: int) -> None:
    with av.open(str(source)) as clip_again:
        streams = list(clip_again.streams)
        if not later_seconds:
            for stream in streams:
                container.add_stream_from_template(stream, opaque=True)
        for packet in clip_again.demux():
            # An encoder's run-up lies before the start, where the clip before still sounds.
            if packet.size and packet.pts >= 0:
                later = round(later_seconds / packet.time_base)
                packet.pts, packet.dts = packet.pts + later, packet.dts + later
                packet.stream = container.streams[packet.stream.index]
                container.mux(packet)


def pictures(kind: ClipKind) -> Iterator[Picture]:
    """The pictures of a kind before they are encoded, uint8 [height, width, 3]."""
    fractal = _fractal(kind.width * 3 // 2, kind.height * 3 // 2)
    random = np.random.default_rng(_SEED)
    shape = (_GRAIN_TILES, kind.height, kind.width, 1)
    grain = np.rint(random.normal(0, _GRAIN_LEVELS, shape)).astype(np.int16)
    for number in range(kind.frames):
        seconds = number / kind.fps
        picture = _zoomed(fractal, _ZOOM_A_SECOND**seconds, kind)
        _draw_chart(picture, seconds)
        # A few tiles, shifted and turned, stand for grain that is new in every picture.
        down, right = random.integers(0, (kind.height, kind.width))
        noise = np.roll(grain[number % _GRAIN_TILES], (int(down), int(right)), (0, 1))
        yield np.clip(np.asarray(picture, np.int16) + noise, 0, 255).astype(np.uint8)


def _fractal(width: int, height: int) -> Image.Image:
    """A Julia set in colours."""
    y, x = np.ogrid[-1.0 : 1.0 : height * 1j, -1.6 : 1.6 : width * 1j]
    z = (x + 1j * y).astype(np.complex64)
    steps = np.zeros(z.shape, np.float32)
    for _ in range(_ESCAPE_STEPS):
        inside = np.abs(z) < 2
        z[inside] = z[inside] ** 2 + np.complex64(-0.745 + 0.113j)
        steps[inside] += 1
    phase = steps / _ESCAPE_STEPS * 6.0
    channels = [128 + 100 * np.sin(phase * speed + shift) for speed, shift in ((2.1, 0.0), (1.7, 1.0), (1.3, 2.2))]
    return Image.fromarray(np.stack(channels, axis=-1).astype(np.uint8))


def _zoomed(fractal: Image.Image, share: float, kind: ClipKind) -> Image.Image:
    width, height = fractal.width * share, fractal.height * share
    left, top = (fractal.width - width) * 0.42, (fractal.height - height) * 0.55
    box = (left, top, left + width, top + height)
    return fractal.resize((kind.width, kind.height), Image.Resampling.BICUBIC, box=box)


def _draw_chart(picture: Image.Image, seconds: float) -> None:
    """Bars with hard, saturated edges: what chroma subsampling and codecs find hardest."""
    draw = ImageDraw.Draw(picture)
    unit = picture.width // 64
    base = picture.height - 2 * unit
    for bar in range(_BARS):
        high = unit * (4 + 3 * np.sin(seconds * 1.7 + bar * 0.6))
        left = unit * (2 + 3 * bar) + int(unit * 4 * seconds) % unit
        colour = tuple(int(128 + 127 * np.sin(bar * 1.9 + shift)) for shift in (0.0, 2.1, 4.2))
        draw.rectangle((left, base - high, left + 2 * unit, base), fill=colour)
    draw.line((0, base, picture.width, base), fill=(255, 255, 255), width=max(1, unit // 8))


def _write(kind: ClipKind, path: Path) -> None:
    """By PyAV alone, not by the pack: the clips are as a gateway sends them, whatever becomes of our encoder."""
    with av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"}) as container:
        stream: Any = container.add_stream(kind.codec, rate=kind.fps, options=kind.options)
        stream.width, stream.height, stream.pix_fmt = kind.width, kind.height, kind.form
        tick = Fraction(1, 2 * kind.fps)
        context = stream.codec_context
        context.time_base = tick
        context.color_primaries = context.color_trc = context.colorspace = context.color_range = 1
        if kind.hlg:
            context.color_primaries, context.color_trc, context.colorspace = 9, 18, 9
        sound: Any = container.add_stream("aac", rate=_SOUND_RATE, layout="stereo")
        for number, picture in enumerate(pictures(kind)):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            colours = {"src_colorspace": 5, "dst_colorspace": 1, "src_color_range": 2, "dst_color_range": 1}
            frame = frame.reformat(format=kind.form, **colours)
            if kind.hlg:
                frame.colorspace, frame.color_range = 9, 1
            frame.pts, frame.time_base = 2 * number + (number % 2 if kind.variable else 0), tick
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        for start in range(0, kind.seconds * _SOUND_RATE, 1024):
            container.mux(sound.encode(_tone(start, min(1024, kind.seconds * _SOUND_RATE - start))))
        container.mux(sound.encode(None))


def _tone(start: int, count: int) -> Any:
    times = np.arange(start, start + count, dtype=np.float32) / _SOUND_RATE
    samples = np.stack([0.2 * np.sin(times * 440 * 6.283), 0.2 * np.sin(times * 660 * 6.283)]).astype(np.float32)
    frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="stereo")
    frame.sample_rate, frame.pts, frame.time_base = _SOUND_RATE, start, Fraction(1, _SOUND_RATE)
    return frame


@functools.cache
def still(kind: ClipKind) -> Picture:
    """One picture with grain."""
    return next(pictures(kind))


def plain_still(kind: ClipKind) -> Picture:
    """One picture without grain: as a renderer makes them."""
    picture = _zoomed(_fractal(kind.width * 3 // 2, kind.height * 3 // 2), 1.0, kind)
    _draw_chart(picture, 0.0)
    return np.asarray(picture)
