"""Lettering: the prompt and the REHEARSAL mark, drawn once per film and laid over every picture."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from .picture import Mask, Picture

MOST_LINES = 4
UNASSIGNED = "\U0010fffe"
# Asked in this order, by file name, for letters that Pillow's own font does not have.
FONT_FILES = (
    *("NotoSansCJK-Regular.ttc", "NotoSansCJKsc-Regular.otf", "NotoSerifCJK-Regular.ttc", "NotoSerifCJK-Bold.ttc"),
    *("msyh.ttc", "PingFang.ttc", "Hiragino Sans GB.ttc", "YuGothM.ttc", "malgun.ttf", "wqy-microhei.ttc"),
    *("DroidSansFallbackFull.ttf", "Arial Unicode.ttf", "DejaVuSans.ttf", "arial.ttf"),
)

Font = Any


@dataclass(frozen=True)
class Lettering:
    """A part of the overlay: from row `top` on, where `mask` lets it be seen."""

    picture: Picture
    mask: Mask
    top: int

    @staticmethod
    def of(overlay: Image.Image, top: int) -> Lettering:
        pixels = np.asarray(overlay, np.float32)
        return Lettering(Picture.of(pixels[..., :3]), Mask.of(pixels[..., 3]), top)

    def lay(self, canvas: Picture) -> None:
        canvas.paste(self.picture, 0, self.top, self.mask)


def letterings(prompt: str, facts: str, width: int, height: int, *, firm: bool) -> list[Lettering]:
    """The mark with its line of facts at the top, the prompt at the bottom.

    `firm` lays them on a nearly opaque ground, for references that may carry the lettering of a former clip.
    """
    unit = min(width, height) / 720
    caption = _caption(prompt, width, height, unit, firm)
    return [Lettering.of(_mark(facts, width, unit, firm), 0), Lettering.of(caption, height - caption.height)]


def _mark(facts: str, width: int, unit: float, firm: bool) -> Image.Image:
    overlay = _ground(width, int(96 * unit) // 2 * 2, 110, firm).transpose(Image.Transpose.FLIP_TOP_BOTTOM)
    draw = ImageDraw.Draw(overlay)
    large, small = font_for("REHEARSAL", int(26 * unit)), font_for(facts, int(17 * unit))
    left, top, pad = int(28 * unit), int(24 * unit), int(11 * unit)
    box = (left, top, left + draw.textlength("REHEARSAL", font=large) + 2 * pad, top + int(40 * unit))
    draw.rounded_rectangle(box, radius=int(8 * unit), fill=(255, 196, 61, 235))
    middle = (box[1] + box[3]) / 2
    _write(draw, (left + pad, middle), "REHEARSAL", large, (24, 20, 12, 255))
    _write(draw, (box[2] + int(14 * unit), middle), facts, small, (255, 255, 255, 225))
    return overlay


def _caption(prompt: str, width: int, height: int, unit: float, firm: bool) -> Image.Image:
    size, margin = int(30 * unit), int(28 * unit)
    font = font_for(prompt, size)
    sheet = ImageDraw.Draw(Image.new("L", (1, 1)))
    lines = wrap(legible(prompt, font), width - 2 * margin, lambda text: sheet.textlength(text, font=font))
    step = int(size * 1.36)
    overlay = _ground(width, min(height // 2, len(lines) * step + int(110 * unit)) // 2 * 2, 190, firm)
    draw = ImageDraw.Draw(overlay)
    for row, line in enumerate(lines):
        middle = overlay.height - margin - (len(lines) - row - 0.5) * step
        _write(draw, (margin + 1, middle + 2), line, font, (0, 0, 0, 170))
        _write(draw, (margin, middle), line, font, (255, 255, 255, 245))
    return overlay


def _ground(width: int, height: int, darkest: int, firm: bool) -> Image.Image:
    """Darkness that begins at the upper edge; a firm one is soon all but opaque."""
    down = np.linspace(0, 1, height)
    column = np.zeros((height, 1, 4), np.uint8)
    column[:, 0, 3] = 248 * np.minimum(1, down / 0.3) if firm else darkest * down**1.4
    return Image.fromarray(np.ascontiguousarray(np.broadcast_to(column, (height, width, 4))))


def _write(draw: ImageDraw.ImageDraw, at: tuple[float, float], text: str, font: Font, colour: tuple[int, ...]) -> None:
    if isinstance(font, ImageFont.FreeTypeFont):
        draw.text(at, text, fill=colour, font=font, anchor="lm")
    else:
        draw.text((at[0], at[1] - 6), text, fill=colour, font=font)


def legible(text: str, font: Font) -> str:
    """The text with a question mark for every letter that the font does not have."""
    return "".join(letter if _has(font, letter) else "?" for letter in plain(text))


def plain(text: str) -> str:
    """Text that any font may be asked for: blanks for control characters, `?` for lone surrogates."""
    whole = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return "".join(letter if letter.isprintable() else " " for letter in whole)


def wrap(text: str, width: float, measure: Callable[[str], float]) -> list[str]:
    """Breaks text at blanks, or within words (and scripts without blanks) that are too long; ends with ... if cut."""
    lines: list[str] = []
    rest = " ".join(plain(text).split())
    while rest and len(lines) < MOST_LINES:
        fits = max(1, bisect_right(range(1, len(rest) + 1), width, key=lambda length: measure(rest[:length])))
        blank = rest.rfind(" ", 1, fits + 1) if fits < len(rest) else -1
        cut = blank if blank > 0 else fits
        lines.append(rest[:cut])
        rest = rest[cut:].lstrip()
    while rest and lines[-1] and measure(lines[-1] + "...") > width:
        lines[-1] = lines[-1][:-1]
    return [*lines[:-1], lines[-1].rstrip() + "..."] if rest else lines


def font_for(text: str, size: int) -> Font:
    """The first font that has all letters of a text, else the one that has most."""
    letters = {letter for letter in plain(text) if not letter.isspace()}
    best = _own_font(size)
    for name in FONT_FILES:
        missing = _missing(best, letters)
        font = _installed_font(name, size) if missing else None
        if font is not None and _missing(font, letters) < missing:
            best = font
    return best


def _missing(font: Font, letters: set[str]) -> int:
    return sum(not _has(font, letter) for letter in letters)


@lru_cache(maxsize=64)
def _own_font(size: int) -> Font:
    try:
        return ImageFont.load_default(size)
    except (TypeError, ImportError, OSError):
        # Pillow before 10.1, or built without FreeType: its bitmap letters have one size only.
        return ImageFont.load_default()


@lru_cache(maxsize=64)
def _installed_font(name: str, size: int) -> Font | None:
    try:
        return ImageFont.truetype(name, size)
    except (ImportError, OSError):
        return None


@lru_cache(maxsize=4096)
def _has(font: Font, letter: str) -> bool:
    """Whether a font can draw a letter, which it shows by not drawing its sign for missing ones."""
    if letter.isspace():
        return True
    if not isinstance(font, ImageFont.FreeTypeFont):
        return letter.isascii()
    drawn, absent = font.getmask(letter), font.getmask(UNASSIGNED)
    return drawn.size != absent.size or bytes(drawn) != bytes(absent)
