"""Film: planar pictures and a soft chord become an MP4 like the gateway's own (H.264, yuv420p, bt709, AAC).

An encoder of the rehearsal's own: `picture.py` says why.
"""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt

from .picture import Picture

SAMPLE_RATE = 48_000
LOUDNESS = 0.12
BT709, LIMITED_RANGE = 1, 1


def write_film(pictures: Iterable[Picture], frames: int, fps: int, chord: npt.NDArray[np.float32], path: Path) -> None:
    """Encodes `frames` pictures and the chord [2, samples] to `path`."""
    with av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"}) as container:
        video, audio = None, None
        sound = _sound_frames(chord)
        for index, picture in enumerate(pictures):
            if video is None or audio is None:
                video = _video_stream(container, picture.size, fps)
                audio = container.add_stream("aac", rate=SAMPLE_RATE)
                audio.bit_rate = 96_000
                audio.layout = "stereo"
            frame = av.VideoFrame.from_ndarray(picture.flat(), format="yuv420p")
            frame.pts, frame.time_base = index, Fraction(1, fps)
            frame.colorspace, frame.color_range = BT709, LIMITED_RANGE
            container.mux(video.encode(frame))
            while sound and sound[0].pts * fps <= index * SAMPLE_RATE:
                container.mux(audio.encode(sound.pop(0)))
            if index + 1 == frames:
                break
        if video is None or audio is None:
            raise ValueError("A film needs at least one picture.")
        for left in sound:
            container.mux(audio.encode(left))
        container.mux(video.encode(None))
        container.mux(audio.encode(None))


def _video_stream(container: Any, size: tuple[int, int], fps: int) -> Any:
    stream = container.add_stream("libx264", rate=fps)
    stream.width, stream.height = size
    stream.pix_fmt = "yuv420p"
    stream.time_base = Fraction(1, fps)
    stream.options = {"preset": "ultrafast", "crf": "20", "g": str(fps * 2)}
    context = stream.codec_context
    context.color_primaries = context.color_trc = context.colorspace = BT709
    context.color_range = LIMITED_RANGE
    return stream


def _sound_frames(chord: npt.NDArray[np.float32]) -> list[Any]:
    frames = []
    for start in range(0, chord.shape[1], 1024):
        frame = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(chord[:, start : start + 1024]), format="fltp", layout="stereo"
        )
        frame.sample_rate, frame.pts, frame.time_base = SAMPLE_RATE, start, Fraction(1, SAMPLE_RATE)
        frames.append(frame)
    return frames


def soft_chord(seed: int, seconds: float) -> npt.NDArray[np.float32]:
    """A quiet chord that swells and fades: float32 [2, samples] at 48 kHz, different by seed."""
    dice = np.random.default_rng(seed)
    time = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    root = 110.0 * 2 ** (int(dice.integers(0, 12)) / 12)
    sides = np.zeros((2, time.size))
    for step in (0, 7, 12, int(dice.choice([14, 16, 19]))):
        swell = 0.65 + 0.35 * np.sin(2 * np.pi * (dice.uniform(0.05, 0.16) * time + dice.random()))
        tone = np.sin(2 * np.pi * root * 2 ** (step / 12) * time) * swell / (1 + step / 12)
        left = dice.uniform(0.3, 0.7)
        sides += np.stack([left * tone, (1 - left) * tone])
    fade = np.minimum(1, np.minimum(time / 0.4, (seconds - time) / 0.6))
    return np.asarray(sides * fade * (2 * LOUDNESS / max(1e-9, np.abs(sides).max())), np.float32)
