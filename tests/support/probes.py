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


class Make(io.ComfyNode):
    """Makes a node when its cue is given, as loops and macros of packs do, and gives its task id."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(node_id="Test_Make", inputs=[io.String.Input("name")], outputs=[io.String.Output("task_id")])

    @classmethod
    async def execute(cls, name: str) -> io.NodeOutput:
        import asyncio

        from comfy_execution.graph_utils import GraphBuilder

        await asyncio.to_thread(CUES[name].wait, 30)
        graph = GraphBuilder()
        made = graph.node(GIVEN[name]["class_type"], **GIVEN[name]["inputs"])
        return io.NodeOutput(made.out(4), expand=graph.finalize())


PROBES: list[type[io.ComfyNode]] = [Give, GiveList, Keep, Fail, Make]
