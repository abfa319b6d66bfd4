"""A guest of the measured ComfyUI: tells, over HTTP, what the pack under test does inside of it."""

from __future__ import annotations

import importlib
import sys
import threading
from typing import Any

from aiohttp import web
from server import PromptServer

NODE_CLASS_MAPPINGS: dict[str, type] = {}
_PACK_ENDING = ".nodes.comfyui.extension"
_decoded = 0


@PromptServer.instance.routes.get("/apimall-bench")
async def tell(request: web.Request) -> web.Response:
    """Pictures decoded by the pack since this was first asked, and the names of all threads."""
    _count()
    return web.json_response({"pictures": _decoded, "threads": [thread.name for thread in threading.enumerate()]})


def _count() -> None:
    pack = next(name for name in sys.modules if name.endswith(_PACK_ENDING)).removesuffix(_PACK_ENDING)
    source = importlib.import_module(f"{pack}.nodes.media.source").Source
    decode = source.decode
    if decode.__name__ == "counted":
        return

    def counted(self: Any, packet: Any) -> list[Any]:
        global _decoded  # noqa: PLW0603
        ready: list[Any] = decode(self, packet)
        _decoded += len(ready)
        return ready

    source.decode = counted
