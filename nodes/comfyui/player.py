"""What the player on Load Video shows: the part that was loaded, in a form that browsers play."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..media.errors import MediaError
from ..media.playable import is_played, write_copy
from ..media.probe import Clip, probe
from ..media.span import Span
from ..stopping import Stop
from . import host
from .linked_video import key_of, made_once

if TYPE_CHECKING:
    from comfy_api.latest import ui

_FOR = "player"


def preview(clip: Clip, span: Span, written: Path | None, stop: Stop) -> ui.PreviewVideo | None:
    """The player for a part of a clip; `written`: the file that is handed on, if one is. Raises Stopped.

    What lies where ComfyUI shows files and plays in browsers is shown itself, anything else as a small copy in the
    temp folder. If none can be made there is no player.
    """
    shown = clip if span == Span() else probe(written) if written is not None else None
    if shown is not None and is_played(shown):
        player = host.preview(shown.path)
        if player is not None:
            return player
    try:
        copy = made_once(key_of(clip.path, span, _FOR), lambda out: write_copy(clip.path, out, span, stop=stop), stop)
    except (MediaError, OSError):
        return None
    return host.preview(copy)
