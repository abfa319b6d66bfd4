"""What is written behind a clip, read as ComfyUI's page reads it: box by box, the first `udta` of the file's own level.

Written down anew here, after what the pages of 0.3.64 (1.27.10) up to 1.58.1 do, and not shared with the pack.
"""

from __future__ import annotations

MOST_BYTES_READ = 64 << 20
"""More of a file no page reads."""


def texts_behind(data: bytes) -> dict[str, str]:
    """The texts in a file, by name; none where a page would find none."""
    data = data[:MOST_BYTES_READ]
    user = _content(data, b"udta") or _content(_content(data, b"moov"), b"udta")
    meta = _content(user, b"meta")[4:]
    names = _names(_content(meta, b"keys"))
    return {
        names[int.from_bytes(kind, "big") - 1]: _content(item, b"data")[8:].decode()
        for kind, item in _boxes(_content(meta, b"ilst"))
        if int.from_bytes(kind, "big") <= len(names)
    }


def _names(keys: bytes) -> list[str]:
    return [name.decode() for kind, name in _boxes(keys[8:]) if kind == b"mdta"]


def _content(data: bytes, name: bytes) -> bytes:
    return next((content for kind, content in _boxes(data) if kind == name), b"")


def _boxes(data: bytes) -> list[tuple[bytes, bytes]]:
    found = []
    start = 0
    while start + 8 <= len(data):
        size = int.from_bytes(data[start : start + 4], "big")
        if size < 8 or start + size > len(data):
            break
        found.append((data[start + 4 : start + 8], data[start + 8 : start + size]))
        start += size
    return found
