"""With which packet pictures begin: recordings are cut anywhere, and only the first of a group needs no other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .packets import REORDER_PACKETS, is_closed

# Their pictures refer to others: what comes before the first key frame, or is shown before it, cannot be decoded.
_GROUPED = frozenset({"h264", "hevc", "mpeg1video", "mpeg2video"})
_LEAD_IN_PACKETS = 600


def whole_groups(packets: Iterator[Any], decoder: str) -> Iterator[Any]:
    """Leave out the packets before the first key frame, and those shown before it: recordings begin anywhere.

    All of them stay where there is no key frame: such clips refresh their pictures bit by bit.
    """
    if decoder not in _GROUPED:
        yield from packets
        return
    lead_in = []
    for packet in packets:
        if packet.is_keyframe:
            yield packet
            yield from packets if is_closed(packet, decoder) else _not_before(packet, packets)
            return
        lead_in.append(packet)
        if len(lead_in) > _LEAD_IN_PACKETS:
            break
    yield from lead_in
    yield from packets


def _not_before(key: Any, packets: Iterator[Any]) -> Iterator[Any]:
    for number, packet in enumerate(packets):
        known = packet.pts is not None and key.pts is not None
        if packet.is_keyframe:  # it needs no other, and what follows has all that it needs
            yield packet
            yield from packets
            return
        if number >= REORDER_PACKETS or not known or packet.pts >= key.pts:
            yield packet


def first_shown(packets: Iterator[Any]) -> int | None:
    """The time of the first picture of these (see `packets.shown`), in ticks; None if the packets carry no times."""
    seen: list[int] = []
    for packet in packets:
        if packet.pts is None:
            return None
        seen.append(packet.pts)
        if len(seen) >= REORDER_PACKETS:
            break
    return min(seen, default=None)
