"""Text to Video: a prompt becomes a clip."""

from __future__ import annotations

from comfy_api.latest import io

from .comfyui import checks, handed_out, widgets
from .comfyui.host import shielded, supported
from .comfyui.waiting import make
from .gateway.models import TEXT_TO_VIDEO


class TextToVideo(io.ComfyNode):
    """`type: text-to-video` (`docs/gateway.md`, "Create a task")."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="APIMall_TextToVideo",
            display_name="Text to Video (API Mall)",
            category=widgets.CATEGORY,
            description="Makes a video with sound from a text, with Wan 2.6 through API Mall. Costs credits; "
            "queueing the same inputs again is free.",
            inputs=[
                widgets.prompt("What the video shows: scene, motion, camera, mood."),
                *widgets.settings(TEXT_TO_VIDEO),
            ],
            outputs=widgets.clip_outputs(),
            hidden=widgets.HIDDEN,
            is_output_node=True,
            **supported(io.Schema, search_aliases=["wan", "wan 2.6", "t2v", "generate video", "api mall"]),
        )

    @classmethod
    def validate_inputs(cls, prompt: object = None, model: object = None) -> checks.Verdict:
        """Naming `model` here lifts the check against the list: the gateway decides about names it may yet learn."""
        return checks.of_job(TEXT_TO_VIDEO, prompt, model)

    @classmethod
    def fingerprint_inputs(cls, **inputs: object) -> str:
        """Changes when the clip is gone from this disk: ComfyUI's cache would hand on a path that leads nowhere."""
        return handed_out.losses(inputs)

    @classmethod
    @shielded
    async def execute(
        cls, prompt: str, model: str, duration: str, resolution: str, take: int, wait: bool
    ) -> io.NodeOutput:
        from .jobs.order import Order

        return await make(
            cls.hidden, lambda stop: Order(model, TEXT_TO_VIDEO, prompt, duration, resolution, take), wait
        )
