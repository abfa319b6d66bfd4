"""Scenes: what a task shows, and how it is rendered."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from ..media.colour import Turn
from ..media.probe import probe
from ..media.source import Source
from .contract import lines_of
from .film import soft_chord, write_film
from .landscape import Landscape
from .lettering import letterings
from .picture import Picture

FPS = 30
SIDE_STEP = 8
STEEPEST_ASPECT = 4.0
PUSH_ROOM = 1.14
MARK_COLOUR = (178, 50, 160)


@dataclass(frozen=True)
class Scene:
    """Everything that decides a clip's pixels. `source`: the picture or video it starts from, None if not at hand."""

    type: str
    prompt: str
    seconds: int
    width: int
    height: int
    fps: int = FPS
    source: Path | None = None
    variation: int = 0
    resolution: str = "720p"
    model: str = ""

    @property
    def seed(self) -> int:
        text = f"{self.type}\n{self.prompt}\n{self.variation}"
        return int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:8], "big")

    @property
    def frames(self) -> int:
        return self.seconds * self.fps


def plan(
    kind: str,
    prompt: str,
    seconds: int,
    resolution: str,
    media: Sequence[Path | None],
    variation: int,
    model: str = "",
) -> Scene:
    """The scene of a task; it follows the shape of its first source. Raises OSError, NotAClip."""
    source = media[0] if media else None
    width, height = wide(resolution)
    if source is not None and kind == "image-to-video":
        with Image.open(source) as picture:
            width, height = fit(ImageOps.exif_transpose(picture).size, resolution)
    elif source is not None:
        width, height = fit(_video_size(source), resolution)
    return Scene(kind, prompt, seconds, width, height, FPS, source, variation, resolution, model)


def wide(resolution: str) -> tuple[int, int]:
    """Width and height of a tier in 16:9: "720p" is 1280x720."""
    height = lines_of(resolution)
    return round(height * 16 / 9 / 2) * 2, height


def fit(size: tuple[int, int], resolution: str) -> tuple[int, int]:
    """Width and height of the tier's pixel count in about the shape of `size`."""
    aspect = min(STEEPEST_ASPECT, max(1 / STEEPEST_ASPECT, size[0] / size[1]))
    if abs(aspect - 16 / 9) < 0.01:
        return wide(resolution)
    height = math.sqrt(math.prod(wide(resolution)) / aspect)
    return round(height * aspect / SIDE_STEP) * SIDE_STEP, round(height / SIDE_STEP) * SIDE_STEP


def render(scene: Scene, path: Path) -> None:
    """Writes the scene's MP4."""
    write_film(pictures(scene), scene.frames, scene.fps, soft_chord(scene.seed, scene.seconds), path)


def pictures(scene: Scene) -> Iterator[Picture]:
    """Every picture of a scene, with its lettering and a line at the foot that grows with time."""
    facts = f"{scene.type}   {scene.model}   {scene.resolution}   {scene.seconds} s"
    overlays = letterings(scene.prompt, facts, scene.width, scene.height, firm=scene.type != "text-to-video")
    thick = max(2, scene.height // 180 // 2 * 2)
    for frame, picture in zip(range(scene.frames), SHOTS[scene.type](scene), strict=True):
        for overlay in overlays:
            overlay.lay(picture)
        long = round(scene.width * (frame + 1) / scene.frames / 2) * 2
        picture.paste(Picture.plain(long, thick, MARK_COLOUR), 0, scene.height - thick)
        yield picture


def painted(scene: Scene) -> Iterator[Picture]:
    """Text to video: a landscape that the prompt chooses, passing by."""
    landscape = Landscape(scene.prompt, scene.seed, scene.width, scene.height, scene.frames)
    for frame in range(scene.frames):
        yield landscape.at(frame)


def moved_over(scene: Scene) -> Iterator[Picture]:
    """Image to video: a slow push into the first reference image."""
    still = _still(scene)
    width, height = still.size
    for frame in range(scene.frames):
        # From all of it to the frame's own size, easing in and out, a little to the left.
        share = frame / scene.frames
        eased = share * share * (3 - 2 * share)
        seen = 1 - (1 - 1 / PUSH_ROOM) * eased
        left, top = (width * (1 - seen)) * (0.5 - 0.25 * eased), (height * (1 - seen)) * 0.45
        yield still.zoom((left, top, left + width * seen, top + height * seen), scene.width, scene.height)


def recoloured(scene: Scene) -> Iterator[Picture]:
    """Video to video: the source in other colours, from the start again where it is too short."""
    # Turns and mirrors of the colour plane: each keeps greys grey and moves every hue.
    inverted = [255 - value for value in range(256)]
    turn = scene.seed % 3
    for source in painted(scene) if scene.source is None else _source_pictures(scene):
        y, u, v = source.y, source.u, source.v
        if turn == 0:
            yield Picture(y, v.point(inverted), u.copy())
        elif turn == 1:
            yield Picture(y, v.copy(), u.point(inverted))
        else:
            yield Picture(y, u.point(inverted), v.point(inverted))


SHOTS: Mapping[str, Callable[[Scene], Iterator[Picture]]] = {
    "text-to-video": painted,
    "image-to-video": moved_over,
    "video-to-video": recoloured,
}


def _still(scene: Scene) -> Picture:
    """The reference image, filling the frame and the room that the push needs; a landscape where it is not at hand."""
    width, height = (int(side * PUSH_ROOM) // 2 * 2 for side in (scene.width, scene.height))
    if scene.source is None:
        return Landscape(scene.prompt, scene.seed, width, height, 1).at(0)
    with Image.open(scene.source) as opened:
        upright = ImageOps.exif_transpose(opened).convert("RGB")
    return Picture.of(np.asarray(ImageOps.fit(upright, (width, height), Image.Resampling.LANCZOS)))


def _source_pictures(scene: Scene) -> Iterator[Picture]:
    assert scene.source is not None
    frame = 0
    while frame < scene.frames:
        begun_at = frame
        with Source(scene.source) as source:
            first: float | None = None
            shown: Picture | None = None
            for picture in source.pictures(source.packets()):
                time = float((picture.pts or 0) * source.tick)
                first = time if first is None else first
                while shown is not None and frame < scene.frames and (frame - begun_at) / scene.fps < time - first:
                    yield shown
                    frame += 1
                if frame == scene.frames:
                    return
                shown = _fitted(scene, picture, source.turn(picture))
            if shown is None:
                raise ValueError("the source video has no picture")
            yield shown
            frame += 1


def _fitted(scene: Scene, picture: Any, turn: Turn) -> Picture:
    size = (scene.height, scene.width) if turn.transpose else (scene.width, scene.height)
    flat = picture.reformat(width=size[0], height=size[1], format="yuv420p").to_ndarray()
    return Picture.of_flat(flat).turned(-turn.degrees)


def _video_size(path: Path) -> tuple[int, int]:
    """Width and height as shown."""
    clip = probe(path)
    return clip.width, clip.height
