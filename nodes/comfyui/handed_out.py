"""Whether the clips that ComfyUI's cache may still hand on are on this disk.

ComfyUI reuses a node's outputs as long as its inputs and its fingerprint stay the same, and a VIDEO is no more than a
path: without a word from us it would outlive its file. A fingerprint sees written values only (what is linked is None),
so nodes that are written alike share their losses: one too many runs again, which costs nothing.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..files import state_of
from . import host

_MOST_NODES = 10_000

_lock = threading.Lock()
_of_nodes: dict[str, _Clips] = {}


@dataclass
class _Clips:
    """What nodes of one writing have handed out: each file with its size and time, and how often one was lost."""

    files: dict[Path, tuple[int, int]] = field(default_factory=dict)
    losses: int = 0


def remember(hidden: Any, path: Path) -> None:
    """The running node (its `cls.hidden`) hands out this file."""
    seen = state_of(path)
    key = _key(host.written_inputs(hidden))
    if seen is None:
        return
    with _lock:
        clips = _of_nodes.pop(key, None) or _Clips()
        clips.files[path] = seen
        _of_nodes[key] = clips
        if len(_of_nodes) > _MOST_NODES:
            del _of_nodes[next(iter(_of_nodes))]


def losses(inputs: Mapping[str, object]) -> str:
    """For a fingerprint: changes when a file that a node with these inputs handed out is gone, or another. Total."""
    with _lock:
        clips = _of_nodes.get(_key(inputs))
        if clips is None:
            return "0"
        lost = [path for path, seen in clips.files.items() if state_of(path) != seen]
        for path in lost:
            del clips.files[path]
        clips.losses += bool(lost)
        return str(clips.losses)


def _key(inputs: Mapping[str, object]) -> str:
    written = sorted((name, repr(value)) for name, value in inputs.items() if value is not None)
    return hashlib.sha256(repr(written).encode("utf-8", "surrogatepass")).hexdigest()
