"""Which files may be read, and what a result file is called: rules for names that nobody vouches for.

A workflow may name any file, the gateway may call a task anything. What counts is where a path leads once every link
is followed. Names of devices are refused on every system, so that a workflow behaves the same everywhere; those that
Windows alone reads in its own way, there only: elsewhere people have such files.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
import unicodedata
from collections.abc import Iterable, Mapping
from pathlib import Path

from ..gateway.contract import is_seen
from ..remarks import remark
from ..troubles import Trouble
from .errors import PathForbidden

_LONGEST_NAME_CHARACTERS = 1024
_LONGEST_STEM_CHARACTERS = 64
_DIGEST_CHARACTERS = 12
_RESERVED = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|clock\$|(com|lpt)[0-9\u00b9\u00b2\u00b3])", re.IGNORECASE)
_ANNOTATED = re.compile(r"(?s)(.+?) ?\[(input|output|temp)\]")


def result_name(task_id: str, suffix: str = ".mp4", *, owner: str = "") -> str:
    """A file name for a task's result: the same for the same id, another for another, and safe on every system.

    ASCII letters, digits, `-` and `_` of the id, then a digest of all of it: ids that differ only in case or in odd
    characters get different files on disks that do not tell them apart. Another `owner` gets another file too, so that
    a gateway that gives an id twice overwrites nothing.
    """
    stem = re.sub(r"[^A-Za-z0-9_-]+", "_", task_id)[:_LONGEST_STEM_CHARACTERS].strip("_-") or "task"
    digest = hashlib.sha256((owner + task_id).encode("utf-8", "surrogatepass")).hexdigest()[:_DIGEST_CHARACTERS]
    return f"{stem}-{digest}{suffix}"


def result_path(folder: Path, task_id: str, suffix: str = ".mp4", *, owner: str = "") -> Path:
    """Where a task's result lies in the results folder. Raises PathForbidden when a link leads out of it from there."""
    path = folder / result_name(task_id, suffix, owner=owner)
    if path.is_symlink():
        raise PathForbidden(remark(Trouble.RESULT_IS_LINK, file=path.name))
    return path


def find_media(name: str, folders: Mapping[str, Path]) -> Path:
    """The file that a widget names, as `clip.mp4`, `sub/clip.mp4` or `clip.mp4 [output]`; its real path.

    `folders` maps `input` (where plain names are looked for), `output` and `temp`. Raises PathForbidden.
    """
    folder = "input"
    if match := _ANNOTATED.fullmatch(name.strip()):
        name, folder = match[1], match[2]
    parts = _parts_of(name)
    if folder not in folders:
        raise PathForbidden(remark(Trouble.NO_SUCH_FOLDER, folder=folder))
    root = folders[folder]
    return require_inside(root.joinpath(*parts), [root])


def require_inside(path: Path, roots: Iterable[Path]) -> Path:
    """The real path of a readable file in one of `roots`, once every link is followed. Raises PathForbidden."""
    roots = list(roots)
    shown = _shown(path.name)
    try:
        # Not strict: whether a forbidden file exists is nobody's business.
        real = Path(os.path.realpath(path))
        inside = any(real.is_relative_to(os.path.realpath(root)) for root in roots)
        mode = real.stat().st_mode if inside else 0
    except (OSError, ValueError):
        raise PathForbidden(remark(Trouble.NO_SUCH_FILE, file=shown)) from None
    if not inside and _is_linked(path, roots):
        raise PathForbidden(remark(Trouble.LINK_OUTSIDE, file=shown))
    if not inside:
        raise PathForbidden(remark(Trouble.FILE_OUTSIDE, file=shown))
    if not stat.S_ISREG(mode):
        raise PathForbidden(remark(Trouble.NO_PLAIN_FILE, file=shown))
    return real


def _is_linked(path: Path, roots: list[Path]) -> bool:
    """Whether a path, or a folder on the way to it from one of `roots`, is a link."""
    steps = [step for root in roots for step in (path, *path.parents) if root in step.parents]
    try:
        return any(step.is_symlink() for step in steps)
    except OSError:
        return False


def _parts_of(name: str, windows: bool = os.name == "nt") -> list[str]:
    """The folders and the file of a relative name; `\\` separates too, as in workflows made on Windows."""
    if not name.strip():
        raise PathForbidden(remark(Trouble.NO_FILE_NAMED))
    problem = None
    if len(name) > _LONGEST_NAME_CHARACTERS:
        problem = Trouble.NAME_TOO_LONG
    elif any(unicodedata.category(character) in ("Cc", "Cs") for character in name):
        problem = Trouble.NAME_OF_CONTROLS
    elif re.match(r"[\\/]|[A-Za-z]:[\\/]", name) or (windows and re.match(r"[A-Za-z]:", name)):
        problem = Trouble.NAME_OUTSIDE
    parts = [part for part in re.split(r"[\\/]", name) if part not in ("", ".")]
    problem = problem or next(filter(None, (_problem_of_part(part, windows) for part in parts)), None)
    if problem or not parts:
        raise PathForbidden(remark(problem or Trouble.NAME_OF_NOTHING, file=_shown(name)))
    return parts


def _problem_of_part(part: str, windows: bool) -> Trouble | None:
    if part == "..":
        return Trouble.NAME_LEADS_OUT
    if windows and part[1:2] == ":":
        return Trouble.NAME_OF_DRIVE
    if windows and (part[-1] in ". " or part[0] == " "):
        return Trouble.NAME_WITH_BLANK
    if _RESERVED.fullmatch(part.partition(".")[0].rstrip(" ")):
        return Trouble.NAME_OF_DEVICE
    if windows and re.search(r'[:*?"<>|]', part):
        return Trouble.NAME_NOT_FOR_WINDOWS
    return None


def _shown(name: str) -> str:
    """A name for a message: short, and nothing in it that could reorder, hide or break the text around it."""
    plain = "".join(character if is_seen(character) else "?" for character in name)
    return f'"{plain[:80]}..."' if len(plain) > 80 else f'"{plain}"'
