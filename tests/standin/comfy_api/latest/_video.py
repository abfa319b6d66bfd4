"""Stand-in of ComfyUI's VIDEO values: over a file or its bytes (lazy), over pictures in memory, over several VIDEOs."""

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

Rectangle = tuple[int, int, int, int]


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

    def save_to(self, path: str, *, crf: float | None = None) -> None:
        """Encodes what the VIDEO shows."""
        _encode(self.get_components(), path, crf)

    def get_active_trim_window(self) -> tuple[float, float]:
        return 0.0, 0.0

    def get_dimensions(self) -> tuple[int, int]:
        images = self.get_components().images
        return int(images.shape[2]), int(images.shape[1])

    def get_duration(self) -> float:
        parts = self.get_components()
        return float(parts.images.shape[0] / parts.frame_rate)


class VideoFromFile(VideoInput):
    """`crop` and `size` are newer; with them a VIDEO still names the whole file as its own."""

    def __init__(
        self,
        file: str | io.BytesIO,
        *,
        start_time: float = 0,
        duration: float = 0,
        crop: Rectangle | None = None,
        size: tuple[int, int] | None = None,
    ) -> None:
        self._file = file
        self._start = start_time
        self._duration = duration
        self._crop = crop
        self._size = size

    def get_stream_source(self) -> str | io.BytesIO:
        if isinstance(self._file, io.BytesIO):
            self._file.seek(0)
        return self._file

    def get_active_trim_window(self) -> tuple[float, float]:
        start = self._start if self._start >= 0 else max(0.0, self._whole() + self._start)
        return float(start), float(self._duration)

    def has_pending_frame_edits(self) -> bool:
        return self._crop is not None or self._size is not None

    def as_trimmed(self, start_time: float = 0, duration: float = 0, strict_duration: bool = True) -> VideoFromFile:
        return self._changed(start_time=self._start + start_time, duration=duration)

    def as_cropped(self, x: int = 0, y: int = 0, width: int = 0, height: int = 0) -> VideoFromFile:
        return self._changed(crop=(x, y, width, height))

    def as_resized(self, width: int, height: int) -> VideoFromFile:
        return self._changed(size=(width, height))

    def _changed(self, **change: Any) -> VideoFromFile:
        now = {"start_time": self._start, "duration": self._duration, "crop": self._crop, "size": self._size}
        return type(self)(self._file, **(now | change))

    @contextmanager
    def _opened(self) -> Iterator[Any]:
        with av.open(self.get_stream_source(), mode="r") as container:
            yield container

    def _whole(self) -> float:
        with self._opened() as container:
            return float(container.duration / av.time_base)

    def get_dimensions(self) -> tuple[int, int]:
        if self._size or self._crop:
            return self._size or self._crop[2:]  # type: ignore[index]
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
                torch.from_numpy(np.ascontiguousarray(self._edited(frame))).float() / 255.0
                for frame in container.decode(video=0)
                if start <= frame.time < end
            ]
        return VideoComponents(images=torch.stack(pictures), frame_rate=rate, audio=self._audio(start, end))

    def _edited(self, frame: av.VideoFrame) -> np.ndarray[Any, Any]:
        if self._size:
            frame = frame.reformat(*self._size)
        pixels: np.ndarray[Any, Any] = frame.to_ndarray(format="rgb24")
        if self._crop:
            x, y, width, height = self._crop
            pixels = pixels[y : y + height, x : x + width]
        return pixels

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


class VideoFromList(VideoInput):
    """Several VIDEOs, one after the other. Decoding them all takes the memory of them all: writing them does not."""

    def __init__(self, videos: list[VideoInput]) -> None:
        self.videos = videos

    def get_components(self) -> VideoComponents:
        raise AssertionError("ComfyUI would decode every clip of the list at once: nobody should ask")

    def save_to(self, path: str, *, crf: float | None = None) -> None:
        parts = [video.get_components() for video in self.videos]
        _encode(VideoComponents(torch.cat([part.images for part in parts]), parts[0].frame_rate), path, crf)


def _encode(parts: VideoComponents, path: str, crf: float | None) -> None:
    with av.open(path, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=parts.frame_rate, options={"crf": f"{crf or 23}"})
        stream.height, stream.width, stream.pix_fmt = parts.images.shape[1], parts.images.shape[2], "yuv420p"
        sound = container.add_stream("aac", rate=parts.audio["sample_rate"], layout="stereo") if parts.audio else None
        for picture in parts.images:
            pixels = (picture * 255).round().byte().numpy()
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))
        if sound is not None and parts.audio is not None:
            frame = av.AudioFrame.from_ndarray(parts.audio["waveform"][0].numpy(), format="fltp", layout="stereo")
            frame.sample_rate, frame.pts = parts.audio["sample_rate"], 0
            container.mux(sound.encode(frame))
            container.mux(sound.encode(None))
