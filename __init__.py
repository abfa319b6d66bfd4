"""API Mall Video: Wan 2.6 through the API Mall gateway, as ComfyUI nodes."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from comfy_api.latest import ComfyExtension

WEB_DIRECTORY = "./web"


async def comfy_entrypoint() -> ComfyExtension:
    """What ComfyUI calls once, at its start. What is raised here becomes one line in its log."""
    try:
        from .nodes.comfyui.extension import load
        from .nodes.image_to_video import ImageToVideo
        from .nodes.load_video import LoadVideo
        from .nodes.poll_result import PollResult
        from .nodes.text_to_video import TextToVideo
        from .nodes.video_to_video import VideoToVideo

        return load([TextToVideo, ImageToVideo, VideoToVideo, PollResult, LoadVideo])
    except (ImportError, AttributeError) as missing:
        why = f"API Mall Video needs ComfyUI 0.3.64 or newer, and what its requirements.txt lists ({missing})"
        raise RuntimeError(why) from None
