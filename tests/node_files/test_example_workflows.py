"""The example workflows: whole, well laid out, and agreeing with the nodes' schemas."""

from __future__ import annotations

import itertools
import json
import math
import re
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.host.workflows import to_prompt
from tests.support.node_files import OUR_NODES

REPOSITORY = Path(__file__).parents[2]
FOLDER = REPOSITORY / "example_workflows"
NAMES = [
    "A list of shots",
    "Image to Video",
    "Image to Video (App)",
    "Load Video",
    "Poll Result",
    "Text to Video",
    "Text to Video (App)",
    "Three shots from one sentence",
    "Video to Video",
]
TITLE_HEIGHT = 30
LARGEST_PICTURE_BYTES = 80_000
SMALLEST_GAP = 40
# How ComfyUI brings a template into view, in a window of 1440 x 900; below 0.6 it draws no text.
VIEW_WIDTH, VIEW_HEIGHT, VIEW_PADDING, VIEW_FILL = 1440, 900, 10, 0.75
READABLE_SCALE, SMALLEST_SCALE = 0.75, 0.64
BARS_HEIGHT = 160  # ComfyUI's own bars at the top, and the one above a node that is selected
FIRST_SLOT, SLOT_HEIGHT = 14, 20
FRESH_HEIGHTS = {
    "APIMall_TextToVideo": 406,
    "APIMall_ImageToVideo": 460,
    "APIMall_VideoToVideo": 430,
    "APIMall_PollResult": 240,
    "APIMall_LoadVideo": 384,
}
"""Of nodes as they are added, with a prompt of four lines: what is more would be the prompt's, until a clip comes."""
NOTE = "MarkdownNote"
STATE_LINE = "apimallvideo_state"
EXAMPLE = "example.png"
"""In the input folder of every new ComfyUI."""

Json = dict[str, Any]

# Core nodes as ComfyUI 0.3.64 and 0.33 both describe them, but for the loop's; tests/host asks the real ones.
OF_LOOPS = ("CreateList", "StartLoop", "EndLoop")
CORE: dict[str, Json] = {
    "SaveVideo": {
        "required": {
            "video": ["VIDEO", {}],
            "filename_prefix": ["STRING", {}],
            "format": ["COMBO", {"options": ["auto", "mp4"]}],
            "codec": ["COMBO", {"options": ["auto", "h264"]}],
        }
    },
    "EmptyImage": {
        "required": {
            "width": ["INT", {"min": 1, "max": 16384}],
            "height": ["INT", {"min": 1, "max": 16384}],
            "batch_size": ["INT", {"min": 1, "max": 4096}],
            "color": ["INT", {"min": 0, "max": 0xFFFFFF}],
        }
    },
    "ImageCompositeMasked": {
        "required": {
            "destination": ["IMAGE", {}],
            "source": ["IMAGE", {}],
            "x": ["INT", {"min": 0}],
            "y": ["INT", {"min": 0}],
            "resize_source": ["BOOLEAN", {}],
        },
        "optional": {"mask": ["MASK", {}]},
    },
    "CreateList": {
        "required": {"inputs.input0": ["*", {}]},
        "optional": {"inputs.input1": ["*", {}], "inputs.input2": ["*", {}]},
    },
    "StartLoop": {
        "required": {
            "mode": ["COMBO", {"options": ["simple", "For", "List"]}],
            "mode.list": ["*", {}],
            "cache_iterations": ["BOOLEAN", {}],
        },
        "optional": {"parent_iteration": ["INT", {}], "initial_iteration_value": ["*", {}]},
    },
    "EndLoop": {
        "required": {"accumulate": ["BOOLEAN", {}]},
        "optional": {
            "output_value": ["*", {}],
            "next_iteration_value": ["*", {}],
            "terminations.termination0": ["*", {}],
        },
    },
    "LoadImage": {"required": {"image": ["COMBO", {"options": [EXAMPLE]}]}},
    "PreviewImage": {"required": {"images": ["IMAGE", {}]}},
    "PreviewAny": {"required": {"source": ["*", {}]}},
    "PrimitiveStringMultiline": {"required": {"value": ["STRING", {}]}},
    "StringConcatenate": {
        "required": {"string_a": ["STRING", {}], "string_b": ["STRING", {}], "delimiter": ["STRING", {}]}
    },
}


def ours() -> dict[str, Json]:
    """Our nodes as /object_info describes them."""
    found = {}
    for node in OUR_NODES:
        schema = node.GET_SCHEMA()
        found[schema.node_id] = {
            kind: {
                entry.id: [entry.io_type, options_of(entry)] for entry in schema.inputs if entry.optional is optional
            }
            for kind, optional in (("required", False), ("optional", True))
        }
    return found


