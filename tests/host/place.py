"""A real ComfyUI with our pack, beside a gateway whose clips last half a second; and prompts for it."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from nodes.media.audio import Sound
from nodes.media.encode import encode_clip
from nodes.rehearsal.scenes import Scene
from nodes.rehearsal.server import RehearsalGateway
from tests.host.real_host import Install, RealHost

FPS, FRAMES, WIDTH, HEIGHT = 24, 12, 64, 48
KEY = "sk-host-tests-0123456789"
SETTINGS = {"model": "wan2-6", "duration": "5", "resolution": "720p", "take": 0, "wait": True}

Node = dict[str, Any]


class Clock:
    """The gateway's. While it stands still no task is ever done."""

    def __init__(self) -> None:
        self._stopped_at: float | None = None

    def __call__(self) -> float:
        return time.time() if self._stopped_at is None else self._stopped_at

    def stop(self) -> None:
        self._stopped_at = time.time()

    def go_on(self) -> None:
        self._stopped_at = None


def write_clip(path: Path, count: int = FRAMES) -> None:
    """Grey pictures, each of its own shade, with a tone."""
    pictures = [np.full((HEIGHT, WIDTH, 3), 16 + 4 * number, np.uint8) for number in range(count)]
    wave = 0.25 * np.sin(np.arange(round(44_100 * count / FPS), dtype=np.float32) * np.float32(0.05))
    encode_clip(pictures, Fraction(FPS), path, sound=Sound(np.stack([wave, wave])[np.newaxis], 44_100))


@functools.cache
def _clip(folder: Path) -> bytes:
    write_clip(folder / "scene.mp4")
    return (folder / "scene.mp4").read_bytes()


@dataclass
class Place:
    """A running ComfyUI and the gateway it talks to."""

    host: RealHost
    gateway: RehearsalGateway
    clock: Clock

    def run(self, prompt: dict[str, Node]) -> dict[str, Any]:
        return self.host.run(prompt)

    def ok(self, prompt: dict[str, Node]) -> dict[str, Any]:
        history = self.run(prompt)
        assert history["status"]["status_str"] == "success", history["status"]
        return history

    def error(self, prompt: dict[str, Node]) -> str:
        messages = dict(self.run(prompt)["status"]["messages"])
        return str(messages["execution_error"]["exception_message"])

    def file(self, history: dict[str, Any], node_id: str, kind: str = "images") -> Path:
        (entry,) = history["outputs"][node_id][kind]
        return self.host.base / str(entry["type"]) / str(entry["subfolder"]) / str(entry["filename"])

    def files(self, history: dict[str, Any], node_id: str) -> list[Path]:
        entries = history["outputs"][node_id]["images"]
        return [self.host.base / entry["type"] / entry["subfolder"] / entry["filename"] for entry in entries]

    def since(self) -> Callable[[str | None], int]:
        """How many requests of a step have arrived from now on."""
        steps = (None, "create", "put", "upload_url", "download", "poll")
        before = {step: self.gateway.record.count(step) for step in steps}
        return lambda step: self.gateway.record.count(step) - before[step]


@contextmanager
def open_place(install: Install, folder: Path, packs: Mapping[str, Path] | None = None) -> Iterator[Place]:
    """Start both on folders of their own; `packs` as for `RealHost`."""
    clock = Clock()

    def render(scene: Scene, path: Path) -> None:
        note = f"{scene.type} {scene.prompt} {scene.variation}".encode()
        path.write_bytes(_clip(folder) + (8 + len(note)).to_bytes(4, "big") + b"free" + note)

    gateway = RehearsalGateway(
        folder / "gateway", seconds_per_task=0.2, render=render, credits=100_000, most_running=None, clock=clock
    )
    with gateway:
        environ = {"APIMALL_BASE_URL": gateway.base_url, "APIMALL_API_KEY": KEY}
        with RealHost(install, folder / "base", environ=environ, packs=packs) as host:
            yield Place(host, gateway, clock)


def text_to_video(prompt: str, **inputs: Any) -> Node:
    return {"class_type": "APIMall_TextToVideo", "inputs": {"prompt": prompt, **SETTINGS, **inputs}}


def image_to_video(prompt: str, **inputs: Any) -> Node:
    given = {"prompt": prompt, "image_urls": "", **SETTINGS, **inputs}
    return {"class_type": "APIMall_ImageToVideo", "inputs": given}


def video_to_video(prompt: str, **inputs: Any) -> Node:
    given = {"prompt": prompt, "video_url": "", **SETTINGS, **inputs}
    return {"class_type": "APIMall_VideoToVideo", "inputs": given}


def poll(task_id: object = "", wait: bool = True) -> Node:
    return {"class_type": "APIMall_PollResult", "inputs": {"task_id": task_id, "wait": wait}}


def load_video(**inputs: Any) -> Node:
    usual = {"file": "(none)", "url": "", "start": 0.0, "every_nth": 1, "max_frames": 0, "max_side": 0, "fps": 0.0}
    return {"class_type": "APIMall_LoadVideo", "inputs": {**usual, **inputs}}


def save(node_id: str, slot: int = 0) -> Node:
    inputs = {"video": [node_id, slot], "filename_prefix": "video/shot", "format": "auto", "codec": "auto"}
    return {"class_type": "SaveVideo", "inputs": inputs}


def pictures(node_id: str, slot: int) -> Node:
    return {"class_type": "SaveImage", "inputs": {"images": [node_id, slot], "filename_prefix": "picture"}}


def text(node_id: str, slot: int) -> Node:
    return {"class_type": "PreviewAny", "inputs": {"source": [node_id, slot]}}


def sound(node_id: str, slot: int = 3) -> Node:
    return {"class_type": "PreviewAudio", "inputs": {"audio": [node_id, slot]}}


def shown(history: dict[str, Any], node_id: str) -> str:
    (value,) = history["outputs"][node_id]["text"]
    return str(value)


def eight_bits(path: Path) -> np.ndarray[Any, Any]:
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"))
