"""Workflows as a browser meets them: out of a clip, in closed subgraphs, as blueprints, of former times."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("playwright", reason="no Playwright: install tests/requirements-browser.txt")

from playwright.sync_api import expect

from tests.browser.tab import JOB_MS, Tab
from tests.host.real_host import REPOSITORY, RealHost

if TYPE_CHECKING:
    from tests.browser.conftest import OpenTab

BLUEPRINTS = sorted((REPOSITORY / "subgraphs").glob("*.json"))
SHOTS = ("a harbour at dawn", "a harbour at noon", "a harbour at night")

DROP = """async ([name, data]) => {
    const bytes = Uint8Array.from(atob(data), each => each.charCodeAt(0));
    const files = new DataTransfer();
    files.items.add(new File([bytes], name, { type: "video/mp4" }));
    const canvas = document.querySelector("#graph-canvas");
    const box = canvas.getBoundingClientRect();
    const at = { clientX: box.left + box.width / 2, clientY: box.top + box.height / 2 };
    for (const kind of ["dragenter", "dragover", "drop"])
        canvas.dispatchEvent(new DragEvent(kind, { dataTransfer: files, bubbles: true, cancelable: true, ...at }));
}"""


def knows_blueprints(host: RealHost) -> bool:
    return not host.install.version.startswith("0.3.")


def blueprint(name: str) -> Any:
    return json.loads((REPOSITORY / "subgraphs" / f"{name}.json").read_text(encoding="utf-8"))


def load(tab: Tab, workflow: Any) -> None:
    tab.run("async workflow => await app.loadGraphData(workflow)", workflow)


def test_a_clip_that_is_dropped_on_the_canvas_opens_what_made_it(host: RealHost, open_tab: OpenTab, vue: bool) -> None:
    tab = open_tab(host, vue=vue)
    prompt = f"a kite over dunes, {'vue' if vue else 'canvas'}"
    tab.text_job(prompt)
    tab.change("APIMall_TextToVideo", "take", 7)
    known = set((host.base / "output" / "apimall").glob("*.mp4"))
    tab.queue()
    tab.wait_until(lambda: len(set((host.base / "output" / "apimall").glob("*.mp4")) - known) == 1, JOB_MS)
    (clip,) = set((host.base / "output" / "apimall").glob("*.mp4")) - known
    tab.change("APIMall_TextToVideo", "take", 8)
    tab.clear()
    tab.run(DROP, [clip.name, base64.b64encode(clip.read_bytes()).decode()])
    tab.wait_until(lambda: bool(tab.run("() => app.graph.nodes.length === 2")))
    values = tab.values("APIMall_TextToVideo")
    assert (values["prompt"], values["take"]) == (prompt, 7)


@pytest.mark.parametrize("template", BLUEPRINTS, ids=lambda path: path.stem.replace(" ", "-"))
def test_a_blueprint_is_offered_and_opens_without_a_warning(
    host: RealHost, open_tab: OpenTab, vue: bool, template: Path
) -> None:
    if not knows_blueprints(host):
        pytest.skip("this ComfyUI offers no blueprints of packs")
    offered = {entry["name"] for entry in host.get("/global_subgraphs").values()}
    assert template.stem in offered
    tab = open_tab(host, vue=vue)
    warnings: list[str] = []
    tab.page.on("console", lambda said: warnings.append(said.text) if "LiteGraph" in said.text else None)
    load(tab, json.loads(template.read_text(encoding="utf-8")))
    tab.page.wait_for_timeout(1000)
    assert warnings == []
    promoted = tab.run("() => app.graph.nodes[0].widgets.map(widget => widget.name)")
    assert {"duration", "resolution", "take"} < set(promoted)


def test_a_closed_subgraph_says_what_the_node_in_it_says(
    host: RealHost, open_tab: OpenTab, vue: bool, shots: Path
) -> None:
    if not knows_blueprints(host):
        pytest.skip("this ComfyUI lacks a node of the blueprint")
    tab = open_tab(host, vue=vue)
    workflow = blueprint("A list of shots")
    workflow["nodes"][0]["pos"] = [420, 80]
    workflow["nodes"][0]["widgets_values"][:3] = [f"{shot}, {vue}" for shot in SHOTS]
    load(tab, workflow)
    line = tab.line().filter(visible=True)  # those of the nodes in it are there, and not seen
    expect(line).to_have_count(1)
    expect(line).to_contain_text("REHEARSAL", timeout=15_000)
    tab.queue()
    expect(line).to_contain_text("3 of 3", timeout=3 * JOB_MS)
    tab.shot(shots / "subgraph.png")
    line.get_by_role("button", name="Show").click()
    expect(tab.card(f"{SHOTS[2]}, {vue}")).to_be_visible(timeout=15_000)
    saved = tab.run("() => app.graph.serialize().nodes[0].widgets_values")
    assert "apimallvideo" not in json.dumps(saved) and len(saved) == len(workflow["nodes"][0]["widgets_values"])
    tab.open()
    expect(line).to_contain_text("3 of 3", timeout=15_000)


@pytest.mark.parametrize(
    ("values", "fps"),
    [
        (["(none)", "", 1, 2, 48, 640, "image"], 0),
        (["", "", 1, 2, 48, 640, "image", 16], 16),
        (["", "", 1, 2, 48, 640, None, 16], 16),
        (["", "", 1, 2, 48, 640, 16, "image"], 16),
        (["", "", 1, 2, 48, 640, 16], 16),
    ],
)
def test_load_video_of_each_former_order_opens_with_its_values(
    host: RealHost, open_tab: OpenTab, vue: bool, values: list[Any], fps: float
) -> None:
    """The upload button has a place among the values, and stood where fps is now."""
    node = {
        "id": 1,
        "type": "APIMall_LoadVideo",
        "pos": [300, 100],
        "size": [320, 400],
        "inputs": [{"name": "video", "type": "VIDEO", "link": None}],
        "outputs": [],
        "widgets_values": values,
    }
    tab = open_tab(host, vue=vue)
    load(tab, {"last_node_id": 1, "last_link_id": 0, "nodes": [node], "links": [], "groups": [], "version": 0.4})
    found = tab.values("APIMall_LoadVideo")
    assert (found["max_frames"], found["max_side"], found["fps"]) == (48, 640, fps)


def test_a_workflow_of_before_whose_file_is_none_asks_for_no_such_file(
    host: RealHost, open_tab: OpenTab, vue: bool
) -> None:
    node = {
        "id": 1,
        "type": "APIMall_LoadVideo",
        "pos": [300, 100],
        "size": [320, 400],
        "inputs": [{"name": "video", "type": "VIDEO", "link": None}],
        "outputs": [],
        "widgets_values": ["(none)", "", 0, 1, 0, 0, 0],
    }
    tab = open_tab(host, vue=vue)
    load(tab, {"last_node_id": 1, "last_link_id": 0, "nodes": [node], "links": [], "groups": [], "version": 0.4})
    tab.page.wait_for_timeout(2000)
    assert tab.values("APIMall_LoadVideo")["file"] == ""
    assert [request.url for request in tab.heard.requests if "none" in request.url] == []
    assert tab.page.locator("video").count() == 0