def options_of(entry: Any) -> Json:
    names = ("options", "min", "max", "default")
    return {name: getattr(entry, name) for name in names if getattr(entry, name, None) is not None}


INPUTS = {**CORE, **ours()}
OUTPUTS = {
    node.GET_SCHEMA().node_id: [(entry.display_name, entry.io_type) for entry in node.GET_SCHEMA().outputs]
    for node in OUR_NODES
}


def read(name: str) -> Json:
    workflow: Json = json.loads((FOLDER / f"{name}.json").read_text(encoding="ascii"))
    return workflow


@pytest.fixture(params=NAMES)
def workflow(request: pytest.FixtureRequest) -> Json:
    return read(request.param)


def prompt_of(workflow: Json) -> Json:
    info = {node_type: {"input": inputs} for node_type, inputs in INPUTS.items()}
    return to_prompt(workflow, info.get)


def widgets_of(node: Json) -> Iterator[tuple[str, Any]]:
    values = iter(node["widgets_values"])
    for entry in node["inputs"]:
        if "widget" in entry:
            yield entry["name"], next(values)


def test_these_are_the_examples() -> None:
    assert sorted(path.stem for path in FOLDER.glob("*.json")) == NAMES


def test_each_has_a_small_square_picture_that_moves() -> None:
    for name in NAMES:
        file = FOLDER / f"{name}.jpg"  # the gallery asks for no other name
        with Image.open(file) as picture:
            frames = getattr(picture, "n_frames", 1)
            assert (picture.format, *picture.size) == ("WEBP", 320, 320) and frames >= 6
        assert file.stat().st_size < LARGEST_PICTURE_BYTES


def test_each_has_an_id_of_its_own() -> None:
    ids = [read(name)["id"] for name in NAMES]
    assert len(set(ids)) == len(NAMES) and all(str(uuid.UUID(found)) == found for found in ids)


def test_the_format_is_the_one_that_every_front_end_reads(workflow: Json) -> None:
    assert list(workflow) == [
        *("id", "revision", "last_node_id", "last_link_id", "nodes", "links", "groups", "config", "extra", "version")
    ]
    assert workflow["version"] == 0.4 and workflow["revision"] == 0
    assert workflow["last_node_id"] == max(node["id"] for node in workflow["nodes"])
    assert workflow["last_link_id"] == max(link[0] for link in workflow["links"])
    assert workflow["config"] == {}
    assert all(node["mode"] == 0 and node["flags"] == {} for node in workflow["nodes"])


def test_every_link_is_known_at_both_ends_and_of_one_type(workflow: Json) -> None:
    nodes = {node["id"]: node for node in workflow["nodes"]}
    for number, origin, slot, target, entry, kind in workflow["links"]:
        assert number in nodes[origin]["outputs"][slot]["links"]
        assert nodes[target]["inputs"][entry]["link"] == number
        assert kind == nodes[origin]["outputs"][slot]["type"]
        assert nodes[target]["inputs"][entry]["type"] in (kind, "*")
    ends = [entry["link"] for node in nodes.values() for entry in node["inputs"] if entry["link"] is not None]
    assert sorted(ends) == sorted(link[0] for link in workflow["links"])


def test_every_node_is_stamped_with_its_pack_and_version(workflow: Json) -> None:
    version = re.search(r'^version = "(.+)"$', (REPOSITORY / "pyproject.toml").read_text("utf-8"), re.MULTILINE)
    assert version is not None
    for node in workflow["nodes"]:
        core = ("comfy-core", "0.41.0" if node["type"] in OF_LOOPS else "0.3.64")
        pack = ("apimall-video", version[1]) if node["type"].startswith("APIMall_") else core
        stamped = node["properties"]
        assert (stamped["cnr_id"], stamped["ver"]) == pack
        assert stamped["Node name for S&R"] == node["type"]


def test_our_nodes_are_saved_with_all_their_inputs_and_outputs(workflow: Json) -> None:
    for node in workflow["nodes"]:
        if node["type"] not in OUTPUTS:
            continue
        declared = {name: spec[0] for kind in INPUTS[node["type"]].values() for name, spec in kind.items()}
        # The front end adds the upload button, last.
        found = {entry["name"]: entry["type"] for entry in node["inputs"] if entry["name"] != "upload"}
        assert found == declared
        assert [(entry["name"], entry["type"]) for entry in node["outputs"]] == OUTPUTS[node["type"]]
        widgets = [entry["name"] for entry in node["inputs"] if "widget" in entry and entry["name"] != "upload"]
        assert widgets == [name for name in INPUTS[node["type"]]["required"] if name in widgets]


