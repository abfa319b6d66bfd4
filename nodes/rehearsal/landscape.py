"""The landscape of a prompt: a sky, its sun, and two ridges that pass by."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import ImageColor

from .picture import Mask, Picture

Floats = npt.NDArray[np.floating[Any]]

# Words of a prompt, and the light they choose: three colours of the sky from the top down, sun, far ridge, near ridge.
LIGHTS = {
    "day|bright|summer|sunny|noon|sea|water|snow": "#1e68b2 #70b4d8 #e0f0ec #fffcec #74a6bc #184c5c",
    "sunset|evening|autumn|warm|fire|desert": "#3a3c7a #de7a74 #ffcc82 #fff0c8 #be6268 #421e38",
    "dawn|morning|spring|pink|fog|mist|rain": "#627eaa #bcb8cc #fce0d0 #fff6e8 #989ab4 #3a4a62",
    "dusk|twilight|winter|cold|city|neon": "#1c1e58 #745292 #e8a4b0 #ffe4d6 #64508e #1c1842",
    "night|moon|midnight|stars|dark|space": "#060a22 #18224e #46588c #f0f4fc #222e58 #080c1e",
}
# All lengths are shares of the height, so that every size looks alike.
HORIZON = 0.72
SUN_RADIUS = 0.055
FAR_DRIFT, NEAR_DRIFT = 0.0006, 0.0021
# A little noise keeps slow gradients from showing steps.
DITHER = 1.6


@dataclass(frozen=True)
class Ridge:
    """Hills wider than the frame, of which `drift` pixels pass by in each frame."""

    picture: Picture
    mask: Mask
    top: int
    drift: float

    def lay(self, canvas: Picture, frame: int) -> None:
        left = int(self.drift * frame) // 2 * 2
        box = (left, 0, left + canvas.size[0], self.picture.size[1])
        canvas.paste(self.picture.crop(*box), 0, self.top, self.mask.crop(*box))


class Landscape:
    """Made once for a prompt and a size; `at(frame)` gives the picture of a frame, free to be drawn on."""

    def __init__(self, prompt: str, seed: int, width: int, height: int, frames: int) -> None:
        self._dice = np.random.default_rng(seed)
        self._width, self._height, self._frames = width, height, frames
        light = light_of(prompt) or str(self._dice.choice(list(LIGHTS.values())))
        colours = np.array([ImageColor.getrgb(colour)[:3] for colour in light.split()], np.float32)
        self._sky = self._painted_sky(colours[:3], colours[3])
        self._far = self._ridge(colours[4], colours[2], near=False)
        self._near = self._ridge(colours[5], colours[2], near=True)

    def at(self, frame: int) -> Picture:
        canvas = self._sky.copy()
        self._far.lay(canvas, frame)
        self._near.lay(canvas, frame)
        return canvas

    def _painted_sky(self, colours: Floats, sun: Floats) -> Picture:
        width, height = self._width, self._height
        down = np.linspace(0, 1, height, dtype=np.float32)[:, None]
        across = np.linspace(0, width / height, width, dtype=np.float32)[None, :]
        stops = (0.0, 0.55 * HORIZON, HORIZON)
        rgb = np.stack([np.interp(down, stops, colours[:, channel]) for channel in range(3)], axis=-1)
        middle = (self._dice.uniform(0.55, 0.8) * width / height, self._dice.uniform(0.3, 0.48))
        away = np.hypot(across - middle[0], down - middle[1])
        disc = np.clip((SUN_RADIUS - away) * height / 2 + 0.5, 0, 1)
        shine = np.clip(0.5 * np.exp(-away / 0.24) + disc, 0, 1)[..., None]
        return Picture.of(self._dithered(rgb + (sun - rgb) * shine))

    def _ridge(self, colour: Floats, haze: Floats, *, near: bool) -> Ridge:
        """The near ridge is lower, smoother and quicker; the far one is rough, and its foot lies in haze."""
        drift = (NEAR_DRIFT if near else FAR_DRIFT) * self._height
        width = self._width + (int(drift * self._frames) // 2 + 1) * 2
        along = np.arange(width, dtype=np.float32) / self._height
        base, tall = (HORIZON + 0.1, 0.13) if near else (HORIZON - 0.06, 0.2)
        crest = (base - tall * self._skyline(along, rough=not near)) * self._height
        top = max(0, int(crest.min()) - 2) // 2 * 2
        rows = np.arange(top, self._height, dtype=np.float32)[:, None]
        deep = np.clip((rows - top) / (0.4 * self._height), 0, 1) ** 1.5 * (0.2 if near else 0.9)
        column = colour + (haze - colour) * deep[..., None]
        rgb = np.broadcast_to(column, (rows.size, width, 3))
        seen = np.clip(rows - crest[None, :] + 0.5, 0, 1) * 255
        return Ridge(Picture.of(self._dithered(rgb)), Mask.of(seen), top, drift)

    def _skyline(self, along: Floats, *, rough: bool) -> Floats:
        """0..1: waves upon waves, with pointed tops where it is rough."""
        line = np.zeros_like(along)
        for octave in range(5):
            start, length = self._dice.uniform(0, 2 * np.pi), self._dice.uniform(1.6, 2.6) * 2**octave
            wave = np.sin(along * length + start)
            line += (1 - 2 * np.abs(wave)) / 1.9**octave if rough else wave / 2.4**octave
        return np.asarray((line - line.min()) / max(1e-6, float(np.ptp(line))))

    def _dithered(self, rgb: Floats) -> Floats:
        return rgb + self._dice.normal(0, DITHER, (*rgb.shape[:2], 1))


def light_of(prompt: str) -> str | None:
    """The light whose words come up first in a prompt."""
    places = {words: re.search(rf"\b({words})\b", prompt.lower()) for words in LIGHTS}
    found = [(place.start(), LIGHTS[words]) for words, place in places.items() if place]
    return min(found)[1] if found else None
