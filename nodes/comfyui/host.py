"""Everything this pack asks of ComfyUI, in one place: 0.3.64 (October 2025) up to the newest.

What ComfyUI does with each of these calls is pinned by `tests/contract`, which runs the same probes through the
stand-in in `tests/standin` and through every real ComfyUI it is given.
"""

from __future__ import annotations

import asyncio
import copy
import functools
import inspect
import io as streams
import json
import os
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeGuard, TypeVar

import folder_paths
import torch
from comfy import model_management
from comfy_api.latest import InputImpl, io, ui
from comfy_execution.graph_utils import ExecutionBlocker
from comfy_execution.progress import get_progress_state
from comfy_execution.utils import get_executing_context
from server import PromptServer

from ..gateway.contract import is_seen
from ..gateway.errors import InputError, SetupError
from ..guard.errors import PathForbidden
from ..guard.paths import find_media
from ..media.kinds import is_clip
from ..remarks import remark
from ..troubles import Trouble

if TYPE_CHECKING:
    import numpy as np
    from comfy_api.latest import Input

    Array = np.ndarray[Any, np.dtype[Any]]

Returned = TypeVar("Returned")

NODE_ID_PREFIX = "APIMall_"
LINKED_INPUT = "_linked"
OUTPUT_SLOTS = 6  # of every node of this pack
STATE_FOLDER_NAME = "apimall_video"
RESULTS_FOLDER_NAME = "apimall"
STATUS_TEXT_CHARACTERS = 600
NODE_EVENT = "apimallvideo.node"
QUEUED_EVENT = "apimallvideo.queued"
DAILY_LIMIT_SETTING = "apimallvideo.Limits.DailyCredits"
PROMPT_LIMIT_SETTING = "apimallvideo.Limits.PromptCredits"
WORKFLOW_SETTING = "apimallvideo.Clips.Workflow"
UNREADABLE = object()
SETTINGS_TRIES = 5
SAME_LENGTH_SECONDS = 0.001
SAVED_CRF = 16
LARGEST_RATE_DENOMINATOR = 1001
SETTINGS_PAUSE_SECONDS = 0.05


_READERS_OF_FILES = tuple(
    getattr(InputImpl, name) for name in ("VideoFromFile", "VideoFromList") if hasattr(InputImpl, name)
)


class WaitEnded(RuntimeError):
    """ComfyUI gave up waiting for a node of ours, most often because another node of the same prompt failed."""


def state_folder() -> Path:
    """Where the journal and the key file live: `user/__apimall_video`, which ComfyUI never serves. Created private.

    Raises SetupError where it cannot be.
    """
    if hasattr(folder_paths, "get_system_user_directory"):
        folder = Path(folder_paths.get_system_user_directory(STATE_FOLDER_NAME))
    else:  # before 0.3.75: the same place by hand
        folder = Path(folder_paths.get_user_directory()) / f"__{STATE_FOLDER_NAME}"
    return created(folder, mode=0o700)


def created(folder: Path, mode: int = 0o777) -> Path:
    """The folder, made where it is not there. Raises SetupError."""
    try:
        folder.mkdir(mode=mode, parents=True, exist_ok=True)
    except OSError as refusal:
        raise SetupError(
            remark(Trouble.FOLDER_NOT_MADE, folder=str(folder), reason=str(refusal.strerror)),
            advice=remark(Trouble.CHECK_WHAT_LIES_THERE),
        ) from None
    return folder


def keeps_users_apart() -> bool:
    """Whether ComfyUI runs with --multi-user: settings for each, and one of everything else."""
    from comfy.cli_args import args

    return bool(getattr(args, "multi_user", False))


def input_folder() -> Path:
    return Path(folder_paths.get_input_directory())


def output_folder() -> Path:
    return Path(folder_paths.get_output_directory())


def temp_folder() -> Path:
    return Path(folder_paths.get_temp_directory())


def results_folder() -> Path:
    """`output/apimall`, created. Raises SetupError."""
    return created(output_folder() / RESULTS_FOLDER_NAME)


def daily_limit() -> float:
    """The credits a day that the user allows, from ComfyUI's own settings; 0 for any number. Raises SetupError."""
    return _limit(DAILY_LIMIT_SETTING)


def prompt_limit() -> float:
    """The credits a prompt that the user allows; as `daily_limit`."""
    return _limit(PROMPT_LIMIT_SETTING)


