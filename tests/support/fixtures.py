"""A small ComfyUI for each test: ComfyUI's stand-in, our nodes, a rehearsal gateway."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from nodes.media.source import Source
from tests.support.node_files import Comfy


@pytest.fixture
def open_comfy(tmp_path: Path) -> Iterator[Callable[..., Comfy]]:
    """Opens a small ComfyUI; its keywords are the gateway's."""
    opened: list[Comfy] = []

    def open_one(**gateway: Any) -> Comfy:
        opened.append(Comfy(tmp_path, **gateway))
        return opened[-1]

    yield open_one
    for comfy in opened:
        comfy.close()
        comfy.gateway.stop()


@pytest.fixture
def comfy(open_comfy: Callable[..., Comfy]) -> Comfy:
    """A small ComfyUI whose gateway has every clip ready at once."""
    return open_comfy()


@pytest.fixture
def slow_comfy(open_comfy: Callable[..., Comfy]) -> Comfy:
    """A small ComfyUI whose tasks take an hour of the gateway's clock, which only the test moves."""
    return open_comfy(seconds_per_task=3600.0)


@pytest.fixture
def decoded_pictures(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Grows by one entry for each picture that is decoded."""
    seen: list[Any] = []
    pictures = Source.pictures

    def counted(self: Source, *arguments: Any, **keywords: Any) -> Iterator[Any]:
        for picture in pictures(self, *arguments, **keywords):
            seen.append(picture)
            yield picture

    monkeypatch.setattr(Source, "pictures", counted)
    return seen
