"""The line on a node: how its job stands, told to the browser that queued the prompt.

As facts, which `web/js/line.js` puts in the words of whoever looks and keeps when the run has ended; and as a text, for
front ends without our scripts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..gateway.errors import APIMallError
from ..panel import job_facts, standing
from . import host, queued

if TYPE_CHECKING:
    from ..jobs.work import Result, Status, Ticket
    from ..journal.rows import Job
    from ..media.probe import Clip
    from ..remarks import Remark


class NodeText:
    """What one run of one node says; `hidden` is what ComfyUI gave to the run."""

    def __init__(self, hidden: Any) -> None:
        self.node_id: str = hidden.unique_id
        self._shown_id = host.shown_id(hidden)
        self._from = {
            "node": self._shown_id,
            "workflow": host.workflow_id(getattr(hidden, "extra_pnginfo", None)),
            "prompt_id": host.prompt_id(),
            "rehearsal": queued.binding(hidden).rehearsal is True,
        }
        self._job: Job | None = None
        self._remarks: tuple[Remark, ...] = ()
        self._shown = ""

    def status(self, status: Status, remarks: Sequence[Remark] = ()) -> None:
        """How the job stands; said again only when it has changed."""
        self._job, self._remarks = status.job, tuple(remarks)
        text = _lines(describe(status), *map(str, remarks))
        if text == self._shown:
            return
        self._shown = text
        slots = status.slots
        self._say(
            text,
            phase=status.phase.name.lower(),
            fraction=status.fraction,
            running=slots and slots.running,
            limit=slots and slots.limit,
        )

    def done(self, status: Status, result: Result, remarks: Sequence[Remark] = ()) -> None:
        """The clip is here, and what is linked to the node is made."""
        self._job, self._remarks = result.job, tuple(remarks)
        text = describe(status) if result.downloaded else _lines("already paid", result.path.name)
        self._say(_lines(text, *map(str, remarks)), phase="done", fetched=result.downloaded)

    def failed(self, problem: APIMallError) -> None:
        """The run ends without a clip."""
        self._say(problem.short, phase="failed", trouble=problem.facts())

    def left(self, ticket: Ticket, reason: str) -> None:
        """The user, or ComfyUI, ends the wait; the job goes on if it was sent."""
        ended = ticket.leave(reason)
        self._job = ticket.status().job
        self._say(ended.short, phase="stopped", trouble=ended.facts())

    def clip(self, clip: Clip, max_side: int, count: int, fps: float, remarks: Sequence[Remark]) -> None:
        """The part of a clip that was loaded, as it comes out, and what was done to it."""
        shape = clip.shape(max_side)
        size = f"{shape.width}x{shape.height}"
        sound = "sound" if clip.has_audio else "no sound"
        seconds = count / fps
        told = {
            "frames": count,
            "fps": fps,
            "width": shape.width,
            "height": shape.height,
            "seconds": seconds,
            "sound": clip.has_audio,
        }
        text = f"{count} frames, {fps:g} a second, of {size}, {seconds:.2f} s, {sound}"
        self._remarks = tuple(remarks)
        self._say(_lines(text, *map(str, remarks)), phase="loaded", clip=told)

    def _say(self, text: str, **facts: Any) -> None:
        # Where both were seen, the text would push down what is under it, and go when the run ends.
        if not standing.shows_node_text(host.client_id() or ""):
            host.show_text(self._shown_id, text)
        usual = {"fraction": None, "running": None, "limit": None, "trouble": None, "fetched": False}
        job = self._job and job_facts.card(self._job)
        host.send_facts(
            {**self._from, **usual, "job": job, "remarks": [each.facts() for each in self._remarks], **facts}
        )


def describe(status: Status) -> str:
    """State, time, cost so far, task id, as a text."""
    line = status.text
    if status.seconds is not None and not status.done:
        line += f", {status.seconds:.0f} s"
    facts = []
    if status.accepted and status.job.credits_used is not None:
        facts.append(f"{status.job.credits_used:g} credits")
    if status.job.task_id:
        facts.append(f"task {status.job.task_id}")
    return _lines(line, ", ".join(facts))


def _lines(*texts: str) -> str:
    return "\n".join(filter(None, texts))