def clips_hold_workflows() -> bool:
    """Whether a clip may hold the workflow that made it: if neither the start of ComfyUI nor its settings say no.

    With --multi-user it may not, since nobody can tell whose settings count.
    """
    from comfy.cli_args import args

    if args.disable_metadata or keeps_users_apart():
        return False
    return _setting(WORKFLOW_SETTING, True) is True


def _limit(setting: str) -> float:
    """A number of credits from ComfyUI's own settings; 0 for any.

    Raises SetupError when a limit may be set and cannot be read. With --multi-user, nodes do not learn whose prompt
    they run, and no limit is known.
    """
    limit = _setting(setting, 0.0) or 0.0
    if isinstance(limit, (int, float)) and 0 <= limit < float("inf"):
        return float(limit)
    raise SetupError(remark(Trouble.LIMIT_UNREADABLE), advice=remark(Trouble.SET_LIMIT_AGAIN))


def _setting(name: str, default: object) -> object:
    """One of ComfyUI's own settings; `default` if it was never touched, `UNREADABLE` if that cannot be known."""
    path = Path(folder_paths.get_user_directory()) / "default" / "comfy.settings.json"
    for _ in range(SETTINGS_TRIES):
        try:
            found: object = json.loads(path.read_text(encoding="utf-8")).get(name, default)
            return found
        except FileNotFoundError:
            return default
        except (OSError, ValueError, AttributeError):  # ComfyUI writes the file in place: half of it may be there
            time.sleep(SETTINGS_PAUSE_SECONDS)
    return UNREADABLE


def input_videos() -> list[str]:
    """Names of the videos in the input folder, sorted, as the upload button of a video widget expects them."""
    folder = input_folder()
    if not folder.is_dir():
        return []
    files = [entry for entry in folder.iterdir() if entry.is_file()]
    known = set(folder_paths.filter_files_content_types([file.name for file in files], ["video"]))
    return sorted(file.name for file in files if file.name in known or is_clip(file))


def input_file(name: str) -> Path:
    """The real path of the file that a widget names: `clip.mp4`, `sub/clip.mp4 [output]`.

    Raises InputError if it is not a file inside ComfyUI's input, output or temp folder. ComfyUI itself checks this
    only since 0.27, and not through symbolic links.
    """
    try:
        return find_media(name, {"input": input_folder(), "output": output_folder(), "temp": temp_folder()})
    except PathForbidden as refused:
        raise InputError(refused.what) from None


def _folder_of(path: Path) -> tuple[io.FolderType, Path] | None:
    """Which of ComfyUI's three folders a resolved path lies in, and the path within it."""
    for kind, folder in (
        (io.FolderType.output, output_folder()),
        (io.FolderType.temp, temp_folder()),
        (io.FolderType.input, input_folder()),
    ):
        inside = folder.resolve()
        if path != inside and path.is_relative_to(inside):
            return kind, path.relative_to(inside)
    return None


# One renderer sets the text as HTML, another as markdown, a third as it is: what is markup in any of them is replaced
# by what looks alike, since an entity or a backslash would be seen in the others.
_LOOK_ALIKES = str.maketrans({"<": "\u2039", ">": "\u203a", '"': "\u201d", "[": "(", "]": ")", "*": "\u2022", "`": "'"})


def plain(text: str) -> str:
    """`text` with nothing left in it that any front end renders as markup, cut to a node's body. Newlines stay.

    Nor anything that is not seen: control characters, marks of direction, halves of characters.
    """
    head = text[: STATUS_TEXT_CHARACTERS * 4]
    text = "".join(each for each in head.translate(_LOOK_ALIKES) if each == "\n" or is_seen(each)).strip()
    return text if len(text) <= STATUS_TEXT_CHARACTERS else text[: STATUS_TEXT_CHARACTERS - 3] + "..."


def client_id() -> str | None:
    """The browser that queued the prompt which runs now; None where none did."""
    client = getattr(getattr(PromptServer, "instance", None), "client_id", None)
    return client if isinstance(client, str) else None


def show_text(node_id: str, text: str) -> None:
    """Show `text` on a node, by its `shown_id`, in the browser that queued the prompt and in no other.

    Without such a browser nothing happens.
    """
    server = getattr(PromptServer, "instance", None)
    client = getattr(server, "client_id", None)
    # Without a client the text would go to every browser: another user's included.
    if server is not None and client is not None:
        # Where the text is read as markdown, a line ends only after two blanks; elsewhere nobody sees them.
        server.send_progress_text(plain(text).replace("\n", "  \n"), node_id, client)


