"""Which pictures of a clip are wanted, decided from its packets before any picture is decoded."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from typing import Any

from av import VideoFrame

from ..progress import Stop, never_stop
from .colour import Turn, shape_for
from .errors import EmptySpan, NotAClip
from .forecast import Forecast, require_fit
from .source import Source, usual_step
from .span import START_TOLERANCE_SECONDS, Span

_JITTER_TICKS = 2  # containers that count milliseconds round each time


@dataclass(frozen=True)
class Plan:
    """The pictures wanted from a source.

    frames: how many. times: when each is shown, in ticks, rising; empty if the packets carry no times, and pictures are
    then counted as they come: `skipped` are passed over and each `every_nth` taken. fps: after every_nth; frames / fps
    is the time they cover. start_seconds: of the first one, from the clip's first picture.
    """

    frames: int
    times: tuple[int, ...]
    skipped: int
    every_nth: int
    zero: int
    fps: float
    start_seconds: float

    @property
    def seconds(self) -> float:
        return self.frames / self.fps


def plan(source: Source, span: Span, *, free_bytes: int | None = None, stop: Stop = never_stop) -> Plan:
    """Choose the pictures of `span`. Reads packets, decodes nothing.

    With free_bytes (of memory) also makes sure that the frames will fit. Raises TooLarge, EmptySpan, NotAClip.
    """
    claimed = claimed_forecast(source, span)
    most = span.max_frames * span.every_nth if span.max_frames else None
    if free_bytes is not None:
        # One more than fits is enough to refuse; a header's lie is found out at the same time.
        enough = (claimed.frames_that_fit(free_bytes) + 1) * span.every_nth
        most = enough if most is None else min(most, enough)
    timeline = source.timeline(span.start_seconds, most, stop=stop)
    skipped = 0
    if not timeline.times:
        # Without times, pictures are counted from the clip's first; the count starts there too.
        skipped = math.ceil((span.start_seconds - START_TOLERANCE_SECONDS) * source.rate) if span.start_seconds else 0
    available = len(timeline.times) or max(0, timeline.count - skipped)
    frames = -(-available // span.every_nth)
    if span.max_frames:
        frames = min(frames, span.max_frames)
    if not frames:
        raise _nothing(source, span)
    if free_bytes is not None:
        full = _full_count(source, span, available, timeline.complete)
        shown = min(span.max_frames or full, -(-full // span.every_nth))
        forecast = replace(claimed, frames=max(frames, shown))
        require_fit(forecast, span, free_bytes, clip_frames=full)
    times = tuple(timeline.times[:: span.every_nth][:frames])
    start = (times[0] - timeline.zero) * source.tick if times else Fraction(skipped) / source.rate
    return Plan(
        frames, times, skipped, span.every_nth, timeline.zero, _true_rate(source, timeline.times, span), float(start)
    )


def wanted_pictures(
    source: Source, chosen: Plan, *, stop: Stop = never_stop
) -> Iterator[tuple[int | None, VideoFrame]]:
    """Decode and give (number among the wanted ones or None, picture); ends with the last wanted one.

    Pictures that no other needs are not decoded at all where the codec marks them (see Source.skips_exactly).
    """
    rows: dict[int | None, int] = {time: row for row, time in enumerate(chosen.times)}
    target = chosen.times[0] if chosen.times else chosen.zero
    packets = source.packets_from(target, chosen.zero, stop=stop)
    if rows and source.skips_exactly:
        packets = _skipping(source, packets, rows)
    for number, picture in enumerate(source.pictures(packets, stop=stop)):
        if rows:
            row = rows.get(picture.pts)
        else:
            row, rest = divmod(number - chosen.skipped, chosen.every_nth)
            row = None if rest or row < 0 else row
        yield row, picture
        if row is not None and row + 1 == chosen.frames:
            return


def _skipping(source: Source, packets: Iterator[Any], wanted: dict[int | None, int]) -> Iterator[Any]:
    for packet in packets:
        source.video.codec_context.skip_frame = "DEFAULT" if packet.pts in wanted else "NONREF"
        yield packet


def claimed_forecast(source: Source, span: Span) -> Forecast:
    """What one picture of `span` needs, by the header: it may lie, so the first picture is asked again."""
    context = source.video.codec_context
    shape = shape_for(max(1, context.width), max(1, context.height), source.aspect, Turn(), span.max_side)
    return Forecast(1, shape.width, shape.height, context.width * context.height)


def _full_count(source: Source, span: Span, counted: int, complete: bool) -> int:
    """Pictures from the span's start on: counted, or if counting was cut short, as the header plausibly claims."""
    if complete:
        return counted
    claimed = int(source.video.frames or 0) or int(source.seconds * source.rate)
    claimed -= int(span.start_seconds * source.rate)
    plausible = claimed <= source.path.stat().st_size // _SMALLEST_PACKET_BYTES
    return max(counted, claimed) if plausible else counted


_SMALLEST_PACKET_BYTES = 16


def _nothing(source: Source, span: Span) -> Exception:
    if not span.start_seconds:
        return NotAClip(f"{source.path.name} holds no picture: it is damaged or not a clip. Use another file.")
    return EmptySpan(
        f"start {span.start_seconds:g} s lies behind the last picture of {source.path.name} "
        f"({source.seconds:.2f} s long). Choose an earlier start."
    )


def _true_rate(source: Source, times: list[int], span: Span) -> float:
    """Pictures a second after every_nth: the header's rate if the pictures keep to it, else their true mean."""
    step = usual_step(times)
    if not step:
        return float(source.rate / span.every_nth)
    told = 1 / (source.rate * source.tick)
    steady = all(abs(b - a - told) <= _JITTER_TICKS for a, b in pairwise(times))
    if steady:
        return float(source.rate / span.every_nth)
    kept = times[:: span.every_nth][: span.max_frames or None]
    after = len(kept) * span.every_nth
    end = times[after] if after < len(times) else kept[-1] + step * span.every_nth
    return float(len(kept) / ((end - kept[0]) * source.tick))
