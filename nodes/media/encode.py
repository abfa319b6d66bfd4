"""Frames into a clip: H.264 in an MP4 that players read the same way we do, a picture at a time.

Where this PyAV has no encoder for it, another takes its place (`encoders.py`).

The colours are tagged for what they are (bt709, limited range). Chroma is averaged over the middle of each 2x2 block,
which is not where H.264 takes it to be unless told, so the file says so (chromaloc 1): without it every pass through
frames and back would shift the colours by half a pixel.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from ..files import whole
from ..remarks import remark
from ..stopping import Stop, Stopped, Tell, never_stop, tell_nobody
from ..troubles import Trouble
from .audio import Sound, decode_audio
from .colour import Turn, shape_for
from .decode import iterate_pictures
from .encoders import FOR_EVERYBODY, Encoder, Quality, choose
from .errors import BadPicture, NoRoom
from .probe import Clip, probe
from .pyav import one_scaler_thread
from .span import Span
from .stills import to_bytes

# libswscale's SWS_BICUBIC | SWS_ACCURATE_RND | SWS_FULL_CHR_H_INP: rounds, and averages chroma over every pixel.
_TO_YUV_FLAGS = 0x4 | 0x40000 | 0x4000
_BT709 = 1
_BT601 = 5
_LIMITED = 1
_FULL = 2
_NTSC_DENOMINATOR = 1001
_FPS_TOLERANCE = 1e-4
_SOUND_BLOCK_SAMPLES = 1024
_SOUND_BITS_A_SECOND_AND_CHANNEL = 128_000  # FFmpeg's AAC encoder is audibly off below it
_AAC_RATES = (96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000)
_LAYOUTS = {1: "mono", 2: "stereo", 3: "2.1", 4: "4.0", 5: "5.0", 6: "5.1", 8: "7.1"}
_LARGEST_SIDE_PIXELS = 16_384

Pixels = np.ndarray[Any, np.dtype[Any]]


def encode_clip(
    pictures: Iterable[Pixels],
    fps: Fraction | float,
    out: Path,
    *,
    sound: Sound | None = None,
    stop: Stop = never_stop,
    tell: Tell = tell_nobody,
    preset: str = "veryfast",
    crf: int = 18,
    most_bits_a_second: int | None = None,
    moments: Sequence[float] = (),
    max_side: int = 0,
    encoders: Sequence[Encoder] = FOR_EVERYBODY,
) -> Clip:
    """Write pictures (float 0..1 or uint8 [height, width, 3], all of one size) to `out` as an MP4, streamed.

    H.264 yuv420p, bt709 limited range, faststart; sound as AAC. Odd sizes get their last row or column twice. Written
    beside `out` and renamed when whole. The sound ends with the pictures. most_bits_a_second: of the pictures, where
    the file must not grow beyond a size; None for as many as crf takes. moments: when each picture is shown, in seconds
    from the first, where they do not keep to fps; together they last as long as so many pictures at fps. max_side: the
    longest side, to which larger pictures are scaled; 0 for any. encoders: the first that this PyAV has is taken.
    tell is told only if the pictures have a length. Raises BadPicture, NoEncoder, NoRoom, Stopped; in each case nothing
    is left behind.
    """
    encoder = choose(encoders)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with whole(out) as part:
            timing = _Timing(exact_fps(fps), moments, encoder.most_ticks)

            def add(container: Any, shape: tuple[int, ...]) -> Any:
                size = _even_size(shape, max_side)
                rate = size[0] * size[1] * float(timing.fps)
                options = encoder.options(Quality(preset, crf, most_bits_a_second, rate))
                return _video_stream(container, size, timing, encoder.name, options)

            _write(part, pictures, timing, sound, stop, tell, add)
    except (av.error.OSError, OSError) as error:
        reason = str(error.strerror or error)
        raise NoRoom(remark(Trouble.CLIP_NOT_WRITTEN, file=out.name, reason=reason)) from error
    return probe(out)


def trim_clip(
    path: Path, out: Path, span: Span, *, stop: Stop = never_stop, tell: Tell = tell_nobody, **settings: Any
) -> Clip:
    """Write a part of a clip as a clip of its own, with its sound: the same pictures as decode_frames, streamed.

    settings: preset, crf, most_bits_a_second, encoders, as for encode_clip. Raises NotAClip, EmptySpan, NoEncoder,
    NoRoom, Stopped.
    """
    part, pictures = iterate_pictures(path, span, stop=stop)
    sound = decode_audio(path, part.start_seconds, part.seconds, stop=stop) if probe(path).has_audio else None
    counted = _Counted(pictures, part.frames)
    return encode_clip(counted, part.fps, out, sound=sound, stop=stop, tell=tell, moments=part.moments, **settings)


def exact_fps(fps: Fraction | float) -> Fraction:
    """A rate as a fraction: n/1001 for the NTSC rates, else the nearest with a denominator up to 1001."""
    if isinstance(fps, Fraction):
        exact = fps
    elif not math.isfinite(fps):
        raise BadPicture(remark(Trouble.RATE_UNWRITABLE, rate=str(fps)))
    else:
        ntsc = Fraction(round(fps * _NTSC_DENOMINATOR / 1000) * 1000, _NTSC_DENOMINATOR)
        whole = Fraction(fps).limit_denominator(100)
        exact = ntsc if abs(ntsc - Fraction(fps)) < _FPS_TOLERANCE and whole.denominator > 1 else Fraction(fps)
        exact = exact.limit_denominator(_NTSC_DENOMINATOR)
    if not Fraction(1, 100) <= exact <= 1000:
        raise BadPicture(remark(Trouble.RATE_OUT_OF_RANGE, rate=f"{float(fps):g}"))
    return exact


@dataclass(frozen=True)
class _Timing:
    """When pictures are shown: every 1 / fps, or at these moments."""

    fps: Fraction
    moments: Sequence[float]
    most_ticks: int  # a second

    @property
    def tick(self) -> Fraction:
        """Seconds a tick of the track."""
        exact = 1 / self.fps
        return Fraction(1, self.most_ticks) if self.moments or exact.denominator > self.most_ticks else exact

    def begin(self, number: int) -> int:
        """Of a picture, in ticks."""
        return round((self.moments[number] if self.moments else number / self.fps) / self.tick)

    def end(self, number: int) -> Fraction:
        """Of a picture, in seconds."""
        if number + 1 < len(self.moments):
            return Fraction(self.moments[number + 1])
        return (len(self.moments) or number + 1) / self.fps


class _Counted(Sized, Iterable[Pixels]):
    """An iterator whose length is known."""

    def __init__(self, pictures: Iterator[Pixels], count: int) -> None:
        self._pictures, self._count = pictures, count

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Pixels]:
        return self._pictures


def _write(
    part: Path,
    pictures: Iterable[Pixels],
    timing: _Timing,
    sound: Sound | None,
    stop: Stop,
    tell: Tell,
    add: Callable[[Any, tuple[int, ...]], Any],
) -> None:
    count = len(pictures) if isinstance(pictures, Sized) else 0
    todo = iter(pictures)
    first = next(todo, None)
    if first is None:
        raise BadPicture(remark(Trouble.NO_PICTURES_GIVEN))
    _check(first, first.shape)
    with (
        ThreadPoolExecutor(1, thread_name_prefix="apimall-clip") as helper,
        av.open(str(part.absolute()), "w", format="mp4", options={"movflags": "+faststart"}) as container,
    ):
        video = add(container, first.shape)
        track = _SoundTrack(container, sound) if sound is not None and sound.samples.shape[2] else None
        converter = _ToYuv(video.width, video.height)
        for number, frame in enumerate(_converted(chain([first], todo), first.shape, converter, helper)):
            if stop():
                raise Stopped
            frame.pts, frame.time_base = timing.begin(number), timing.tick
            _mux(container, video, video.encode(frame), timing)
            if track is not None:
                track.write_until(timing.end(number), stop)
            if count:
                tell(min(1.0, (number + 1) / count))
        # One at a time: what x264 still holds of large pictures takes longer than a stop may.
        for packet in video.codec_context.encode_lazy(None):
            if stop():
                raise Stopped
            _mux(container, video, [packet], timing)
        if track is not None:
            track.finish()


def _mux(container: Any, video: Any, packets: Iterable[Any], timing: _Timing) -> None:
    for packet in packets:
        if timing.moments and packet.pts == timing.begin(len(timing.moments) - 1):
            # The last one's length is told by no picture after it.
            packet.duration = round(timing.end(len(timing.moments) - 1) / timing.tick) - packet.pts
        packet.stream = video
        container.mux(packet)


def _converted(
    pictures: Iterable[Pixels], shape: tuple[int, ...], converter: _ToYuv, helper: Executor
) -> Iterator[Any]:
    """Frames of pictures of one shape; the next is converted while the caller is busy with this one."""
    ready: Future[Any] | None = None
    for picture in pictures:
        _check(picture, shape)
        coming = helper.submit(converter.frame, picture)
        if ready is not None:
            yield ready.result()
        ready = coming
    if ready is not None:
        yield ready.result()


def _check(picture: Pixels, shape: tuple[int, ...]) -> None:
    if picture.ndim != 3 or picture.shape[2] != 3 or not picture.size:
        raise BadPicture(f"A clip is made of [height, width, 3] pictures; this one is {list(picture.shape)}.")
    if picture.shape != shape:
        raise BadPicture(f"All pictures of a clip have one size; {list(picture.shape)} follows {list(shape)}.")
    if max(picture.shape) > _LARGEST_SIDE_PIXELS:
        raise BadPicture(remark(Trouble.TOO_LARGE_FOR_H264, width=str(picture.shape[1]), height=str(picture.shape[0])))


def _even_size(shape: tuple[int, ...], max_side: int) -> tuple[int, int]:
    """Width and height of the clip of such pictures."""
    scaled = shape_for(shape[1], shape[0], None, Turn(), max_side)
    return scaled.width + scaled.width % 2, scaled.height + scaled.height % 2


def _video_stream(container: Any, size: tuple[int, int], timing: _Timing, encoder: str, options: dict[str, str]) -> Any:
    stream = container.add_stream(encoder, rate=timing.fps, options=options)
    stream.width, stream.height = size
    stream.pix_fmt = "yuv420p"
    stream.time_base = timing.tick
    context = stream.codec_context
    context.time_base = timing.tick
    context.color_primaries = context.color_trc = context.colorspace = _BT709
    context.color_range = _LIMITED
    return stream


class _ToYuv:
    """Pictures to yuv420p frames of one size, rounded, by one reused scaler."""

    def __init__(self, width: int, height: int) -> None:
        self._width, self._height = width, height
        self._reformatter = VideoReformatter()

    def frame(self, picture: Pixels) -> Any:
        pixels = to_bytes(picture)
        height, width = pixels.shape[:2]
        if height % 2 or width % 2:
            pixels = np.pad(pixels, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        return self._reformatter.reformat(
            av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24"),
            width=self._width,
            height=self._height,
            format="yuv420p",
            interpolation=_TO_YUV_FLAGS,
            src_colorspace=_BT601,  # RGB has no matrix; PyAV before 17 passes ours on only if the two differ
            dst_colorspace=_BT709,
            src_color_range=_FULL,
            dst_color_range=_LIMITED,
            **one_scaler_thread(),
        )


class _SoundTrack:
    """An AAC track that is written along with the pictures, so that players need not search for it."""

    def __init__(self, container: Any, sound: Sound) -> None:
        samples = np.asarray(sound.samples, np.float32)[0]
        if samples.shape[0] not in _LAYOUTS:
            samples = samples[:2]
        self._samples = samples
        self._rate = sound.sample_rate
        self._layout = _LAYOUTS[samples.shape[0]]
        self._container = container
        out_rate = self._rate if self._rate in _AAC_RATES else 48_000
        self._stream = container.add_stream("aac", rate=out_rate, layout=self._layout)
        self._stream.bit_rate = _SOUND_BITS_A_SECOND_AND_CHANNEL * samples.shape[0]
        self._next = 0

    def write_until(self, seconds: Fraction, stop: Stop) -> None:
        end = min(self._samples.shape[1], math.ceil(seconds * self._rate))
        while self._next < end:
            if stop():
                raise Stopped
            block = self._samples[:, self._next : self._next + _SOUND_BLOCK_SAMPLES]
            # Packed: of eight channels in planes PyAV sees nine.
            packed = np.ascontiguousarray(block.T).reshape(1, -1)
            frame = av.AudioFrame.from_ndarray(packed, format="flt", layout=self._layout)
            frame.sample_rate = self._rate
            frame.pts, frame.time_base = self._next, Fraction(1, self._rate)
            self._next += block.shape[1]
            self._container.mux(self._stream.encode(frame))

    def finish(self) -> None:
        self._container.mux(self._stream.encode(None))
