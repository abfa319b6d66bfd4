"""Real clips, broken in known ways: mutation number n is the same for everybody who has the same encoders."""

from __future__ import annotations

import struct
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from nodes.media.audio import Sound
from nodes.media.encode import encode_clip
from tests.support import clips, packets

PICTURES, WIDTH, HEIGHT = 20, 96, 64
_AREAS = (
    *(b"moov", b"mvhd", b"mdhd", b"tkhd", b"stsd", b"stts", b"ctts", b"stsc", b"stsz", b"stco", b"elst", b"avcC"),
    *(b"covr", b"IHDR", b"iCCP", b"Exif"),
)
_EXTREMES = (0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)

Random = np.random.Generator


def base_clips(folder: Path) -> dict[str, bytes]:
    """File name -> bytes of the whole clips that are broken. Small, with sound where the encoder is ours."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(1)
    pictures = rng.integers(0, 256, (PICTURES, HEIGHT, WIDTH, 3), dtype=np.uint8)
    tone = np.sin(np.arange(44_100 * PICTURES // 25) * 0.05).astype(np.float32)
    sound = Sound(np.stack([tone, tone])[np.newaxis], 44_100)
    encode_clip(pictures, 25, folder / "ours.mp4", sound=sound, crf=30)
    moving = clips.moving_pictures(PICTURES, WIDTH, HEIGHT)
    made: tuple[tuple[str, str, dict[str, str], dict[str, str]], ...] = (
        ("bframes.mp4", "libx264", {"crf": "28", "g": "8", "bf": "3"}, {}),
        ("pieces.mp4", "libx264", {"crf": "28", "g": "5"}, {"movflags": "frag_keyframe+empty_moov"}),
        ("hevc.mp4", "libx265", {"x265-params": "log-level=none", "preset": "ultrafast"}, {}),
        ("vp9.webm", "libvpx-vp9", {"deadline": "realtime", "cpu-used": "8"}, {}),
        ("stream.ts", "libx264", {"crf": "28"}, {}),
        ("mpeg4.mkv", "mpeg4", {}, {}),
        ("motion.avi", "mjpeg", {}, {}),
    )
    for name, codec, options, container_options in made:
        frames = [frame.reformat(format="yuvj420p") for frame in moving] if codec == "mjpeg" else moving
        clips.write_clip(folder / name, frames, codec, options=options, container_options=container_options)
    _write_pictures(folder)
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def _write_pictures(folder: Path) -> None:
    """Whole pictures as packets, with what they bring along; a cover; side data that has no type."""
    png, jpeg = packets.picture("PNG", profile=True), packets.picture("JPEG", profile=True, orientation=5)
    packets.write_pictures(folder / "png.mp4", "PNG", [png] * 8)
    packets.write_pictures(folder / "png.avi", "PNG", [png] * 8)
    packets.write_pictures(folder / "camera.mov", "JPEG", [jpeg] * 8)
    packets.write_pictures(folder / "camera.mkv", "JPEG", [jpeg] * 8)
    packets.write_enhanced(folder / "enhanced.mp4", 8)
    packets.with_cover(folder / "bframes.mp4", png, folder / "covered.mp4")


def mutated(whole: dict[str, bytes], number: int) -> tuple[str, bytes]:
    """The name and the broken bytes of mutation `number`. Half of them are of MP4s as the gateway would send."""
    rng = np.random.default_rng(number)
    names = sorted(whole)
    likely = [name for name in names if name.endswith(".mp4")]
    name = str(rng.choice(likely if number % 2 else names))
    content = bytearray(whole[name])
    for _ in range(int(rng.integers(1, 4))):
        content = _HOW[int(rng.integers(0, len(_HOW)))](content, rng)
    return name, bytes(content)


def _place(content: bytearray, rng: Random) -> int:
    """Somewhere: three times of four where the headers are."""
    area = _AREAS[int(rng.integers(0, len(_AREAS)))]
    at = content.find(area)
    if at < 0 or rng.random() < 0.25:
        return int(rng.integers(0, max(1, len(content))))
    return min(len(content) - 1, at + int(rng.integers(-4, 64)))


def _flip(content: bytearray, rng: Random) -> bytearray:
    for _ in range(int(rng.integers(1, 12))):
        if content:
            content[_place(content, rng)] = int(rng.integers(0, 256))
    return content


def _extreme(content: bytearray, rng: Random) -> bytearray:
    at = _place(content, rng)
    content[at : at + 4] = struct.pack(">I", _EXTREMES[int(rng.integers(0, len(_EXTREMES)))])
    return content


def _nudge(content: bytearray, rng: Random) -> bytearray:
    at = min(_place(content, rng), max(0, len(content) - 4))
    if len(content) < at + 4:
        return content
    value = struct.unpack_from(">I", content, at)[0] + int(rng.integers(-3, 4))
    struct.pack_into(">I", content, at, value & 0xFFFFFFFF)
    return content


def _cut(content: bytearray, rng: Random) -> bytearray:
    return content[: int(rng.integers(0, len(content) + 1))]


def _drop(content: bytearray, rng: Random) -> bytearray:
    at = _place(content, rng)
    del content[at : at + int(rng.integers(1, 200))]
    return content


def _repeat(content: bytearray, rng: Random) -> bytearray:
    at = _place(content, rng)
    piece = content[at : at + int(rng.integers(1, 400))]
    content[at:at] = piece * int(rng.integers(1, 5))
    return content


def _blank(content: bytearray, rng: Random) -> bytearray:
    at, length = _place(content, rng), int(rng.integers(1, 300))
    end = min(len(content), at + length)
    content[at:end] = bytes([int(rng.choice([0, 255]))]) * (end - at)
    return content


def _noise(content: bytearray, rng: Random) -> bytearray:
    at = _place(content, rng)
    content[at:at] = rng.integers(0, 256, int(rng.integers(1, 100)), dtype=np.uint8).tobytes()
    return content


def _rename(content: bytearray, rng: Random) -> bytearray:
    """One box under another's name."""
    old, new = (_AREAS[int(rng.integers(0, len(_AREAS)))] for _ in range(2))
    at = content.find(old)
    if at >= 0:
        content[at : at + 4] = new
    return content


