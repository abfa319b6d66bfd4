"""All that differs between releases of PyAV, 14.2 and up, and what it does not do safely by itself.

What a release can do is asked of the release that is there, never read off its number: builds differ, and the next one
is not known yet.
"""

from __future__ import annotations

import functools
import io
import re
import struct
from contextlib import suppress
from typing import Any, Literal

import av
from av import VideoFrame
from av.container import InputContainer
from av.stream import Stream
from av.video.reformatter import VideoReformatter

VERSION = av.__version__
FLOOR = (14, 2)
"""The oldest release that this pack works with, as in requirements.txt."""

# Decoders that give no side data with a name of its own. Reading a named one (the ICC profile of a PNG picture) makes
# PyAV free the name twice, at some later garbage collection: a segmentation fault. What is not known not to, may.
_SIDE_DATA_IS_SAFE = frozenset(
    (
        *("h264", "hevc", "vvc", "av1", "libdav1d", "libaom-av1", "vp8", "vp9", "libvpx", "libvpx-vp9"),
        *("mpeg1video", "mpeg2video", "mpeg4", "msmpeg4v2", "msmpeg4", "h263", "flv", "wmv1", "wmv2", "wmv3", "vc1"),
        *("theora", "prores", "dnxhd", "ffv1", "huffyuv", "ffvhuff", "utvideo", "rawvideo", "qtrle", "cinepak"),
        *("svq1", "svq3", "gif", "mjpeg"),
    )
)
# WebM holds transparency as a second picture beside each block (AlphaMode 1, BlockAdditional).
_ALPHA_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}
# libavutil's display matrix: nine numbers, row by row; the first, second, fourth and fifth turn and mirror.
_MATRIX = struct.Struct("=2i4x2i")
_TURNED = {-90: (0, 1, -1, 0), 90: (0, -1, 1, 0), 180: (-1, 0, 0, -1), -180: (-1, 0, 0, -1)}


def require_floor(version: str = VERSION) -> None:
    """Raises ImportError for a PyAV that is too old."""
    if tuple(map(int, re.findall(r"\d+", version)[:2])) < FLOOR:
        floor = ".".join(map(str, FLOOR))
        raise ImportError(f"PyAV {version} is here, and {floor} or newer is needed: update the package av")


def can_read(demuxer: str) -> bool:
    """Whether this PyAV has a demuxer of that name."""
    return demuxer in av.formats_available


@functools.cache
def can_encode(name: str) -> bool:
    """Whether this PyAV has an encoder of that name."""
    return _has_codec(name, "w")


@functools.cache
def can_decode(name: str) -> bool:
    """Whether this PyAV has a decoder of that name."""
    return _has_codec(name, "r")


def _has_codec(name: str, mode: Literal["r", "w"]) -> bool:
    try:
        av.Codec(name, mode)
    except (av.error.FFmpegError, ValueError):  # of which of the two the error is, depends on the release
        return False
    return True


def open_for_reading(file: str, *, demuxers: str, timeout: tuple[float, float]) -> InputContainer:
    """Open a local file with one of these demuxers. Metadata that is no text is read with replacements.

    timeout: seconds to open, to read. Raises FFmpegError, ValueError, MemoryError.
    """
    options = {"protocol_whitelist": "file", "format_whitelist": demuxers}
    container: InputContainer = av.open(
        file, mode="r", container_options=options, timeout=timeout, **_metadata_arguments()
    )
    return container


def close(container: InputContainer) -> None:
    """Close a container and its decoders, whatever they are still busy with.

    A decoder is freed with the interpreter's lock held, and waits for its threads. A thread that reports damage wants
    that lock, once anybody has turned PyAV's logging on (torchvision does at import): neither goes on, ever. Flushing
    waits for the same threads, but without the lock; afterwards they have nothing to do and so nothing to report.
    """
    for stream in (*container.streams.video, *container.streams.audio):
        flush(stream.codec_context)
    container.close()


def flush(decoder: Any) -> None:
    """Have a decoder (None where a form has none) forget what it holds: before it is freed, or goes on elsewhere."""
    if decoder is not None and decoder.is_open:
        decoder.flush_buffers()


@functools.cache
def _metadata_arguments() -> dict[str, Any]:
    """Before PyAV 19, metadata that is no text is an error unless told otherwise; 19 has no such argument."""
    replaced: dict[str, Any] = {"metadata_errors": "replace"}
    try:
        av.open(io.BytesIO(b""), mode="r", **replaced).close()
    except TypeError:
        return {}
    except av.error.FFmpegError:
        pass  # nothing is no clip, but the argument was taken
    return replaced


@functools.cache
def one_scaler_thread() -> dict[str, Any]:
    """The argument of VideoReformatter.reformat for one thread, from 17 on: the default there is one for every core."""
    alone: dict[str, Any] = {"threads": 1}
    try:
        VideoReformatter().reformat(VideoFrame(2, 2, "yuv420p"), **alone)
    except TypeError:
        return {}
    return alone


def alpha_decoder(stream: Stream) -> str | None:
    """The decoder that a stream's transparency takes, where FFmpeg's own for its codec gives the colours alone."""
    told = {name.lower(): value for name, value in stream.metadata.items()}
    decoder: Any = stream.codec_context
    return _ALPHA_DECODERS.get(decoder.name) if decoder and told.get("alpha_mode") == "1" else None


def new_decoder(name: str, stream: Stream) -> Any:
    """A decoder of that name for a stream's packets."""
    decoder: Any = av.Codec(name, "r").create()
    own: Any = stream.codec_context
    if own.extradata:
        decoder.extradata = own.extradata
    return decoder


def is_cover(stream: Stream) -> bool:
    """Whether a video stream is a picture attached to the file, as album covers are, and not the film."""
    # The flag itself: what it prints, and whether it is a number, depends on PyAV and on Python.
    return av.stream.Disposition.attached_pic in stream.disposition


def pixel_format(stream: Stream) -> str:
    """The name of the form that a stream's pictures come in; empty where it is not known.

    Of `pix_fmt`, PyAV 17 asks the length of a name that is not there: a segmentation fault.
    """
    decoder: Any = stream.codec_context
    return decoder.format.name if decoder.format else ""


def has_chapters(container: Any) -> bool:
    """Whether a file names chapters, as far as this PyAV tells (not before 16)."""
    chapters = getattr(container, "chapters", None)
    return bool(chapters and chapters())


def display_matrix(frame: VideoFrame, decoder: str) -> tuple[int, int, int, int] | None:
    """a, b, c, d of the matrix that says how a frame is shown, None if there is none.

    A stored point (x, y) is shown at (a x + c y, b x + d y) (ISO/IEC 14496-12, 8.3.2; libavutil/display.h). Where the
    matrix itself cannot be had in safety, the turn that it amounts to, without its mirror.
    """
    if decoder in _SIDE_DATA_IS_SAFE:
        # ValueError: side data of a type that this PyAV has no name for, of any other kind, hides all of it.
        with suppress(ValueError):
            data: Any = frame.side_data.get("DISPLAYMATRIX")
            raw = b"" if data is None else bytes(data)
            if len(raw) < _MATRIX.size:
                return None
            a, b, c, d = _MATRIX.unpack_from(raw)
            return a, b, c, d
    try:
        return _TURNED.get(frame.rotation)
    except (ValueError, OverflowError):  # a matrix of nothing amounts to no turn that is a number
        return None
