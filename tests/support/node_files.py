"""A small ComfyUI with our nodes in it, and a rehearsal gateway that answers at once with clips of half a second."""

from __future__ import annotations

import functools
import io
import itertools
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
from comfy_api.latest import InputImpl
from PIL import Image
from standin_host import StandinHost
from standin_nodes import CORE_NODES

from nodes.comfyui import host, instance, queued
from nodes.comfyui.host import StoredSpan
from nodes.image_to_video import ImageToVideo
from nodes.load_video import LoadVideo
from nodes.media.audio import Sound
from nodes.media.encode import encode_clip
from nodes.poll_result import PollResult
from nodes.rehearsal.messages import Request
from nodes.rehearsal.scenes import Scene
from nodes.rehearsal.server import RehearsalGateway
from nodes.service import Folders, Service
from nodes.text_to_video import TextToVideo
from nodes.video_to_video import VideoToVideo
from tests.support.harness import quick_clocks
from tests.support.probes import CUES, GIVEN, PROBES

KEY = "sk-canary-0123456789"
FRAMES, FPS, WIDTH, HEIGHT = 12, 24, 64, 48
SECONDS = FRAMES / FPS
SOUND_RATE = 44_100
OUR_NODES = (TextToVideo, ImageToVideo, VideoToVideo, PollResult, LoadVideo)

_ids = itertools.count()

Node = dict[str, Any]
Link = list[Any]
Pixels = np.ndarray[Any, np.dtype[np.uint8]]


def shade(number: int) -> int:
    """The grey of the picture with that number, in every clip of the tests."""
    return 16 + 16 * (number % 14)


def pictures(count: int = FRAMES, width: int = WIDTH, height: int = HEIGHT) -> list[Pixels]:
    """Grey pictures, each of its own shade."""
    return [np.full((height, width, 3), shade(number), np.uint8) for number in range(count)]


def tone(seconds: float = SECONDS, rate: int = SOUND_RATE) -> Sound:
    """A stereo tone."""
    wave = 0.25 * np.sin(np.arange(round(seconds * rate), dtype=np.float32) * np.float32(0.05))
    return Sound(np.stack([wave, wave])[np.newaxis].astype(np.float32), rate)


@functools.cache
def clip_bytes(*, silent: bool = False, count: int = FRAMES, width: int = WIDTH, height: int = HEIGHT) -> bytes:
    """An H.264 MP4 of `pictures`, with a tone unless it is silent."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.mp4"
        sound = None if silent else tone(count / FPS)
        encode_clip(pictures(count, width, height), Fraction(FPS), path, sound=sound, preset="ultrafast")
        return path.read_bytes()


@functools.cache
def other_codec_bytes(count: int = FRAMES) -> bytes:
    """The same pictures in a codec that is not H.264."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("mpeg4", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for picture in pictures(count):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    return file.getvalue()


def render(scene: Scene, path: Path) -> None:
    """Every scene is the same clip, but for a box behind it; prompts that say so get one without sound."""
    note = f"{scene.type} {scene.prompt} {scene.variation}".encode()
    clip = clip_bytes(silent="silent" in scene.prompt)
    path.write_bytes(clip + (8 + len(note)).to_bytes(4, "big") + b"free" + note)


class Clock:
    """The gateway's: real time, and whatever a test adds."""

    def __init__(self) -> None:
        self._ahead_seconds = 0.0

    def __call__(self) -> float:
        return time.time() + self._ahead_seconds

    def advance(self, seconds: float) -> None:
        self._ahead_seconds += seconds


class Outcome:
    """How a prompt ended."""

    def __init__(self, history: dict[str, Any], texts: list[tuple[str, str]]) -> None:
        self.history = history
        self.texts = texts

    @property
    def events(self) -> list[str]:
        return [event for event, _ in self.history["status"]["messages"]]

    @property
    def error(self) -> str:
        """The message of the failure; empty when nothing failed."""
        data = dict(self.history["status"]["messages"]).get("execution_error", {})
        return str(data.get("exception_message", "")).strip()

    def kept(self, node_id: str) -> Any:
        """The one value that a Keep node got."""
        (value,) = self.all_kept(node_id)
        return value

    def all_kept(self, node_id: str) -> list[Any]:
        """What a Keep node got, one value for each call; empty when it was skipped."""
        return list(self.history["outputs"].get(node_id, {}).get("kept", []))

    def said(self, node_id: str = "1") -> str:
        """The last text on a node."""
        return [text for node, text in self.texts if node == node_id][-1]

    def ok(self) -> Outcome:
        assert self.history["status"]["status_str"] == "success", self.history["status"]["messages"]
        return self


