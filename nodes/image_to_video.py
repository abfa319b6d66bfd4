"""Image to Video: one or more reference images become a clip."""

from __future__ import annotations

from typing import TYPE_CHECKING

from comfy_api.latest import io

from .comfyui import checks, handed_out, widgets
from .comfyui.host import shielded, supported
from .comfyui.waiting import make
from .gateway.models import IMAGE_TO_VIDEO

if TYPE_CHECKING:
    import torch

    from .jobs.order import Order


class ImageToVideo(io.ComfyNode):
    """`type: image-to-video` (`docs/gateway.md`, "Create a task")."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="APIMall_ImageToVideo",
            display_name="Image to Video (API Mall)",
            category=widgets.CATEGORY,
            description="Makes a video that starts from an image, with Wan 2.6 through API Mall. Images are uploaded "
            "to a public address. Costs credits; queueing the same inputs again is free.",
            inputs=[
                widgets.prompt("What happens in the video, and how the camera moves."),
                io.Image.Input("image", optional=True, tooltip="The reference image. Each image of a batch is one."),
                io.String.Input(
                    "image_urls",
                    display_name="image_urls (optional)",
                    multiline=True,
                    placeholder="image_urls (optional): https addresses, one a line",
                    default="",
                    tooltip="Not needed where an image is linked: https addresses of reference images, one a line, "
                    "readable by anybody.",
                ),
                *widgets.settings(IMAGE_TO_VIDEO),
            ],
            outputs=widgets.clip_outputs(),
            hidden=widgets.HIDDEN,
            is_output_node=True,
            **supported(io.Schema, search_aliases=["wan", "wan 2.6", "i2v", "animate image", "api mall"]),
        )

    @classmethod
    def validate_inputs(
        cls,
        prompt: object = None,
        image: object = checks.NOTHING,
        image_urls: object = None,
        model: object = None,
    ) -> checks.Verdict:
        """Naming `model` here lifts the check against the list: the gateway decides about names it may yet learn."""
        return checks.of_image_job(prompt, model, image, image_urls)

    @classmethod
    def fingerprint_inputs(cls, **inputs: object) -> str:
        """Changes when the clip is gone from this disk: ComfyUI's cache would hand on a path that leads nowhere."""
        return handed_out.losses(inputs)

    @classmethod
    @shielded
    async def execute(
        cls,
        prompt: str,
        image_urls: str,
        model: str,
        duration: str,
        resolution: str,
        take: int,
        wait: bool,
        image: torch.Tensor | None = None,
    ) -> io.NodeOutput:
        from .comfyui.references import of_images
        from .jobs.order import Order
        from .stopping import Stop

        def order(stop: Stop) -> Order:
            references = of_images(image, image_urls, model, stop)
            return Order(model, IMAGE_TO_VIDEO, prompt, duration, resolution, take, references)

        return await make(cls.hidden, order, wait)
