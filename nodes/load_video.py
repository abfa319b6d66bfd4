"""Load Video: a file, an address or a linked video, or a part of it, as frames and sound. Costs nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from comfy_api.latest import io

from .comfyui import checks, host, widgets
from .comfyui.host import shielded, supported

if TYPE_CHECKING:
    from comfy_api.latest import Input

NO_FILE = "(none)"
"""What workflows of earlier versions say where they mean none."""


class LoadVideo(io.ComfyNode):
    """Trims while decoding, so that memory is what is asked for."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        # Of a file that is not there, front ends show a broken player; of no file, nothing.
        videos = host.input_videos() or [""]
        return io.Schema(
            node_id="APIMall_LoadVideo",
            display_name="Load Video (API Mall)",
            category=widgets.CATEGORY,
            description="Loads a video, or a part of it, as frames in accurate colours, with its sound. Costs nothing.",
            inputs=[
                io.Combo.Input(
                    "file",
                    options=videos,
                    default=videos[0],
                    upload=io.UploadType.video,
                    tooltip="A video of ComfyUI's input folder; the button uploads one.",
                ),
                io.String.Input(
                    "url",
                    display_name="url (optional)",
                    default="",
                    tooltip="Instead of a file: the https address of a video. Empty: the file counts.",
                ),
                io.Video.Input("video", optional=True, tooltip="Instead of a file: a video from another node."),
                io.Float.Input(
                    "start",
                    default=0.0,
                    min=0.0,
                    max=86_400.0,
                    step=0.01,
                    tooltip="Where the part begins, in seconds. max_frames says how long it is.",
                ),
                io.Int.Input(
                    "every_nth", default=1, min=1, max=1000, tooltip="1: every frame. 2: every other one, and so on."
                ),
                io.Int.Input(
                    "max_frames",
                    default=0,
                    min=0,
                    max=1_000_000,
                    tooltip="How long the part is, in frames: 3 seconds at 24 a second are 72, or 36 of every other "
                    "one. 0: up to the end.",
                ),
                io.Int.Input(
                    "max_side", default=0, min=0, max=16_384, tooltip="The longest side in pixels. 0: as it is."
                ),
                io.Float.Input(
                    "fps",
                    default=0.0,
                    min=0.0,
                    max=240.0,
                    step=0.01,
                    tooltip="Frames a second, chosen by time; the duration stays. 0: as they come. Wan graphs take 16.",
                ),
            ],
            outputs=[
                io.Video.Output(display_name="video", tooltip="The part asked for, as a clip with its sound."),
                io.Image.Output(display_name="frames", tooltip="Its frames, decoded only if linked."),
                io.Image.Output(display_name="last_frame", tooltip="The last frame of the part."),
                io.Audio.Output(display_name="audio", tooltip="Its sound, trimmed with the frames."),
                io.Float.Output(display_name="fps", tooltip="Frames a second, after every_nth."),
                io.Int.Output(display_name="frame_count", tooltip="How many frames the part has."),
            ],
            hidden=widgets.HIDDEN,
            **supported(io.Schema, search_aliases=["load video", "video frames", "trim video", "api mall"]),
        )

    @classmethod
    def validate_inputs(cls, file: object = None, url: object = None, video: object = checks.NOTHING) -> checks.Verdict:
        """Naming `file` here lifts the check against the list, which cannot know files in subfolders or outputs."""
        return checks.of_loaded("" if file == NO_FILE else file, url, video)

    @classmethod
    async def fingerprint_inputs(cls, **inputs: Any) -> str:
        """Changes when the file does, or what is behind the url. Total: what raises here would run on every queue.

        A linked input is None here.
        """
        from .comfyui.loading import fingerprint

        return await fingerprint(_text(inputs.get("file")), _text(inputs.get("url")).strip(), inputs)

    @classmethod
    @shielded
    async def execute(
        cls,
        file: str,
        url: str,
        start: float,
        every_nth: int,
        max_frames: int,
        max_side: int,
        fps: float = 0.0,
        video: Input.Video | None = None,
    ) -> io.NodeOutput:
        from .comfyui.linked_video import linked_video
        from .comfyui.loading import Wanted, load

        name = "" if file == NO_FILE else file
        return await load(
            cls.hidden, Wanted(name, url.strip(), linked_video(video), start, every_nth, max_frames, max_side, fps)
        )


def _text(value: object) -> str:
    """What is written in a widget; "" where it is linked or says that there is none."""
    return value if isinstance(value, str) and value != NO_FILE else ""