def test_every_widget_has_a_value_that_its_input_takes(workflow: Json) -> None:
    for node in workflow["nodes"]:
        if node["type"] == NOTE:
            continue
        specs = {name: spec for kind in INPUTS[node["type"]].values() for name, spec in kind.items()}
        for name, value in widgets_of(node):
            if name != "upload":
                assert fits(specs[name], value), (node["type"], name, value)


def fits(spec: list[Any], value: object) -> bool:
    kind, options = spec
    kinds: dict[str, type | tuple[type, ...]] = {"INT": int, "FLOAT": (int, float), "STRING": str, "BOOLEAN": bool}
    if kind == "COMBO":
        return value in options["options"]
    if not isinstance(value, kinds[kind]) or (kind != "BOOLEAN" and isinstance(value, bool)):
        return False
    if not isinstance(value, (int, float)):
        return True
    return bool(options.get("min", value) <= value <= options.get("max", value))


def test_it_becomes_a_prompt_in_which_nothing_required_is_missing(workflow: Json) -> None:
    prompt = prompt_of(workflow)
    assert len(prompt) == sum(node["type"] != NOTE for node in workflow["nodes"])
    for node in prompt.values():
        assert set(INPUTS[node["class_type"]]["required"]) <= set(node["inputs"])
    # Our nodes keep and show their clips by themselves; Save Video only gives one another name.
    assert any(node["class_type"].startswith("APIMall_") for node in prompt.values())


def test_it_needs_no_file_and_no_address_of_anybodys(workflow: Json) -> None:
    for node in prompt_of(workflow).values():
        given = [value for value in node["inputs"].values() if isinstance(value, str)]
        assert not any(
            "://" in value or value.endswith((".mp4", ".png", ".jpg")) for value in given if value != EXAMPLE
        )
        assert not node["inputs"].get("file")


def test_nothing_lies_on_anything_else(workflow: Json) -> None:
    boxes = [(node["title"] if "title" in node else node["type"], *box_of(node)) for node in workflow["nodes"]]
    for (one, *a), (other, *b) in itertools.combinations(boxes, 2):
        beside = a[2] + SMALLEST_GAP <= b[0] or b[2] + SMALLEST_GAP <= a[0]
        below = a[3] + SMALLEST_GAP <= b[1] or b[3] + SMALLEST_GAP <= a[1]
        assert beside or below, f"{one} and {other}"


def box_of(node: Json) -> tuple[float, float, float, float]:
    (left, top), (width, height) = node["pos"], node["size"]
    return left, top - TITLE_HEIGHT, left + width, top + height


def test_below_a_node_that_will_play_a_clip_there_is_room_for_it(workflow: Json) -> None:
    players = [node for node in workflow["nodes"] if node["type"].startswith("APIMall_") or node["type"] == "SaveVideo"]
    for player in players:
        left, _, right, bottom = box_of(player)
        room = bottom + (right - left) * 9 / 16 + SMALLEST_GAP
        for other in workflow["nodes"]:
            other_left, other_top, other_right, _ = box_of(other)
            if other_top > bottom and other_left < right and left < other_right:
                assert other_top >= room, f"{player['type']} grows into {other.get('title', other['type'])}"


def test_it_opens_at_a_scale_at_which_text_is_drawn(workflow: Json) -> None:
    loops = any(node["type"] in OF_LOOPS for node in workflow["nodes"])
    assert view_of(workflow)[0] >= (SMALLEST_SCALE if loops else READABLE_SCALE)


def test_it_opens_with_room_for_the_bar_of_buttons_above_each_node_of_ours(workflow: Json) -> None:
    scale, middle = view_of(workflow)
    for node in workflow["nodes"]:
        if node["type"].startswith("APIMall_"):
            assert VIEW_HEIGHT / 2 + (box_of(node)[1] - middle) * scale >= BARS_HEIGHT, node["type"]


def view_of(workflow: Json) -> tuple[float, float]:
    """The scale at which ComfyUI opens it, and the height on the canvas that comes into the middle of the window."""
    boxes = [box_of(node) for node in workflow["nodes"]]
    top, bottom = min(box[1] for box in boxes), max(box[3] for box in boxes)
    width = max(box[2] for box in boxes) - min(box[0] for box in boxes) + 2 * VIEW_PADDING
    height = bottom - top + 2 * VIEW_PADDING
    return VIEW_FILL * min(VIEW_WIDTH / width, VIEW_HEIGHT / height), (top + bottom) / 2


