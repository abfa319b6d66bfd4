"""Stand-in of `comfy_api.latest`: the V3 node API, as far as this pack uses it."""

from __future__ import annotations

from typing import TypeAlias

from . import _video, io, ui


class ComfyExtension:
    async def on_load(self) -> None:
        """Called by hosts from 0.13 on only."""

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        raise NotImplementedError


class Input:
    Video: TypeAlias = _video.VideoInput


class InputImpl:
    VideoFromFile = _video.VideoFromFile
    VideoFromComponents = _video.VideoFromComponents
    VideoFromList = _video.VideoFromList


class Types:
    VideoComponents = _video.VideoComponents


__all__ = ["ComfyExtension", "Input", "InputImpl", "Types", "io", "ui"]
