"""Stand-in of ComfyUI's VIDEO values: over a file or its bytes (lazy), or over pictures in memory."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
import numpy as np
import torch


@dataclass
class VideoComponents:
    """`images` float32 [frames, height, width, 3]; `audio` an AUDIO dictionary or None."""

    images: torch.Tensor
    frame_rate: Fraction
    audio: dict[str, Any] | None = None
    metadata: dict[str, Any] | None = None


class VideoInput:
    def get_components(self) -> VideoComponents:
        raise NotImplementedError

    def get_stream_source(self) -> str | io.BytesIO:
        raise NotImplementedError

    def get_active_trim_window(self) -> tuple[float, float]:
        return 0.0, 0.0

    def get_dimensions(self) -> tuple[int, int]:
        images = self.get_components().images
        return int(images.shape[2]), int(images.shape[1])

    def get_duration(self) -> float:
        parts = self.get_components()
        return float(parts.images.shape[0] / parts.frame_rate)


class VideoFromFile(VideoInput):
    def __init__(self, file: str | io.BytesIO, *, start_time: float = 0, duration: float = 0) -> None:
        self._file = file
        self._start = start_time
        self._duration = duration

    def get_stream_source(self) -> str | io.BytesIO:
        if isinstance(self._file, io.BytesIO):
            self._file.seek(0)
        return self._file

    def get_active_trim_window(self) -> tuple[float, float]:
        start = self._start if self._start >= 0 else max(0.0, self._whole() + self._start)
        return float(start), float(self._duration)

    def as_trimmed(self, start_time: float = 0, duration: float = 0) -> VideoFromFile:
        return VideoFromFile(self._file, start_time=self._start + start_time, duration=duration)

    @contextmanager
    def _opened(self) -> Iterator[Any]:
        with av.open(self.get_stream_source(), mode="r") as container:
            yield container

    def _whole(self) -> float:
        with self._opened() as container:
            return float(container.duration / av.time_base)

    def get_dimensions(self) -> tuple[int, int]:
        with self._opened() as container:
            return container.streams.video[0].width, container.streams.video[0].height

    def get_duration(self) -> float:
        start, duration = self.get_active_trim_window()
        rest = self._whole() - start
        return min(duration, rest) if duration else rest

    def get_components(self) -> VideoComponents:
        start, duration = self.get_active_trim_window()
        end = start + duration if duration else float("inf")
        with self._opened() as container:
            rate = Fraction(container.streams.video[0].average_rate or 1)
            pictures = [
                torch.from_numpy(frame.to_ndarray(format="rgb24")).float() / 255.0
                for frame in container.decode(video=0)
                if start <= frame.time < end
            ]
        return VideoComponents(images=torch.stack(pictures), frame_rate=rate, audio=self._audio(start, end))

    def _audio(self, start: float, end: float) -> dict[str, Any] | None:
        with self._opened() as container:
            if not container.streams.audio:
                return None
            rate = int(container.streams.audio[0].sample_rate)
            resampler = av.AudioResampler(format="fltp")
            pieces = [piece.to_ndarray() for frame in container.decode(audio=0) for piece in resampler.resample(frame)]
        samples = np.concatenate(pieces, axis=1)
        samples = samples[:, round(start * rate) : None if end == float("inf") else round(end * rate)]
        return {"waveform": torch.from_numpy(np.ascontiguousarray(samples)).unsqueeze(0), "sample_rate": rate}


class VideoFromComponents(VideoInput):
    def __init__(self, components: VideoComponents) -> None:
        self._components = components

    def get_components(self) -> VideoComponents:
        return self._components

    def get_stream_source(self) -> str | io.BytesIO:
        raise AssertionError("ComfyUI would encode every picture here: nobody should ask")
