"""All that differs between releases of PyAV, 14.2 and up, and what it does not do safely by itself.

What a release can do is asked of the release that is there, never read off its number: builds differ, and the next one
is not known yet.
"""

from __future__ import annotations

import functools
import io
from typing import TYPE_CHECKING, Any

import av
from av.video.reformatter import VideoReformatter

if TYPE_CHECKING:
    from av.container import InputContainer

# The first libavcodec whose frame threads tell of all damage, however many there are: FFmpeg 8's.
_TELLS_DAMAGE_AVCODEC = 62


def open_for_reading(file: str, *, demuxers: str, timeout: tuple[float, float]) -> InputContainer:
    """Open a local file with one of these demuxers. Metadata that is no text is read with replacements.

    timeout: seconds to open, to read. Raises FFmpegError, ValueError, MemoryError.
    """
    options = {"protocol_whitelist": "file", "format_whitelist": demuxers}
    container: InputContainer = av.open(
        file, mode="r", container_options=options, timeout=timeout, **_metadata_arguments()
    )
    return container


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
        VideoReformatter().reformat(av.VideoFrame(2, 2, "yuv420p"), **alone)
    except TypeError:
        return {}
    return alone


def tells_damage_with_many_threads() -> bool:
    """Whether a decoder marks each damaged picture, even with more threads than the usual number."""
    return av.library_versions["libavcodec"][0] >= _TELLS_DAMAGE_AVCODEC


def is_cover(stream: Any) -> bool:
    """Whether a video stream is a picture attached to the file, as album covers are, and not the film."""
    # The flag itself: what it prints, and whether it is a number, depends on PyAV and on Python.
    return av.stream.Disposition.attached_pic in stream.disposition
