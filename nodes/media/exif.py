"""Which way up the pictures of an animated PNG or WebP are, as their EXIF says.

Not every FFmpeg reads it of an animation, and none says so that PyAV tells whether a picture is mirrored.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Literal

from .colour import Turn

_PNG = b"\x89PNG\r\n\x1a\n"
_MOST_CHUNKS = 10_000
_MOST_BYTES = 65_536
_PREFIX = b"Exif\0\0"
_ORIENTATION = 0x0112
_ENTRY_BYTES = 12
# EXIF 2.32, 4.6.4 A: 1 is upright.
_TURNS = {
    2: Turn(flip_columns=True),
    3: Turn(flip_rows=True, flip_columns=True),
    4: Turn(flip_rows=True),
    5: Turn(transpose=True),
    6: Turn(transpose=True, flip_columns=True),
    7: Turn(transpose=True, flip_rows=True, flip_columns=True),
    8: Turn(transpose=True, flip_rows=True),
}

Order = Literal["little", "big"]


def turn_of_animation(path: Path) -> Turn:
    """How the pictures of a file are turned to be shown; not at all if it says nothing of it."""
    with suppress(OSError), path.open("rb") as file:
        head = file.read(12)
        if head.startswith(_PNG):
            return _turn(_found(file, _png_chunks(file), b"eXIf"))
        if head[:4] == b"RIFF" and head[8:] == b"WEBP":
            return _turn(_found(file, _riff_chunks(file), b"EXIF"))
    return Turn()


def _found(file: BinaryIO, chunks: Iterator[tuple[bytes, int]], name: bytes) -> bytes:
    """The first bytes of the chunk of that name. The file stands at the content of each as it comes."""
    for _, (found, size) in zip(range(_MOST_CHUNKS), chunks, strict=False):
        if found == name:
            return file.read(min(size, _MOST_BYTES))
    return b""


def _png_chunks(file: BinaryIO) -> Iterator[tuple[bytes, int]]:
    at = len(_PNG)
    while file.seek(at) == at and len(header := file.read(8)) == 8:
        size = int.from_bytes(header[:4], "big")
        yield header[4:], size
        at += size + 12  # a check sum follows


def _riff_chunks(file: BinaryIO) -> Iterator[tuple[bytes, int]]:
    at = 12
    while file.seek(at) == at and len(header := file.read(8)) == 8:
        size = int.from_bytes(header[4:], "little")
        yield header[:4], size
        at += 8 + size + size % 2


def _turn(data: bytes) -> Turn:
    """What the first directory of a TIFF header says (TIFF 6.0)."""
    data = data.removeprefix(_PREFIX)
    orders: dict[bytes, Order] = {b"II*\0": "little", b"MM\0*": "big"}
    order = orders.get(data[:4])
    if order is None:
        return Turn()
    at = int.from_bytes(data[4:8], order)
    entries = int.from_bytes(data[at : at + 2], order)
    for begin in range(at + 2, min(at + 2 + entries * _ENTRY_BYTES, len(data)), _ENTRY_BYTES):
        if int.from_bytes(data[begin : begin + 2], order) == _ORIENTATION:
            return _TURNS.get(int.from_bytes(data[begin + 8 : begin + 10], order), Turn())
    return Turn()
