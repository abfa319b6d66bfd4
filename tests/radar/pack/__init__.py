"""A node pack beside ours: makes every VIDEO that this ComfyUI can make, and runs copies of nodes as loops do."""

from __future__ import annotations

import inspect
import uuid
from pathlib import Path
from typing import Any

import folder_paths
import numpy as np
import torch
from comfy_api.latest import ComfyExtension, InputImpl, io
from comfy_execution.graph_utils import GraphBuilder

_ARGUMENTS: dict[str, Any] = {
    "start_time": 0.5,
    "duration": 1.5,
    "x": 8,
    "y": 4,
    "width": 32,
    "height": 24,
}
_batches: list[tuple[int, ...]] = []
_from_numpy = torch.from_numpy


def _counting(array: Any) -> torch.Tensor:
    """torch.from_numpy, which also counts the batches of pictures that become tensors."""
    if array.ndim == 4 and array.shape[0] > 1:
        _batches.append(array.shape)
    return _from_numpy(array)


torch.from_numpy = _counting


class MakeVideo(io.ComfyNode):
    """A VIDEO over the file at `path`, after one of its `as_...`, or several joined; what it shows is kept as .npy."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="Radar_MakeVideo",
            inputs=[io.String.Input("path"), io.String.Input("how")],
            outputs=[io.Video.Output(display_name="video")],
        )

    @classmethod
    def execute(cls, path: str, how: str) -> io.NodeOutput:
        video: Any = InputImpl.VideoFromFile(path)
        if how == "joined":
            video = InputImpl.VideoFromList([video, InputImpl.VideoFromFile(path)])
        elif how:
            method = getattr(video, how)
            names = inspect.signature(method).parameters
            video = method(**{name: _ARGUMENTS[name] for name in names if name in _ARGUMENTS})
        pictures = (video.get_components().images[..., :3] * 255).round().byte().numpy()
        kept = Path(folder_paths.get_temp_directory()) / f"{uuid.uuid4().hex}.npy"
        kept.parent.mkdir(exist_ok=True)
        np.save(kept, pictures)
        return io.NodeOutput(video, ui={"text": [str(kept)]})


class Kinds(io.ComfyNode):
    """Tells the names of all `as_...` that a VIDEO over a file has here, and whether several can be joined."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(node_id="Radar_Kinds", inputs=[], is_output_node=True)

    @classmethod
    def execute(cls) -> io.NodeOutput:
        kinds = [name for name in dir(InputImpl.VideoFromFile) if name.startswith("as_")]
        return io.NodeOutput(ui={"text": [*kinds, *(["joined"] if hasattr(InputImpl, "VideoFromList") else [])]})


class Repeat(io.ComfyNode):
    """Runs two copies of the node `original`, with other takes, and shows output `slot` of each."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="Radar_Repeat",
            inputs=[io.String.Input("original"), io.Int.Input("slot")],
            outputs=[io.String.Output(display_name="done")],
            hidden=[io.Hidden.dynprompt],
            is_output_node=True,
            enable_expand=True,
        )

    @classmethod
    def execute(cls, original: str, slot: int) -> io.NodeOutput:
        node = cls.hidden.dynprompt.get_node(original)
        graph = GraphBuilder()
        for number in range(2):
            copy = graph.node(node["class_type"], f"copy{number}", **{**node["inputs"], "take": 100 + number})
            copy.set_override_display_id(original)
            graph.node("PreviewImage", f"shown{number}", images=copy.out(slot))
        return io.NodeOutput("done", expand=graph.finalize())


class Batches(io.ComfyNode):
    """Tells how many batches of pictures have become tensors since it was last asked."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(node_id="Radar_Batches", inputs=[], is_output_node=True)

    @classmethod
    def fingerprint_inputs(cls) -> float:
        return float("nan")

    @classmethod
    def execute(cls) -> io.NodeOutput:
        count = len(_batches)
        _batches.clear()
        return io.NodeOutput(ui={"text": [str(count)]})


class Radar(ComfyExtension):
    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        return [MakeVideo, Kinds, Repeat, Batches]


async def comfy_entrypoint() -> Radar:
    return Radar()
