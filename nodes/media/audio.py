"""The sound of a clip, to the sample, without decoding a picture."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.container import InputContainer

from ..remarks import remark
from ..stopping import Stop, Stopped, never_stop
from ..troubles import Trouble
from . import forecast, pyav, transport
from .containers import moving_stream, open_container, sound_stream
from .demuxer import Demuxer
from .errors import TooLarge
from .groups import first_shown, whole_groups
from .packets import shown
from .seeking import goes_where_it_says
from .timeline import read_timeline

SILENCE_RATE = 44_100
SILENCE_CHANNELS = 2
_PRE_ROLL_SECONDS = 0.5  # codecs need the blocks before the first sample wanted
_RATE_RANGE = range(1_000, 768_001)
_MOST_CHANNELS = 64
_SMALL_BYTES = 64 * 1024**2  # not worth asking the system about
_GAP_SECONDS = 0.05  # smaller differences between told and counted time are a container's rounding

Array = np.ndarray[Any, np.dtype[np.float32]]


@dataclass(frozen=True)
class Sound:
    """samples: float32 [1, channels, samples], about -1..1. sample_rate: in Hz, the clip's own."""

    samples: Array
    sample_rate: int


def decode_audio(
    path: Path, start_seconds: float = 0.0, seconds: float | None = None, *, stop: Stop = never_stop
) -> Sound:
    """The sound from start_seconds on, counted from the clip's first picture, for so many seconds (None: to its end).

    Exactly round(seconds * sample_rate) samples: silence where the track has none, all of it (stereo, 44100 Hz) if the
    clip has no track. Raises NotAClip, TooLarge, Stopped.
    """
    container = open_container(path)
    try:
        track = sound_stream(container)
        zero = _zero_seconds(container, track)
        if track is not None:
            if not _rewound(container, track):
                pyav.close(container)
                container = open_container(path)
                track = sound_stream(container)
            sound = _track_sound(container, track, zero + Fraction(start_seconds), seconds, stop)
            if sound is not None:
                return sound
    finally:
        pyav.close(container)
    return _silence(path, start_seconds, seconds, stop)


def _zero_seconds(container: InputContainer, track: Any) -> Fraction:
    """The time of the first picture, by which everything is counted; without pictures, the start of the sound."""
    video = moving_stream(container)
    for stream in (video, track):
        if stream is None or not stream.time_base:
            continue
        first = None
        if stream is video:
            with suppress(av.error.FFmpegError):
                packets = (packet for packet in container.demux(video) if packet.size)
                decoder: Any = video.codec_context
                name, extra = (decoder.name, bytes(decoder.extradata or b"")) if decoder else ("", b"")
                first = first_shown(shown(whole_groups(packets, name), name, extra))
        if first is None:
            first = stream.start_time
        if first is not None:
            return first * Fraction(stream.time_base)
    return Fraction(0)


def _rewound(container: InputContainer, track: Any) -> bool:
    """Go back to the first block of the track; only MP4 has the table that makes this certain. Opening takes longer."""
    if "mp4" not in container.format.name or track.start_time is None:
        return False
    try:
        container.seek(track.start_time, stream=track, backward=True)
    except (av.error.FFmpegError, OverflowError):
        return False
    return True


def _silence(path: Path, start_seconds: float, seconds: float | None, stop: Stop) -> Sound:
    if seconds is None:
        with Demuxer(path) as demuxer:
            timeline = read_timeline(demuxer, 0.0, stop=stop)
            seconds = max(0.0, float(timeline.count / demuxer.rate) - start_seconds)
            if timeline.times:
                seconds = max(0.0, timeline.seconds(demuxer) - start_seconds)
    samples = round(seconds * SILENCE_RATE)
    _Room().require(samples, SILENCE_CHANNELS, 1)
    return Sound(np.zeros((1, SILENCE_CHANNELS, samples), np.float32), SILENCE_RATE)


