"""The inputs and outputs that several nodes share. Order and ids are stored in users' workflows: append only."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ..gateway import models
from ..jobs.order import LARGEST_TAKE

CATEGORY = "API Mall"
HIDDEN = [io.Hidden.unique_id, io.Hidden.dynprompt, io.Hidden.prompt, io.Hidden.extra_pnginfo]
"""What every node of ours is told of its surroundings: its id, the graph as it grows, the prompt as it was
queued, and the workflow it came from."""


def prompt(tooltip: str) -> Any:
    """The text of the job."""
    return io.String.Input("prompt", multiline=True, default="", tooltip=tooltip)


def settings(job_type: str) -> list[Any]:
    """Model, duration, resolution, take and wait, in this order, at the end of every paid node."""
    names, durations, resolutions = models.names(), models.durations(job_type), models.resolutions(job_type)
    return [
        io.Combo.Input("model", options=list(names), default=names[0], tooltip="The model that makes the video."),
        io.Combo.Input(
            "duration",
            options=list(durations),
            default=durations[0],
            tooltip="Length of the video in seconds.",
        ),
        io.Combo.Input(
            "resolution",
            options=list(resolutions),
            default=resolutions[0],
            tooltip="Size of the video: 720p is 1280x720, 1080p is 1920x1080.",
        ),
        io.Int.Input(
            "take",
            default=0,
            min=0,
            max=LARGEST_TAKE,
            tooltip="Queueing the same take again is free, also by ComfyUI's number of runs: it continues or serves "
            "the job already paid for. Another number makes, and pays for, a new video.",
        ),
        wait("On: wait for the video. Off: submit, give the task id at once, and collect with Poll Result later."),
    ]


def wait(tooltip: str) -> Any:
    """Whether the node waits for the video."""
    return io.Boolean.Input("wait", default=True, tooltip=tooltip)


def clip_outputs() -> list[Any]:
    """What the four nodes that deliver a generated clip give; `outputs.Output` numbers them.

    Without ids: 0.3.64 refuses an output named like an input, and `video` and `task_id` are both.
    """
    return [
        io.Video.Output(display_name="video", tooltip="The clip as the gateway made it. Saving it copies it."),
        io.Image.Output(display_name="frames", tooltip="All frames, decoded only if something is linked."),
        io.Image.Output(display_name="last_frame", tooltip="The last frame: start the next shot from it."),
        io.Audio.Output(display_name="audio", tooltip="The sound; silence of the same length if it has none."),
        io.String.Output(display_name="task_id", tooltip="The gateway's id of the job, for Poll Result."),
        io.String.Output(display_name="video_url", tooltip="Where the gateway keeps the clip. The link expires."),
    ]
