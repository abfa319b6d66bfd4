"""Nodes that tests put around ours: some give any value, one keeps what it gets, one fails on cue."""

from __future__ import annotations

import threading
from typing import Any

from comfy_api.latest import io

GIVEN: dict[str, Any] = {}
"""What `Test_Give` and `Test_GiveList` give, by name."""

CUES: dict[str, threading.Event] = {}
"""What `Test_Fail` waits for, by name."""


class Give(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(node_id="Test_Give", inputs=[io.String.Input("name")], outputs=[io.AnyType.Output("value")])

    @classmethod
    def execute(cls, name: str) -> io.NodeOutput:
        return io.NodeOutput(GIVEN[name])


class GiveList(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        outputs = [io.AnyType.Output("values", is_output_list=True)]
        return io.Schema(node_id="Test_GiveList", inputs=[io.String.Input("name")], outputs=outputs)

    @classmethod
    def execute(cls, name: str) -> io.NodeOutput:
        return io.NodeOutput(GIVEN[name])


class Keep(io.ComfyNode):
    """Puts the value itself into the history."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(node_id="Test_Keep", inputs=[io.AnyType.Input("value")], is_output_node=True)

    @classmethod
    def execute(cls, value: Any) -> io.NodeOutput:
        return io.NodeOutput(ui={"kept": [value]})


class Fail(io.ComfyNode):
    """Fails when its cue is given."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(node_id="Test_Fail", inputs=[io.String.Input("cue")], is_output_node=True)

    @classmethod
    async def execute(cls, cue: str) -> io.NodeOutput:
        import asyncio

        await asyncio.to_thread(CUES[cue].wait, 30)
        raise ValueError("a sibling fails")


PROBES: list[type[io.ComfyNode]] = [Give, GiveList, Keep, Fail]
