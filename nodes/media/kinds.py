"""Which files are clips, by their names and their first bytes, and what other files are called.

Nothing is decoded: what these bytes promise is only found out when the clip is opened.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from ..remarks import Remark, remark
from ..troubles import Trouble
from .boxes import boxes

CLIP_SUFFIXES = frozenset(
    (
        *(".mp4", ".m4v", ".mov", ".qt", ".3gp", ".3g2", ".mj2", ".mkv", ".webm", ".avi", ".ts", ".m2ts", ".mts"),
        *(".mpg", ".mpeg", ".vob", ".m2v", ".flv", ".f4v", ".ogv", ".asf", ".wmv", ".rm", ".rmvb", ".mxf", ".gxf"),
        *(".dv", ".dif", ".nut", ".y4m", ".ivf", ".obu", ".wtv", ".h264", ".264", ".hevc", ".h265", ".265", ".gif"),
        *(".apng",),
    )
)
"""Names, in small letters, of files that hold a clip."""

_HEAD_BYTES = 2048
_MAYBE_MOVING = frozenset((".png", ".webp"))
_ANIMATED_WEBP = 0x02  # of the flags in a VP8X chunk
_BEGINNINGS = (
    (b"\xff\xd8\xff", Trouble.JPEG_PICTURE),
    (b"\x89PNG\r\n\x1a\n", Trouble.PNG_PICTURE),
    (b"GIF8", Trouble.GIF),
    (b"BM", Trouble.BMP_PICTURE),
    (b"II*\0", Trouble.TIFF_PICTURE),
    (b"MM\0*", Trouble.TIFF_PICTURE),
    (b"8BPS", Trouble.PHOTOSHOP_FILE),
    (b"%PDF-", Trouble.PDF),
    (b"PK\x03\x04", Trouble.ZIP_ARCHIVE),
    (b"7z\xbc\xaf'", Trouble.SEVEN_ZIP_ARCHIVE),
    (b"Rar!", Trouble.RAR_ARCHIVE),
    (b"\x1f\x8b", Trouble.GZIP_ARCHIVE),
    (b"ID3", Trouble.MP3_SOUND),
    (b"fLaC", Trouble.FLAC_SOUND),
    (b"#EXTM3U", Trouble.PLAY_LIST),
    (b"ffconcat", Trouble.LIST_OF_CLIPS),
    (b"FWS", Trouble.FLASH_PROGRAMME),
    (b"CWS", Trouble.FLASH_PROGRAMME),
    (b"FORM", Trouble.IFF_FILE),
    (b"BIK", Trouble.BINK_VIDEO),
    (b"KB2", Trouble.BINK_VIDEO),
    (b"REDV", Trouble.REDCODE_VIDEO),
    (b"BLENDER", Trouble.BLENDER_FILE),
)
_MP4_BEGINNINGS = (b"ftyp", b"moov", b"mdat", b"wide")
_VIDEO_BEGINNINGS = (b"\x1aE\xdf\xa3", b"\0\0\1\xba", b"\0\0\1\xb3", b"FLV", b"OggS")
_PAGE = (b"<!doctype", b"<!--", b"<html", b"<head", b"<body", b"<script", b"<?xml", b"<svg", b"{", b"[{")
_UTF8_MARK = b"\xef\xbb\xbf"


def is_clip(path: Path) -> bool:
    """Whether a file calls itself a clip; a PNG or a WebP is one if it says that it moves."""
    suffix = path.suffix.lower()
    return suffix in CLIP_SUFFIXES or (suffix in _MAYBE_MOVING and _moves(_head(path)))


def title_of(path: Path) -> Remark | None:
    """What a file is that is no clip, or one that nothing here reads: "a PDF". None if its bytes do not tell."""
    return title_of_bytes(_head(path))


def has_no_index(path: Path) -> bool:
    """Whether an MP4 or a QuickTime file lacks its index, which programs that record or download write at its end."""
    head = _head(path)
    if title_of_bytes(head) or head[4:8] not in _MP4_BEGINNINGS:
        return False
    with suppress(OSError), path.open("rb") as file:
        names = {box.name for box in boxes(file, 0, path.stat().st_size)}
        return not names & {b"moov", b"meta"}  # pictures have the other one
    return False


def title_of_bytes(head: bytes) -> Remark | None:
    """As `title_of`, by the first bytes of a file."""
    kind = _kind_of(head)
    return kind and remark(kind)


def _kind_of(head: bytes) -> Trouble | None:
    if not head:
        return Trouble.EMPTY_FILE
    if head[:4] == b"RIFF":
        webp = Trouble.ANIMATED_WEBP if _moves(head) else Trouble.WEBP_PICTURE
        return {b"WEBP": webp, b"WAVE": Trouble.WAV_SOUND}.get(head[8:12])
    if head[4:8] == b"ftyp" and head[8:12] in (b"heic", b"heix", b"mif1"):
        return Trouble.HEIC_PICTURE
    if is_page(head):
        return Trouble.PAGE_OR_TEXT
    return next((kind for beginning, kind in _BEGINNINGS if head.startswith(beginning)), None)


def is_picture(head: bytes) -> bool:
    """Whether the first bytes are those of a still picture, in a form that services of all kinds take."""
    return (title_of_bytes(head) or "").endswith(("picture", "GIF", "WebP"))


def is_video(head: bytes) -> bool:
    """Whether the first bytes are those of a clip: MP4 and its like, Matroska and WebM, AVI, MPEG."""
    brand = head[4:8] == b"ftyp" and not is_picture(head) and head[8:11] != b"avi"
    return (
        brand
        or head[4:8] in _MP4_BEGINNINGS[1:]
        or head.startswith(_VIDEO_BEGINNINGS)
        or (head[:4] == b"RIFF" and head[8:12] == b"AVI ")
    )


def is_page(head: bytes) -> bool:
    """Whether the first bytes are those of a page for people, or of an answer in words."""
    return head.removeprefix(_UTF8_MARK).lstrip().lower().startswith(_PAGE)


def _moves(head: bytes) -> bool:
    if head[:4] == b"RIFF":
        return head[8:16] == b"WEBPVP8X" and len(head) > 20 and bool(head[20] & _ANIMATED_WEBP)
    return b"acTL" in head.split(b"IDAT", 1)[0]


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_HEAD_BYTES)
    except OSError:
        return b""
