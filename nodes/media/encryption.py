"""Which tracks of a file are encrypted, so that what decodes of them is noise."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from av.container import InputContainer

from . import transport
from .boxes import Box, boxes, inside

# Sample entries of encrypted tracks: Common Encryption (ISO/IEC 23001-7), and a shop's older one.
_ENCRYPTED = frozenset((b"encv", b"enca", b"drmi", b"drms"))
_ENTRIES_BEGIN = 8  # version, flags and a count
_MATROSKA_KEY = "enc_key_id"  # FFmpeg's word for the ContentEncKeyID of a track


def encrypted_streams(container: InputContainer) -> frozenset[int]:
    """The streams of an open file, by their index, that are encrypted. FFmpeg reads them as if they were not."""
    name, path = container.format.name, Path(container.name)
    numbers = _tracks(path) if "mp4" in name else transport.scrambled(path) if name == transport.TRANSPORT else set()
    streams: Any = container.streams
    return frozenset(
        stream.index for stream in streams if stream.metadata.get(_MATROSKA_KEY) or (numbers and stream.id in numbers)
    )


def _tracks(path: Path) -> set[int]:
    """The numbers of the encrypted tracks of an MP4."""
    found: set[int] = set()
    with suppress(OSError), path.open("rb") as file:
        for track in inside(file, 0, path.stat().st_size, b"moov", b"trak"):
            tables = inside(file, track.content, track.end, b"mdia", b"minf", b"stbl", b"stsd")
            if any(entry.name in _ENCRYPTED for table in tables for entry in _entries(file, table)):
                found |= {_number(file, head) for head in inside(file, track.content, track.end, b"tkhd")}
    return found


def _entries(file: BinaryIO, table: Box) -> list[Box]:
    return list(boxes(file, table.content + _ENTRIES_BEGIN, table.end))


def _number(file: BinaryIO, head: Box) -> int:
    """track_ID, behind two times of four bytes each, or of eight in version 1."""
    file.seek(head.content)
    content = file.read(24)
    at = 20 if content[:1] == b"\1" else 12
    return int.from_bytes(content[at : at + 4], "big")
