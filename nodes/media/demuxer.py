"""An opened clip: what its header says, and the packets of its one video stream, from the start or from a time on.

The size of a picture is limited here, before a decoder is opened.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import av
from av.container import InputContainer

from ..remarks import remark
from ..stopping import Stop, Stopped, never_stop
from ..troubles import Trouble
from . import pyav, transport
from .containers import open_container, require_video
from .errors import NotAClip
from .packets import shown
from .seeking import goes_where_it_says
from .span import START_TOLERANCE_SECONDS

LARGEST_PICTURE_PIXELS = 8192 * 8192

_Opened = TypeVar("_Opened", bound="Demuxer")

# Of others a part is told with the first packet after opening, and never again: the palette of qtrle.
_SAME_AGAIN = frozenset({"h264", "hevc"})
_STOP_EVERY_PACKETS = 64
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


class Demuxer:
    """One opened file and its video stream, for one thread. A context manager. Raises NotAClip.

    decoder: FFmpeg's name of the usual one, which is the codec's for nearly all. clock_leapt: whether packets were read
    whose clock started again, so that others have times on it that were used.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.clock_leapt = False
        self._is_placed: bool | None = None
        self.container: InputContainer = open_container(path)
        try:
            self._prepare()
        except BaseException:
            self.close()
            raise

    def __enter__(self: _Opened) -> _Opened:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file, at any time."""
        pyav.close(self.container)

    def _prepare(self) -> None:
        """For a container that was opened just now."""
        self.video: Any = require_video(self.container, self.path)
        self._is_at_start = True
        self._first: _Place | None = None
        context = self.video.codec_context
        if context is None:
            raise NotAClip(remark(Trouble.FORM_UNKNOWN, file=self.path.name))
        self.decoder = str(context.name)
        if context.width * context.height > LARGEST_PICTURE_PIXELS:
            raise NotAClip(
                remark(
                    Trouble.PICTURES_TOO_LARGE,
                    file=self.path.name,
                    width=int(context.width),
                    height=int(context.height),
                    most=LARGEST_PICTURE_PIXELS // 1_000_000,
                )
            )
        if not self.video.time_base or self.video.time_base <= 0:
            raise NotAClip(remark(Trouble.NO_CLOCK, file=self.path.name, base=str(self.video.time_base)))

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
    def seconds(self) -> float:
        """The length that the header claims, 0 if it claims none."""
        if self.video.duration and self.video.duration > 0:
            return float(self.video.duration * self.tick)
        if self.container.duration and self.container.duration > 0:
            return float(self.container.duration) / 1_000_000
        return 0.0

    def ticks_at(self, seconds: float) -> int:
        """From when on, counted from the clip's first picture, one is shown at this moment or later."""
        return math.ceil(max(0.0, seconds - START_TOLERANCE_SECONDS) / float(self.tick))

    @property
    def _extradata(self) -> bytes:
        return bytes(self.video.codec_context.extradata or b"")

    def reopen(self) -> None:
        """Start again from the first packet."""
        self.close()
        self.container = open_container(self.path)
        self._prepare()

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
                self._seek(target - reach)
            except (av.error.FFmpegError, OverflowError):
                break
            packets = self.packets(stop=stop)
            for packet in packets:
                if packet.pts is None or packet.pts > target:
                    break
                if packet.is_keyframe:
                    return packet, packets
            reach = reach * 4 + step
        return None

    def _seek(self, ticks: int) -> None:
        """To the last place at or before this time that the container knows. Raises FFmpegError, OverflowError."""
        self.container.seek(ticks, stream=self.video, backward=True)

    def _rewound(self, stop: Stop) -> Iterator[Any] | None:
        """The packets from the first on, if a seek leads back to it: the table of an MP4 that is whole says where."""
        first = self._first
        has_table = "mp4" in self.container.format.name and self.video.frames > 0
        if first is None or first.dts is None or not has_table or self.decoder not in _SAME_AGAIN:
            return None
        with suppress(av.error.FFmpegError, OverflowError):
            self._seek(first.dts)
            packets = self.packets(stop=stop)
            packet = next(packets, None)
            if packet is not None and _Place.of(packet) == first:
                return chain([packet], packets)
        return None
