"""An opened clip: its one video stream, when its pictures are shown, and how to reach one of them.

Files come from strangers. Demuxers are limited to those of real clips, so that a play list dressed as an MP4 opens no
other file and no address; the size of a picture is limited before a decoder is opened.
"""

from __future__ import annotations

import math
import os
import statistics
import time
from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import chain, islice, pairwise
from pathlib import Path
from types import TracebackType
from typing import Any

import av
from av import VideoFrame
from av.container import InputContainer
from av.video.frame import PictureType

from ..stopping import Stop, Stopped, never_stop
from . import pyav, transport
from .colour import Turn, turn_of
from .encryption import encrypted_streams
from .errors import NotAClip
from .exif import turn_of_animation
from .hdr import Light, light_of
from .kinds import has_no_index, title_of
from .packets import is_closed, is_key, may_hold_fields, shown
from .span import START_TOLERANCE_SECONDS

LARGEST_PICTURE_PIXELS = 8192 * 8192
OPEN_TIMEOUT_SECONDS = 4.0
READ_TIMEOUT_SECONDS = 20.0
_FIRST_PICTURE_SECONDS = 4.0
_FIRST_PICTURE_PACKETS = 600

ONE_THREAD = 1
USUAL_THREADS = 0
# A thread that is given a picture to leave out has nothing to do until its turn comes again.
SPARSE_THREADS = min(12, 4 * (os.cpu_count() or 2))

# Reordering in H.264 and HEVC reaches at most 16 pictures: after this many packets no earlier time can turn up.
REORDER_PACKETS = 32

# None of these opens a second file, or an address, for what stands in the first.
_DEMUXERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,flv,ogg,asf,rm,mxf,dv,nut,wtv,yuv4mpegpipe,"
    "ivf,obu,h264,hevc,mpegvideo,gif,apng,webp_anim"
)
# Their pictures refer to others: what comes before the first key frame, or is shown before it, cannot be decoded.
_GROUPED = frozenset({"h264", "hevc", "mpeg1video", "mpeg2video"})
# Others (qtrle) are told their palette with the first packet after opening, and never again.
_SAME_AGAIN = frozenset({"h264", "hevc"})
_ANIMATIONS = frozenset(("apng", "webp_anim"))
_PLACED_PACKETS = 30  # more than a group of pictures holds
_STOP_EVERY_PACKETS = 64
_UNTOLD = (0, 2)  # of transfer_characteristics in H.273: reserved, unspecified
_CLEARLY_SOONER = 0.6  # half as long is; a camera's own jitter is not
_FEW = 2  # a camera that stumbled
_ONE_IN = 20
_JITTER_TICKS = 2  # containers that count milliseconds round each time
# Their demuxers know no times and take 25 a second for granted; how long a picture stands is in the stream itself.
_BARE_STREAMS = frozenset(("h264", "hevc", "mpegvideo", "obu"))


@dataclass(frozen=True)
class _Place:
    """Which packet of a file one is. pos: its first byte."""

    pos: int | None
    size: int
    pts: int | None
    dts: int | None

    @classmethod
    def of(cls, packet: Any) -> _Place:
        return cls(packet.pos, packet.size, packet.pts, packet.dts)


Choose = Callable[[Iterator[Any]], Iterator[Any]]
"""What to decode of these packets, and how."""


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

    def number_at(self, seconds: float, source: Source) -> int:
        """How many pictures of a clip whose pictures are counted are shown before a moment."""
        if self.shared:
            return bisect_left(self.shared, self.zero + source.ticks_at(seconds))
        return math.ceil((seconds - START_TOLERANCE_SECONDS) * source.rate) if seconds else 0

    def seconds(self, source: Source) -> float:
        """From the clip's first picture to the end of the last one known."""
        return float((self.times[-1] - self.zero + self.last_step(source)) * source.tick)

    def last_step(self, source: Source) -> float:
        """How long the last picture stands, in ticks: as told, else as long as most."""
        if self.last > 0:
            return self.last
        known = self.times or self.shared
        return max(1.0, usual_step(known)) if len(known) > 1 else float(1 / (source.rate * source.tick))


