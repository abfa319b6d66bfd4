"""A clip's pictures and sound, packet by packet, in an MP4 that holds nothing else.

What is uploaded becomes public. Containers carry more than they show: where a phone was, who made the clip, the graph
of another ComfyUI with the keys of other packs in it. None of it is copied: no metadata, chapters, covers, subtitles,
data or further tracks, and of the pictures' own stream no messages (SEI), which encoders, cameras and drones fill with
what they like. Nothing is decoded, so it costs about as much as copying the file.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from ..files import whole
from ..remarks import Remark, Sentence, remark
from ..stopping import Stop, Stopped, never_stop
from ..troubles import Trouble
from . import pyav
from .containers import sound_stream
from .demuxer import Demuxer
from .errors import NoRoom, NotAClip
from .packets import Units, may_hold_fields

_SOUND_CODECS = frozenset(("aac",))
_OWN_TAGS = frozenset(("major_brand", "minor_version", "compatible_brands", "encoder", "handler_name", "vendor_id"))
"""What the container says of itself; everything else was written by somebody."""


_RUN = 12  # steps between pictures that are looked at together: one alone may be a camera's own jitter


@dataclass(frozen=True)
class Copyable:
    """Whether the packets of a clip may be copied as they lie, and why not.

    most_a_second: how quickly its pictures follow each other where they do so most, 0 if that is not known.
    """

    why_not: Remark | None
    most_a_second: float


def copyable(path: Path, *, stop: Stop = never_stop) -> Copyable:
    """Read a clip's packets, decoding none. Raises NotAClip, Stopped.

    Packets cannot be copied if they are not H.264, if the first is no key frame, if some are there only for the decoder
    (edit lists), if they carry no times, if pictures may be fields or change their size or format on the way, or if
    the sound is in a form that an MP4 for everybody does not hold.
    """
    with Demuxer(path) as demuxer:
        times: set[int] = set()
        return Copyable(_why_not(demuxer, times, stop), _most_a_second(sorted(times), demuxer.tick))


def extras(path: Path) -> tuple[Remark, ...]:
    """What a clip holds beside its pictures and its first sound track, in a few words each. Raises NotAClip."""
    with Demuxer(path) as demuxer:
        return _extras(demuxer)


def copy_bare(path: Path, out: Path, *, stop: Stop = never_stop) -> None:
    """Write the pictures and the first sound track of a copyable clip to `out`, from its first picture to its last.

    Raises NotAClip, NoRoom, Stopped; in each case nothing is left behind.
    """
    try:
        with whole(out) as part, Demuxer(path) as demuxer:
            _copy(demuxer, part, stop)
    except (av.error.OSError, OSError) as error:
        reason = str(error.strerror or error)
        raise NoRoom(remark(Trouble.CLIP_NOT_WRITTEN, file=out.name, reason=reason)) from error
    except (av.error.FFmpegError, ValueError) as error:
        raise NotAClip(remark(Trouble.PACKETS_NOT_COPIED, file=path.name)) from error


def _copy(demuxer: Demuxer, part: Path, stop: Stop) -> None:
    shown = _shown(demuxer, stop)
    zero, end, decode_times = shown.zero, shown.end, iter(shown.decode_times)
    demuxer.reopen()
    sound = sound_stream(demuxer.container)
    options = {"movflags": "+faststart", "fflags": "+bitexact"}
    with av.open(str(part.absolute()), "w", format="mp4", options=options) as container:
        written = {stream.index: _like(container, stream) for stream in (demuxer.video, sound) if stream is not None}
        units = Units.of(_header(demuxer))
        for packet in _packets(demuxer.container, [demuxer.video, *([sound] if sound else [])], stop):
            begin = Fraction(packet.pts) * packet.time_base
            if packet.stream is not demuxer.video and not zero - _pre_roll(packet) <= begin < end:
                continue  # sound begins and ends with the pictures
            shift = round(zero / packet.time_base)
            if packet.stream is demuxer.video and not packet.duration:
                # An MP4 ends where its last packet does: of no length, that picture would not be shown.
                packet.duration = round(1 / demuxer.rate / packet.time_base)
            packet.dts = (next(decode_times) if packet.stream is demuxer.video else packet.pts) - shift
            packet.pts -= shift
            each = _without_messages(packet, units) if packet.stream is demuxer.video else packet
            if each is not None:
                each.stream = written[packet.stream.index]
                container.mux(each)


def _pre_roll(packet: Any) -> Fraction:
    """A decoder needs the block before the first one that is heard, and hears a part of the one in which it begins."""
    return Fraction(2 * (packet.duration or 0) * packet.time_base)


def _without_messages(packet: Any, units: Units) -> Any:
    """The packet with what shows its picture alone; None if nothing does."""
    data = units.pictures_alone(bytes(packet))
    if not data:
        return None
    bare = av.Packet(data)
    bare.pts, bare.dts, bare.duration = packet.pts, packet.dts, packet.duration
    bare.time_base, bare.is_keyframe = packet.time_base, packet.is_keyframe
    return bare


def _header(demuxer: Demuxer) -> bytes:
    return bytes(demuxer.video.codec_context.extradata or b"")


def _like(container: Any, stream: Any) -> Any:
    # opaque: the codec's own header too, which PyAV before 16 leaves out else.
    copy = container.add_stream_from_template(stream, opaque=True)
    copy.metadata.clear()
    return copy


def _packets(container: Any, streams: list[Any], stop: Stop) -> Iterator[Any]:
    for packet in container.demux(streams):
        if stop():
            raise Stopped
        if packet.size and packet.pts is not None:
            yield packet


@dataclass(frozen=True)
class _Shown:
    """When the first picture begins and the last one ends, in seconds of the file's own clock.

    decode_times: of each packet as it comes, in ticks. Containers tell them badly (Matroska none for the first), so
    they are the times of the pictures in their order, all as much earlier as reordering needs.
    """

    zero: Fraction
    end: Fraction
    decode_times: list[int]


def _shown(demuxer: Demuxer, stop: Stop) -> _Shown:
    times = [(packet.pts, packet.duration or 0) for packet in demuxer.packets(stop=stop) if packet.pts is not None]
    if not times:
        raise NotAClip(remark(Trouble.NO_TIMED_PICTURE, file=demuxer.path.name))
    last, duration = max(times)
    rising = sorted(pts for pts, _ in times)
    early = max(due - pts for due, (pts, _) in zip(rising, times, strict=True))
    end = last * demuxer.tick + (duration * demuxer.tick or 1 / demuxer.rate)
    return _Shown(rising[0] * demuxer.tick, end, [due - early for due in rising])


def _most_a_second(rising: list[int], tick: Fraction) -> float:
    quickest = min((end - begin for begin, end in zip(rising, rising[_RUN:], strict=False)), default=0)
    return float(_RUN / (quickest * tick)) if quickest else 0.0


def _why_not(demuxer: Demuxer, seen: set[int], stop: Stop) -> Remark | None:
    """None if packets may be copied: then `seen` has been given the times of all of them."""
    if demuxer.decoder != "h264":
        return remark(Sentence.IS_CODEC, codec=demuxer.decoder)
    sound = sound_stream(demuxer.container)
    if sound is not None and sound.codec_context.name not in _SOUND_CODECS:
        return remark(Sentence.SOUND_IS, codec=str(sound.codec_context.name))
    header = _header(demuxer)
    if may_hold_fields(demuxer.decoder, header):
        return remark(Sentence.MAY_BE_INTERLACED)
    units = Units.of(header)
    for packet in demuxer.packets(stop=stop):
        if not seen and not packet.is_keyframe:
            return remark(Sentence.BEGINS_INSIDE)
        if packet.is_discard:
            return remark(Sentence.WAS_CUT)
        if packet.is_corrupt:
            return remark(Sentence.IS_DAMAGED)
        if packet.pts is None or packet.pts in seen:
            return remark(Sentence.NO_TIMES)
        seen.add(packet.pts)
        if any(sequence not in header for sequence in units.sequences(bytes(packet))):
            return remark(Sentence.CHANGES_FORM)
    if demuxer.clock_leapt:  # that of the sound does too, somewhere near
        return remark(Sentence.NO_TIMES)
    return None if seen else remark(Sentence.NO_PICTURES)


def _extras(demuxer: Demuxer) -> tuple[Remark, ...]:
    container = demuxer.container
    sound = sound_stream(container)
    kept = {demuxer.video.index, *([sound.index] if sound is not None else [])}
    found = [remark(Sentence.METADATA)] if _is_told_something(container) else []
    found += [remark(Sentence.CHAPTERS)] if pyav.has_chapters(container) else []
    for stream in container.streams:
        if stream.index not in kept:
            cover = stream.type == "video" and pyav.is_cover(stream)
            found.append(remark(Sentence.COVER) if cover else remark(Sentence.TRACK, kind=str(stream.type)))
    return tuple(dict.fromkeys(found))


def _is_told_something(container: Any) -> bool:
    tags = [container.metadata, *(stream.metadata for stream in container.streams)]
    return any(name.lower() not in _OWN_TAGS | {"language", "duration"} for each in tags for name in each)
