"""Interlaced pictures, whose lines belong to two moments, brought to one: as many pictures as before, not more.

FFmpeg's bwdif (yadif where a build has no other) keeps the field that comes first, as each picture itself says, and
works out the lines between from it and from the pictures before and after. Pictures that do not say that they are
interlaced pass as they are, to the bit.
"""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import av
import av.filter
from av import VideoFrame

_FILTERS = ("bwdif", "yadif")
_SETTINGS = "send_frame:auto:interlaced"  # one picture each, its own order of fields, only those that say so
_TICK = Fraction(1, 1000)


@functools.cache
def deinterlacer() -> str | None:
    """The filter that serves here, None if this PyAV has none."""
    return next((name for name in _FILTERS if name in av.filter.filters_available), None)


def deinterlaced(pictures: Iterator[VideoFrame]) -> Iterator[VideoFrame]:
    """The same pictures, in the same order and at the same times, those that are interlaced as of one moment.

    Reads one picture ahead once there was one that is interlaced; holds three.
    """
    weaver: _Deinterlacer | None = None
    impossible: set[tuple[int, int, str]] = set()
    for picture in pictures:
        form = _form_of(picture)
        if weaver is not None and weaver.form != form:
            yield from weaver.rest()
            weaver = None
        if weaver is None and picture.interlaced_frame and form not in impossible:
            weaver = _deinterlacer_for(form)
            if weaver is None:
                impossible.add(form)
        if weaver is None:
            yield picture
        else:
            yield from weaver.put(picture)
    if weaver is not None:
        yield from weaver.rest()


def _form_of(picture: VideoFrame) -> tuple[int, int, str]:
    return picture.width, picture.height, picture.format.name


def _deinterlacer_for(form: tuple[int, int, str]) -> _Deinterlacer | None:
    """None where there is no filter, or it takes no pictures of that form (of fewer than four lines, say)."""
    name = deinterlacer()
    try:
        return None if name is None else _Deinterlacer(name, form)
    except (av.error.FFmpegError, ValueError):
        return None


class _Deinterlacer:
    """A filter for pictures of one form."""

    def __init__(self, name: str, form: tuple[int, int, str]) -> None:
        self.form = form
        self._graph = av.filter.Graph()
        width, height, format_name = form
        self._in = self._graph.add_buffer(
            width=width, height=height, format=av.VideoFormat(format_name), time_base=_TICK
        )
        weaver = self._graph.add(name, _SETTINGS)
        self._out = self._graph.add("buffersink")
        self._in.link_to(weaver)
        weaver.link_to(self._out)
        self._graph.configure()
        self._due: deque[tuple[VideoFrame, int | None]] = deque()
        self._count = 0

    def put(self, picture: VideoFrame) -> Iterator[VideoFrame]:
        """Take the next picture, give those that are ready."""
        self._due.append((picture, picture.pts))
        picture.pts, picture.time_base = self._count, _TICK
        self._count += 1
        self._in.push(picture)
        yield from self._ready()

    def rest(self) -> Iterator[VideoFrame]:
        """What is held, once no picture follows."""
        self._in.push(None)
        yield from self._ready()
        while self._due:  # no more came out: as they were is better than not at all
            picture, pts = self._due.popleft()
            picture.pts = pts
            yield picture

    def _ready(self) -> Iterator[VideoFrame]:
        while self._due:
            try:
                picture: Any = self._out.pull()
            except (av.error.BlockingIOError, av.error.EOFError):
                return
            picture.pts = self._due.popleft()[1]
            yield picture
