"""Opening a clip's file, and which of its streams count: one of pictures, at most one of sound.

Files come from strangers. Demuxers are limited to those of real clips, so that a play list dressed as an MP4 opens no
other file and no address.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
from av.container import InputContainer

from ..remarks import remark
from ..troubles import Trouble
from . import pyav
from .encryption import encrypted_streams
from .errors import NotAClip
from .kinds import has_no_index, title_of

OPEN_TIMEOUT_SECONDS = 4.0
READ_TIMEOUT_SECONDS = 20.0

# None of these opens a second file, or an address, for what stands in the first.
_DEMUXERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,flv,ogg,asf,rm,mxf,dv,nut,wtv,yuv4mpegpipe,"
    "ivf,obu,h264,hevc,mpegvideo,gif,apng,webp_anim"
)


def open_container(path: Path) -> InputContainer:
    """Open a clip for reading. Raises NotAClip."""
    try:
        is_there = path.is_file()
    except (OSError, ValueError):  # a name that no file can have
        is_there = False
    if not is_there:
        raise NotAClip(remark(Trouble.FILE_MISSING, file=path.name[:80]))
    try:
        # Absolute, so that a colon in a name cannot mean a protocol.
        timeout = (OPEN_TIMEOUT_SECONDS, READ_TIMEOUT_SECONDS)
        return pyav.open_for_reading(str(path.absolute()), demuxers=_DEMUXERS, timeout=timeout)
    except (av.error.FFmpegError, ValueError, MemoryError) as error:
        raise not_opened(path) from error


def require_video(container: InputContainer, path: Path) -> Any:
    """The stream of a clip's pictures, which is not encrypted. Raises NotAClip."""
    video = moving_stream(container)
    if video is None:
        if has_no_index(path):
            raise not_opened(path)
        what = Trouble.ONLY_SOUND if container.streams.audio else Trouble.NO_VIDEO_INSIDE
        raise NotAClip(remark(what, file=path.name))
    if video.index in encrypted_streams(container):
        raise NotAClip(remark(Trouble.ENCRYPTED, file=path.name))
    return video


def moving_stream(container: InputContainer) -> Any:
    """The first video stream that is not a cover picture, or None."""
    for stream in container.streams.video:
        if not pyav.is_cover(stream):
            return stream
    return None


def sound_stream(container: InputContainer) -> Any:
    """The first sound track that can be decoded: this PyAV knows its form, and it is not encrypted. None without."""
    tracks: tuple[Any, ...] = container.streams.audio
    noise = encrypted_streams(container) if tracks else ()
    return next((track for track in tracks if track.codec_context is not None and track.index not in noise), None)


def not_opened(path: Path) -> NotAClip:
    """Why a file cannot be read as a clip, and what to do."""
    if has_no_index(path):
        return NotAClip(remark(Trouble.NOT_WHOLE, file=path.name))
    if kind := title_of(path):
        return NotAClip(remark(Trouble.NO_CLIP_BUT, file=path.name, kind=kind))
    return NotAClip(remark(Trouble.NO_CLIP, file=path.name))
