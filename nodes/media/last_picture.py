"""The picture of a clip that is shown last: one seek from its end, and no more decoded than it needs."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from itertools import chain, islice
from typing import Any

import av
from av import VideoFrame

from ..remarks import remark
from ..stopping import Stop
from ..troubles import Trouble
from .deinterlace import deinterlaced
from .errors import NotAClip
from .packets import REORDER_PACKETS
from .source import Source

_UNKNOWN_END = 1 << 53
_STEPS_BACK_SECONDS = (0, 2, 8, 32)


def last_picture(source: Source, stop: Stop) -> VideoFrame:
    """If the last packets are damaged: the last picture that is whole. Raises NotAClip, Stopped."""
    start = int(source.video.start_time or 0)
    end = start + int(source.video.duration) if source.video.duration else _UNKNOWN_END
    for back in _STEPS_BACK_SECONDS:
        target = end - int(back / source.tick)
        if target <= start:
            break
        with suppress(av.error.FFmpegError, OverflowError):
            picture = _last_from(source, target, stop)
            if picture is not None:
                return picture
    source.reopen()
    picture = _last_whole(deinterlaced(source.pictures(source.packets(stop=stop), stop=stop)))
    if picture is None:
        raise NotAClip(remark(Trouble.ALL_DAMAGED, file=source.path.name))
    return picture


def _last_from(source: Source, target: int, stop: Stop) -> VideoFrame | None:
    """The last picture after the key frame before `target`: by what it needs alone, or if that fails, by all."""

    zero = int(source.video.start_time or 0)
    if source.skips_exactly:
        ends: list[int] = []

        def choose(packets: Iterator[Any]) -> Iterator[Any]:
            ends.clear()
            return _skipping_all_but_the_last(source, packets, ends)

        picture = _last_whole(source.pictures_from(target, zero, choose, stop=stop))
        if picture is not None and [picture.pts] == ends and not picture.interlaced_frame:
            return picture
    pictures = source.pictures_from(target, zero, stop=stop)
    begun = list(islice(pictures, 2))
    if len(begun) == 1 and begun[0].interlaced_frame:
        return None  # the picture before it is needed too
    return _last_whole(deinterlaced(chain(begun, pictures)))


def _last_whole(pictures: Iterator[VideoFrame]) -> VideoFrame | None:
    """The last whole one of these pictures; a damaged one only if there is no whole one."""
    whole: VideoFrame | None = None
    damaged: VideoFrame | None = None
    for picture in pictures:
        if picture.is_corrupt:
            damaged = picture
        else:
            whole = picture
    return whole if whole is not None else damaged


def _skipping_all_but_the_last(source: Source, packets: Iterator[Any], ends: list[int]) -> Iterator[Any]:
    """Leave out pictures that no other needs, except the one shown last, whose time is added to `ends`."""
    tail: deque[Any] = deque()
    context = source.context
    context.skip_frame = "NONREF"
    for packet in packets:
        tail.append(packet)
        if len(tail) > REORDER_PACKETS:
            yield tail.popleft()
    ends += sorted(packet.pts for packet in tail if packet.pts is not None and not packet.is_discard)[-1:]
    for packet in tail:
        context.skip_frame = "DEFAULT" if packet.pts in ends else "NONREF"
        yield packet
    context.skip_frame = "DEFAULT"
