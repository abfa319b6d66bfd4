"""Workflow JSON from strangers, as it passes our prompt hook: nothing breaks, and nobody else's node is touched."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from comfy_api.latest import io
from comfy_execution.graph import DynamicPrompt
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nodes.comfyui import host

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)
IDS = st.sampled_from(["1", "2", "3:4", "", "__proto__", "\ud800"])
SLOTS = st.integers() | st.floats() | st.booleans() | st.text(max_size=3) | st.none() | st.sampled_from([10**400, 2.0])
LINKS = st.tuples(IDS, SLOTS).map(list)
INPUTS = st.dictionaries(st.sampled_from(["video", "frames", "prompt", host.LINKED_INPUT]), LINKS | JSON, max_size=3)
KINDS = st.sampled_from(["APIMall_TextToVideo", "APIMall_", "SaveVideo", "", None, 7])
NODES = st.fixed_dictionaries({}, optional={"class_type": KINDS | JSON, "inputs": INPUTS | JSON, "_meta": JSON})
PROMPTS = st.fixed_dictionaries({}, optional={"prompt": st.dictionaries(IDS, NODES | JSON, max_size=4) | JSON})


def hook(prompt: dict[str, Any]) -> dict[str, Any]:
    host.watch_links()
    return host._write_links(prompt)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(PROMPTS)
def test_any_json_passes_the_prompt_hook(queued: dict[str, Any]) -> None:
    before = copy.deepcopy(queued)
    after = hook(queued)
    nodes = after.get("prompt")
    graph = DynamicPrompt(nodes if isinstance(nodes, dict) else {})
    for node_id, node in nodes.items() if isinstance(nodes, dict) else ():
        ours = isinstance(node, dict) and str(node.get("class_type")).startswith(host.NODE_ID_PREFIX)
        if ours and isinstance(node.get("inputs"), dict):
            told = node["inputs"][host.LINKED_INPUT]
            assert all(part.lstrip("-").isdigit() for part in told.split(",") if part)
            before["prompt"][node_id]["inputs"][host.LINKED_INPUT] = told
            for slot in host.linked_outputs(io.HiddenHolder(unique_id=node_id, dynprompt=graph)):
                assert isinstance(slot, int)
    assert repr(after) == repr(before)


@pytest.mark.parametrize("noted", [{}, {host.LINKED_INPUT: None}, {host.LINKED_INPUT: ["2", 0]}], ids=str)
def test_links_that_cannot_be_known_count_as_all(noted: dict[str, Any]) -> None:
    graph = DynamicPrompt({"1": {"class_type": "APIMall_TextToVideo", "inputs": noted}})
    assert host.linked_outputs(io.HiddenHolder(unique_id="1", dynprompt=graph)) == frozenset(range(host.OUTPUT_SLOTS))
