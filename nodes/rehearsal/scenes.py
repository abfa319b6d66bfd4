"""Scenes: what a task shows, and how it is rendered."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from PIL import Image, ImageOps

from .film import Planes, soft_chord, write_film

FPS = 30
PIXELS = {"720p": 1280 * 720, "1080p": 1920 * 1080}
WIDE = {"720p": (1280, 720), "1080p": (1920, 1080)}
SIDE_STEP = 8
STEEPEST_ASPECT = 4.0


@dataclass(frozen=True)
class Scene:
    """Everything that decides a clip's pixels. A None among `images`, or as `video`, is a picture not at hand."""

    type: str
    prompt: str
    seconds: int
    width: int
    height: int
    fps: int = FPS
    images: tuple[Path | None, ...] = ()
    video: Path | None = None
    variation: int = 0
    resolution: str = "720p"

    @property
    def seed(self) -> int:
        text = f"{self.type}\n{self.prompt}\n{self.variation}"
        return int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:8], "big")

    @property
    def frames(self) -> int:
        return self.seconds * self.fps


def plan(kind: str, prompt: str, seconds: int, resolution: str, media: Sequence[Path | None], variation: int) -> Scene:
    """The scene of a task; it follows the shape of its first source. Raises OSError, av.FFmpegError."""
    width, height = WIDE[resolution]
    images: tuple[Path | None, ...] = ()
    video = None
    if kind == "image-to-video":
        images = tuple(media)
        if images[0] is not None:
            with Image.open(images[0]) as picture:
                width, height = fit(ImageOps.exif_transpose(picture).size, resolution)
    elif kind == "video-to-video":
        video = media[0]
        if video is not None:
            with av.open(str(video)) as container:
                stream = container.streams.video[0]
                width, height = fit((stream.width, stream.height), resolution)
    return Scene(kind, prompt, seconds, width, height, FPS, images, video, variation, resolution)


def fit(size: tuple[int, int], resolution: str) -> tuple[int, int]:
    """Width and height of the tier's pixel count in about the shape of `size`."""
    aspect = min(STEEPEST_ASPECT, max(1 / STEEPEST_ASPECT, size[0] / size[1]))
    if abs(aspect - 16 / 9) < 0.01:
        return WIDE[resolution]
    height = math.sqrt(PIXELS[resolution] / aspect)
    return round(height * aspect / SIDE_STEP) * SIDE_STEP, round(height / SIDE_STEP) * SIDE_STEP


def render(scene: Scene, path: Path) -> None:
    """Writes the scene's MP4."""
    write_film(pictures(scene), scene.frames, scene.fps, soft_chord(scene.seed, scene.seconds), path)


def pictures(scene: Scene) -> Iterator[Planes]:
    ramp = np.linspace(40, 200, scene.width, dtype=np.float32)
    rgb = np.stack([np.broadcast_to(ramp, (scene.height, scene.width))] * 3, axis=-1)
    planes = Planes.of(rgb)
    for _ in range(scene.frames):
        yield planes
