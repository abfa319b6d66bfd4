"""A clip's pictures: the packets of its file decoded, from the start or from a time on."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import chain, islice
from pathlib import Path
from typing import Any

import av
from av import VideoFrame
from av.video.frame import PictureType

from ..remarks import remark
from ..stopping import Stop, Stopped, never_stop
from ..troubles import Trouble
from . import pyav
from .colour import Turn, turn_of
from .containers import not_opened
from .demuxer import LARGEST_PICTURE_PIXELS, Demuxer
from .errors import NotAClip
from .exif import turn_of_animation
from .hdr import Light, light_of
from .kinds import has_no_index, title_of
from .packets import REORDER_PACKETS, is_key, may_hold_fields

_FIRST_PICTURE_SECONDS = 4.0
_FIRST_PICTURE_PACKETS = 600

ONE_THREAD = 1
USUAL_THREADS = 0
# A thread that is given a picture to leave out has nothing to do until its turn comes again.
SPARSE_THREADS = min(12, 4 * (os.cpu_count() or 2))

_ANIMATIONS = frozenset(("apng", "webp_anim"))
_UNTOLD = (0, 2)  # of transfer_characteristics in H.273: reserved, unspecified

Choose = Callable[[Iterator[Any]], Iterator[Any]]
"""What to decode of these packets, and how."""


class Source(Demuxer):
    """One opened file and the decoder of its video stream, for one thread. A context manager. Raises NotAClip.

    threads: of the decoder. USUAL_THREADS for all pictures, SPARSE_THREADS if many will be left out, ONE_THREAD for the
    first alone. context: what decodes. missing_decoder: one that this PyAV lacks, without which transparency is not
    seen; None in all other cases.
    """

    def __init__(self, path: Path, *, threads: int = USUAL_THREADS) -> None:
        self.context: Any = None
        self._threads = threads
        super().__init__(path)

    def close(self) -> None:
        """Let go of the file and its decoder, at any time."""
        pyav.flush(self.context)
        super().close()

    def _prepare(self) -> None:
        super()._prepare()
        context = self.video.codec_context
        self._told_light = light_of(context)
        needed = pyav.alpha_decoder(self.video)
        self.missing_decoder = None if needed is None or pyav.can_decode(needed) else needed
        if needed and not self.missing_decoder:
            context = pyav.new_decoder(needed, self.video)
        self.context = context
        if self._threads != ONE_THREAD:  # frame threads hand out the first picture only when every thread has one
            context.thread_type = "AUTO"
        context.thread_count = self._threads
        context.options = {**context.options, "max_pixels": str(LARGEST_PICTURE_PIXELS)}

    def _seek(self, ticks: int) -> None:
        super()._seek(ticks)
        pyav.flush(self.context)

    @property
    def light(self) -> Light | None:
        """What the colours of a clip for bright displays mean, None for an ordinary one.

        A decoder whose pictures say nothing of it (ProRes) forgets what the container said.
        """
        context = self.context
        return self._told_light if int(context.color_trc or 0) in _UNTOLD else light_of(context)

    def turn(self, picture: VideoFrame) -> Turn:
        """How a decoded picture is turned to be shown."""
        if self.container.format.name in _ANIMATIONS:
            return turn_of_animation(self.path)
        return turn_of(picture, self.decoder)

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

    @property
    def _is_timed_as_decoded(self) -> bool:
        """AVI knows no times: packets are numbered as they lie, and H.264 and HEVC lie in another order than shown."""
        return self.container.format.name == "avi" and self.decoder in ("h264", "hevc")

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

    def _opening(self) -> list[Any]:
        """The first packet, where pictures after a seek cannot do without: old x264 says there which it is.

        Its 4:4:4 differs from the standard's, and FFmpeg decodes it as it was meant if it knows the version.
        """
        pixels = pyav.pixel_format(self.video)
        if self.decoder != "h264" or not pixels.startswith(("yuv444", "yuvj444", "gbrp")):
            return []
        self.reopen()
        return list(islice(self.packets(), 1))

    def _stands_alone(self, picture: VideoFrame, packet: Any) -> bool:
        # The decoders of libvpx mark no picture.
        marked = bool(picture.key_frame) or picture.pict_type == PictureType.I or is_key(packet, self.decoder)
        return marked and not picture.is_corrupt

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
            return not_opened(self.path)
        if kind := title_of(self.path):
            return NotAClip(remark(Trouble.UNDECODABLE_BUT, file=self.path.name, kind=kind))
        return NotAClip(remark(Trouble.UNDECODABLE, file=self.path.name, decoder=self.decoder))


def _until_shown(pictures: Iterator[VideoFrame], time: int) -> Iterator[VideoFrame]:
    """The pictures up to the one of this time, or the first behind it."""
    for picture in islice(pictures, REORDER_PACKETS):
        yield picture
        if picture.pts is None or picture.pts >= time:
            return
