"""The nodes' public face: ids, order, types and defaults are stored in users' workflows and never change."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

import pytest
from comfy_api.latest import io

from nodes.comfyui import host
from nodes.comfyui.outputs import Output
from nodes.load_video import LoadVideo
from tests.support.node_files import OUR_NODES, Comfy

NODES = OUR_NODES
IDS = [node.GET_SCHEMA().node_id for node in NODES]

Entry = tuple[Any, ...]

SETTINGS: list[Entry] = [
    ("model", "COMBO", "wan2-6", ["wan2-6"]),
    ("duration", "COMBO", "5", ["5", "10", "15"]),
    ("resolution", "COMBO", "720p", ["720p", "1080p"]),
    ("take", "INT", 0, 0, 2147483647),
    ("wait", "BOOLEAN", True),
]
CLIP_OUTPUTS = [
    ("video", "VIDEO"),
    ("frames", "IMAGE"),
    ("last_frame", "IMAGE"),
    ("audio", "AUDIO"),
    ("task_id", "STRING"),
    ("video_url", "STRING"),
]

# Stored by position in users' workflows: a new input is appended at the end of its list; nothing else may ever change.
INPUTS: dict[str, list[Entry]] = {
    "APIMall_TextToVideo": [("prompt", "STRING", "", "multiline"), *SETTINGS],
    "APIMall_ImageToVideo": [
        ("prompt", "STRING", "", "multiline"),
        ("image", "IMAGE", "optional"),
        ("image_urls", "STRING", "", "multiline"),
        *SETTINGS,
    ],
    "APIMall_VideoToVideo": [
        ("prompt", "STRING", "", "multiline"),
        ("video", "VIDEO", "optional"),
        ("video_url", "STRING", ""),
        SETTINGS[0],
        ("duration", "COMBO", "5", ["5", "10"]),
        *SETTINGS[2:],
    ],
    "APIMall_PollResult": [("task_id", "STRING", ""), ("wait", "BOOLEAN", True)],
    "APIMall_LoadVideo": [
        ("file", "COMBO", "", [""]),
        ("url", "STRING", ""),
        ("video", "VIDEO", "optional"),
        ("start", "FLOAT", 0.0, 0.0, 86_400.0),
        ("every_nth", "INT", 1, 1, 1000),
        ("max_frames", "INT", 0, 0, 1_000_000),
        ("max_side", "INT", 0, 0, 16_384),
        ("fps", "FLOAT", 0.0, 0.0, 240.0),
    ],
}
OUTPUTS = {
    **dict.fromkeys(IDS[:4], CLIP_OUTPUTS),
    "APIMall_LoadVideo": [*CLIP_OUTPUTS[:4], ("fps", "FLOAT"), ("frame_count", "INT")],
}
DISPLAY_NAMES = {
    "APIMall_TextToVideo": "Text to Video (API Mall)",
    "APIMall_ImageToVideo": "Image to Video (API Mall)",
    "APIMall_VideoToVideo": "Video to Video (API Mall)",
    "APIMall_PollResult": "Poll Result (API Mall)",
    "APIMall_LoadVideo": "Load Video (API Mall)",
}


def described(entry: Any) -> Entry:
    """An input as the tables above write it."""
    facts: list[Any] = [entry.id, entry.io_type]
    if entry.optional:
        facts.append("optional")
    if hasattr(entry, "default"):
        facts.append(entry.default)
    if entry.io_type == "COMBO":
        facts.append(entry.options)
    if entry.io_type in ("INT", "FLOAT"):
        facts += [entry.min, entry.max]
    if getattr(entry, "multiline", False):
        facts.append("multiline")
    return tuple(facts)


def test_load_video_begins_with_the_first_video_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "input_videos", lambda: ["a.mp4", "b.mp4"])
    assert described(LoadVideo.GET_SCHEMA().inputs[0]) == ("file", "COMBO", "a.mp4", ["a.mp4", "b.mp4"])


def test_there_are_five_nodes() -> None:
    assert {node.GET_SCHEMA().node_id: node.GET_SCHEMA().display_name for node in NODES} == DISPLAY_NAMES


@pytest.mark.parametrize("node", NODES, ids=IDS)
def test_inputs_keep_their_ids_order_types_and_defaults(
    node: type[io.ComfyNode], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host, "input_videos", list)
    schema = node.GET_SCHEMA()
    assert [described(entry) for entry in schema.inputs] == INPUTS[schema.node_id]


@pytest.mark.parametrize("node", NODES, ids=IDS)
def test_outputs_keep_their_names_order_and_types(node: type[io.ComfyNode]) -> None:
    schema = node.GET_SCHEMA()
    found = [(entry.display_name, entry.io_type) for entry in schema.outputs]
    assert found == OUTPUTS[schema.node_id]
    # 0.3.64 refuses a schema in which an output has the id of an input.
    assert all(entry.id is None and not entry.is_output_list for entry in schema.outputs)


@pytest.mark.parametrize("node", NODES, ids=IDS)
def test_everything_has_a_tooltip(node: type[io.ComfyNode]) -> None:
    schema = node.GET_SCHEMA()
    assert schema.description
    assert all(entry.tooltip for entry in schema.inputs)
    assert all(entry.tooltip for entry in schema.outputs)


@pytest.mark.parametrize("node", NODES, ids=IDS)
def test_a_node_is_nobodys_partner_node_and_has_the_hidden_inputs_it_needs(node: type[io.ComfyNode]) -> None:
    schema = node.GET_SCHEMA()
    assert schema.category == "API Mall"
    # With is_api_node ComfyUI would hand us the user's Comfy account token.
    assert not schema.is_api_node and not schema.is_deprecated and not schema.is_experimental
    assert {io.Hidden.unique_id, io.Hidden.dynprompt, io.Hidden.prompt, io.Hidden.extra_pnginfo} == set(schema.hidden)


@pytest.mark.parametrize("node", NODES, ids=IDS)
def test_what_generates_or_collects_runs_alone_and_what_only_loads_does_not(node: type[io.ComfyNode]) -> None:
    # Without an output node ComfyUI refuses a prompt; what is one runs on every queue, whoever asks for its outputs.
    assert node.GET_SCHEMA().is_output_node == (node is not LoadVideo)


@pytest.mark.parametrize("node", NODES, ids=IDS)
def test_missing_node_finders_see_the_class(node: type[io.ComfyNode]) -> None:
    # They read the source: a direct base named ComfyNode, and a literal node_id in its own define_schema.
    assert node.__bases__ == (io.ComfyNode,)
    assert f'node_id="{node.GET_SCHEMA().node_id}"' in inspect.getsource(node)


def test_slots_are_numbered_as_the_outputs_are() -> None:
    assert [output.name.lower() for output in Output] == [name for name, _ in CLIP_OUTPUTS]


@pytest.mark.parametrize("node", NODES, ids=IDS)
def test_fingerprints_never_raise(comfy: Comfy, node: Any) -> None:
    # One that raised would make its node run on every queue.
    anything: tuple[Any, ...] = (
        "",
        "(none)",
        "gone.mp4",
        "../../etc/passwd",
        "a\0b",
        "x" * 5000,
        "\ud800",
        None,
        7,
        ["1", 0],
        {},
        0.5,
    )
    for value in anything:
        for inputs in ({}, {entry.id: value for entry in node.GET_SCHEMA().inputs}):
            told = node.fingerprint_inputs(**inputs)
            assert isinstance(asyncio.run(told) if inspect.iscoroutine(told) else told, str)
