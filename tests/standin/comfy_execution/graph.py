"""Stand-in: the graph of a prompt as it grows while it runs."""

from __future__ import annotations

from typing import Any


class NodeNotFoundError(Exception):
    pass


class DynamicPrompt:
    """The nodes that were queued, and those that other nodes added; an added one may be shown as another."""

    def __init__(self, original_prompt: dict[str, dict[str, Any]]) -> None:
        self.original_prompt = original_prompt
        self._added: dict[str, dict[str, Any]] = {}
        self._shown_as: dict[str, str] = {}

    def get_node(self, node_id: str) -> dict[str, Any]:
        for nodes in (self._added, self.original_prompt):
            if node_id in nodes:
                return nodes[node_id]
        raise NodeNotFoundError(f"Node {node_id} not found")

    def add_ephemeral_node(self, node_id: str, node_info: dict[str, Any], parent_id: str, display_id: str) -> None:
        self._added[node_id] = node_info
        self._shown_as[node_id] = display_id

    def get_display_node_id(self, node_id: str) -> str:
        while node_id in self._shown_as:
            node_id = self._shown_as[node_id]
        return node_id

    def all_node_ids(self) -> set[str]:
        return set(self.original_prompt) | set(self._added)
