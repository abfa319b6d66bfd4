"""What is bound when a prompt is queued, and not when its nodes come to run (rules 11 and 12 of `docs/rules.md`).

It is written into inputs that no node declares: those are part of the cache key, and passed to no `execute`. For nodes
that others make while the prompt runs (loops, macros of packs) it is remembered by the prompt's id.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..gateway.errors import APIMallError
from ..gateway.models import IMAGE_TO_VIDEO, TEXT_TO_VIDEO, VIDEO_TO_VIDEO
from ..jobs.prompts import Planned
from ..journal.errors import JournalError
from . import host, instance

BOUND_INPUT = "_bound"
OVER_LIMIT_INPUT = "_over_limit"
TAKE_OF_INPUT = "_take_of"
"""The number of a job, more takes of which were asked for in the panel."""
_REHEARSAL, _PAID = "rehearsal", "paid"
_TYPES = {
    "APIMall_TextToVideo": TEXT_TO_VIDEO,
    "APIMall_ImageToVideo": IMAGE_TO_VIDEO,
    "APIMall_VideoToVideo": VIDEO_TO_VIDEO,
}
_BOUND = (*_TYPES, "APIMall_PollResult")
_UNDECLARED = (BOUND_INPUT, OVER_LIMIT_INPUT, TAKE_OF_INPUT, host.LINKED_INPUT, "wait")
"""What says nothing of the clip that a node makes."""
_MOST_PROMPTS = 10_000
_bound_prompts: dict[str, str] = {}


@dataclass(frozen=True)
class Binding:
    """`rehearsal`: whether the prompt plays or pays, None when it was queued past us. `over_limit`: why it may not."""

    rehearsal: bool | None
    over_limit: str | None


def bind_prompts() -> None:
    """Have every queued prompt say, in each node of ours, what counts for it. Safe to call more than once."""
    host.on_prompt(_bind)


def binding(hidden: Any) -> Binding:
    """What was bound for the running node (its `cls.hidden`)."""
    bound, over_limit = (host.undeclared(hidden, name) for name in (BOUND_INPUT, OVER_LIMIT_INPUT))
    if bound is None:
        bound = _bound_prompts.get(host.prompt_id())
    known = isinstance(bound, str) and bound in (_REHEARSAL, _PAID)
    return Binding(bound == _REHEARSAL if known else None, over_limit if isinstance(over_limit, str) else None)


def _bind(json_data: dict[str, Any]) -> dict[str, Any]:
    prompt = json_data.get("prompt")
    nodes = [node for node in prompt.values() if _is_bound(node)] if isinstance(prompt, dict) else []
    for node in nodes:
        # What a workflow brings along counts for nothing.
        node["inputs"].pop(BOUND_INPUT, None)
        node["inputs"].pop(OVER_LIMIT_INPUT, None)
    runs = {node_id: node for node_id, node in host.running(json_data).items() if _is_bound(node)}
    signs = {node_id: _given(prompt or {}, node_id) for node_id in runs}
    host.send_queued(json_data.get("client_id"), signs)
    service = instance.current()
    bound = over_limit = None
    try:
        bound = _REHEARSAL if service.settings().rehearsal else _PAID
        over_limit = service.over_prompt_limit(
            [_planned(node) for node in runs.values() if node["class_type"] in _TYPES]
        )
    except (APIMallError, JournalError) as problem:
        # Each node says by itself what is wrong with the settings; nothing is paid before that.
        over_limit = str(problem)
    for node in nodes:
        node["inputs"][BOUND_INPUT] = bound or ""
        if over_limit is not None:
            node["inputs"][OVER_LIMIT_INPUT] = over_limit
    if bound is not None:
        _remember(json_data, bound)
    return json_data


def _given(prompt: Mapping[str, Any], node_id: str) -> str:
    """A sign of all that a node is given, by whatever lies before it: the same as long as nothing of that changes."""
    told = {
        each: {name: value for name, value in node["inputs"].items() if name not in _UNDECLARED}
        for each, node in host.needed(prompt, [node_id]).items()
        if isinstance(node, dict) and isinstance(node.get("inputs"), dict)
    }
    return hashlib.sha256(json.dumps(told, sort_keys=True, default=str).encode()).hexdigest()[:16]


def _remember(json_data: dict[str, Any], bound: str) -> None:
    """By the id that the client gave, or one like that which ComfyUI would give it."""
    # ComfyUI 0.3.64 takes an empty id, too: many prompts would share it.
    prompt_id = str(json_data.get("prompt_id") or uuid.uuid4())
    json_data["prompt_id"] = prompt_id
    _bound_prompts[prompt_id] = bound
    while len(_bound_prompts) > _MOST_PROMPTS:
        del _bound_prompts[next(iter(_bound_prompts))]


def _is_bound(node: object) -> bool:
    return isinstance(node, dict) and node.get("class_type") in _BOUND and isinstance(node.get("inputs"), dict)


def _planned(node: Mapping[str, Any]) -> Planned:
    """What a node will ask for, as far as its inputs are written out; what is linked is not known yet."""
    inputs, job_type = node["inputs"], _TYPES[node["class_type"]]
    model, duration, resolution, prompt = (inputs.get(name) for name in ("model", "duration", "resolution", "prompt"))
    take = inputs.get("take", 0)
    written = all(isinstance(each, str) for each in (model, duration, resolution))
    whole = written and isinstance(prompt, str) and isinstance(take, int)
    return Planned(
        job_type,
        str(model),
        str(duration),
        str(resolution),
        prompt if whole else None,
        take if whole else 0,
        written,
        media=job_type != TEXT_TO_VIDEO,
    )
