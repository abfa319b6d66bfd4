"""Saved workflows become the prompts that ComfyUI's front end would queue."""

from __future__ import annotations

from typing import Any

import pytest

from tests.host.workflows import to_prompt

INFO: dict[str, dict[str, Any]] = {
    "Shot": {
        "input": {
            "required": {
                "prompt": ["STRING", {"multiline": True}],
                "take": ["INT", {"control_after_generate": True}],
                "wait": ["BOOLEAN", {}],
            },
            "optional": {"image": ["IMAGE", {}]},
        }
    },
    "LoadImage": {"input": {"required": {"image": ["COMBO", {"image_upload": True}]}}},
}


def node(number: int, kind: str, inputs: list[dict[str, Any]], values: list[Any], mode: int = 0) -> dict[str, Any]:
    return {"id": number, "type": kind, "mode": mode, "inputs": inputs, "widgets_values": values}


def widget(name: str, kind: str = "STRING", link: int | None = None) -> dict[str, Any]:
    return {"name": name, "type": kind, "widget": {"name": name}, "link": link}


SHOT = [{"name": "image", "type": "IMAGE", "link": 1}, widget("prompt"), widget("take"), widget("wait")]
LOADED = node(4, "LoadImage", [widget("image"), widget("upload", "IMAGEUPLOAD")], ["a.png", "image"])


def test_values_find_their_widgets_and_links_their_nodes() -> None:
    shot = node(7, "Shot", SHOT, ["a boat", 3, "fixed", True])
    note = node(9, "MarkdownNote", [], ["read me"])
    prompt = to_prompt({"nodes": [LOADED, shot, note], "links": [[1, 4, 0, 7, 0, "IMAGE"]]}, INFO.get)
    assert prompt == {
        "4": {"class_type": "LoadImage", "inputs": {"image": "a.png"}},
        "7": {"class_type": "Shot", "inputs": {"prompt": "a boat", "take": 3, "wait": True, "image": ["4", 0]}},
    }


def test_a_linked_widget_takes_its_link_and_not_its_value() -> None:
    shot = node(7, "Shot", [widget("prompt", link=1), widget("take"), widget("wait")], ["unused", 3, "fixed", True])
    prompt = to_prompt({"nodes": [shot], "links": [[1, 4, 0, 7, 0, "STRING"]]}, INFO.get)
    assert prompt["7"]["inputs"]["prompt"] == ["4", 0]


@pytest.mark.parametrize("values", [["a boat", 3, "fixed"], ["a boat", 3, "fixed", True, "one too many"]])
def test_values_that_do_not_fit_the_widgets_are_an_error(values: list[Any]) -> None:
    shot = node(7, "Shot", [widget("prompt"), widget("take"), widget("wait")], values)
    with pytest.raises(ValueError, match="Shot"):
        to_prompt({"nodes": [shot], "links": []}, INFO.get)


@pytest.mark.parametrize("mode", [2, 4])
def test_a_node_that_would_not_run_is_an_error(mode: int) -> None:
    with pytest.raises(ValueError, match="muted or bypassed"):
        to_prompt({"nodes": [node(1, "LoadImage", [widget("image")], ["a.png"], mode)], "links": []}, INFO.get)
