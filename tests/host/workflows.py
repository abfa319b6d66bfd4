"""From a saved workflow (format 0.4) to the API prompt that ComfyUI's front end would make of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

_AFTER_GENERATE = ("fixed", "increment", "decrement", "randomize")
_BUTTONS = ("IMAGEUPLOAD", "VIDEOUPLOAD", "AUDIOUPLOAD")
_NEVER, _BYPASSED = 2, 4


def to_prompt(
    workflow: Mapping[str, Any], object_info: Callable[[str], Mapping[str, Any] | None]
) -> dict[str, dict[str, Any]]:
    """`object_info` gives the server's description of a node type, None for what only the front end knows (notes).

    A widget's value is found by its position among the entries of the node's `inputs` that have a `widget`. Raises
    ValueError for muted and bypassed nodes and for a number of values that does not fit.
    """
    origins = {link[0]: [str(link[1]), link[2]] for link in workflow["links"]}
    prompt = {}
    for node in workflow["nodes"]:
        info = object_info(node["type"])
        if info is None:
            continue
        if node.get("mode", 0) in (_NEVER, _BYPASSED):
            raise ValueError(f"node {node['id']} ({node['type']}) is muted or bypassed")
        inputs = _widget_values(node, info)
        for entry in node.get("inputs", []):
            if entry.get("link") is not None:
                inputs[entry["name"]] = origins[entry["link"]]
        prompt[str(node["id"])] = {"class_type": node["type"], "inputs": inputs}
    return prompt


def _widget_values(node: Mapping[str, Any], info: Mapping[str, Any]) -> dict[str, Any]:
    declared = {**info["input"].get("required", {}), **info["input"].get("optional", {})}
    values = list(node.get("widgets_values") or [])
    found = {}
    for entry in node.get("inputs", []):
        if "widget" not in entry:
            continue
        name = entry["widget"]["name"]
        if not values:
            raise ValueError(f"node {node['id']} ({node['type']}) has no value for its widget {name!r}")
        value = values.pop(0)
        if entry.get("type") not in _BUTTONS:
            found[name] = value
        options = declared.get(name, [None, {}])[1:]
        if options and options[0].get("control_after_generate") and values and values[0] in _AFTER_GENERATE:
            values.pop(0)
    if values:
        raise ValueError(f"node {node['id']} ({node['type']}) has values for no widget: {values}")
    return found
