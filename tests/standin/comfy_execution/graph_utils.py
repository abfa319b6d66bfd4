"""Stand-in: the value that keeps a consumer from running, and the building of graphs while one runs."""

from __future__ import annotations

import itertools
from typing import Any

from .utils import get_executing_context

_numbers = itertools.count()


class ExecutionBlocker:
    def __init__(self, message: str | None) -> None:
        self.message = message


def _executing() -> str:
    context = get_executing_context()
    return "" if context is None else context.node_id


class Node:
    """A node of a graph that is being built."""

    def __init__(self, id: str, class_type: str, inputs: dict[str, Any]) -> None:
        self.id = id
        self.class_type = class_type
        self.inputs = inputs
        self._shown_as: str | None = None

    def out(self, index: int) -> list[Any]:
        return [self.id, index]

    def set_override_display_id(self, override_display_id: str) -> None:
        self._shown_as = override_display_id

    def serialize(self) -> dict[str, Any]:
        shown = {"override_display_id": self._shown_as} if self._shown_as is not None else {}
        return {"class_type": self.class_type, "inputs": self.inputs, **shown}


class GraphBuilder:
    """Nodes for `NodeOutput(expand=...)`, under ids of their own."""

    def __init__(self) -> None:
        self._prefix = f"{_executing()}.{next(_numbers)}."
        self._nodes: dict[str, Node] = {}

    def node(self, class_type: str, id: str | None = None, **inputs: Any) -> Node:
        made = Node(f"{self._prefix}{len(self._nodes) if id is None else id}", class_type, inputs)
        self._nodes[made.id] = made
        return made

    def finalize(self) -> dict[str, dict[str, Any]]:
        return {node_id: node.serialize() for node_id, node in self._nodes.items()}
