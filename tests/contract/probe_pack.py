"""A node pack of probes: `tests/contract` puts it, beside our `nodes/`, into the stand-in and into real ComfyUIs."""

from __future__ import annotations

import asyncio
import io as streams
import threading
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import numpy as np
import torch
from comfy_api.latest import ComfyExtension, InputImpl, Types, io
from comfy_execution.graph_utils import GraphBuilder

if TYPE_CHECKING:
    from nodes.comfyui import host
    from nodes.gateway.errors import InputError
else:  # where it is loaded, this file is the __init__.py of a pack that has our nodes/ in it
    from .nodes.comfyui import host
    from .nodes.gateway.errors import InputError

_PATIENCE_SECONDS = 30.0

notes: list[str] = []
_arrived: dict[str, int] = {}
_loops: list[asyncio.AbstractEventLoop] = []
_runs: dict[str, int] = {}


def _note(text: str) -> None:
    notes.append(text)


def _count(name: str) -> int:
    _runs[name] = _runs.get(name, 0) + 1
    return _runs[name]


async def _meet(party: str, size: int) -> bool:
    """Wait until `size` nodes have come to the party. False: the others never came."""
    _arrived[party] = _arrived.get(party, 0) + 1
    for _ in range(int(_PATIENCE_SECONDS / 0.01)):
        if _arrived[party] >= size:
            return True
        await asyncio.sleep(0.01)
    return False


def _shown(*texts: object) -> dict[str, Any]:
    return {"text": [str(text) for text in texts]}


class Report(io.ComfyNode):
    """Shows what it is given, of whatever type, and nothing else."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="Probe_Report",
            inputs=[io.AnyType.Input("value"), io.AnyType.Input("other", optional=True)],
            is_output_node=True,
        )

    @classmethod
    def execute(cls, value: object, **others: object) -> io.NodeOutput:
        return io.NodeOutput(ui=_shown(value, *(f"{name}={other}" for name, other in others.items())))


class Meet(io.ComfyNode):
    """Ends when as many nodes as `size` are in it at the same time."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="Probe_Meet",
            inputs=[io.String.Input("party"), io.Int.Input("size"), io.String.Input("name", force_input=False)],
            outputs=[io.String.Output(display_name="result")],
            hidden=[io.Hidden.unique_id],
            **host.supported(io.Schema, search_aliases=["rendezvous"]),
        )

    @classmethod
    @host.shielded
    async def execute(cls, party: str, size: int, name: str) -> io.NodeOutput:
        met = await _meet(party, size)
        return io.NodeOutput(f"{name} {'met' if met else 'was alone'} {cls.hidden.unique_id}")


class Several(io.ComfyNode):
    """A list output: one element for each word."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="Probe_Several",
            inputs=[io.String.Input("words")],
            outputs=[io.String.Output(display_name="word", is_output_list=True)],
        )

    @classmethod
    def execute(cls, words: str) -> io.NodeOutput:
        return io.NodeOutput(words.split())


class Surroundings(io.ComfyNode):
    """Tells which event loop it is in, counted from 0, and whether that is the main thread's."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="Probe_Surroundings",
            inputs=[io.String.Input("token")],
            outputs=[io.String.Output(display_name="result")],
        )

    @classmethod
    async def execute(cls, token: str) -> io.NodeOutput:
        loop = asyncio.get_running_loop()
        if loop not in _loops:
            _loops.append(loop)
        main = threading.current_thread() is threading.main_thread()
        return io.NodeOutput(f"loop {_loops.index(loop)} main={main}")


