"""Whether a seek in a file leads where it says, which not all containers can promise."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import av
from av.container import InputContainer

from . import pyav, transport
from .containers import moving_stream, open_container

_PLACED_PACKETS = 30  # more than a group of pictures holds


def goes_where_it_says(container: InputContainer) -> bool:
    """Whether a seek in a file comes to the time that its packets then claim. Raises NotAClip.

    Without a whole table of places, an MXF is entered where the time may be, and what is there is counted from it.
    Where recordings are put end to end, a time may be at two places.
    """
    name, path = container.format.name, Path(container.name)
    if transport.has_clock_that_leaps(name):
        return not transport.starts_again(path, name)
    return name != "mxf" or _has_true_places(path)


def _has_true_places(path: Path) -> bool:
    """Whether packets have the same times after a seek as on the way from the start."""
    container = open_container(path)
    try:
        video = moving_stream(container)
        begun = list(islice((packet for packet in container.demux(video) if packet.size), _PLACED_PACKETS))
        told = {packet.pos: packet.pts for packet in begun}
        container.seek(max(packet.dts or 0 for packet in begun), stream=video, backward=True)
        there = next((packet for packet in container.demux(video) if packet.size), None)
        return there is not None and told.get(there.pos) == there.pts
    except (av.error.FFmpegError, OverflowError, ValueError):
        return False
    finally:
        pyav.close(container)
