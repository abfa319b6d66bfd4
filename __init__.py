"""API Mall Video: Wan 2.6 through the API Mall gateway, as ComfyUI nodes."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from comfy_api.latest import ComfyExtension

WEB_DIRECTORY = "./web"


async def comfy_entrypoint() -> ComfyExtension:
    """What ComfyUI calls once, at its start."""
    from .nodes.extension import load

    return load()
