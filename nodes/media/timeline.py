"""When the pictures of a clip are shown, from its packets alone: none is decoded."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from ..stopping import Stop, never_stop
from .cadence import usual_step
from .demuxer import Demuxer
from .groups import first_shown, whole_groups
from .packets import REORDER_PACKETS
from .span import START_TOLERANCE_SECONDS


@dataclass(frozen=True)
class Timeline:
    """When the pictures of a part of a clip are shown, from its packets alone.

    times: in ticks of the stream, rising; empty if the packets carry no usable times. count: packets that make a
    picture; without times counted from the clip's first, for such pictures have nothing but their number. zero: the
    time of the clip's first picture. complete: the part was read to its end. end: when its last picture gives way, to
    another or to the end of the part; None where the clip ends with it. last: how long its last picture stands, in
    ticks; 0 if untold. shared: instead of times, where some packets have one together: when all that were counted are
    shown if those share the time until the next; rising.
    """

    times: list[int]
    count: int
    zero: int
    complete: bool
    end: int | None = None
    last: int = 0
    shared: list[int] = field(default_factory=list)

    def number_at(self, seconds: float, demuxer: Demuxer) -> int:
        """How many pictures of a clip whose pictures are counted are shown before a moment."""
        if self.shared:
            return bisect_left(self.shared, self.zero + demuxer.ticks_at(seconds))
        return math.ceil((seconds - START_TOLERANCE_SECONDS) * demuxer.rate) if seconds else 0

    def seconds(self, demuxer: Demuxer) -> float:
        """From the clip's first picture to the end of the last one known."""
        return float((self.times[-1] - self.zero + self.last_step(demuxer)) * demuxer.tick)

    def last_step(self, demuxer: Demuxer) -> float:
        """How long the last picture stands, in ticks: as told, else as long as most."""
        if self.last > 0:
            return self.last
        known = self.times or self.shared
        return max(1.0, usual_step(known)) if len(known) > 1 else float(1 / (demuxer.rate * demuxer.tick))


def read_timeline(
    demuxer: Demuxer,
    start_seconds: float,
    most: int | None = None,
    *,
    seconds: float = 0.0,
    with_standing: bool = False,
    stop: Stop = never_stop,
) -> Timeline:
    """Read packets until `most` pictures from the start, or those of so many seconds, are known.

    with_standing: the picture that is already on the screen at the start is one of them.
    """
    part = _part_of(demuxer, start_seconds, seconds, most, with_standing)
    if part.first is None or part.zero is None:
        packets = whole_groups(demuxer.packets(stop=stop), demuxer.decoder)
    else:
        packets = demuxer.packets_from(part.first - with_standing, part.zero, stop=stop)
    counted = _count(demuxer.shown(packets), part)
    if part.first is not None and not counted.are_timed:
        demuxer.reopen()
        whole = read_timeline(demuxer, 0.0, stop=stop)
        return replace(whole, times=[], shared=whole.times or whole.shared)
    return _timeline_of(counted, part, int(demuxer.video.start_time or 0))


@dataclass(frozen=True)
class _Part:
    """Which pictures are looked for, in ticks; None: from the first on, to the last, all of them.

    zero: the time of the clip's first picture, None where it is not known before all are.
    """

    most: int | None
    zero: int | None = None
    first: int | None = None
    last: int | None = None
    with_standing: bool = False


def _part_of(demuxer: Demuxer, start_seconds: float, seconds: float, most: int | None, with_standing: bool) -> _Part:
    if start_seconds <= 0 and not seconds:
        return _Part(most)
    zero = first_shown(demuxer.shown(whole_groups(demuxer.packets(), demuxer.decoder)))
    if zero is None:  # without times, pictures are counted, from the first on
        demuxer.reopen()
        return _Part(None if most is None else most + math.ceil(start_seconds * demuxer.rate))
    first = zero + demuxer.ticks_at(start_seconds)
    last = zero + demuxer.ticks_at(start_seconds + seconds) if seconds else None
    return _Part(most, zero, first, last, with_standing)


@dataclass(frozen=True)
class _Counted:
    """The pictures of a part, as their packets came.

    times: of those that have one; rising: each once. last: the time of the one that is shown last, and how long it
    stands. complete: the part was read to its end. goes_on: pictures follow that are not of it.
    """

    count: int
    times: list[int]
    rising: list[int]
    last: tuple[int, int]
    complete: bool
    goes_on: bool

    @property
    def are_timed(self) -> bool:
        """Whether each has a time of its own."""
        return len(self.rising) == self.count and self.count > 0


def _count(packets: Iterator[Any], part: _Part) -> _Counted:
    first, last, zero = part.first, part.last, part.zero
    enough = None if part.most is None else part.most + REORDER_PACKETS
    standing: tuple[int, int] | None = None
    times: list[int] = []
    final = (0, 0)
    count = beyond = 0
    complete = True
    for packet in packets:
        time = packet.pts
        if time is not None and first is not None and time < first:
            if part.with_standing and zero is not None and time >= zero:
                shown_now = (time, packet.duration or 0)
                standing = shown_now if standing is None else max(standing, shown_now)
            continue
        if time is not None and last is not None and time >= last:
            beyond += 1
            if beyond > REORDER_PACKETS:
                break
            continue
        count += 1
        if time is not None:
            times.append(time)
            final = max(final, (time, packet.duration or 0))
        if enough is not None and count >= enough:
            complete = False
            break
    if standing is not None:
        count += 1
        times.append(standing[0])
        final = max(final, standing)
    return _Counted(count, times, sorted(set(times)), final, complete, beyond > 0)


def _timeline_of(counted: _Counted, part: _Part, start: int) -> Timeline:
    """start: the time of the clip's first picture, as the header tells it."""
    count, rising, are_timed = counted.count, counted.rising, counted.are_timed
    shared: list[int] = []
    if not are_timed and len(counted.times) == count < 2 * len(rising):
        # Where most have a time together with others, times say nothing of when pictures are shown.
        shared = _apart(sorted(counted.times))
    zero = part.zero
    if zero is None:
        zero = rising[0] if are_timed or shared else start
    end = part.last if counted.goes_on else None
    if are_timed and not counted.complete:
        assert part.most is not None, "broken off by the number alone"
        end, rising = rising[part.most], rising[: part.most]
    stands = counted.last[1] if counted.complete and end is None else 0
    known = count if counted.complete else count - REORDER_PACKETS
    return Timeline(rising if are_timed else [], known, zero, counted.complete, end, stands, shared)


def _apart(times: list[int]) -> list[int]:
    """Pictures that have one time share what there is until the next; empty if ticks are too long for that."""
    together = Counter(times)
    ends = [*together, times[-1] + int(usual_step(list(together)))][1:]
    apart = [
        begin + (end - begin) * number // count
        for (begin, count), end in zip(together.items(), ends, strict=True)
        for number in range(count)
    ]
    return apart if len(set(apart)) == len(times) else []
