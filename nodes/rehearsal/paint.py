"""Painting: a landscape for a prompt, in layers that drift at their own speeds."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from .picture import Mask, Picture

Floats = npt.NDArray[np.float32]
Colour = tuple[int, int, int]

SMOOTH = 4
DITHER = 1.6


@dataclass(frozen=True)
class Palette:
    """The light of a scene: three colours of the sky from the top down, of the sun, of far haze and of what is near."""

    top: Colour
    middle: Colour
    horizon: Colour
    sun: Colour
    haze: Colour
    near: Colour
    stars: bool = False


PALETTES = {
    "dawn": Palette((58, 74, 128), (214, 140, 150), (255, 214, 165), (255, 240, 214), (226, 168, 160), (38, 34, 66)),
    "gold": Palette((44, 92, 142), (240, 170, 96), (255, 226, 150), (255, 246, 214), (236, 178, 116), (52, 30, 38)),
    "day": Palette((36, 128, 186), (122, 196, 220), (226, 242, 236), (255, 252, 236), (176, 214, 218), (18, 62, 74)),
    "blue": Palette((16, 28, 74), (58, 86, 156), (190, 172, 200), (246, 232, 240), (120, 128, 182), (12, 18, 44), True),
    "night": Palette((6, 8, 26), (24, 30, 74), (74, 82, 132), (236, 240, 250), (52, 62, 110), (4, 6, 18), True),
    "mist": Palette((112, 140, 140), (176, 194, 182), (232, 226, 202), (250, 242, 214), (196, 204, 188), (34, 54, 50)),
}
LANDS = ("mountains", "sea", "forest", "dunes", "city")
LAND_WORDS = {
    "sea": "sea|ocean|water|wave|waves|yacht|boat|ship|sail|sailing|beach|lake|harbour|harbor|island|whale|surf",
    "city": "city|street|skyline|tower|building|neon|robot|car|cars|traffic|rooftop|office|town|cyberpunk",
    "forest": "forest|tree|trees|wood|woods|jungle|fox|deer|bear|leaf|leaves|garden|park|bird|cabin",
    "dunes": "desert|dune|dunes|sand|camel|mars|planet|savanna|canyon",
    "mountains": "mountain|mountains|peak|alps|valley|snow|cliff|eagle|dragon|castle|hill|hills",
}
LIGHT_WORDS = {
    "night": "night|moon|midnight|stars|dark|neon|space",
    "gold": "sunset|golden|evening|autumn|warm|fire",
    "dawn": "dawn|sunrise|morning|spring|pink",
    "blue": "dusk|twilight|winter|cold|cyberpunk",
    "day": "day|bright|turquoise|summer|sunny|tropical|noon",
    "mist": "mist|misty|fog|foggy|rain|cloudy|dreamy",
}


@dataclass(frozen=True)
class Layer:
    """Something that drifts across by `drift` pixels a frame; from row `solid_from` down it hides all behind it."""

    picture: Picture
    mask: Mask | None
    top: int
    drift: float
    solid_from: int

    def above(self, row: int) -> Layer | None:
        """The part of it that is above a row, None if there is none."""
        width, height = self.picture.size
        seen = min(height, (row - self.top + 1) // 2 * 2)
        if seen <= 0:
            return None
        box = (0, 0, width, seen)
        return replace(self, picture=self.picture.crop(*box), mask=self.mask.crop(*box) if self.mask else None)

    def lay(self, canvas: Picture, frame: int) -> None:
        width = canvas.size[0]
        spare = self.picture.size[0] - width
        left = min(int(abs(self.drift) * frame), spare) // 2 * 2
        if self.drift < 0:
            left = (spare - left) // 2 * 2
        box = (left, 0, left + width, self.picture.size[1])
        canvas.paste(self.picture.crop(*box), 0, self.top, self.mask.crop(*box) if self.mask else None)


class Landscape:
    """The layers of a prompt's picture, back to front. `at(frame)` is the picture of a frame, free to be drawn on."""

    def __init__(self, prompt: str, seed: int, width: int, height: int, frames: int) -> None:
        dice = np.random.default_rng(seed)
        self._size = (width, height)
        light = chosen(prompt, LIGHT_WORDS) or str(dice.choice(list(PALETTES)))
        land = chosen(prompt, LAND_WORDS) or str(dice.choice(LANDS))
        painter = _Painter(dice, PALETTES[light], width, height, frames)
        self._layers = only_seen(painter.paint(land), height)

    def at(self, frame: int) -> Picture:
        canvas = Picture.plain(*self._size)
        for layer in self._layers:
            layer.lay(canvas, frame)
        return canvas


