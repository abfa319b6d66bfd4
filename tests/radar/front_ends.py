"""ComfyUI's front ends as wheels of the package index, kept in a folder of the user's cache."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

PACKAGE = "comfyui-frontend-package"
VERSIONS = ("1.49.6", "1.53.10", "1.54.12")
"""Beside each host's own, the oldest of which is the oldest supported, and the newest that the index has."""


def folder() -> Path:
    """APIMALL_FRONT_ENDS, or a place in the user's cache."""
    named = os.environ.get("APIMALL_FRONT_ENDS")
    return Path(named) if named else Path.home() / ".cache" / "apimall-video" / "front-ends"


def pages() -> dict[str, Path]:
    """What `--front-end-root` wants for each version and for the newest, by version; fetched where it is not here."""
    newest = _download("")
    return {version: _unpacked(version) for version in (*VERSIONS, *([newest] if newest else []))}


def _unpacked(version: str) -> Path:
    root = folder() / version / "comfyui_frontend_package" / "static"
    if not root.is_dir():
        _download(f"=={version}")
        (wheel,) = folder().glob(f"comfyui_frontend_package-{version}-*.whl")
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(folder() / version)
    return root


def _download(which: str) -> str | None:
    """The version that came, or None where the index does not answer; what is in the folder is not asked for again."""
    folder().mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--disable-pip-version-check"]
    done = subprocess.run(
        [*command, "--dest", str(folder()), f"{PACKAGE}{which}"], capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.stdout.write(f"pip did not bring {PACKAGE}{which}: {done.stderr.strip()[-300:]}\n")
        return None
    newest = max(folder().glob("*.whl"), key=_version_of)
    return ".".join(map(str, _version_of(newest)))


def _version_of(wheel: Path) -> tuple[int, ...]:
    found = re.search(r"-(\d+(?:\.\d+)*)-", wheel.name)
    return tuple(int(part) for part in found.group(1).split(".")) if found else ()