def send_facts(facts: Mapping[str, Any]) -> None:
    """Send facts about a node to the browser that queued the prompt, and to no other."""
    server = getattr(PromptServer, "instance", None)
    client = getattr(server, "client_id", None)
    if server is not None and client is not None:
        server.send_sync(NODE_EVENT, dict(facts), client)


def send_queued(client: object, nodes: Mapping[str, str]) -> None:
    """Tell a browser which nodes of ours the prompt runs that it queues now, with a sign of all that each is given."""
    server = getattr(PromptServer, "instance", None)
    if server is not None and isinstance(client, str):
        server.send_sync(QUEUED_EVENT, {"nodes": dict(nodes)}, client)


def prompt_id() -> str:
    """The run that is going on here; "" outside of one."""
    context = get_executing_context()
    return "" if context is None else str(context.prompt_id)


def workflow_id(extra_pnginfo: object) -> str | None:
    """Which workflow of the browser a run belongs to; None where no browser queued it."""
    workflow = extra_pnginfo.get("workflow") if isinstance(extra_pnginfo, dict) else None
    found = workflow.get("id") if isinstance(workflow, dict) else None
    return found if isinstance(found, str) else None


def workflow_texts(hidden: Any) -> tuple[str, str | None]:
    """The prompt of the running node (its `cls.hidden`) and the workflow it was queued from, None without; as JSON.

    The prompt is the one that was queued, whatever loops made of it since, without what we wrote into it.
    """
    prompt = {node_id: _as_queued(node) for node_id, node in (hidden.prompt or {}).items()}
    workflow = hidden.extra_pnginfo.get("workflow") if isinstance(hidden.extra_pnginfo, dict) else None
    return json.dumps(prompt), json.dumps(workflow) if isinstance(workflow, dict) else None


def _as_queued(node: Any) -> Any:
    if not (isinstance(node, dict) and str(node.get("class_type")).startswith(NODE_ID_PREFIX)):
        return node
    return {**node, "inputs": {name: value for name, value in node["inputs"].items() if not name.startswith("_")}}


def show_progress(node_id: str, value: float, maximum: float) -> None:
    """Move the node's progress bar to `value` of `maximum`. ComfyUI finds the node on the canvas itself."""
    get_progress_state().update_progress(node_id, value, maximum, None)


def preview(path: Path) -> ui.PreviewVideo | None:
    """The player on the node for a file in ComfyUI's output, temp or input folder; None for any other file."""
    found = _folder_of(path.resolve())
    if found is None:
        return None
    kind, inside = found
    subfolder = inside.parent.as_posix()
    return ui.PreviewVideo([ui.SavedResult(inside.name, "" if subfolder == "." else subfolder, kind)])


def interrupted() -> bool:
    """Has the user asked for a stop? Only looks: ComfyUI's own check also clears the flag, for every other node."""
    return bool(model_management.processing_interrupted())


def interrupt_exception() -> BaseException:
    """What to raise to end a prompt quietly. An Exception on old hosts, no more than a BaseException on new ones."""
    exception: BaseException = model_management.InterruptProcessingException()
    return exception


def shielded(
    execute: Callable[..., Coroutine[Any, Any, Returned]],
) -> Callable[..., Coroutine[Any, Any, Returned]]:
    """Decorator for `execute`: a CancelledError becomes a WaitEnded, since one that escapes stops ComfyUI's queue."""

    @functools.wraps(execute)
    async def run(*args: Any, **kwargs: Any) -> Returned:
        try:
            return await execute(*args, **kwargs)
        except asyncio.CancelledError:
            ended = WaitEnded(
                "ComfyUI stopped waiting for this node. A job that was sent goes on: queue the same prompt again "
                "to collect it, at no further cost."
            )
            _keep_out_of_the_log(ended)
            raise ended from None

    return run


