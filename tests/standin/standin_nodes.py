"""Stand-ins of the core nodes that the example workflows use beside ours."""

from __future__ import annotations

import shutil
from pathlib import Path

import folder_paths
import numpy as np
import torch
from comfy_api.latest import io, ui
from PIL import Image


class SaveVideo(io.ComfyNode):
    """Copies a file-backed VIDEO, as ComfyUI does when nothing has to be encoded again (it copies packets)."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="SaveVideo",
            inputs=[
                io.Video.Input("video"),
                io.String.Input("filename_prefix", default="video/ComfyUI"),
                io.Combo.Input("format", options=["auto", "mp4"], default="auto"),
                io.Combo.Input("codec", options=["auto", "h264"], default="auto"),
            ],
            is_output_node=True,
        )

    @classmethod
    def execute(cls, video: io.Video.Type, filename_prefix: str, format: str, codec: str) -> io.NodeOutput:
        prefix = Path(folder_paths.get_output_directory()) / filename_prefix
        prefix.parent.mkdir(parents=True, exist_ok=True)
        taken = len(list(prefix.parent.glob(f"{prefix.name}_*.mp4")))
        saved = prefix.parent / f"{prefix.name}_{taken + 1:05}_.mp4"
        shutil.copyfile(str(video.get_stream_source()), saved)
        subfolder = Path(filename_prefix).parent.as_posix()
        return io.NodeOutput(ui=ui.PreviewVideo([ui.SavedResult(saved.name, subfolder, io.FolderType.output)]))


class LoadImage(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LoadImage",
            inputs=[io.String.Input("image")],
            outputs=[io.Image.Output(display_name="IMAGE"), io.AnyType.Output(display_name="MASK")],
        )

    @classmethod
    def execute(cls, image: str) -> io.NodeOutput:
        with Image.open(folder_paths.get_annotated_filepath(image)) as picture:
            pixels = np.asarray(picture.convert("RGB"), dtype=np.float32) / np.float32(255)
        return io.NodeOutput(torch.from_numpy(pixels)[None], None)


class PreviewImage(io.ComfyNode):
    """Takes pictures and tells how many, and of what size."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(node_id="PreviewImage", inputs=[io.Image.Input("images")], is_output_node=True)

    @classmethod
    def execute(cls, images: io.Image.Type) -> io.NodeOutput:
        return io.NodeOutput(ui={"images": [{"shape": tuple(images.shape)}]})


CORE_NODES: list[type[io.ComfyNode]] = [SaveVideo, LoadImage, PreviewImage]