class Fail(io.ComfyNode):
    """Fails as `how` says, once its party has come together: error, cancelled, shielded."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="Probe_Fail",
            inputs=[io.String.Input("party"), io.Int.Input("size"), io.String.Input("how")],
            outputs=[io.String.Output(display_name="result")],
        )

    @classmethod
    async def execute(cls, party: str, size: int, how: str) -> io.NodeOutput:
        await _meet(party, size)
        if how == "cancelled":
            raise asyncio.CancelledError
        if how == "shielded":
            await cls._shielded()
        try:
            raise OSError("the cause, which nobody is shown")
        except OSError as cause:
            raise ValueError("what went wrong") from cause

    @classmethod
    @host.shielded
    async def _shielded(cls) -> None:
        raise asyncio.CancelledError


class Wait(io.ComfyNode):
    """Says that it waits, meets its party, and waits on until interrupted or cancelled; notes which it was."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="Probe_Wait",
            inputs=[io.String.Input("party"), io.Int.Input("size"), io.String.Input("name")],
            outputs=[io.String.Output(display_name="result")],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    @host.shielded
    async def execute(cls, party: str, size: int, name: str) -> io.NodeOutput:
        try:
            await _meet(party, size)
            host.show_text(str(cls.hidden.unique_id), "waiting")
            for _ in range(int(_PATIENCE_SECONDS / 0.02)):
                if host.interrupted():
                    _note(f"{name} interrupted")
                    # Gives the other one time to see the flag, too, which only a peek leaves standing.
                    await _meet(f"{party} interrupted", size)
                    raise host.interrupt_exception()
                await asyncio.sleep(0.02)
        except asyncio.CancelledError:
            await asyncio.sleep(0.01)
            _note(f"{name} cancelled, and could still await")
            raise
        return io.NodeOutput("never disturbed")


class Notes(io.ComfyNode):
    """What the other probes noted since the last look."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(node_id="Probe_Notes", inputs=[io.String.Input("token")], is_output_node=True)

    @classmethod
    def execute(cls, token: str) -> io.NodeOutput:
        seen = sorted(notes)
        notes.clear()
        return io.NodeOutput(ui=_shown(*seen))


class Counted(io.ComfyNode):
    """Counts its executions per `name`; its second output is None unless it is linked when it runs."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="Probe_Counted",
            inputs=[io.String.Input("name"), io.Int.Input("number", default=0, min=0, max=10, optional=True)],
            outputs=[io.String.Output(display_name="first"), io.String.Output(display_name="second")],
            hidden=[io.Hidden.unique_id, io.Hidden.prompt, io.Hidden.dynprompt],
        )

    @classmethod
    async def execute(cls, name: str, **others: object) -> io.NodeOutput:
        await asyncio.sleep(0)
        text = f"{name} run {_count(name)} {sorted(others.items())}"
        linked = any(["counted", 1] in node["inputs"].values() for node in (cls.hidden.prompt or {}).values())
        return io.NodeOutput(text, text if linked else None)


class Links(io.ComfyNode):
    """One of ours by its id: gives values to those of its outputs that are linked, as `host` has it."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="APIMall_ProbeLinks",
            inputs=[io.String.Input("name")],
            outputs=[io.String.Output(f"slot{slot}", display_name=f"slot{slot}") for slot in range(host.OUTPUT_SLOTS)],
            hidden=[io.Hidden.unique_id, io.Hidden.prompt, io.Hidden.dynprompt],
        )

    @classmethod
    def execute(cls, **inputs: object) -> io.NodeOutput:
        linked = host.linked_outputs(cls.hidden)
        text = f"run {_count(str(inputs['name']))} linked {sorted(linked)} inputs {sorted(inputs)}"
        return io.NodeOutput(*(text if slot in linked else None for slot in range(host.OUTPUT_SLOTS)))


class Repeat(io.ComfyNode):
    """Runs two copies of `original`, as a loop would; reports output `slot` of each, hands on 4 of the last."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="Probe_Repeat",
            inputs=[io.String.Input("original"), io.Int.Input("slot")],
            outputs=[io.AnyType.Output(display_name="last")],
            hidden=[io.Hidden.dynprompt],
            enable_expand=True,
        )

    @classmethod
    def execute(cls, original: str, slot: int) -> io.NodeOutput:
        node = cls.hidden.dynprompt.get_node(original)
        graph = GraphBuilder()
        for number in range(2):
            copy = graph.node(node["class_type"], f"copy{number}", **node["inputs"])
            copy.set_override_display_id(original)
            graph.node("Probe_Report", f"report{number}", value=copy.out(slot), other=number)
        return io.NodeOutput(copy.out(4), expand=graph.finalize())

    @classmethod
    def fingerprint_inputs(cls, **inputs: object) -> float:
        """Never the same, like the loops of ComfyUI."""
        return float("nan")


