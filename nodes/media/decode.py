"""Clips into frames: one float32 array, filled once, and nothing else of that size.

The decoder runs threaded; a few more threads bring its pictures to RGB and into their rows while it goes on. A row
belongs to one picture by its number, so results do not depend on who was first.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import repeat
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from av import VideoFrame

from ..remarks import remark
from ..stopping import Stop, Tell, never_stop, tell_nobody
from ..troubles import Trouble
from . import forecast
from .audio import Sound, decode_audio
from .cadence import quick_step
from .colour import Converter, Shape, shape_for
from .errors import EmptySpan, NotAClip, TooLarge
from .hdr import Light
from .last_picture import last_picture
from .plan import Plan, claimed_forecast, plan, wanted_pictures
from .source import SPARSE_THREADS, USUAL_THREADS, Source
from .span import WHOLE, Span
from .stills import to_bytes

__all__ = ["Frames", "Sound", "Span", "decode_audio", "decode_frames", "decode_last_frame", "iterate_pictures"]

_CONVERTERS = max(2, min(4, (os.cpu_count() or 2) - 1))
_PICTURES_AHEAD = 1
_FEW_PICTURES = 8

Array = np.ndarray[Any, np.dtype[np.float32]]
Pictures8 = np.ndarray[Any, np.dtype[np.uint8]]


@dataclass(frozen=True)
class Frames:
    """Decoded pictures.

    pixels: float32 [frames, height, width, 3], 0..1, C-contiguous, owned. fps: true, after every_nth. start_seconds:
    of the first frame, from the clip's first picture. seconds: the time they cover, frames / fps.
    """

    pixels: Array
    fps: float
    start_seconds: float
    seconds: float


def decode_frames(
    path: Path,
    span: Span = WHOLE,
    *,
    stop: Stop = never_stop,
    tell: Tell = tell_nobody,
    free_bytes: Callable[[], int] = forecast.free_memory_bytes,
) -> Frames:
    """Decode a part of a clip into float32 RGB. Raises NotAClip, TooLarge, EmptySpan, Stopped.

    The need for memory is forecast before any picture is decoded, and checked again against the first one.
    """
    with Source(path, threads=_threads_for(span)) as source:
        room = free_bytes()
        chosen = plan(source, span, free_bytes=room, stop=stop)
        filled = [False] * chosen.frames
        pixels: Array | None = None
        with _Converters() as converters:
            for row, picture in wanted_pictures(source, chosen, stop=stop):
                if pixels is None:
                    shape = _shape_of(picture, source, span)
                    pixels = _allocate(
                        chosen.frames, shape, picture, span, room, clip_frames=chosen.frames * span.every_nth
                    )
                    converters.shape, converters.light = shape, source.light
                if row is not None and not filled[row]:
                    converters.submit(picture, pixels[row])
                    filled[row] = True
                    tell((row + 1) / chosen.frames)
        if pixels is None or not any(filled):
            raise NotAClip(remark(Trouble.PART_DAMAGED, file=path.name))
        pixels = _repeated(pixels, filled) if span.fps else _without_holes(pixels, filled)
    return Frames(pixels, chosen.fps, chosen.start_seconds, len(pixels) / chosen.fps)


def decode_last_frame(
    path: Path,
    *,
    max_side: int = 0,
    stop: Stop = never_stop,
    free_bytes: Callable[[], int] = forecast.free_memory_bytes,
) -> Array:
    """The last picture shown, float32 [1, height, width, 3]: one seek from the end and the pictures since a key frame.

    If the last packets are damaged: the last picture that is whole. Raises NotAClip, TooLarge, Stopped.
    """
    span = Span(max_side=max_side)
    with Source(path, threads=SPARSE_THREADS) as source:
        room = free_bytes()
        forecast.require_fit(claimed_forecast(source, span), span, room, clip_frames=1)
        return _single(last_picture(source, stop), source, span, room)


def decode_last_of(
    path: Path,
    span: Span,
    *,
    stop: Stop = never_stop,
    free_bytes: Callable[[], int] = forecast.free_memory_bytes,
) -> Array:
    """The last picture of a part of a clip, float32 [1, height, width, 3]: one seek. Raises as decode_frames does."""
    with Source(path, threads=SPARSE_THREADS) as source:
        room = free_bytes()
        forecast.require_fit(claimed_forecast(source, span), span, room, clip_frames=1)
        chosen = plan(source, span, stop=stop)
        last = replace(chosen, keys=chosen.keys[-1:])
        for row, picture in wanted_pictures(source, last, stop=stop):
            if row is not None:
                return _single(picture, source, span, room)
    raise NotAClip(remark(Trouble.LAST_DAMAGED, file=path.name))


def measure(path: Path, span: Span, *, stop: Stop = never_stop) -> Plan:
    """How many pictures a part of a clip has, and at what rate, without decoding any. Raises NotAClip, EmptySpan."""
    with Source(path) as source:
        return plan(source, span, stop=stop)


def usual_rate(path: Path, span: Span = WHOLE) -> float:
    """How many pictures a second most of a part of a clip has, or a good part of it where that is more.

    By the header if they are too few to tell. Raises NotAClip.
    """
    with Source(path) as source:
        with suppress(EmptySpan):  # nothing new is shown in it
            part = plan(source, span)
            if part.frames >= _FEW_PICTURES:
                step = quick_step([round(moment / source.tick) for moment in part.moments])
                return float(1 / (step * source.tick)) if step else part.fps
        return float(source.rate)


def iterate_pictures(
    path: Path,
    span: Span = WHOLE,
    *,
    stop: Stop = never_stop,
    free_bytes: Callable[[], int] = forecast.free_memory_bytes,
) -> tuple[Plan, Iterator[Pictures8]]:
    """A part of a clip: what it is, and its frames, one upright uint8 picture [height, width, 3] at a time.

    One that does not decode is the one before it once more (the same object), so that all keep their times; if none
    does, there are none. Nothing is held but the picture at hand. Raises NotAClip, TooLarge, EmptySpan; the iterator
    also Stopped.
    """
    source = Source(path, threads=_threads_for(span))
    try:
        room = free_bytes()
        forecast.require_fit(claimed_forecast(source, span), span, room, clip_frames=1)
        chosen = plan(source, span, stop=stop)
    except BaseException:
        source.close()
        raise
    return chosen, _bytes_of(source, chosen, span, stop, room)


def spread_pictures(path: Path, count: int, *, max_side: int = 0) -> list[Pictures8]:
    """At most `count` pictures spread evenly over a clip, uint8 [height, width, 3]. Raises NotAClip."""
    with Source(path) as source:
        available = plan(source, WHOLE).frames
    span = Span(every_nth=max(1, available // count), max_frames=count, max_side=max_side)
    pictures = list(iterate_pictures(path, span)[1])
    if not pictures:
        raise NotAClip(remark(Trouble.ALL_DAMAGED, file=path.name))
    return pictures


def _threads_for(span: Span) -> int:
    return SPARSE_THREADS if span.every_nth > 1 else USUAL_THREADS


def _bytes_of(source: Source, chosen: Plan, span: Span, stop: Stop, room: int) -> Iterator[Pictures8]:
    converter: Converter | None = None
    before: Any = None
    pixels: Pictures8 | None = None
    given = 0
    with source:
        for row, picture in wanted_pictures(source, chosen, stop=stop):
            if row is None or row < given:
                continue
            if converter is None:
                shape = _shape_of(picture, source, span)
                need = forecast.Forecast(1, shape.width, shape.height, picture.width * picture.height)
                forecast.require_fit(need, span, room, clip_frames=1)
                converter = Converter(shape, source.light)
            if pixels is not None:
                yield from repeat(pixels, row - given)
                given = row
            if picture is not before:
                before, pixels = picture, to_bytes(converter.rgb(picture))
            yield from repeat(pixels, row + 1 - given)
            given = row + 1
    if pixels is not None:
        yield from repeat(pixels, chosen.frames - given)


def _single(picture: VideoFrame, source: Source, span: Span, room: int) -> Array:
    shape = _shape_of(picture, source, span)
    pixels = _allocate(1, shape, picture, span, room, clip_frames=1)
    Converter(shape, source.light).write(picture, pixels[0])
    return pixels


def _shape_of(picture: VideoFrame, source: Source, span: Span) -> Shape:
    return shape_for(picture.width, picture.height, source.aspect, source.turn(picture), span.max_side)


def _allocate(frames: int, shape: Shape, picture: VideoFrame, span: Span, room: int, *, clip_frames: int) -> Array:
    """The one array. numpy's own memory, because numpy asks Linux for huge pages, which halves the first touch."""
    need = forecast.Forecast(frames, shape.width, shape.height, picture.width * picture.height)
    forecast.require_fit(need, span, room, clip_frames=clip_frames)
    try:
        return np.empty((need.frames, need.height, need.width, 3), np.float32)
    except MemoryError as error:
        raise TooLarge(
            remark(
                Trouble.MEMORY_REFUSED,
                needed=forecast.readable(need.bytes),
                frames=need.frames,
                width=need.width,
                height=need.height,
            )
        ) from error


