"""API Mall Video: Wan 2.6 through the API Mall gateway, as ComfyUI nodes."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from comfy_api.latest import ComfyExtension

WEB_DIRECTORY = "./web"


async def comfy_entrypoint() -> ComfyExtension:
    """What ComfyUI calls once, at its start. What is raised here becomes one line in its log."""
    try:
        from .nodes.extension import load

        return load()
    except (ImportError, AttributeError) as missing:
        why = f"API Mall Video needs ComfyUI 0.3.64 or newer, and what its requirements.txt lists ({missing})"
        raise RuntimeError(why) from None