def test_a_node_is_as_high_as_a_fresh_one_so_that_its_prompt_stays_when_the_clip_comes(workflow: Json) -> None:
    for node in workflow["nodes"]:
        if node["type"] in FRESH_HEIGHTS:
            assert node["size"][1] == FRESH_HEIGHTS[node["type"]], node["type"]


def test_no_link_runs_behind_a_node(workflow: Json) -> None:
    nodes = {node["id"]: node for node in workflow["nodes"]}
    for _, origin, slot, target, entry, _ in workflow["links"]:
        for node in workflow["nodes"]:
            # What ComfyUI runs after a loop can only stand below its end, or the row is too long to be read.
            if node["type"] not in (NOTE, "EndLoop") and nodes[origin]["type"] != "EndLoop":
                left, top, right, bottom = box_of(node)
                points = curve(socket(nodes[origin], slot), entry_of(nodes[target], entry))
                behind = [(x, y) for x, y in points if left < x < right and top < y < bottom]
                assert not behind, f"{origin} to {target} behind {node.get('title', node['type'])}"


def socket(node: Json, slot: int) -> tuple[float, float]:
    """Where an output is."""
    return node["pos"][0] + node["size"][0], node["pos"][1] + FIRST_SLOT + SLOT_HEIGHT * slot


def entry_of(node: Json, number: int) -> tuple[float, float]:
    """Where an input is; one with a widget stands below all outputs."""
    inputs = node["inputs"]
    plain = [entry for entry in inputs if "widget" not in entry]
    if "widget" in inputs[number]:
        row = max(len(plain), len(node["outputs"])) + 1
    else:
        row = plain.index(inputs[number])
    return node["pos"][0], node["pos"][1] + FIRST_SLOT + SLOT_HEIGHT * row


def curve(start: tuple[float, float], end: tuple[float, float]) -> list[tuple[float, float]]:
    """Points of a link as ComfyUI draws it, without its ends."""
    reach = math.dist(start, end) / 4
    pull = ((start[0] + reach, start[1]), (end[0] - reach, end[1]))
    found = []
    for step in range(2, 99):
        t = step / 100
        weights = ((1 - t) ** 3, 3 * (1 - t) ** 2 * t, 3 * (1 - t) * t**2, t**3)
        four = (start, *pull, end)
        found.append(
            (
                sum(weight * point[0] for weight, point in zip(weights, four, strict=True)),
                sum(weight * point[1] for weight, point in zip(weights, four, strict=True)),
            )
        )
    return found


def test_nodes_are_large_enough_to_be_read(workflow: Json) -> None:
    for node in workflow["nodes"]:
        width, height = node["size"]
        rows = max(sum("widget" not in entry for entry in node["inputs"]), len(node["outputs"]))
        values = [value for _, value in widgets_of(node)] if node["type"] != NOTE else []
        assert width >= 300 and height >= 20 * rows + 24 * len(values)


def test_a_note_teaches_and_says_how_to_try_it_for_free(workflow: Json) -> None:
    (note,) = [node for node in workflow["nodes"] if node["type"] == NOTE]
    (text,) = note["widgets_values"]
    assert "APIMALL_REHEARSAL=1" in text
    uploads = any(node["type"] in ("APIMall_ImageToVideo", "APIMall_VideoToVideo") for node in workflow["nodes"])
    assert ("public address" in text) is uploads


def test_an_app_shows_what_can_be_chosen_what_it_would_cost_and_the_clip() -> None:
    for name in NAMES:
        workflow = read(name)
        if not name.endswith("(App)"):
            assert workflow["extra"] == {}
            continue
        nodes = {node["id"]: node for node in workflow["nodes"]}
        app = workflow["extra"]["linearData"]
        assert workflow["extra"]["linearMode"] is True
        (shown,) = app["outputs"]
        assert nodes[shown]["type"].startswith("APIMall_")
        chosen = [(nodes[node]["type"], widget) for node, widget, *_ in app["inputs"]]
        ours = [widget for node, widget in chosen if node == nodes[shown]["type"]]
        assert ours == ["prompt", "duration", "resolution", "take", "apimallvideo_state"]
        (said_of_take,) = [how["description"] for _, widget, *more in app["inputs"] if widget == "take" for how in more]
        assert "take" in said_of_take and "run" in said_of_take, "App mode asks for a number of runs beside it"
        for node, widget, *_ in app["inputs"]:
            assert widget == STATE_LINE or widget in [name for name, _ in widgets_of(nodes[node])]
        assert STATE_LINE in (REPOSITORY / "web" / "js" / "line.js").read_text("utf-8")


def test_text_alone_is_enough_for_the_first_example() -> None:
    types = [node["type"] for node in read("Text to Video")["nodes"]]
    assert types == [NOTE, "APIMall_TextToVideo", "SaveVideo"]
