"""Video to Video: a source clip and an instruction become a new clip."""

from __future__ import annotations

from typing import TYPE_CHECKING

from comfy_api.latest import io

from .comfyui import checks, handed_out, widgets
from .comfyui.host import shielded, supported
from .comfyui.waiting import make
from .gateway.models import VIDEO_TO_VIDEO

if TYPE_CHECKING:
    from comfy_api.latest import Input

    from .jobs.order import Order


class VideoToVideo(io.ComfyNode):
    """`type: video-to-video` (`docs/gateway.md`, "Create a task"); no host of this mode offers 15 s."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="APIMall_VideoToVideo",
            display_name="Video to Video (API Mall)",
            category=widgets.CATEGORY,
            description="Makes a new video after a source video, with Wan 2.6 through API Mall. The source is uploaded "
            "to a public address. Costs credits; queueing the same inputs again is free.",
            inputs=[
                widgets.prompt("What the new video shows, or what to change."),
                io.Video.Input("video", optional=True, tooltip="The source. Only its pictures and its sound are sent."),
                io.String.Input(
                    "video_url",
                    display_name="video_url (optional)",
                    default="",
                    tooltip="Only where no video is linked: its https address, readable by anybody.",
                ),
                *widgets.settings(VIDEO_TO_VIDEO),
            ],
            outputs=widgets.clip_outputs(),
            hidden=widgets.HIDDEN,
            is_output_node=True,
            **supported(io.Schema, search_aliases=["wan", "wan 2.6", "v2v", "edit video", "restyle", "api mall"]),
        )

    @classmethod
    def validate_inputs(
        cls,
        prompt: object = None,
        video: object = checks.NOTHING,
        video_url: object = None,
        model: object = None,
    ) -> checks.Verdict:
        """Naming `model` here lifts the check against the list: the gateway decides about names it may yet learn."""
        return checks.of_video_job(prompt, model, video, video_url)

    @classmethod
    def fingerprint_inputs(cls, **inputs: object) -> str:
        """Changes when the clip is gone from this disk: ComfyUI's cache would hand on a path that leads nowhere."""
        return handed_out.losses(inputs)

    @classmethod
    @shielded
    async def execute(
        cls,
        prompt: str,
        video_url: str,
        model: str,
        duration: str,
        resolution: str,
        take: int,
        wait: bool,
        video: Input.Video | None = None,
    ) -> io.NodeOutput:
        from .comfyui.linked_video import linked_video
        from .comfyui.references import of_video
        from .jobs.order import Order
        from .stopping import Stop

        source = linked_video(video)

        def order(stop: Stop) -> Order:
            references = (of_video(source, video_url, model, stop),)
            return Order(model, VIDEO_TO_VIDEO, prompt, duration, resolution, take, references)

        return await make(cls.hidden, order, wait)
