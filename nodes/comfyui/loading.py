"""Where Load Video's clip comes from, and how the part asked for is made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from comfy_api.latest import io

from ..gateway.errors import InputError
from ..guard.errors import GuardError
from ..media import webp
from ..media.decode import measure
from ..media.encode import trim_clip
from ..media.encoders import FOR_US, choose, remark_on
from ..media.errors import MediaError
from ..media.probe import Clip, probe
from ..media.span import Span
from ..remarks import Remark, Sentence, remark
from ..stopping import Stop
from ..troubles import Trouble
from . import handed_out, host, loaded_urls, player
from .checks import no_video
from .linked_video import LinkedVideo, clip_of, key_of, made_once
from .node_text import NodeText
from .outputs import Output, Part, decoded
from .waiting import before_sending, off_loop, reported

_KEPT_CRF = 10


@dataclass(frozen=True)
class Wanted:
    """What the widgets say. `file` and `url` are "" and `video` None where nothing was chosen."""

    file: str
    url: str
    video: LinkedVideo | None
    start: float
    every_nth: int
    max_frames: int
    max_side: int
    fps: float

    @property
    def span(self) -> Span:
        """The part asked for."""
        return Span(self.start, self.every_nth, self.max_frames, self.max_side, self.fps)


@dataclass(frozen=True)
class Found:
    """A clip on disk, and the part of it that is meant."""

    clip: Clip
    span: Span

    @property
    def whole(self) -> bool:
        """True when the part is all of the clip, as it is."""
        return self.span == Span()


async def fingerprint(file: str, url: str, inputs: Mapping[str, object]) -> str:
    """Changes when the file does, or what is behind the address, or when a clip that was handed out is gone. Total."""
    return f"{_state_of(file)} {await loaded_urls.changes(url)} {handed_out.losses(inputs)}"


def _state_of(file: str) -> str:
    """Name, size and time of the file; a constant for what is no file in ComfyUI's folders."""
    if not file:
        return ""
    try:
        now = host.input_file(file).stat()
    except (InputError, OSError):
        return "missing"
    return f"{file}:{now.st_size}:{now.st_mtime_ns}"


async def load(hidden: Any, wanted: Wanted) -> io.NodeOutput:
    """The outputs of Load Video: only what is linked is decoded or written."""
    node_text = NodeText(hidden)
    with reported(node_text):
        linked, asked = host.linked_outputs(hidden), loaded_urls.asked_in_this_prompt()
        with before_sending():
            output, path = await off_loop(lambda stop: _load(wanted, linked, asked, node_text, stop))
        handed_out.remember(hidden, path)
        return output


def _load(
    wanted: Wanted, linked: frozenset[int], asked: loaded_urls.Asked, node_text: NodeText, stop: Stop
) -> tuple[io.NodeOutput, Path]:
    def tell(fraction: float) -> None:
        host.show_progress(node_text.node_id, fraction, 1.0)

    try:
        found = _find(wanted, asked, tell, stop)
        path, span = found.clip.path, found.span
        plan = measure(path, span, stop=stop)
        shown = path if found.whole else _written(found, stop) if Output.VIDEO in linked else None
        part = Part(span, plan.start_seconds, plan.seconds)
        frames, last_frame, audio = decoded(path, linked, node_text.node_id, stop, part)
    except (GuardError, MediaError) as problem:
        raise InputError(problem.what) from None
    node_text.clip(found.clip, span.max_side, plan.frames, plan.fps, _remarks(found, shown))
    video = host.blocked() if shown is None else host.as_video(shown)
    ui = player.preview(found.clip, span, shown, stop)
    return io.NodeOutput(video, frames, last_frame, audio, plan.fps, plan.frames, ui=ui), shown or path


def _remarks(found: Found, shown: Path | None) -> tuple[Remark, ...]:
    written = None if shown in (None, found.clip.path) else remark_on(choose(FOR_US))
    return (*found.clip.remarks, *([remark(Sentence.PART, written=written)] if written else []))


def _find(wanted: Wanted, asked: loaded_urls.Asked, tell: Any, stop: Stop) -> Found:
    """The clip that is meant: a linked video before a url, a url before a file. Raises InputError for none."""
    if wanted.video is not None:
        return _linked_clip(wanted.video, wanted.span, stop)
    if wanted.url:
        return Found(probe(_readable(loaded_urls.kept(wanted.url, tell, stop, asked), stop)), wanted.span)
    if wanted.file:
        return Found(probe(_readable(host.input_file(wanted.file), stop)), wanted.span)
    raise no_video()


def _readable(path: Path, stop: Stop) -> Path:
    """The file, or where this PyAV cannot read its form, a temporary clip that is made of it once."""
    if not webp.needs_pillow(path):
        return path
    return made_once(key_of(path), lambda part: webp.write_clip_of(path, part, stop=stop), stop, webp.SUFFIX)


def _linked_clip(video: LinkedVideo, span: Span, stop: Stop) -> Found:
    frames = host.frames_of(video.own)
    if frames is not None:
        return Found(probe(_kept(frames, stop)), span)
    stored = clip_of(video, stop)
    clip = probe(stored.path)
    if stored.seconds:
        # A trimmed VIDEO ends early; what is asked for must end with it.
        left = stored.seconds - span.start_seconds
        if left <= 0:
            raise InputError(remark(Trouble.START_BEHIND_END, start=f"{span.start_seconds:g}"))
        span = replace(span, seconds=left)
    return Found(clip, replace(span, start_seconds=stored.start_seconds + span.start_seconds))


def _kept(frames: host.VideoParts, stop: Stop) -> Path:
    """A VIDEO that is frames in memory, as a file: encoded at high quality."""
    from .references import encode_frames, frames_digest

    def encode(part: Path) -> None:
        encode_frames(frames, part, stop, crf=_KEPT_CRF, encoders=FOR_US)

    return made_once(frames_digest(frames, stop), encode, stop)


def _written(found: Found, stop: Stop) -> Path:
    """The part as a clip of its own; made once for each file and span."""
    path, span = found.clip.path, found.span
    return made_once(key_of(path, span), lambda part: trim_clip(path, part, span, stop=stop, encoders=FOR_US), stop)
