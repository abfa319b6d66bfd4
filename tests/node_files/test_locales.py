"""What ComfyUI shows of the nodes: English as the schema says it, and a translation of every string."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.support.node_files import OUR_NODES

LOCALES = Path(__file__).resolve().parents[2] / "locales"


def described() -> dict[str, Any]:
    """The schemas of all nodes, in the form of a `nodeDefs.json`."""
    found = {}
    for node in OUR_NODES:
        schema = node.define_schema()
        found[schema.node_id] = {
            "display_name": schema.display_name,
            "description": schema.description,
            "inputs": {
                given.id: {"name": given.display_name or given.id, "tooltip": given.tooltip} for given in schema.inputs
            },
            "outputs": {
                str(slot): {"name": output.display_name, "tooltip": output.tooltip}
                for slot, output in enumerate(schema.outputs)
            },
        }
    return found


def test_the_english_locale_says_what_the_schemas_say() -> None:
    assert json.loads((LOCALES / "en" / "nodeDefs.json").read_text(encoding="utf-8")) == described()


def test_the_category_has_a_name_in_every_language() -> None:
    categories = {node.define_schema().category for node in OUR_NODES}
    for language in ("en", "zh", "ja"):
        main = json.loads((LOCALES / language / "main.json").read_text(encoding="utf-8"))
        assert set(main["nodeCategories"]) == categories
