"""Clips whose packets are whole pictures by Pillow, as cameras and editors write them, with all that comes along.

Profiles, EXIF, covers, and side data of types that few decoders name.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image

from tests.support import clips

# No decoder looks into it; it is the name beside it in a PNG that PyAV frees twice.
PROFILE = bytes(128) + b"a profile of some length" * 20
CODECS = {"PNG": ("png", "rgb24"), "JPEG": ("mjpeg", "yuvj420p")}
ORIENTATION = 0x0112
WIDTH, HEIGHT = 48, 32
# An ITU-T T.35 message of V-Nova's (Rec. ITU-T H.264 D.1.6, provider 0xB4 0x0050): LCEVC's enhancement layer.
LCEVC = b"\xb4\x00\x50" + bytes(range(1, 30))


def picture(
    form: str, *, profile: bool = False, orientation: int = 0, width: int = WIDTH, height: int = HEIGHT
) -> bytes:
    """A PNG or JPEG: dark to the left, light to the right, its lower half red."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[..., 0] = np.linspace(40, 220, width, dtype=np.uint8)
    pixels[: height // 2, :, 1:] = pixels[: height // 2, :, :1]
    settings: dict[str, Any] = {"quality": 95} if form == "JPEG" else {}
    if profile:
        settings["icc_profile"] = PROFILE
    if orientation:
        settings["exif"] = Image.Exif()
        settings["exif"][ORIENTATION] = orientation
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, form, **settings)
    return out.getvalue()


def write_pictures(path: Path, form: str, pictures: Sequence[bytes]) -> Path:
    """A clip of such pictures, at 25 a second."""
    with av.open(str(path), "w") as container:
        stream = _picture_stream(container, form)
        for number, data in enumerate(pictures):
            container.mux(_packet(stream, data, number))
    return path


def write_song(path: Path, form: str, cover: bytes) -> Path:
    """Sound and a cover, no film."""
    with av.open(str(path), "w") as container:
        song: Any = container.add_stream("aac", rate=44_100, layout="mono")
        stream = _picture_stream(container, form)
        stream.disposition = av.stream.Disposition.attached_pic.value
        container.mux(_packet(stream, cover, 0))
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 4096), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 44_100
        container.mux(song.encode(frame))
        container.mux(song.encode(None))
    return path


def with_cover(clip: Path, cover: bytes, out: Path) -> Path:
    """An MP4 with a cover that stands in the file before its film (ISO/IEC 14496-12, `udta`; iTunes' `covr`)."""
    kind = 14 if cover.startswith(b"\x89PNG") else 13
    data = _box(b"data", struct.pack(">II", kind, 0) + cover)
    handler = _box(b"hdlr", bytes(8) + b"mdirappl" + bytes(9))
    meta = _box(b"meta", bytes(4) + handler + _box(b"ilst", _box(b"covr", data)))
    content = clip.read_bytes()
    at = content.index(b"moov") - 4
    assert at > content.index(b"mdat"), "what lies in front of the samples would move them"
    (size,) = struct.unpack_from(">I", content, at)
    moov = content[at + 8 : at + size]
    out.write_bytes(content[:at] + _box(b"moov", _box(b"udta", meta) + moov) + content[at + size :])
    return out


def write_enhanced(path: Path, count: int = 6, codec: str = "libx264") -> Path:
    """H.264 whose pictures carry side data that PyAV before 19 has no type for."""
    message = bytes([4, len(LCEVC)]) + LCEVC + b"\x80"
    unit = b"\0\0\0\1\x06" + message.replace(b"\0\0\1", b"\0\0\3\1").replace(b"\0\0\0", b"\0\0\3\0")
    clips.require_encoder(codec)
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=25, options={"crf": "18", "bf": "0"})
        frames = clips.moving_pictures(count, 96, 64)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        encoded = [packet for frame in [*frames, None] for packet in stream.encode(_timed(frame, frames))]
        for packet in encoded:
            enhanced = _packet(stream, unit + bytes(packet), packet.pts, packet.time_base)
            enhanced.is_keyframe = packet.is_keyframe
            container.mux(enhanced)
    return path


def _timed(frame: Any, frames: list[Any]) -> Any:
    if frame is not None:
        frame.pts, frame.time_base = frames.index(frame), Fraction(1, 25)
    return frame


def _picture_stream(container: Any, form: str) -> Any:
    codec, pix_fmt = CODECS[form]
    stream = container.add_stream(codec, rate=25)
    stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, pix_fmt
    return stream


def _packet(stream: Any, data: bytes, time: int, time_base: Fraction = Fraction(1, 25)) -> Any:
    packet: Any = av.Packet(data)
    packet.stream, packet.pts, packet.dts, packet.time_base = stream, time, time, time_base
    packet.is_keyframe = True
    return packet


def _box(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content) + 8) + name + content
