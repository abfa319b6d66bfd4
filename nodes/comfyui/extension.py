"""The pack as ComfyUI sees it: the list of nodes, and what is hung up once at its start."""

from __future__ import annotations

import threading

from comfy_api.latest import ComfyExtension, io

from ..media import pyav
from ..panel import routes
from . import host, instance, queued


class APIMallVideo(ComfyExtension):
    """The nodes, as they were handed over."""

    def __init__(self, nodes: list[type[io.ComfyNode]]) -> None:
        self._nodes = nodes

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        return self._nodes


def load(nodes: list[type[io.ComfyNode]]) -> APIMallVideo:
    """Called once by ComfyUI, on every version; `on_load` is called by newer ones only. Raises ImportError."""
    pyav.require_floor()
    host.watch_links()
    queued.bind_prompts()
    routes.register(instance.current, shared=host.keeps_users_apart())
    instance.observed_by(routes.announce)
    # Beside ComfyUI's own start, which waits for nobody's disk.
    threading.Thread(target=instance.follow_unfinished, name="apimall-start", daemon=True).start()
    return APIMallVideo(nodes)
