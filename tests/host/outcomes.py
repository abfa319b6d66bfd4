"""How a queued prompt can end without a history, in a real ComfyUI and in the stand-in alike."""

from __future__ import annotations

import json
from typing import Any


class PromptRefused(Exception):
    """Nothing of the prompt is valid. `reply` is the JSON answer to POST /prompt, `node_errors` the part by node."""

    def __init__(self, reply: dict[str, Any]) -> None:
        super().__init__(json.dumps(reply, default=str)[:2000])
        self.reply = reply
        self.node_errors: dict[str, Any] = reply.get("node_errors") or {}


class WorkerDied(Exception):
    """ComfyUI's prompt worker ended: it answers no prompt any more until it is restarted."""