def _keep_out_of_the_log(ended: WaitEnded) -> None:
    # When a prompt is torn down nobody asks for the result of its other nodes, and asyncio would log ours, with a
    # traceback, as an exception that was never retrieved. The loop belongs to this prompt alone.
    loop = asyncio.get_running_loop()
    before = loop.get_exception_handler()

    def handler(running: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if context.get("exception") is ended:
            return
        if before is None:
            running.default_exception_handler(context)
        else:
            before(running, context)

    loop.set_exception_handler(handler)


def watch_links() -> None:
    """Have every queued prompt say, in each node of ours, which of its outputs are linked.

    ComfyUI reuses a node's cached outputs when a link is added, so an output that was skipped would arrive as None.
    An undeclared input is part of the cache key and is not passed to `execute`: writing the links into one makes the
    node run again when they change. Safe to call more than once.
    """
    on_prompt(_write_links)


def on_prompt(handler: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Have `handler` see, and change, every prompt that is queued; once, however often it is asked for."""
    server = getattr(PromptServer, "instance", None)
    if server is not None and handler not in server.on_prompt_handlers:
        server.add_on_prompt_handler(handler)


def undeclared(hidden: Any, name: str) -> object:
    """An input of the running node (its `cls.hidden`) that its schema does not have; None when it was not written."""
    return hidden.dynprompt.get_node(hidden.unique_id)["inputs"].get(name)


def _write_links(json_data: dict[str, Any]) -> dict[str, Any]:
    prompt = json_data.get("prompt")
    if not isinstance(prompt, dict):
        return json_data
    links = _links(prompt)
    for node_id, node in prompt.items():
        if isinstance(node, dict) and str(node.get("class_type")).startswith(NODE_ID_PREFIX):
            inputs = node.get("inputs")
            if isinstance(inputs, dict):
                inputs[LINKED_INPUT] = ",".join(str(slot) for slot in sorted(links.get(node_id, ())))
    return json_data


def _links(prompt: Mapping[str, Any]) -> dict[str, set[int]]:
    """Linked output slots by node id. Node ids are opaque strings; anything malformed is left to ComfyUI to refuse."""
    links: dict[str, set[int]] = {}
    for node in prompt.values():
        for source, slot in _linked(node):
            if isinstance(slot, (int, float)) and slot == slot and abs(slot) < OUTPUT_SLOTS * 100:
                links.setdefault(source, set()).add(int(slot))
    return links


def _linked(node: object) -> list[list[Any]]:
    inputs = node.get("inputs") if isinstance(node, dict) else None
    return [value for value in inputs.values() if _is_link(value)] if isinstance(inputs, dict) else []


def running(json_data: Mapping[str, Any]) -> dict[str, Any]:
    """The nodes that a queued prompt runs, by id: all, or its targets and what these need."""
    prompt, targets = json_data.get("prompt"), json_data.get("partial_execution_targets")
    if not isinstance(prompt, dict) or not isinstance(targets, list):
        return prompt if isinstance(prompt, dict) else {}
    return needed(prompt, [target for target in targets if isinstance(target, str)])


def needed(prompt: Mapping[str, Any], node_ids: Iterable[str]) -> dict[str, Any]:
    """These nodes of a prompt, and those that they need."""
    found: dict[str, Any] = {}
    ahead = list(node_ids)
    while ahead:
        node_id = ahead.pop()
        if node_id in prompt and node_id not in found:
            found[node_id] = prompt[node_id]
            ahead += [source for source, _ in _linked(prompt[node_id])]
    return found


def _is_link(value: object) -> TypeGuard[list[Any]]:
    return isinstance(value, list) and len(value) == 2 and isinstance(value[0], str)


def linked_outputs(hidden: Any) -> frozenset[int]:
    """The slots of the running node (its `cls.hidden`) that something takes its input from.

    A loop runs copies of a node, under ids that no canvas has: a copy brings along what was linked to the node when
    the prompt was queued, and has links of its own. All slots when that cannot be known: another node made this one
    anew, or the prompt was queued past `watch_links`, so that a link added later would not make the node run again.
    """
    graph, node_id = hidden.dynprompt, hidden.unique_id
    noted = undeclared(hidden, LINKED_INPUT)
    if not isinstance(noted, str):
        return frozenset(range(OUTPUT_SLOTS))
    now = _links({each: graph.get_node(each) for each in graph.all_node_ids()})
    return frozenset(int(slot) for slot in noted.split(",") if slot.isdecimal()) | now.get(node_id, set())


def written_inputs(hidden: Any) -> dict[str, Any]:
    """The inputs of the running node (its `cls.hidden`) as its fingerprint is told them: linked ones are None."""
    inputs = hidden.dynprompt.get_node(hidden.unique_id)["inputs"]
    return {name: None if _is_link(value) else value for name, value in inputs.items() if not name.startswith("_")}


def shown_id(hidden: Any) -> str:
    """The node on the user's canvas that the running node (its `cls.hidden`) stands for: texts go there."""
    return str(hidden.dynprompt.get_display_node_id(hidden.unique_id))


class _Sound(Protocol):
    @property
    def samples(self) -> Array: ...
    @property
    def sample_rate(self) -> int: ...


def as_image(pixels: Array) -> torch.Tensor:
    """An IMAGE over `pixels`, float32 [frames, height, width, 3] in 0..1. The memory is shared, not copied."""
    return torch.from_numpy(pixels)


def as_audio(sound: _Sound) -> dict[str, Any]:
    """An AUDIO over `sound.samples`, float32 [1, channels, samples]. The memory is shared, not copied."""
    return {"waveform": torch.from_numpy(sound.samples), "sample_rate": int(sound.sample_rate)}


def as_video(path: Path) -> Input.Video:
    """A VIDEO over a file: nothing is read until somebody asks, and saving it copies the stream."""
    return InputImpl.VideoFromFile(str(path))


def blocked() -> ExecutionBlocker:
    """An output that has no value today: its consumers are skipped, without an error."""
    return ExecutionBlocker(None)


@dataclass(frozen=True)
class StoredSpan:
    """Part of a video file on disk: from `start_seconds` on, for `seconds`, or to the end where that is 0."""

    path: Path
    start_seconds: float = 0.0
    seconds: float = 0.0


@dataclass(frozen=True)
class VideoParts:
    """A VIDEO, decoded: `pictures` are float32 [height, width, 3] in 0..1, views of one tensor, in order.

    `samples` are float32 [1, channels, samples] and None without a sound track.
    """

    pictures: Sequence[Array]
    fps: Fraction
    samples: Array | None
    sample_rate: int


def own_copy(video: Input.Video) -> Input.Video:
    """The same VIDEO, read by nobody else; to be made on the prompt's thread, and then used on any.

    A file in memory has one position for all its readers, and ComfyUI's nodes read theirs while ours wait.
    """
    if type(video) not in _READERS_OF_FILES:
        return video
    try:
        return copy.deepcopy(video)
    except Exception:  # noqa: BLE001 - over an open file, or whatever else another pack put into it
        return video


def stored_span(video: Input.Video) -> StoredSpan | None:
    """The file, wherever it lies, that a VIDEO shows as it is, the whole of it or from one second to another.

    None if it is in memory, or if the VIDEO changes what the file shows. Raises InputError if the file is gone.
    """
    source = _source(video)
    if not isinstance(source, (str, os.PathLike)):
        return None
    path = Path(source)
    if not path.is_file():
        raise InputError(remark(Trouble.LINKED_FILE_GONE, file=path.name), advice=remark(Trouble.MAKE_IT_AGAIN))
    window = _shown_window(video, InputImpl.VideoFromFile(str(path)))
    return None if window is None else StoredSpan(path.resolve(), *window)


def stored_bytes(video: Input.Video) -> bytes | None:
    """The file that a VIDEO holds in memory, if it shows all of it as it is."""
    source = _source(video)
    if not isinstance(source, streams.BytesIO):
        return None
    data = source.getvalue()
    return data if _shown_window(video, InputImpl.VideoFromFile(streams.BytesIO(data))) == (0.0, 0.0) else None


def _source(video: Input.Video) -> str | os.PathLike[str] | streams.BytesIO | None:
    # A subclass may change the pictures on the way, and the base class's own answer is to encode them all.
    return video.get_stream_source() if type(video) is InputImpl.VideoFromFile else None


def _shown_window(video: Any, whole: Any) -> tuple[float, float] | None:
    """Start and length in seconds of the part that `video` shows of the file that `whole` shows all of.

    (0, 0) is all of it. None if `video` shows anything else than a part in time. Asks public methods only: what a
    VIDEO may do to its file grows with every ComfyUI, and under what names it remembers that is its own affair.
    """
    if hasattr(video, "has_pending_frame_edits") and video.has_pending_frame_edits():
        return None
    start, seconds = video.get_active_trim_window() if hasattr(video, "get_active_trim_window") else (0.0, 0.0)
    shown, all_of_it = _size_and_length(video), _size_and_length(whole)
    if all_of_it is None:  # no clip, as far as ComfyUI can tell: whoever reads it next says what it is
        return float(start), float(seconds)
    if shown is None or shown[0] != all_of_it[0]:
        return None
    rest = all_of_it[1] - start
    expected = min(seconds, rest) if seconds else rest
    return (float(start), float(seconds)) if abs(shown[1] - expected) < SAME_LENGTH_SECONDS else None


def _size_and_length(video: Any) -> tuple[tuple[int, int], float] | None:
    try:
        return tuple(video.get_dimensions()), float(video.get_duration())
    except Exception:  # noqa: BLE001 - whatever ComfyUI's reader raises about a file that is no clip
        return None


def require_video(video: object) -> None:
    """Raises InputError for what comes out of an output that says VIDEO and is nothing that ComfyUI could save."""
    if not callable(getattr(video, "save_to", None)):
        raise InputError(
            remark(Trouble.NO_VIDEO_OBJECT, kind=type(video).__name__), advice=remark(Trouble.SAVE_AND_LOAD)
        )


def frames_of(video: Input.Video) -> VideoParts | None:
    """Pictures, frame rate and sound of a VIDEO that is made of nothing else; they are there, nothing is decoded.

    Raises InputError for a rate or a sound that is none.
    """
    if type(video) is not InputImpl.VideoFromComponents:
        return None
    parts = video.get_components()
    samples, sample_rate = _sound_of(parts.audio)
    return VideoParts(
        pictures=[picture.numpy() for picture in parts.images.detach().cpu().float()],
        fps=_usual_rate(parts.frame_rate),
        samples=samples,
        sample_rate=sample_rate,
    )


def _usual_rate(rate: Any) -> Fraction:
    """A rate that a file can have: what was a float before (23.976) has a denominator that no file can."""
    try:
        usual = Fraction(rate).limit_denominator(LARGEST_RATE_DENOMINATOR)
    except (ValueError, OverflowError, TypeError):
        usual = Fraction(0)
    if usual <= 0:
        raise InputError(remark(Trouble.LINKED_RATE, rate=str(rate)), advice=remark(Trouble.RATE_ABOVE_ZERO))
    return usual


def _sound_of(audio: Any) -> tuple[Array | None, int]:
    """Samples [1, channels, samples] and rate of an AUDIO: of a batch the first, as ComfyUI itself saves it."""
    if audio is None:
        return None, 0
    try:
        samples, rate = audio["waveform"].detach().cpu().float().numpy(), int(audio["sample_rate"])
    except (TypeError, KeyError, AttributeError, ValueError):
        samples, rate = None, 0
    if samples is None or samples.ndim not in (2, 3) or 0 in samples.shape[:-1]:
        raise InputError(remark(Trouble.NO_AUDIO_OBJECT), advice=remark(Trouble.LOOK_AT_SOUND))
    return (samples[:1] if samples.ndim == 3 else samples[None]), rate


def save_video(video: Input.Video, path: Path) -> None:
    """Have a VIDEO write what it shows to an MP4, by its own means. Raises InputError when it cannot."""
    # What has to be encoded anyway is encoded well; for others a quality would forbid to copy packets.
    source = _source(video)
    quality = supported(video.save_to, crf=SAVED_CRF) if source is not None else {}
    try:
        video.save_to(str(path), **quality)
    except model_management.InterruptProcessingException:  # an Exception on old hosts
        raise
    except Exception as problem:  # noqa: BLE001 - the code of whatever pack made it
        raise InputError(
            remark(Trouble.NOT_SAVED_BY_MAKER, kind=type(problem).__name__, problem=str(problem)),
            advice=remark(Trouble.USE_SAVE_VIDEO),
        ) from None
    if not path.is_file():
        raise InputError(remark(Trouble.NOTHING_SAVED_BY_MAKER), advice=remark(Trouble.USE_SAVE_VIDEO))


def supported(callee: Callable[..., Any], **keywords: Any) -> dict[str, Any]:
    """Those of `keywords` that this ComfyUI's `callee` knows.

    For what came after 0.3.64 (`io.Schema(search_aliases=...)`, `io.Int.Input(advanced=...)`): one unknown keyword
    in one schema makes ComfyUI leave out the whole pack.
    """
    known = _parameters(callee)
    return {name: value for name, value in keywords.items() if name in known}


@functools.lru_cache(maxsize=64)
def _parameters(callee: Callable[..., Any]) -> frozenset[str]:
    return frozenset(inspect.signature(callee).parameters)
