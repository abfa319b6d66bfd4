"""Texts behind a clip, where ComfyUI's page looks for the workflow of a file that is dropped on it.

They are a box of their own after the last one (`udta` > `meta` > `keys` and `ilst`, as QuickTime has it). Players pass
over it, and not a byte of what was there is changed, so that packets and times stay what they were.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from .boxes import HEADER_BYTES, Box, boxes
from .errors import NotAClip

RECEIPT = "apimall"
"""The key that tells our box from others'."""

_LARGEST_BOX_BYTES = 2**32 - 1
_OURS_WITHIN_BYTES = 256
_UTF8 = (1).to_bytes(4, "big")
_NONE = bytes(4)


def imprint(path: Path, receipt: str, texts: Mapping[str, str]) -> None:
    """Write `receipt` and named `texts` behind a clip. Raises NotAClip, OSError; the file is then as it was.

    NotAClip: it does not consist of whole boxes, or holds such a box already.
    """
    size = path.stat().st_size
    found = _boxes(path)
    if not found or any(box.name == b"udta" for box in found):
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
    found = _boxes(path)
    if found and found[-1].name == b"udta":
        with path.open("rb") as file:
            file.seek(found[-1].start)
            if b"mdta" + RECEIPT.encode() in file.read(_OURS_WITHIN_BYTES):
                return found[-1].start
    return size


def _boxes(path: Path) -> list[Box]:
    """The boxes a file consists of; none for one that does not, or of so many that it is no clip."""
    end = path.stat().st_size
    with path.open("rb") as file:
        found = list(boxes(file, 0, end))
    return found if found and found[-1].end == end else []


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
    size = HEADER_BYTES + len(content)
    if size > _LARGEST_BOX_BYTES:
        raise NotAClip("There is too much to write behind a clip.")
    return size.to_bytes(4, "big") + name + content
