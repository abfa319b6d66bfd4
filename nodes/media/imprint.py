"""Texts behind a clip, where ComfyUI's page looks for the workflow of a file that is dropped on it.

They are a box of their own after the last one (`udta` > `meta` > `keys` and `ilst`, as QuickTime has it). Players pass
over it, and not a byte of what was there is changed, so that packets and times stay what they were.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from .errors import NotAClip

RECEIPT = "apimall"
"""The key that tells our box from others'."""

_HEADER_BYTES = 8
_LARGEST_BOX_BYTES = 2**32 - 1
_MOST_BOXES = 1000
_OURS_WITHIN_BYTES = 256
_UTF8 = (1).to_bytes(4, "big")
_NONE = bytes(4)


@dataclass(frozen=True)
class _Box:
    name: bytes
    start: int
    end: int


def imprint(path: Path, receipt: str, texts: Mapping[str, str]) -> None:
    """Write `receipt` and named `texts` behind a clip. Raises NotAClip, OSError; the file is then as it was.

    NotAClip: it does not consist of whole boxes, or holds such a box already.
    """
    size = path.stat().st_size
    boxes = _boxes(path)
    if not boxes or boxes[-1].end != size or any(box.name == b"udta" for box in boxes):
        raise NotAClip(f"Nothing can be written behind {path.name}.")
    box = _user_data({RECEIPT: receipt, **texts})
    with path.open("rb+") as file:
        try:
            file.seek(size)
            file.write(box)
            file.flush()
        except OSError:
            os.ftruncate(file.fileno(), size)
            raise


def bytes_of_clip(path: Path) -> int:
    """How many bytes of a file are the clip's own: without what `imprint` wrote behind it. Raises OSError."""
    size = path.stat().st_size
    boxes = _boxes(path)
    if boxes and boxes[-1].end == size and boxes[-1].name == b"udta":
        with path.open("rb") as file:
            file.seek(boxes[-1].start)
            if b"mdta" + RECEIPT.encode() in file.read(_OURS_WITHIN_BYTES):
                return boxes[-1].start
    return size


def _boxes(path: Path) -> list[_Box]:
    """The boxes a file consists of, as far as they are whole; none for one of so many that it is no clip."""
    with path.open("rb") as file:
        found: list[_Box] = []
        end = path.stat().st_size
        start = 0
        while start < end and len(found) < _MOST_BOXES:
            file.seek(start)
            header = file.read(2 * _HEADER_BYTES)
            size = int.from_bytes(header[:4], "big")
            if size == 1:
                size = int.from_bytes(header[_HEADER_BYTES:], "big")
            # 0 is "to the end of the file": whatever came behind would be taken for a part of it.
            if size < _HEADER_BYTES or start + size > end:
                break
            found.append(_Box(header[4:_HEADER_BYTES], start, start + size))
            start += size
    return found if start == end else []


def _user_data(texts: Mapping[str, str]) -> bytes:
    handler = _box(b"hdlr", _NONE, _NONE, b"mdta", bytes(13))
    keys = _box(b"keys", _NONE, len(texts).to_bytes(4, "big"), *_keys(texts))
    items = _box(b"ilst", *_items(texts))
    return _box(b"udta", _box(b"meta", _NONE, handler, keys, items))


def _keys(texts: Mapping[str, str]) -> Iterator[bytes]:
    for name in texts:
        yield _box(b"mdta", name.encode())


def _items(texts: Mapping[str, str]) -> Iterator[bytes]:
    for number, text in enumerate(texts.values(), start=1):
        yield _box(number.to_bytes(4, "big"), _box(b"data", _UTF8, _NONE, text.encode("utf-8", "replace")))


def _box(name: bytes, *parts: bytes) -> bytes:
    content = b"".join(parts)
    size = _HEADER_BYTES + len(content)
    if size > _LARGEST_BOX_BYTES:
        raise NotAClip("There is too much to write behind a clip.")
    return size.to_bytes(4, "big") + name + content