def _repeated(pixels: Array, filled: list[bool]) -> Array:
    """At a constant rate, a picture that did not decode is the one before it once more, as players show it."""
    shown = filled.index(True)
    for row, there in enumerate(filled):
        if there:
            shown = row
        else:
            pixels[row] = pixels[shown]
    return pixels


def _without_holes(pixels: Array, filled: list[bool]) -> Array:
    """Close up the rows of pictures that did not decode, in place; the array gives the rest back to the system."""
    if all(filled):
        return pixels
    kept = [row for row, there in enumerate(filled) if there]
    for to, row in enumerate(kept):
        if to != row:
            pixels[to] = pixels[row]
    # No other view is alive by now: the converters have ended. A copy would need both sizes at once.
    pixels.resize((len(kept), *pixels.shape[1:]), refcheck=False)
    return pixels


class _Converters:
    """A few threads that bring pictures into their rows, at most so many pictures ahead of them."""

    def __init__(self) -> None:
        self.shape: Shape | None = None
        self.light: Light | None = None
        self._pool = ThreadPoolExecutor(_CONVERTERS, thread_name_prefix="apimall-frames")
        self._own = threading.local()
        self._pending: deque[Future[None]] = deque()

    def __enter__(self) -> _Converters:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(wait=True, cancel_futures=kind is not None)
        if kind is None:
            for future in self._pending:
                future.result()

    def submit(self, picture: VideoFrame, row: Array) -> None:
        while len(self._pending) >= _CONVERTERS + _PICTURES_AHEAD:
            self._pending.popleft().result()
        self._pending.append(self._pool.submit(self._convert, picture, row))

    def _convert(self, picture: VideoFrame, row: Array) -> None:
        converter = getattr(self._own, "converter", None)
        if converter is None:
            assert self.shape is not None
            converter = self._own.converter = Converter(self.shape, self.light)
        converter.write(picture, row)
