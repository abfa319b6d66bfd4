"""The blueprints: subgraphs that ComfyUI offers in its node library, agreeing with the nodes' schemas."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.node_files import OUR_NODES

FOLDER = Path(__file__).parents[2] / "subgraphs"
SCHEMAS = {node.GET_SCHEMA().node_id: node.GET_SCHEMA() for node in OUR_NODES}
BORDERS = (-10, -20)
"""Ids of the two nodes that stand for a subgraph's own inputs and outputs."""

Json = dict[str, Any]


@pytest.fixture(params=sorted(FOLDER.glob("*.json")), ids=lambda path: path.stem.replace(" ", "-"))
def blueprint(request: pytest.FixtureRequest) -> Json:
    found: Json = json.loads(request.param.read_text(encoding="ascii"))
    found["file"] = request.param.stem
    return found


def test_there_is_one_to_go_on_with_a_clip_and_one_for_a_list_of_shots() -> None:
    assert sorted(path.stem for path in FOLDER.glob("*.json")) == ["A list of shots", "Continue this clip"]


def test_it_is_one_closed_subgraph_of_the_name_of_its_file(blueprint: Json) -> None:
    (outer,), (inner,) = blueprint["nodes"], blueprint["definitions"]["subgraphs"]
    assert outer["type"] == inner["id"]
    assert outer["title"] == inner["name"] == blueprint["file"]
    assert inner["category"] == "API Mall" and "credits" in inner["description"]
    ids = [outer["id"], *(node["id"] for node in inner["nodes"])]
    assert len(set(ids)) == len(ids), "front ends warn of numbers that occur twice"


def test_what_can_be_chosen_is_seen_without_opening_it(blueprint: Json) -> None:
    (outer,), (inner,) = blueprint["nodes"], blueprint["definitions"]["subgraphs"]
    assert [entry["name"] for entry in outer["inputs"]] == [entry["name"] for entry in inner["inputs"]]
    assert [entry["name"] for entry in outer["outputs"]] == [entry["name"] for entry in inner["outputs"]]
    promoted = [entry["name"] for entry in outer["inputs"] if "widget" in entry]
    assert outer["properties"]["proxyWidgets"] == [["-1", name] for name in promoted]
    assert len(outer["widgets_values"]) == len(promoted)
    assert {"duration", "resolution", "take"} < set(promoted)


def test_our_nodes_in_it_are_saved_with_all_their_inputs_and_outputs(blueprint: Json) -> None:
    (inner,) = blueprint["definitions"]["subgraphs"]
    for node in inner["nodes"]:
        schema = SCHEMAS.get(node["type"])
        if schema is None:
            assert node["properties"]["cnr_id"] == "comfy-core"
            continue
        assert {entry["name"] for entry in node["inputs"]} == {entry.id for entry in schema.inputs}
        assert [(entry["name"], entry["type"]) for entry in node["outputs"]] == [
            (entry.display_name, entry.io_type) for entry in schema.outputs
        ]
        widgets = [entry for entry in node["inputs"] if "widget" in entry]
        assert len(node["widgets_values"]) == len(widgets)


def test_every_link_is_known_at_both_ends_and_of_one_type(blueprint: Json) -> None:
    (inner,) = blueprint["definitions"]["subgraphs"]
    nodes = {node["id"]: node for node in inner["nodes"]}
    for link in inner["links"]:
        origin, target = link["origin_id"], link["target_id"]
        kinds = {link["type"]}
        if origin in BORDERS:
            source = inner["inputs"][link["origin_slot"]]
            assert link["id"] in source["linkIds"]
        else:
            source = nodes[origin]["outputs"][link["origin_slot"]]
            assert link["id"] in source["links"]
        if target in BORDERS:
            goal = inner["outputs"][link["target_slot"]]
            assert goal["linkIds"] == [link["id"]]
        else:
            goal = nodes[target]["inputs"][link["target_slot"]]
            assert goal["link"] == link["id"]
        assert kinds == {source["type"], goal["type"]}
