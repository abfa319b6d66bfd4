"""The clip behind the `url` of Load Video: kept by its address, and asked for again at most once a prompt."""

from __future__ import annotations

import asyncio
import hashlib
import json
import weakref
from collections.abc import Callable, Mapping
from pathlib import Path

from ..files import whole
from ..gateway.errors import APIMallError
from ..guard.downloads import download
from ..guard.errors import GuardError, NotModified
from ..media.errors import MediaError, NotAClip
from ..media.probe import probe
from ..media.webp import needs_pillow
from ..remarks import remark
from ..stopping import Stop, Stopped, tell_nobody
from ..troubles import Trouble
from . import host, instance
from .linked_video import alone_with, temp_clips

Asked = dict[str, Path | Exception]
"""What came of each address in one prompt: its file, or what is to be said."""

_asked: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Asked] = weakref.WeakKeyDictionary()
_changes: dict[str, int] = {}


def asked_in_this_prompt() -> Asked:
    """To be called where the prompt runs: ComfyUI gives every prompt an event loop of its own."""
    return _asked.setdefault(asyncio.get_running_loop(), {})


async def changes(url: str) -> str:
    """For a fingerprint: changes when the file behind the address has, since this ComfyUI first had it. Total.

    Asks only for what is here already, and only where the server gave something to ask by: its first download belongs
    to the node, and without validators every question would be a whole download.
    """
    asked = asked_in_this_prompt()

    def ask() -> None:
        try:
            path, notes = _places(url)
            if path.exists() and any(_read_notes(notes).get(name) for name in ("etag", "last_modified")):
                kept(url, tell_nobody, host.interrupted, asked)
        except (APIMallError, GuardError, MediaError, OSError, Stopped):
            return  # the cached outputs are as good as ever; a node that runs says what is wrong

    if url:
        await asyncio.to_thread(ask)
    return str(_changes.get(url, 0))


def kept(url: str, tell: Callable[[float], None], stop: Stop, asked: Asked) -> Path:
    """The file behind an address. Blocking. Raises GuardError, NotAClip, SetupError, OSError, Stopped."""
    path, notes = _places(url)
    with alone_with(path, stop):
        if url not in asked:
            try:
                asked[url] = _download(url, path, notes, tell, stop)
            except (GuardError, MediaError) as problem:
                asked[url] = problem
        found = asked[url]
    if isinstance(found, Exception):
        raise found
    return found


def _download(url: str, path: Path, notes: Path, tell: Callable[[float], None], stop: Stop) -> Path:
    current = instance.current()
    known = _read_notes(notes) if path.exists() else {}
    try:
        with whole(path) as part:
            downloaded = download(
                url,
                part,
                **current.reach(current.settings()),
                stop=stop,
                tell=tell,
                validators=(known.get("etag"), known.get("last_modified")),
            )
            _require_clip(part)
    except NotModified:
        return path
    if known and known.get("sha256") != downloaded.sha256:
        _changes[url] = _changes.get(url, 0) + 1
    with whole(notes) as part:
        validators = {"etag": downloaded.etag, "last_modified": downloaded.last_modified}
        part.write_text(json.dumps({**validators, "sha256": downloaded.sha256}), "utf-8")
    return path


def _require_clip(part: Path) -> None:
    try:
        if not needs_pillow(part):
            probe(part)
    except NotAClip:
        raise NotAClip(remark(Trouble.URL_NO_VIDEO)) from None


def _places(url: str) -> tuple[Path, Path]:
    """Where the file and the notes on it lie."""
    name = hashlib.sha256(url.encode("utf-8", "surrogatepass")).hexdigest()[:24]
    folder = temp_clips()
    return folder / f"{name}.mp4", folder / f"{name}.json"


def _read_notes(path: Path) -> Mapping[str, str | None]:
    try:
        notes = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return notes if isinstance(notes, dict) else {}