class Comfy:
    """One user folder under `folder`, and one gateway."""

    def __init__(self, folder: Path, **gateway: Any) -> None:
        self.base = folder / "comfyui"
        self.clock = Clock()
        usual: dict[str, Any] = {
            "seconds_per_task": 0.0,
            "render": render,
            "credits": 1_000_000,
            "most_running": None,
            "clock": self.clock,
        }
        self.gateway = RehearsalGateway(folder / "gateway", **(usual | gateway))
        self.environ = {"APIMALL_BASE_URL": self.gateway.start(), "APIMALL_API_KEY": KEY}
        self.open()

    def open(self) -> None:
        """Start ComfyUI, and our service in it."""
        self.comfy = StandinHost(self.base, [*CORE_NODES, *OUR_NODES, *PROBES])
        host.watch_links()
        queued.bind_prompts()
        folders = Folders(host.state_folder(), host.results_folder())
        self.service = Service(folders, self.environ, clocks=quick_clocks())
        instance.use(self.service)

    def close(self) -> None:
        self.comfy.interrupt()
        self.comfy.close()
        self.service.close()

    def restart(self) -> None:
        """ComfyUI ends and begins anew on the same folders; the gateway goes on."""
        self.close()
        self.open()

    def run(self, prompt: Mapping[str, Node]) -> Outcome:
        """Queue a prompt and wait for its end."""
        return self.wait(self.queue(prompt))

    def queue(self, prompt: Mapping[str, Node]) -> str:
        self._texts_before = len(self.comfy.texts())
        return self.comfy.queue({node_id: {**node, "inputs": {**node["inputs"]}} for node_id, node in prompt.items()})

    def wait(self, prompt_id: str) -> Outcome:
        return Outcome(self.comfy.wait(prompt_id), self.comfy.texts()[self._texts_before :])

    @property
    def requests(self) -> list[Request]:
        """Every request that reached the gateway."""
        return self.gateway.record.requests

    def steps(self) -> list[str]:
        """What the gateway was asked for, in order, looks left out."""
        return [str(request.step) for request in self.requests if request.step != "poll"]

    def count(self, step: str) -> int:
        return self.gateway.record.count(step)


def give(value: object) -> Node:
    """A node that gives `value`."""
    name = f"value {next(_ids)}"
    GIVEN[name] = value
    return {"class_type": "Test_Give", "inputs": {"name": name}}


def give_list(values: list[Any]) -> Node:
    """A node that gives a list: what is behind it runs once for each value."""
    return {**give(values), "class_type": "Test_GiveList"}


def keep(node_id: str, slot: int) -> Node:
    """A node that keeps what an output gives."""
    return {"class_type": "Test_Keep", "inputs": {"value": [node_id, slot]}}


def fail(cue: threading.Event) -> Node:
    """A node that fails when its cue is given."""
    name = f"cue {next(_ids)}"
    CUES[name] = cue
    return {"class_type": "Test_Fail", "inputs": {"cue": name}}


def make(node: Node, cue: threading.Event) -> Node:
    """A node that makes another one when its cue is given."""
    name = f"made {next(_ids)}"
    CUES[name], GIVEN[name] = cue, node
    return {"class_type": "Test_Make", "inputs": {"name": name}}


def save(node_id: str, slot: int = 0) -> Node:
    inputs = {"video": [node_id, slot], "filename_prefix": "video/shot", "format": "auto", "codec": "auto"}
    return {"class_type": "SaveVideo", "inputs": inputs}


_SETTINGS = {"model": "wan2-6", "duration": "5", "resolution": "720p", "take": 0, "wait": True}


def text_to_video(prompt: object = "a lighthouse", **inputs: Any) -> Node:
    return {"class_type": "APIMall_TextToVideo", "inputs": {"prompt": prompt, **_SETTINGS, **inputs}}


def image_to_video(**inputs: Any) -> Node:
    usual = {"prompt": "it moves", "image_urls": "", **_SETTINGS}
    return {"class_type": "APIMall_ImageToVideo", "inputs": {**usual, **inputs}}


def video_to_video(**inputs: Any) -> Node:
    usual = {"prompt": "repaint it", "video_url": "", **_SETTINGS}
    return {"class_type": "APIMall_VideoToVideo", "inputs": {**usual, **inputs}}


def poll(task_id: object = "", wait: bool = True) -> Node:
    return {"class_type": "APIMall_PollResult", "inputs": {"task_id": task_id, "wait": wait}}


def load_video(**inputs: Any) -> Node:
    usual = {"file": "(none)", "url": "", "start": 0.0, "every_nth": 1, "max_frames": 0, "max_side": 0, "fps": 0.0}
    return {"class_type": "APIMall_LoadVideo", "inputs": {**usual, **inputs}}


def noise(height: int = 400, width: int = 480, channels: int = 3, count: int = 1) -> torch.Tensor:
    """Pictures that no two of are alike, values over all of 0..1."""
    generator = np.random.default_rng(next(_ids))
    return torch.from_numpy(generator.random((count, height, width, channels), dtype=np.float32))


def file_video(path: Path, **trim: Any) -> Any:
    """A VIDEO over a file, or over a part of it (start_time, duration)."""
    return InputImpl.VideoFromFile(str(path), **trim)


def stored_file(video: Any) -> Path | None:
    """The file that a VIDEO shows all of; None if it shows a part of one, or no file."""
    span = host.stored_span(video)
    return span.path if span and span == StoredSpan(span.path) else None


def opened(data: bytes) -> Image.Image:
    """An uploaded picture."""
    return Image.open(io.BytesIO(data))


def run_with(comfy: Comfy, value: object, node: Callable[..., Node], **inputs: Any) -> Outcome:
    """A node of ours with a picture or a video linked to it, and its clip saved."""
    name = "image" if node is image_to_video else "video"
    return comfy.run({"0": give(value), "1": node(**{name: ["0", 0]}, **inputs), "2": save("1")})


def puts(comfy: Comfy) -> list[Request]:
    """The uploads."""
    return comfy.gateway.record.of("put")


def sent(comfy: Comfy) -> dict[str, Any]:
    """The one create that was sent."""
    (post,) = comfy.gateway.record.posts
    body: dict[str, Any] = post.json
    return body
