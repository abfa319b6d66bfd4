"""The boxes that MP4 and QuickTime files consist of (ISO/IEC 14496-12, 4.2)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

HEADER_BYTES = 8
_MOST_BOXES = 1000


@dataclass(frozen=True)
class Box:
    """Of a file: name, and where it begins, where its content does, and where it ends."""

    name: bytes
    start: int
    content: int
    end: int


def boxes(file: BinaryIO, start: int, end: int) -> Iterator[Box]:
    """The boxes between two places of a file, up to the first that is not whole. Raises OSError."""
    for _ in range(_MOST_BOXES):
        if start >= end:
            return
        file.seek(start)
        header = file.read(2 * HEADER_BYTES)
        size, content = int.from_bytes(header[:4], "big"), start + HEADER_BYTES
        if size == 1:
            size, content = int.from_bytes(header[HEADER_BYTES:], "big"), content + HEADER_BYTES
        # 0 is "to the end of the file": whatever came behind would be taken for a part of it.
        if size < content - start or start + size > end:
            return
        yield Box(header[4:HEADER_BYTES], start, content, start + size)
        start += size


def inside(file: BinaryIO, start: int, end: int, *path: bytes) -> Iterator[Box]:
    """The boxes that are reached by these names, one in another. Raises OSError."""
    for box in boxes(file, start, end):
        if box.name == path[0]:
            if path[1:]:
                yield from inside(file, box.content, box.end, *path[1:])
            else:
                yield box