class Source:
    """One opened file and its video stream, for one thread. A context manager. Raises NotAClip.

    threads: of the decoder. USUAL_THREADS for all pictures, SPARSE_THREADS if many will be left out, ONE_THREAD for the
    first alone. decoder: FFmpeg's name of the usual one, which is the codec's for nearly all. context: what decodes.
    clock_leapt: whether packets were read whose clock started again, so that others have times on it that were used.
    missing_decoder: one that this PyAV lacks, without which transparency is not seen; None in all other cases.
    """

    def __init__(self, path: Path, *, threads: int = USUAL_THREADS) -> None:
        self.path = path
        self.context: Any = None
        self.clock_leapt = False
        self._is_placed: bool | None = None
        self._threads = threads
        self.container: InputContainer = open_container(path)
        try:
            self.video: Any = self._find_video()
            self._prepare()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Source:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file and its decoder, at any time."""
        pyav.flush(self.context)
        pyav.close(self.container)

    def _find_video(self) -> Any:
        video = moving_stream(self.container)
        if video is None:
            if has_no_index(self.path):
                raise _not_opened(self.path)
            what = "no video, only sound" if self.container.streams.audio else "no video"
            raise NotAClip(f"{self.path.name} holds {what}. Use another file.")
        if video.index in encrypted_streams(self.container):
            raise NotAClip(
                f"{self.path.name} is encrypted: only a player that has its key can show it. "
                "Use a file without protection."
            )
        return video

    def _prepare(self) -> None:
        self._is_at_start = True
        self._first: _Place | None = None
        context = self.video.codec_context
        if context is None:
            raise NotAClip(f"{self.path.name} holds video in a form that this PyAV cannot decode.")
        self.decoder = str(context.name)
        self._told_light = light_of(context)
        if context.width * context.height > LARGEST_PICTURE_PIXELS:
            raise NotAClip(
                f"{self.path.name} says its pictures are {context.width}x{context.height}; "
                f"at most {LARGEST_PICTURE_PIXELS // 1_000_000} megapixels can be read. Use another file."
            )
        if not self.video.time_base or self.video.time_base <= 0:
            raise NotAClip(f"{self.path.name} has no clock (time base {self.video.time_base}). Use another file.")
        needed = pyav.alpha_decoder(self.video)
        self.missing_decoder = None if needed is None or pyav.can_decode(needed) else needed
        if needed and not self.missing_decoder:
            context = pyav.new_decoder(needed, self.video)
        self.context = context
        if self._threads != ONE_THREAD:  # frame threads hand out the first picture only when every thread has one
            context.thread_type = "AUTO"
        context.thread_count = self._threads
        context.options = {**context.options, "max_pixels": str(LARGEST_PICTURE_PIXELS)}

    @property
    def tick(self) -> Fraction:
        """Seconds a tick."""
        return Fraction(self.video.time_base)

    @property
    def rate(self) -> Fraction:
        """Pictures a second as the header says, 24 if it says nothing that can be meant."""
        return next(iter(self.rates), Fraction(24))

    @property
    def rates(self) -> list[Fraction]:
        """All that the header says of pictures a second, the likeliest first."""
        told = [self.video.average_rate, self.video.guessed_rate, self.video.base_rate]
        if self.container.format.name in _BARE_STREAMS:
            told = told[1:] + told[:1]
        return [Fraction(rate) for rate in told if rate and 0 < rate <= 1000]

    @property
    def aspect(self) -> Fraction | None:
        """Width of a pixel over its height, None if untold."""
        aspect = self.video.sample_aspect_ratio
        return Fraction(aspect) if aspect else None

    @property
    def light(self) -> Light | None:
        """What the colours of a clip for bright displays mean, None for an ordinary one.

        A decoder whose pictures say nothing of it (ProRes) forgets what the container said.
        """
        context = self.context
        return self._told_light if int(context.color_trc or 0) in _UNTOLD else light_of(context)

    @property
    def seconds(self) -> float:
        """The length that the header claims, 0 if it claims none."""
        if self.video.duration and self.video.duration > 0:
            return float(self.video.duration * self.tick)
        if self.container.duration and self.container.duration > 0:
            return float(self.container.duration) / 1_000_000
        return 0.0

    @property
    def skips_exactly(self) -> bool:
        """Whether leaving out pictures that no other refers to leaves every other picture as it was.

        H.264 marks them (nal_ref_idc 0). HEVC's mark speaks of one temporal layer only, so it serves if there is one
        (hvcC's numTemporalLayers, ISO/IEC 14496-15).
        """
        if self._is_timed_as_decoded:
            return False
        if self.decoder == "h264":
            return not may_hold_fields(self.decoder, self._extradata)
        extra = self._extradata
        return self.decoder == "hevc" and len(extra) > 22 and extra[0] == 1 and (extra[21] >> 3) & 7 == 1

    def reopen(self) -> None:
        """Start again from the first packet."""
        self.close()
        self.container = open_container(self.path)
        self.video = self._find_video()
        self._prepare()

    @property
    def _extradata(self) -> bytes:
        return bytes(self.video.codec_context.extradata or b"")

    def shown(self, packets: Iterator[Any]) -> Iterator[Any]:
        """Of these packets those that make a picture which is shown."""
        return shown(packets, self.decoder, self._extradata)

    def packets(self, *, stop: Stop = never_stop) -> Iterator[Any]:
        """The video packets that carry data, from where the file stands to its end or to where it breaks off."""
        clock = transport.Clock() if transport.has_clock_that_leaps(self.container.format.name) else None
        with suppress(av.error.FFmpegError):
            for number, packet in enumerate(self.container.demux(self.video)):
                if number % _STOP_EVERY_PACKETS == 0 and stop():
                    raise Stopped
                if packet.size:
                    if self._is_at_start:
                        self._is_at_start, self._first = False, _Place.of(packet)
                    yield clock.continued(packet) if clock else packet
                    self.clock_leapt |= clock is not None and clock.leapt

    def packets_from(self, target: int, zero: int, *, stop: Stop = never_stop) -> Iterator[Any]:
        """The packets from a key frame shown at or before `target` (ticks) on; all if there is none."""
        found = self._key_before(target, zero, stop)
        if found is not None:
            yield found[0]
            yield from found[1]
            return
        self.reopen()
        yield from self.packets(stop=stop)

    def _key_before(self, target: int, zero: int, stop: Stop) -> tuple[Any, Iterator[Any]] | None:
        """The packet of a key frame shown at or before `target`, and those that follow.

        Demuxers seek by decoding time, and those without a table know of no key frames, so a place that turns out to
        lie too late is answered with a seek further back.
        """
        if target <= zero:
            return None
        if self._is_placed is None:
            self._is_placed = goes_where_it_says(self.container)
        if not self._is_placed:
            return None
        self._is_at_start = False
        reach = 0
        step = max(1, int(1 / self.tick))
        while target - reach > zero:
            try:
                self.container.seek(target - reach, stream=self.video, backward=True)
            except (av.error.FFmpegError, OverflowError):
                break
            pyav.flush(self.context)
            packets = self.packets(stop=stop)
            for packet in packets:
                if packet.pts is None or packet.pts > target:
                    break
                if packet.is_keyframe:
                    return packet, packets
            reach = reach * 4 + step
        return None

    def pictures_from(
        self, target: int, zero: int, choose: Choose = lambda packets: packets, *, stop: Stop = never_stop
    ) -> Iterator[VideoFrame]:
        """Decode from a key frame shown at or before `target` (ticks) on, what `choose` makes of the packets.

        Tables of key frames lie. If the picture there is none that stands alone, decoding begins with the first packet.
        """
        opening = self._opening() if target > zero else []
        found = self._key_before(target, zero, stop)
        if found is not None:
            key, rest = found
            before = [packet for packet in opening if packet.pts != key.pts]
            pictures = self.pictures(choose(chain(before, [key], rest)), stop=stop)
            later = (picture for picture in pictures if not before or picture.pts != before[0].pts)
            held = list(_until_shown(later, key.pts))
            if held and held[-1].pts == key.pts and self._stands_alone(held[-1], key):
                yield from held
                yield from later
                return
        yield from self.pictures(choose(self._packets_anew(stop)), stop=stop)

    def _packets_anew(self, stop: Stop) -> Iterator[Any]:
        """All packets once more, with a decoder that has seen none. Opening a file takes the time of a picture."""
        packets = None if self.context.is_open else self._rewound(stop)
        if packets is not None:
            return packets
        self.reopen()
        return self.packets(stop=stop)

    def _rewound(self, stop: Stop) -> Iterator[Any] | None:
        """The packets from the first on, if a seek leads back to it: the table of an MP4 that is whole says where."""
        first = self._first
        has_table = "mp4" in self.container.format.name and self.video.frames > 0
        if first is None or first.dts is None or not has_table or self.decoder not in _SAME_AGAIN:
            return None
        with suppress(av.error.FFmpegError, OverflowError):
            self.container.seek(first.dts, stream=self.video, backward=True)
            packets = self.packets(stop=stop)
            packet = next(packets, None)
            if packet is not None and _Place.of(packet) == first:
                return chain([packet], packets)
        return None

    def _stands_alone(self, picture: VideoFrame, packet: Any) -> bool:
        # The decoders of libvpx mark no picture.
        marked = bool(picture.key_frame) or picture.pict_type == PictureType.I or is_key(packet, self.decoder)
        return marked and not picture.is_corrupt

    def _opening(self) -> list[Any]:
        """The first packet, where pictures after a seek cannot do without: old x264 says there which it is.

        Its 4:4:4 differs from the standard's, and FFmpeg decodes it as it was meant if it knows the version.
        """
        pixels = pyav.pixel_format(self.video)
        if self.decoder != "h264" or not pixels.startswith(("yuv444", "yuvj444", "gbrp")):
            return []
        self.reopen()
        return list(islice(self.packets(), 1))

    def turn(self, picture: VideoFrame) -> Turn:
        """How a decoded picture is turned to be shown."""
        if self.container.format.name in _ANIMATIONS:
            return turn_of_animation(self.path)
        return turn_of(picture, self.decoder)

    def decode(self, packet: Any) -> list[VideoFrame]:
        """The pictures that are ready after this packet; a damaged one gives none.

        None: what is held after the last packet. Raises FFmpegError if damage hid some of it.
        """
        if not self.context.is_open:
            self._open_decoder()
        try:
            return list(self.context.decode(packet))
        except av.error.EOFError:
            return []
        except av.error.FFmpegError:
            if packet is None:
                raise
            return []

    def _open_decoder(self) -> None:
        """Once, because a second attempt, or a look at the name of what failed to open, is a crash in PyAV 19."""
        try:
            self.context.open()
        except av.error.FFmpegError as error:
            raise self._undecodable() from error

    @property
    def _is_timed_as_decoded(self) -> bool:
        """AVI knows no times: packets are numbered as they lie, and H.264 and HEVC lie in another order than shown."""
        return self.container.format.name == "avi" and self.decoder in ("h264", "hevc")

    def pictures(self, packets: Iterator[Any], *, stop: Stop = never_stop) -> Iterator[VideoFrame]:
        """Decode packets, and what the decoder still holds after the last. Damaged pictures are left out."""
        if self._is_timed_as_decoded:
            return self._renumbered(packets, stop)
        return self._decoded(packets, stop)

    def _renumbered(self, packets: Iterator[Any], stop: Stop) -> Iterator[VideoFrame]:
        """Each picture, in the order shown, with the next of the times that the packets brought."""
        due: deque[int | None] = deque()

        def noted() -> Iterator[Any]:
            for packet in packets:
                due.append(packet.pts)
                yield packet

        for picture in self._decoded(noted(), stop):
            if due:
                picture.pts = due.popleft()
            yield picture

    def _decoded(self, packets: Iterator[Any], stop: Stop) -> Iterator[VideoFrame]:
        begun = time.monotonic()
        barren = 0
        latest: VideoFrame | None = None
        for packet in packets:
            if stop():
                raise Stopped
            ready = self.decode(packet)
            yield from ready
            latest = ready[-1] if ready else latest
            barren = -1 if ready or barren < 0 else barren + 1
            if barren > _FIRST_PICTURE_PACKETS or (barren > 0 and time.monotonic() - begun > _FIRST_PICTURE_SECONDS):
                return
        try:
            yield from self.decode(None)
        except av.error.FFmpegError:
            yield from self._behind(latest, stop)

    def _behind(self, latest: VideoFrame | None, stop: Stop) -> Iterator[VideoFrame]:
        """Decode again, by one thread, what comes after the picture `latest` (None: all).

        Many threads hand in their last pictures together, and for one damaged picture among them PyAV gives none.
        """
        if self._threads == ONE_THREAD or (latest is not None and latest.pts is None):
            return
        zero = int(self.video.start_time or 0)
        self._threads = ONE_THREAD
        self.reopen()
        after = None if latest is None else latest.pts
        packets = self.packets_from(zero if after is None else after, zero, stop=stop)
        for picture in self.pictures(packets, stop=stop):
            if after is None or (picture.pts is not None and picture.pts > after):
                yield picture

    def first_picture(self) -> VideoFrame:
        """The first picture that decodes; the file must stand at its start. Raises NotAClip."""
        with suppress(av.error.FFmpegError):
            for picture in self.pictures(self.packets()):
                if picture.width * picture.height <= LARGEST_PICTURE_PIXELS:
                    return picture
        raise self._undecodable()

    def _undecodable(self) -> NotAClip:
        if has_no_index(self.path):
            return _not_opened(self.path)
        title = title_of(self.path)
        why = f"it is {title}" if title else f"its {self.decoder} pictures are damaged, or not for this PyAV"
        return NotAClip(f"No picture of {self.path.name} can be decoded: {why}. Use another file.")

    def timeline(
        self,
        start_seconds: float,
        most: int | None = None,
        *,
        seconds: float = 0.0,
        with_standing: bool = False,
        stop: Stop = never_stop,
    ) -> Timeline:
        """Read packets, decoding none, until `most` pictures from the start, or those of so many seconds, are known.

        with_standing: the picture that is already on the screen at the start is one of them.
        """
        times: list[int] = []
        standing: tuple[int, int] | None = None
        zero = None
        if start_seconds > 0 or seconds:
            zero = first_shown(self.shown(whole_groups(self.packets(), self.decoder)))
            if zero is None:  # without times, pictures are counted, from the first on
                self.reopen()
                most = None if most is None else most + math.ceil(start_seconds * self.rate)
        first = last = None
        if zero is None:
            packets = whole_groups(self.packets(stop=stop), self.decoder)
        else:
            first = zero + self.ticks_at(start_seconds)
            last = zero + self.ticks_at(start_seconds + seconds) if seconds else None
            packets = self.packets_from(first - with_standing, zero, stop=stop)
        count, complete = 0, True
        beyond: list[int] = []
        final: tuple[int, int] = (0, 0)
        for packet in self.shown(packets):
            if first is not None and packet.pts is not None and packet.pts < first:
                if with_standing and zero is not None and packet.pts >= zero:
                    shown_now = (packet.pts, packet.duration or 0)
                    standing = shown_now if standing is None else max(standing, shown_now)
                continue
            if last is not None and packet.pts is not None and packet.pts >= last:
                beyond.append(packet.pts)
                if len(beyond) > REORDER_PACKETS:
                    break
                continue
            count += 1
            if packet.pts is not None:
                times.append(packet.pts)
                final = max(final, (packet.pts, packet.duration or 0))
            if most is not None and count >= most + REORDER_PACKETS:
                complete = False
                break
        if standing is not None:
            count += 1
            times.append(standing[0])
            final = max(final, standing)
        rising = sorted(set(times))
        usable = len(rising) == count and count > 0
        if first is not None and not usable:
            self.reopen()
            whole = self.timeline(0.0, stop=stop)
            return replace(whole, times=[], shared=whole.times or whole.shared)
        # Where most have a time together with others, times say nothing of when pictures are shown.
        shared = _apart(sorted(times)) if not usable and len(times) == count < 2 * len(rising) else []
        if zero is None:
            zero = rising[0] if usable or shared else int(self.video.start_time or 0)
        end = last if beyond else None
        if usable and not complete:
            assert most is not None, "broken off by the number alone"
            end, rising = rising[most], rising[:most]
        ending = final[1] if complete and end is None else 0
        count = count if complete else count - REORDER_PACKETS
        return Timeline(rising if usable else [], count, zero, complete, end, ending, shared)

    def ticks_at(self, seconds: float) -> int:
        """From when on, counted from the clip's first picture, one is shown at this moment or later."""
        return math.ceil(max(0.0, seconds - START_TOLERANCE_SECONDS) / float(self.tick))


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


def usual_step(times: Sequence[int]) -> float:
    """The distance between most pictures, in ticks; 0 if there are fewer than two.

    The mean of those that differ from the median by rounding: in milliseconds, 30 a second are 33, 33 and 34 apart.
    """
    steps = [b - a for a, b in pairwise(times)]
    return _usual(steps) if steps else 0.0


def quick_step(times: Sequence[int]) -> float:
    """As `usual_step`, or the distance of those that follow each other clearly sooner, if they are more than a few.

    A screen that stands still for the most part moves at times: at the rate of most pictures that would not be seen.
    """
    steps = [b - a for a, b in pairwise(times) if a < b]  # of pictures that share a time one is seen
    step = _usual(steps) if steps else 0.0
    while len(sooner := [each for each in steps if each <= _CLEARLY_SOONER * step]) > max(_FEW, len(steps) // _ONE_IN):
        step = _usual(sooner)
    return step


def _usual(steps: Sequence[int]) -> float:
    median = statistics.median_low(steps)  # one of them, or none might be near it
    return statistics.fmean(step for step in steps if abs(step - median) <= jitter(median))


def jitter(step: float | Fraction) -> float:
    """By how many ticks a step of so many may be off by rounding alone."""
    return min(_JITTER_TICKS, float(step) / 2)


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


def _until_shown(pictures: Iterator[VideoFrame], time: int) -> Iterator[VideoFrame]:
    """The pictures up to the one of this time, or the first behind it."""
    for picture in islice(pictures, REORDER_PACKETS):
        yield picture
        if picture.pts is None or picture.pts >= time:
            return


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
        if len(lead_in) > _FIRST_PICTURE_PACKETS:
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


def moving_stream(container: InputContainer) -> Any:
    """The first video stream that is not a cover picture, or None."""
    for stream in container.streams.video:
        if not pyav.is_cover(stream):
            return stream
    return None


def open_container(path: Path) -> InputContainer:
    """Open a clip for reading. Raises NotAClip."""
    try:
        is_there = path.is_file()
    except (OSError, ValueError):  # a name that no file can have
        is_there = False
    if not is_there:
        raise NotAClip(f"{path.name[:80]} is not there, or not a file.")
    try:
        # Absolute, so that a colon in a name cannot mean a protocol.
        timeout = (OPEN_TIMEOUT_SECONDS, READ_TIMEOUT_SECONDS)
        return pyav.open_for_reading(str(path.absolute()), demuxers=_DEMUXERS, timeout=timeout)
    except (av.error.FFmpegError, ValueError, MemoryError) as error:
        raise _not_opened(path) from error


def _not_opened(path: Path) -> NotAClip:
    if has_no_index(path):
        why = "it is not whole, its index is missing. Wait until it is written, or fetch it again."
    else:
        why = f"it is {title_of(path) or 'damaged or not a clip'}. Use another file."
    return NotAClip(f"{path.name} cannot be opened as a video: {why}")


def sound_stream(container: InputContainer) -> Any:
    """The first sound track that can be decoded: this PyAV knows its form, and it is not encrypted. None without."""
    tracks: tuple[Any, ...] = container.streams.audio
    noise = encrypted_streams(container) if tracks else ()
    return next((track for track in tracks if track.codec_context is not None and track.index not in noise), None)