def only_seen(layers: list[Layer], height: int) -> list[Layer]:
    """The layers without what nearer ones hide in every frame."""
    seen: list[Layer] = []
    for layer in reversed(layers):
        part = layer.above(height)
        if part is not None:
            seen.append(part)
        height = min(height, layer.solid_from)
    return seen[::-1]


def chosen(prompt: str, words: dict[str, str]) -> str | None:
    """The theme whose words come up first in a prompt."""
    found = [(match.start(), name) for name in words if (match := re.search(rf"\b({words[name]})\b", prompt.lower()))]
    return min(found)[1] if found else None


class _Painter:
    """Paints layers of one scene; all lengths are in shares of the height, so that every size looks alike."""

    def __init__(self, dice: np.random.Generator, palette: Palette, width: int, height: int, frames: int) -> None:
        self.dice, self.palette = dice, palette
        self.width, self.height, self.frames = width, height, frames
        self.scale = height / 720
        self.horizon = float(dice.uniform(0.56, 0.66))
        self.sun_at = (float(dice.uniform(0.25, 0.75)), self.horizon - float(dice.uniform(0.05, 0.22)))

    def paint(self, land: str) -> list[Layer]:
        layers = [self.sky(), self.clouds(0.5), self.clouds(1.0)]
        if land == "sea":
            return [*layers, self.ridge("mountains", 0, 3, 0.5), *self.water()]
        near = 4
        return layers + [self.ridge(land, index, near, 0.5 * 2**index) for index in range(near)]

    def wide(self, drift: float) -> int:
        """The width of a layer that drifts for the whole film, even."""
        return self.width + (int(abs(drift) * self.scale * self.frames) // 2 + 2) * 2

    def sky(self) -> Layer:
        width, height = self.width, self.height
        down = np.linspace(0, 1, height, dtype=np.float32)[:, None]
        stops = (0.0, self.horizon * 0.62, self.horizon, 1.0)
        palette = self.palette
        colours = np.array([palette.top, palette.middle, palette.horizon, palette.haze], np.float32)
        column = np.stack([np.interp(down[:, 0], stops, colours[:, channel]) for channel in range(3)], axis=-1)
        rgb = np.broadcast_to(column[:, None, :], (height, width, 3)).astype(np.float32)
        across = np.linspace(0, width / height, width, dtype=np.float32)[None, :]
        away = np.hypot(across - self.sun_at[0] * width / height, down - self.sun_at[1])
        glow = 0.55 * np.exp(-away / 0.22) + 0.35 * np.exp(-((away / 0.09) ** 2))
        disc = np.clip((0.045 - away) * height / 2 + 0.5, 0, 1)
        light = np.clip(glow + disc, 0, 1)[..., None]
        rgb += (np.array(self.palette.sun, np.float32) - rgb) * light
        if self.palette.stars:
            self.stars(rgb, down)
        rgb += self.dice.normal(0, DITHER, (height, width, 1)).astype(np.float32)
        return Layer(Picture.of(rgb), None, 0, 0.0, 0)

    def stars(self, rgb: Floats, down: Floats) -> None:
        height, width = rgb.shape[:2]
        count = int(260 * width / height)
        rows = (self.dice.random(count) ** 1.5 * self.horizon * 0.8 * height).astype(int)
        columns = self.dice.integers(0, width - 2, count)
        size = 2 if height > 1000 else 1
        for row, column, shine in zip(rows, columns, self.dice.uniform(40, 170, count), strict=True):
            rgb[row : row + size, column : column + size] += shine * (1 - down[row, 0])

    def clouds(self, drift: float) -> Layer:
        width, height = self.wide(drift), int(self.height * self.horizon) // 2 * 2
        noise = fractal(self.dice, width, height, cells=3 + drift * 2, stretch=3.2)
        down = np.linspace(0, 1, height, dtype=np.float32)[:, None]
        alpha = np.clip((noise - 0.52) * 2.6, 0, 1) * (0.25 + 0.75 * down) * (1 - down**6) * 150
        white = 0.6 * np.array(self.palette.sun, np.float32) + 0.4 * np.array(self.palette.horizon, np.float32)
        shade = 1 - 0.16 * np.clip((noise - 0.6) * 3, 0, 1)[..., None]
        return Layer(Picture.of(white * shade), Mask.of(alpha), 0, drift * self.scale, self.height)

    def ridge(self, land: str, index: int, count: int, drift: float) -> Layer:
        """A range of hills, trees, dunes or houses; the higher the index the nearer it is."""
        nearness = (index + 1) / count
        width, scale = self.wide(drift), drift * self.scale
        line = self.outline(land, width, nearness)
        base = self.horizon - 0.05 + 0.34 * nearness**1.6
        crest = (base - line) * self.height
        top = max(0, int(crest.min() - 2)) // 2 * 2
        height = self.height - top
        rows = np.arange(height, dtype=np.float32)[:, None] + top
        alpha = np.clip(rows - crest[None, :] + 0.5, 0, 1) * 255
        haze, near = (np.array(colour, np.float32) for colour in (self.palette.haze, self.palette.near))
        body = haze + (near - haze) * (0.25 + 0.75 * nearness)
        depth = np.clip((rows - crest[None, :]) / (0.22 * self.height), 0, 1)[..., None]
        mist = depth * (0.75 - 0.6 * nearness)
        rgb = body + (haze - body) * mist
        if land == "city":
            self.windows(rgb, rows - crest[None, :], nearness)
        rgb += self.dice.normal(0, DITHER, (height, width, 1)).astype(np.float32)
        return Layer(Picture.of(rgb), Mask.of(alpha), top, scale, int(crest.max()) + 2)

    def outline(self, land: str, width: int, nearness: float) -> Floats:
        """Heights over the base along the width, in shares of the height."""
        along = width / self.height
        if land == "city":
            return self.houses(width, nearness)
        if land == "dunes":
            return 0.16 * waves(self.dice, width, along * 0.7, 2) + 0.01
        rough = waves(self.dice, width, along * (1.1 + nearness), 6)
        if land == "mountains":
            return 0.30 * (1.15 - 0.55 * nearness) * (1 - np.abs(2 * rough - 1)) * (0.5 + rough)
        hills = 0.16 * waves(self.dice, width, along, 3)
        return hills + self.trees(width, nearness)

    def trees(self, width: int, nearness: float) -> Floats:
        line = np.zeros(width, np.float32)
        columns = np.arange(width, dtype=np.float32)
        tall = (0.03 + 0.09 * nearness) * self.height
        count = int(width / (tall * 0.22))
        for middle, share in zip(self.dice.uniform(0, width, count), self.dice.uniform(0.4, 1, count), strict=True):
            reach = int(tall * share * 0.3) + 2
            part = slice(max(0, int(middle) - reach), int(middle) + reach)
            away = np.abs(columns[part] - middle) / reach
            steps = 0.06 * np.abs(np.sin(away * 14))
            line[part] = np.maximum(line[part], share * tall * (1 - away - steps) / self.height)
        return line

    def houses(self, width: int, nearness: float) -> Floats:
        line, at = np.zeros(width, np.float32), 0
        while at < width:
            wide = int(self.dice.uniform(0.03, 0.09) * self.height * (0.6 + nearness))
            tall = self.dice.uniform(0.04, 0.34) * (1.15 - 0.5 * nearness)
            line[at : at + wide] = tall
            if self.dice.random() < 0.25:
                line[at + wide // 2 : at + wide // 2 + max(2, wide // 20)] = tall + 0.03
            at += wide + int(self.dice.choice([0, 0, 1]) * 0.02 * self.height)
        return line

    def windows(self, rgb: Floats, below: Floats, nearness: float) -> None:
        """Lit windows in a grid, on walls only."""
        step = max(4, int(self.scale * (6 + 10 * nearness)))
        rows, columns = rgb.shape[0] // step + 1, rgb.shape[1] // step + 1
        lit = (self.dice.random((rows, columns)) < 0.16).repeat(step, 0).repeat(step, 1)[: rgb.shape[0], : rgb.shape[1]]
        panes = (np.arange(rgb.shape[0]) % step < step * 0.6)[:, None] & (np.arange(rgb.shape[1]) % step < step * 0.5)
        shine = (lit & panes & (below > step))[..., None]
        rgb += shine * (np.array([255, 214, 140], np.float32) - rgb) * (0.35 + 0.5 * nearness)

    def water(self) -> list[Layer]:
        top = int(self.height * self.horizon) // 2 * 2
        height = self.height - top
        down = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
        far, near = (np.array(colour, np.float32) for colour in (self.palette.horizon, self.palette.near))
        deep = 0.55 * np.array(self.palette.top, np.float32) + 0.45 * near
        colour = (far * 0.8 + deep * 0.2) + (deep - far) * down**0.45 * 0.9
        flat = np.broadcast_to(colour, (height, self.width, 3)) + self.dice.normal(0, DITHER, (height, self.width, 1))
        layers = [Layer(Picture.of(flat.astype(np.float32)), None, top, 0.0, top)]
        layers += [self.glitter(top, drift) for drift in (1.0, -1.5)]
        return [*layers, self.boat(top), self.glitter(top, 3.0, near_only=True)]

    def glitter(self, top: int, drift: float, near_only: bool = False) -> Layer:
        """Streaks of light on water, brightest under the sun."""
        width, height = self.wide(drift), self.height - top
        down = np.linspace(0, 1, height, dtype=np.float32)[:, None]
        streaks = fractal(self.dice, width, height, cells=14, stretch=9.0 if not near_only else 5.0)
        across = np.linspace(0, width / self.width, width, dtype=np.float32)[None, :]
        path = np.exp(-(((across - self.sun_at[0]) / (0.10 + 0.35 * down)) ** 2))
        bright = np.clip((streaks - 0.55) * 6, 0, 1) * (0.18 + 0.82 * path)
        alpha = bright * (down**2 if near_only else 0.25 + 0.75 * np.sqrt(down)) * 190
        colour = np.broadcast_to(np.array(self.palette.sun, np.float32), (height, width, 3))
        return Layer(Picture.of(colour), Mask.of(alpha), top, drift * self.scale, self.height)

    def boat(self, waterline: int) -> Layer:
        """A small sailing boat, drawn large and shrunk for smooth edges."""
        tall = int(0.24 * self.height) // 2 * 2
        wide = self.wide(-1.0)
        at, foot = int(self.dice.uniform(0.3, 0.6) * self.width), tall
        sail = Image.new("L", (wide * SMOOTH // 2, tall * SMOOTH // 2), 0)
        draw = ImageDraw.Draw(sail)

        def spot(x: float, y: float) -> tuple[float, float]:
            return ((at + x * tall) * SMOOTH / 2, (foot - y * tall) * SMOOTH / 2)

        draw.polygon([spot(-0.3, 0.12), spot(0.34, 0.14), spot(0.22, 0.0), spot(-0.2, 0.0)], 255)
        draw.polygon([spot(0.0, 0.17), spot(0.0, 0.98), spot(0.30, 0.2)], 225)
        draw.polygon([spot(-0.03, 0.17), spot(-0.03, 0.86), spot(-0.28, 0.2)], 245)
        alpha = np.asarray(sail.resize((wide, tall), Image.Resampling.BOX), np.float32)
        colour = np.broadcast_to(np.array(self.palette.near, np.float32) * 0.8, (tall, wide, 3))
        top = (waterline + int(0.05 * self.height) - tall) // 2 * 2
        return Layer(Picture.of(colour), Mask.of(alpha), top, -1.0 * self.scale, self.height)


def waves(dice: np.random.Generator, width: int, cells: float, octaves: int) -> Floats:
    """A smooth random line, 0..1."""
    total, weight = np.zeros(width, np.float32), 0.0
    for octave in range(octaves):
        count = max(4, int(cells * 2**octave) + 3)
        points = Image.fromarray(dice.random((1, count), np.float32))
        total += np.asarray(points.resize((width, 1), Image.Resampling.BICUBIC), np.float32)[0] / 2**octave
        weight += 1 / 2**octave
    return np.asarray(np.clip(total / weight, 0, 1), np.float32)


def fractal(dice: np.random.Generator, width: int, height: int, cells: float, stretch: float) -> Floats:
    """Cloudy noise, about 0..1, drawn out sideways by `stretch`."""
    total, weight = np.zeros((height, width), np.float32), 0.0
    for octave in range(4):
        rows = max(2, int(cells * 2**octave))
        columns = max(2, int(cells * 2**octave * width / height / stretch))
        grid: npt.NDArray[Any] = dice.random((rows, columns), np.float32)
        spread = Image.fromarray(grid).resize((width, height), Image.Resampling.BICUBIC)
        total += np.asarray(spread, np.float32) / 2**octave
        weight += 1 / 2**octave
    return np.asarray(total / weight, np.float32)
