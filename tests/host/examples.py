"""The example workflows as a user opens them, queued in a real ComfyUI."""

from __future__ import annotations

import json
import shutil
import urllib.error
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.host.real_host import REPOSITORY, RealHost
from tests.host.workflows import to_prompt

NOTE = "MarkdownNote"
FOLDER = REPOSITORY / "example_workflows"


def names() -> list[str]:
    """Names of the example workflows, without their ending."""
    return sorted(path.stem for path in FOLDER.glob("*.json"))


def api_prompt(host: RealHost, name: str) -> dict[str, dict[str, Any]]:
    """The example as the front end of that host would queue it."""
    workflow = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))

    def object_info(node_type: str) -> Mapping[str, Any] | None:
        try:
            return host.object_info(node_type)
        except (KeyError, urllib.error.HTTPError):
            return None

    return to_prompt(workflow, object_info)


def missing(host: RealHost, name: str) -> list[str]:
    """Core nodes of the example that this ComfyUI does not have yet."""
    known = host.get("/object_info")
    workflow = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    return [node["type"] for node in workflow["nodes"] if node["type"] not in known and node["type"] != NOTE]


def give_inputs(host: RealHost) -> None:
    """Put ComfyUI's own example picture where every new user has it: into the input folder."""
    for picture in (host.install.path / "input").glob("example.*"):
        shutil.copyfile(picture, host.base / "input" / picture.name)


def saved_files(host: RealHost, history: Mapping[str, Any]) -> list[Path]:
    """The files that the nodes of a prompt say they show or saved, as far as they exist."""
    entries = [entry for shown in history["outputs"].values() for entry in shown.get("images", [])]
    paths = [host.base / entry["type"] / entry["subfolder"] / entry["filename"] for entry in entries]
    return [path for path in paths if path.is_file()]