class Fingerprint(io.ComfyNode):
    """Notes what its fingerprint is told. `how` raise: the fingerprint fails."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="Probe_Fingerprint",
            inputs=[io.String.Input("how"), io.AnyType.Input("linked", optional=True)],
            outputs=[io.String.Output(display_name="result")],
            hidden=[io.Hidden.unique_id, io.Hidden.prompt, io.Hidden.dynprompt],
        )

    @classmethod
    def fingerprint_inputs(cls, how: str, linked: object = None) -> str:
        if how.startswith("raise"):
            raise ValueError("no fingerprint")
        _note(f"{how}: linked {linked}, prompt {bool(cls.hidden.prompt)}")
        return how

    @classmethod
    def execute(cls, how: str, linked: object = None) -> io.NodeOutput:
        return io.NodeOutput(f"run {_count(how)} linked {linked} prompt {bool(cls.hidden.prompt)}")


class Checked(io.ComfyNode):
    """Checks `own` itself (even numbers only) and leaves `checked` to ComfyUI."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="Probe_Checked",
            inputs=[
                io.Int.Input("own", default=0, min=0, max=10),
                io.Int.Input("checked", default=0, min=0, max=10),
                io.Combo.Input("choice", options=["a", "b"], default="a"),
            ],
            outputs=[io.String.Output(display_name="result")],
        )

    @classmethod
    def validate_inputs(cls, own: int | None) -> bool | str:
        _note(f"validating {own}")
        return own is None or own % 2 == 0 or f"{own} is odd"

    @classmethod
    def execute(cls, own: int, checked: int, choice: str) -> io.NodeOutput:
        return io.NodeOutput(f"{own} {checked} {choice}")


class Number(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="Probe_Number",
            inputs=[io.Int.Input("value")],
            outputs=[io.Int.Output(display_name="number")],
        )

    @classmethod
    def execute(cls, value: int) -> io.NodeOutput:
        return io.NodeOutput(value)


class Block(io.ComfyNode):
    """Its first output is blocked, its second is not."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="Probe_Block",
            inputs=[io.String.Input("token")],
            outputs=[io.String.Output(display_name="blocked"), io.String.Output(display_name="open")],
        )

    @classmethod
    async def execute(cls, token: str) -> io.NodeOutput:
        return io.NodeOutput(host.blocked(), "open")


class Locked(io.ComfyNode):
    """Tries to keep something in its class."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="Probe_Locked",
            inputs=[io.String.Input("token")],
            outputs=[io.String.Output(display_name="result")],
        )

    @classmethod
    def execute(cls, token: str) -> io.NodeOutput:
        try:
            cls.kept = token  # type: ignore[attr-defined]
        except AttributeError:
            return io.NodeOutput("refused")
        return io.NodeOutput("kept")


class Show(io.ComfyNode):
    """Shows a text and progress on itself."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="Probe_Show",
            inputs=[io.String.Input("text")],
            outputs=[io.String.Output(f"slot{slot}", display_name=f"slot{slot}") for slot in range(host.OUTPUT_SLOTS)],
            hidden=[io.Hidden.unique_id, io.Hidden.dynprompt],
        )

    @classmethod
    async def execute(cls, text: str) -> io.NodeOutput:
        host.show_text(host.shown_id(cls.hidden), text)
        host.show_progress(str(cls.hidden.unique_id), 3, 12)
        await asyncio.sleep(0)
        return io.NodeOutput(*(["shown"] * host.OUTPUT_SLOTS))


class Folders(io.ComfyNode):
    """Where `host` says things are, seen from the folder above user/."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="Probe_Folders",
            inputs=[io.String.Input("token")],
            outputs=[io.String.Output(display_name="result")],
        )

    @classmethod
    def execute(cls, token: str) -> io.NodeOutput:
        state = host.state_folder()
        results = host.results_folder()
        base = state.parent.parent
        named = (state, results, host.input_folder(), host.temp_folder())
        places = [place.relative_to(base).as_posix() for place in named]
        found = (state.is_dir(), results.is_dir(), host.input_videos(), host.keeps_users_apart())
        return io.NodeOutput(f"{places} {' '.join(map(str, found))}")


