"""Which pictures of a clip are wanted, decided from its packets before any picture is decoded."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import chain, pairwise
from typing import Any

from av import VideoFrame

from ..remarks import remark
from ..stopping import Stop, never_stop
from ..troubles import Trouble
from .cadence import jitter
from .colour import Turn, shape_for
from .deinterlace import deinterlaced
from .errors import EmptySpan, NotAClip
from .forecast import Forecast, require_fit
from .source import Source
from .span import START_TOLERANCE_SECONDS, Span
from .timeline import Timeline, read_timeline


@dataclass(frozen=True)
class Plan:
    """The pictures wanted from a source, a frame each, in the order they are shown.

    keys: which picture each frame shows, never falling; one stands twice where a rate repeats it. A key is a time in
    ticks of the stream if `timed`, else the number of the picture, counted from the clip's first. fps: of the frames;
    frames / fps is the time they cover. start_seconds: of the first frame, from the clip's first picture. moments: when
    each is shown, in seconds from the first; empty if they keep to fps.
    """

    keys: tuple[int, ...]
    timed: bool
    zero: int
    fps: float
    start_seconds: float
    moments: tuple[float, ...] = ()

    @property
    def frames(self) -> int:
        return len(self.keys)

    @property
    def seconds(self) -> float:
        return self.frames / self.fps


def plan(source: Source, span: Span, *, free_bytes: int | None = None, stop: Stop = never_stop) -> Plan:
    """Choose the pictures of `span`. Reads packets, decodes nothing.

    With free_bytes (of memory) also makes sure that the frames will fit. Raises TooLarge, EmptySpan, NotAClip.
    """
    return (_at_rate if span.fps else _as_they_are)(source, span, free_bytes, stop)


def _as_they_are(source: Source, span: Span, free_bytes: int | None, stop: Stop) -> Plan:
    claimed = claimed_forecast(source, span)
    most = span.max_frames * span.every_nth if span.max_frames else None
    if free_bytes is not None:
        # One more than fits is enough to refuse; a header's lie is found out at the same time.
        enough = (claimed.frames_that_fit(free_bytes) + 1) * span.every_nth
        most = enough if most is None else min(most, enough)
    timeline = read_timeline(source, span.start_seconds, most, seconds=span.seconds, stop=stop)
    skipped, available = 0, len(timeline.times)
    if not timeline.times:
        # Without times, pictures are counted from the clip's first; the count starts there too.
        skipped = timeline.number_at(span.start_seconds, source)
        end = timeline.number_at(span.start_seconds + span.seconds, source) if span.seconds else timeline.count
        available = max(0, min(timeline.count, end) - skipped)
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
    counted = not timeline.times
    if counted:
        timeline = _shared_part(source, timeline, span, skipped, min(available, most or available))
    fps, steady = _true_rate(source, timeline, span)
    times = timeline.times[:: span.every_nth][:frames]
    begin = (times[0] - timeline.zero) * source.tick if times else skipped / source.rate
    moments = () if steady else tuple(float((time - times[0]) * source.tick) for time in times)
    keys = range(skipped, skipped + frames * span.every_nth, span.every_nth) if counted else times
    return Plan(tuple(keys), not counted, timeline.zero, fps, float(begin), moments)


def _shared_part(source: Source, timeline: Timeline, span: Span, begin: int, count: int) -> Timeline:
    """As if the pictures from this number on had times of their own, if any of the clip's have."""
    times, following = timeline.shared[begin : begin + count], timeline.shared[begin + count :]
    if not following:
        return replace(timeline, times=times)
    over = timeline.zero + source.ticks_at(span.start_seconds + span.seconds) if span.seconds else following[0]
    return replace(timeline, times=times, end=min(following[0], over))


def _at_rate(source: Source, span: Span, free_bytes: int | None, stop: Stop) -> Plan:
    """Frames a constant time apart: each shows the picture that is on the screen then, which may stand twice."""
    claimed = claimed_forecast(source, span)
    asked = _seconds_needed(span, None if free_bytes is None else claimed.frames_that_fit(free_bytes))
    timeline = read_timeline(source, span.start_seconds, seconds=asked, with_standing=True, stop=stop)
    begin = span.start_seconds + START_TOLERANCE_SECONDS
    if not timeline.times or timeline.times[0] > timeline.zero + begin / float(source.tick):
        # Pictures without times are counted from the clip's first on, and a seek may miss the one on the screen.
        source.reopen()
        timeline = read_timeline(source, 0.0, stop=stop)
    known = timeline.times or timeline.shared
    ticks = known or [round(number / (source.rate * source.tick)) for number in range(timeline.count)]
    if not ticks:
        raise _nothing(source, span)
    zero = timeline.zero if known else 0
    length = asked
    if timeline.end is None:
        step = timeline.last_step(source) if known else float(1 / (source.rate * source.tick))
        length = float((ticks[-1] - zero + step) * source.tick) - span.start_seconds
    if length <= 0:
        raise _nothing(source, span)
    count = max(1, round(min(length, asked or length) * span.fps))
    numbers = range(0, count, span.every_nth)[: span.max_frames or None]
    if free_bytes is not None:
        rest = length if timeline.end is None else max(length, source.seconds - span.start_seconds)
        full = max(count, round(min(rest, span.seconds or rest) * span.fps))
        frames = len(range(0, full, span.every_nth)[: span.max_frames or None])
        require_fit(replace(claimed, frames=frames), span, free_bytes, clip_frames=full)
    moments = (zero + (begin + number / span.fps) / float(source.tick) for number in numbers)
    shown = [max(0, bisect_right(ticks, moment) - 1) for moment in moments]
    keys = tuple(ticks[index] for index in shown) if timeline.times else tuple(shown)
    return Plan(keys, bool(timeline.times), timeline.zero, span.fps / span.every_nth, span.start_seconds)


