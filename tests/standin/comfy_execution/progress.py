"""Stand-in: progress of the nodes of the running prompt, sent to the client that queued it."""

from __future__ import annotations

from typing import Any

from server import PromptServer

from comfy_execution.graph import DynamicPrompt


class ProgressRegistry:
    def __init__(self, prompt_id: str, dynprompt: DynamicPrompt) -> None:
        self.prompt_id = prompt_id
        self.dynprompt = dynprompt
        self.nodes: dict[str, dict[str, Any]] = {}

    def update_progress(self, node_id: str, value: float, max_value: float, image: object = None) -> None:
        self.nodes[node_id] = {"value": value, "max": max_value, "state": "running", "node_id": node_id}
        self.nodes[node_id]["display_node_id"] = self.dynprompt.get_display_node_id(node_id)
        server = PromptServer.instance
        if server.client_id is not None:
            state = {"prompt_id": self.prompt_id, "nodes": {key: dict(node) for key, node in self.nodes.items()}}
            server.send_sync("progress_state", state, server.client_id)


_registry = ProgressRegistry("", DynamicPrompt({}))


def get_progress_state() -> ProgressRegistry:
    return _registry


def reset_progress_state(prompt_id: str, dynprompt: DynamicPrompt) -> None:
    global _registry  # noqa: PLW0603 - one registry for the process, as in ComfyUI
    _registry = ProgressRegistry(prompt_id, dynprompt)