def _swap(content: bytearray, rng: Random) -> bytearray:
    half = len(content) // 2
    if half < 64:
        return content
    first, second = int(rng.integers(0, half - 32)), half + int(rng.integers(0, half - 32))
    length = int(rng.integers(1, 32))
    one, other = content[first : first + length], content[second : second + length]
    content[first : first + length], content[second : second + length] = other, one
    return content


_HOW: tuple[Callable[[bytearray, Random], bytearray], ...] = (
    *(_flip, _extreme, _nudge, _cut, _drop),
    *(_repeat, _blank, _noise, _rename, _swap),
)


def absurd(whole: dict[str, bytes]) -> dict[str, tuple[str, bytes]]:
    """Headers that claim what cannot be, by what they claim: (file name, bytes)."""
    mp4 = whole["bframes.mp4"]

    def patched(box: bytes, offset: int, data: bytes, content: bytes = mp4) -> tuple[str, bytes]:
        at = content.index(box) + 4 + offset
        return "absurd.mp4", content[:at] + data + content[at + len(data) :]

    def number(value: int) -> bytes:
        return struct.pack(">I", value)

    return {
        "1000000000 samples": patched(b"stsz", 8, number(1_000_000_000)),
        "1000000000 samples of one size": patched(b"stsz", 4, number(1) + number(1_000_000_000)),
        "samples of 4 GiB": patched(b"stsz", 4, number(0xFFFFFFFF)),
        "1000000000 times": patched(b"stts", 4, number(1_000_000_000)),
        "a time that lasts 1000000000 pictures": patched(b"stts", 8, number(1_000_000_000)),
        "pictures of a century each": patched(b"stts", 12, number(0x7FFFFFFF)),
        "chunks behind the file's end": patched(b"stco", 8, number(0xFFFFFFF0)),
        "a clock of no ticks": patched(b"mdhd", 12, number(0)),
        "a clock of 4 billion ticks": patched(b"mdhd", 12, number(0xFFFFFFFF)),
        "a length of ages": patched(b"mdhd", 16, number(0xFFFFFFFE)),
        "60000x60000": patched(b"avc1", 24, struct.pack(">HH", 60_000, 60_000)),
        "no pixel": patched(b"avc1", 24, struct.pack(">HH", 0, 0)),
        "a matrix of nothing": patched(b"tkhd", 40, bytes(36)),
        "a matrix of noise": patched(b"tkhd", 40, bytes(range(7, 43))),
        "a box that holds itself": patched(b"moov", -8, number(8)),
        "a box of negative size": patched(b"moov", -8, number(0xFFFFFFFF)),
        "no boxes but 100000": ("absurd.mp4", mp4[:32] + (number(8) + b"free") * 100_000 + mp4[32:]),
        "10000 boxes in each other": (
            "absurd.mp4",
            mp4[:32] + b"".join(number(80_000) + b"moov" for _ in range(10_000)),
        ),
    }


def large_picture(path: Path, width: int, height: int) -> Path:
    """A clip of one flat picture: a few kB that decode to any size."""
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 25)
        frame = av.VideoFrame(width, height, "yuv420p")
        for plane in frame.planes:
            plane.update(bytes([128]) * plane.buffer_size)
        frame.pts = 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path
