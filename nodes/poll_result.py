"""Poll Result: collects a job that was submitted earlier, here or elsewhere. Never pays."""

from __future__ import annotations

from comfy_api.latest import io

from .comfyui import checks, widgets
from .comfyui.host import shielded, supported
from .comfyui.waiting import collect, collected, task_id_of


class PollResult(io.ComfyNode):
    """A task by its id (`docs/gateway.md`, "Poll a task")."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="APIMall_PollResult",
            display_name="Poll Result (API Mall)",
            category=widgets.CATEGORY,
            description="Collects the video of a job that was submitted earlier. Costs nothing.",
            inputs=[
                io.String.Input(
                    "task_id",
                    display_name="task_id (optional)",
                    default="",
                    tooltip="The job's task id. Empty: the newest job whose clip nobody was given yet.",
                ),
                widgets.wait("On: wait for the video. Off: look once and go on, with the state on the node."),
            ],
            outputs=widgets.clip_outputs(),
            hidden=widgets.HIDDEN,
            is_output_node=True,
            **supported(io.Schema, search_aliases=["wan", "collect video", "resume", "task id", "api mall"]),
        )

    @classmethod
    def validate_inputs(cls, task_id: object = None) -> checks.Verdict:
        """What is no id is none in a peek, either."""
        return checks.verdict(lambda: isinstance(task_id, str) and task_id_of(task_id))

    @classmethod
    def fingerprint_inputs(cls, task_id: object = None, **inputs: object) -> str:
        """The same once the clip is on this disk, never before: what a task is up to is not for ComfyUI's cache."""
        return collected(task_id)

    @classmethod
    @shielded
    async def execute(cls, task_id: str, wait: bool) -> io.NodeOutput:
        return await collect(cls.hidden, task_id, wait)
