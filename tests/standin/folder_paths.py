"""Stand-in of ComfyUI's `folder_paths`, over one base folder that `use` sets."""

from __future__ import annotations

import mimetypes
import tempfile
from pathlib import Path

_NOWHERE = Path(tempfile.gettempdir()) / "comfyui-standin"
_base = _NOWHERE


def use(base: Path) -> None:
    """Make `base` the folder that holds input, output, temp and user; creates them."""
    global _base  # noqa: PLW0603 - ComfyUI's folders are module state too
    _base = base
    for name in ("input", "output", "temp", "user"):
        (base / name).mkdir(parents=True, exist_ok=True)


def leave() -> None:
    """Be over no test's folder: what is asked next finds nothing that a test left behind."""
    global _base  # noqa: PLW0603
    _base = _NOWHERE


def get_input_directory() -> str:
    return str(_base / "input")


def get_output_directory() -> str:
    return str(_base / "output")


def get_temp_directory() -> str:
    return str(_base / "temp")


def get_user_directory() -> str:
    return str(_base / "user")


def get_system_user_directory(name: str = "system") -> str:
    if not name.replace("_", "").isalnum() or name.startswith("_"):
        raise ValueError(f"invalid system user name {name!r}")
    return str(_base / "user" / f"__{name}")


def annotated_filepath(name: str) -> tuple[str, str | None]:
    """`clip.mp4 [output]` -> (`clip.mp4`, output folder); the character before the bracket goes too, as in ComfyUI."""
    for ending, folder in (
        ("[output]", get_output_directory()),
        ("[input]", get_input_directory()),
        ("[temp]", get_temp_directory()),
    ):
        if name.endswith(ending):
            return name[: -len(ending) - 1], folder
    return name, None


def get_annotated_filepath(name: str) -> str:
    bare, folder = annotated_filepath(name)
    return str(Path(folder or get_input_directory()) / bare)


def filter_files_content_types(files: list[str], content_types: list[str]) -> list[str]:
    return [file for file in files if (mimetypes.guess_type(file)[0] or "").split("/")[0] in content_types]