def _track_sound(
    container: InputContainer, track: Any, begin: Fraction, seconds: float | None, stop: Stop
) -> Sound | None:
    """The track from `begin` (its own clock, seconds) on; None if nothing of it decodes."""
    room = _Room()
    pieces: list[Array] = []
    position = 0  # samples written, counted from `begin`
    due: int | None = None  # where the next block belongs if its time is only rounding away from it
    rate = channels = 0
    total: int | None = None
    for time, decoded, block_rate in _blocks(container, track, begin, stop):
        if not rate:
            rate, channels = block_rate, decoded.shape[0]
            total = None if seconds is None else round(seconds * rate)
        told = round((time - begin) * rate) if time is not None else due if due is not None else 0
        # A block told for a time that is taken already follows the one before it.
        place = due if due is not None and told - due <= _GAP_SECONDS * rate else told
        due = place + decoded.shape[1]
        if total is not None and place >= total:
            break
        block = decoded[:, max(0, position - place) : None if total is None else total - place]
        gap = max(0, place - position)
        if not block.shape[1]:
            continue
        room.require(position + gap + block.shape[1], channels, 2)
        if gap:
            pieces.append(np.zeros((channels, gap), np.float32))
        pieces.append(block)
        position += gap + block.shape[1]
    if not rate:
        return None
    if total is not None and position < total:
        room.require(total, channels, 2)
        pieces.append(np.zeros((channels, total - position), np.float32))
    samples = np.concatenate(pieces, axis=1) if pieces else np.zeros((channels, 0), np.float32)
    np.nan_to_num(samples, copy=False)
    return Sound(samples[np.newaxis], rate)


def _blocks(
    container: InputContainer, track: Any, begin: Fraction, stop: Stop
) -> Iterator[tuple[Fraction | None, Array, int]]:
    """Decoded blocks from a little before `begin` on: their time in seconds, [channels, samples], sample rate."""
    if not track.time_base or track.time_base <= 0:
        return
    target = int((begin - Fraction(_PRE_ROLL_SECONDS)) / Fraction(track.time_base))
    if track.start_time is not None and target > track.start_time and goes_where_it_says(container):
        with suppress(av.error.FFmpegError, OverflowError):
            container.seek(target, stream=track, backward=True)
    resampler: Any = None
    layout: Any = None
    rate = 0
    for frame in _decoded(container, track, stop):
        if not rate:
            if frame.sample_rate not in _RATE_RANGE or not 0 < len(frame.layout.channels) <= _MOST_CHANNELS:
                return
            layout, rate = frame.layout, frame.sample_rate
        time = None if frame.pts is None else frame.pts * Fraction(frame.time_base)
        try:
            if resampler is None:
                resampler = _resampler(layout, rate)
            ready = resampler.resample(frame)
        except ValueError:  # the track changed its form on the way; the sound goes on in the form it began with
            resampler = _resampler(layout, rate)
            try:
                ready = resampler.resample(frame)
            except ValueError:  # a form that nothing can be made of
                return
        for block in ready:
            yield time, np.ascontiguousarray(block.to_ndarray().reshape(block.samples, -1).T), rate
            time = None


def _resampler(layout: Any, rate: int) -> Any:
    # Interleaved: of more than eight planes PyAV does not know the number, and reads on past the last.
    return av.AudioResampler(format="flt", layout=layout, rate=rate)


def _decoded(container: InputContainer, track: Any, stop: Stop) -> Iterator[Any]:
    with suppress(av.error.FFmpegError):
        track.codec_context.open(strict=False)  # once: to try again after it has failed is an error of another kind
        clock = transport.Clock() if transport.has_clock_that_leaps(container.format.name) else None
        for packet in container.demux(track):
            if stop():
                raise Stopped
            if packet.size and clock:
                clock.continued(packet)
            with suppress(av.error.FFmpegError):  # a block that does not decode is left out; the next one may
                yield from packet.decode()


class _Room:
    """Memory for the sound: the system is asked again only when a good deal more is needed than it had then."""

    def __init__(self) -> None:
        self._granted = _SMALL_BYTES

    def require(self, samples: int, channels: int, copies: int) -> None:
        """Raises TooLarge."""
        need = samples * channels * 4 * copies
        if need <= self._granted:
            return
        free = forecast.free_memory_bytes() - forecast.RESERVE_BYTES
        if need > free:
            raise TooLarge(
                remark(
                    Trouble.SOUND_TOO_LARGE,
                    samples=samples,
                    channels=channels,
                    needed=forecast.readable(need),
                    usable=forecast.readable(max(0, free)),
                )
            )
        self._granted = min(free, need + _SMALL_BYTES)
