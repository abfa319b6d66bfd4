"""The pack as ComfyUI sees it: the list of nodes, and what is hung up once at its start."""

from __future__ import annotations

from comfy_api.latest import ComfyExtension, io

from . import host, routes, service
from .image_to_video import ImageToVideo
from .load_video import LoadVideo
from .poll_result import PollResult
from .text_to_video import TextToVideo
from .video_to_video import VideoToVideo


class APIMallVideo(ComfyExtension):
    """The five nodes."""

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        return [TextToVideo, ImageToVideo, VideoToVideo, PollResult, LoadVideo]


def load() -> APIMallVideo:
    """Called once by ComfyUI, on every version; `on_load` is called by newer ones only."""
    host.watch_links()
    routes.register(service.current)
    service.observed_by(routes.announce)
    return APIMallVideo()
