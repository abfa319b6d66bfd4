"""The help page of each node: there, and speaking of what the node has."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from comfy_api.latest import io

from tests.support.node_files import OUR_NODES

FOLDER = Path(__file__).parents[2] / "web" / "docs"
NODES = OUR_NODES


@pytest.fixture(params=NODES, ids=lambda node: node.GET_SCHEMA().node_id)
def node(request: pytest.FixtureRequest) -> type[io.ComfyNode]:
    found: type[io.ComfyNode] = request.param
    return found


def page_of(node: type[io.ComfyNode]) -> str:
    return (FOLDER / f"{node.GET_SCHEMA().node_id}.md").read_text(encoding="utf-8")


def test_every_input_and_output_is_explained_in_order(node: type[io.ComfyNode]) -> None:
    schema = node.GET_SCHEMA()
    rows = re.findall(r"^\| `(\w+)` \| .{10,} \|$", page_of(node), re.MULTILINE)
    assert rows == [entry.id for entry in schema.inputs] + [entry.display_name for entry in schema.outputs]


def test_cost_failure_and_an_example_are_told(node: type[io.ComfyNode]) -> None:
    headings = re.findall(r"^## (.+)$", page_of(node), re.MULTILINE)
    assert {"What it costs", "When something goes wrong", "Example"} <= set(headings)


def test_an_upload_is_said_to_be_public() -> None:
    uploading = {"APIMall_ImageToVideo", "APIMall_VideoToVideo"}
    telling = {
        path.stem for path in FOLDER.glob("*.md") if "**anybody who knows it can open**" in path.read_text("utf-8")
    }
    assert telling == uploading


def test_a_page_is_short_and_leads_nowhere_else(node: type[io.ComfyNode]) -> None:
    page = page_of(node)
    assert len(page.split()) < 800
    assert "](" not in page and "<" not in page