def _seconds_needed(span: Span, most_fit: int | None) -> float:
    """How much of a clip has to be known for frames at a constant rate; 0 for all of it.

    One frame more than fits is enough to refuse.
    """
    counts = [span.max_frames or None, None if most_fit is None else most_fit + 1]
    limits = [span.seconds, *(count * span.every_nth / span.fps for count in counts if count)]
    return min((limit for limit in limits if limit), default=0.0)


def wanted_pictures(
    source: Source, chosen: Plan, *, stop: Stop = never_stop
) -> Iterator[tuple[int | None, VideoFrame]]:
    """Decode and give (number among the wanted ones or None, picture); ends with the last wanted one.

    Pictures that no other needs are not decoded at all where the codec marks them (see Source.skips_exactly).
    """
    rows: dict[int | None, list[int]] = {}
    for row, key in enumerate(chosen.keys):
        rows.setdefault(key, []).append(row)
    for number, picture in enumerate(_pictures(source, chosen, rows, stop)):
        wanted = rows.get(picture.pts if chosen.timed else number)
        if wanted is None:
            yield None, picture
            continue
        for row in wanted:
            yield row, picture
        if wanted[-1] + 1 == chosen.frames:
            return


def _pictures(source: Source, chosen: Plan, wanted: Mapping[int | None, object], stop: Stop) -> Iterator[VideoFrame]:
    """The pictures from the first wanted one on, or from an earlier one."""
    target = chosen.keys[0] if chosen.timed else chosen.zero
    sparse = chosen.timed and source.skips_exactly

    def choose(packets: Iterator[Any]) -> Iterator[Any]:
        return _skipping(source, packets, wanted) if sparse else packets

    pictures = source.pictures_from(target, chosen.zero, choose, stop=stop)
    first = next(pictures, None)
    if first is None:
        return
    if first.interlaced_frame:
        # It takes the pictures before and after each to tell its lines: once more, with all of them.
        source.context.skip_frame = "DEFAULT"
        pictures = source.pictures_from(target - 1, chosen.zero, stop=stop)
    else:
        pictures = chain([first], pictures)
    yield from deinterlaced(pictures)


def _skipping(source: Source, packets: Iterator[Any], wanted: Mapping[int | None, object]) -> Iterator[Any]:
    for packet in packets:
        source.context.skip_frame = "DEFAULT" if packet.pts in wanted else "NONREF"
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
_STEPS_STANDING = 2  # a clip's last picture may be a little longer than the rest by a muxer's reckoning alone


def _nothing(source: Source, span: Span) -> Exception:
    if not span.start_seconds:
        return NotAClip(remark(Trouble.NO_PICTURE_INSIDE, file=source.path.name))
    return EmptySpan(
        remark(
            Trouble.START_BEHIND_LAST,
            start=f"{span.start_seconds:g}",
            file=source.path.name,
            seconds=f"{source.seconds:.2f}",
        )
    )


def _true_rate(source: Source, timeline: Timeline, span: Span) -> tuple[float, bool]:
    """Pictures a second after every_nth, and whether all keep to it: the header's rate, else their true mean."""
    times, end = timeline.times, timeline.end
    told = 1 / (source.rate * source.tick)
    if times and end is None and timeline.last > _STEPS_STANDING * told:
        end = times[-1] + timeline.last
    # A part may end in the middle of its last picture's time; only one that stands longer is out of step.
    stands = end is not None and end - times[-1] > told + START_TOLERANCE_SECONDS / source.tick + jitter(told)
    known = [*times, end] if end is not None and stands else times
    if len(known) < 2:
        return float(source.rate / span.every_nth), True
    even = Fraction(known[-1] - known[0], len(known) - 1)
    # Where ticks count pictures, nothing was rounded: a header that says otherwise rounds the rate itself.
    told_steps = [] if even == 1 else [1 / (rate * source.tick) for rate in source.rates]
    for step in (*told_steps, even):
        if _is_steady(known, step):
            return float(1 / (step * source.tick * span.every_nth)), True
    kept = times[:: span.every_nth][: span.max_frames or None]
    after = len(kept) * span.every_nth
    if after < len(times):
        ends = float(times[after])
    else:
        ends = float(end) if end is not None else times[-1] + timeline.last_step(source)
    return float(len(kept) / ((ends - kept[0]) * source.tick)), False


def _is_steady(times: list[int], told: Fraction) -> bool:
    """Each step, and their sum: a tick too few each time is a rounding once, and another rate after a minute."""
    allowed = jitter(told)
    whole = told * (len(times) - 1)
    return abs(times[-1] - times[0] - whole) <= allowed and all(
        abs(b - a - told) <= allowed for a, b in pairwise(times)
    )