class Find(io.ComfyNode):
    """The file that a name means, or why it means none."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="Probe_Find",
            inputs=[io.String.Input("name")],
            outputs=[io.String.Output(display_name="result")],
        )

    @classmethod
    def execute(cls, name: str) -> io.NodeOutput:
        try:
            return io.NodeOutput(f"found {host.input_file(name).read_text(encoding='utf-8')}")
        except InputError as refusal:
            return io.NodeOutput(f"refused: {type(refusal).__name__}")


def _clip(path: Path) -> Path:
    """Twelve pictures of 64x48 at 24 a second, each a little brighter, with half a second of sound."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), mode="w") as container:
        video = container.add_stream("libx264", rate=24, options={"crf": "10"})
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        audio = container.add_stream("aac", rate=44100, layout="mono")
        for number in range(12):
            picture = np.full((48, 64, 3), 40 + 10 * number, dtype=np.uint8)
            container.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(video.encode())
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 22050), dtype=np.float32), format="fltp", layout="mono")
        sound.sample_rate = 44100
        container.mux(audio.encode(sound))
        container.mux(audio.encode())
    return path


class MakeVideo(io.ComfyNode):
    """A VIDEO of the `kind`: stored, outside, memory, trimmed, cropped, frames. Shows what it stored."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="Probe_MakeVideo",
            inputs=[io.String.Input("kind")],
            outputs=[io.Video.Output(display_name="video")],
        )

    @classmethod
    def execute(cls, kind: str) -> io.NodeOutput:
        path = _clip((host.state_folder() if kind == "outside" else host.results_folder() / "sub") / f"{kind}.mp4")
        video: Any = host.as_video(path)
        if kind == "memory":
            video = InputImpl.VideoFromFile(streams.BytesIO(path.read_bytes()))
        if kind == "trimmed":
            video = video.as_trimmed(start_time=0.25, duration=0.125) if hasattr(video, "as_trimmed") else None
        if kind == "cropped":
            video = video.as_cropped(8, 4, 32, 24) if hasattr(video, "as_cropped") else None
        if kind == "frames":
            pictures = host.as_image(np.linspace(0, 1, 5 * 4 * 6 * 3, dtype=np.float32).reshape(5, 4, 6, 3))
            video = InputImpl.VideoFromComponents(
                Types.VideoComponents(images=pictures, frame_rate=Fraction(25, 2), audio=None)
            )
        return io.NodeOutput(video, ui=host.preview(path))


class LookAtVideo(io.ComfyNode):
    """What `host` makes of a VIDEO."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="Probe_LookAtVideo",
            inputs=[io.Video.Input("video")],
            outputs=[io.String.Output(display_name="result")],
        )

    @classmethod
    def execute(cls, video: io.Video.Type) -> io.NodeOutput:
        if video is None:
            return io.NodeOutput("this ComfyUI makes no such video")
        span, held, frames = host.stored_span(video), host.stored_bytes(video), host.frames_of(video)
        made = frames and (len(frames.pictures), frames.pictures[0].shape, str(frames.fps), frames.sample_rate)
        return io.NodeOutput(
            f"span {span and (span.path.name, span.start_seconds, span.seconds)} held {held is not None} frames {made}"
        )


class Values(io.ComfyNode):
    """An IMAGE and an AUDIO over arrays of ours: same memory, right types."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="Probe_Values",
            inputs=[io.String.Input("token")],
            outputs=[io.String.Output(display_name="result"), io.Image.Output(display_name="image")],
        )

    @classmethod
    async def execute(cls, token: str) -> io.NodeOutput:
        pixels = np.zeros((2, 8, 8, 3), dtype=np.float32)
        image = host.as_image(pixels)
        pixels[1, 2, 3, 0] = 0.5
        audio = host.as_audio(_Silence())
        shared = float(image[1, 2, 3, 0]) == 0.5
        same = isinstance(image, torch.Tensor) and image.data_ptr() == pixels.ctypes.data
        return io.NodeOutput(f"{shared} {same} {tuple(audio['waveform'].shape)} {audio['sample_rate']}", image)


class _Silence:
    samples = np.zeros((1, 2, 10), dtype=np.float32)
    sample_rate = 44100


class Probes(ComfyExtension):
    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        nodes: list[type[io.ComfyNode]] = [
            Report,
            Meet,
            Several,
            Surroundings,
            Fail,
            Wait,
            Notes,
            Counted,
            Links,
            Repeat,
        ]
        nodes += [Fingerprint, Checked, Number, Block, Locked, Show, Folders, Find, MakeVideo, LookAtVideo, Values]
        return nodes


async def comfy_entrypoint() -> Probes:
    host.watch_links()
    host.watch_links()  # a second time does nothing
    return Probes()
