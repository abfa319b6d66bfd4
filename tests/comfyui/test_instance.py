"""The one service of a ComfyUI: where it keeps what it must not forget."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from nodes import settings
from nodes.comfyui import instance
from nodes.gateway.errors import SetupError
from tests.support.node_files import Comfy, save, text_to_video


@pytest.fixture
def fresh(comfy: Comfy, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """A ComfyUI in which the service was not asked for yet; what is returned is its environment."""
    environ: dict[str, str] = {}
    monkeypatch.setattr(instance, "_in_use", [])
    monkeypatch.setattr(settings.state_folder, "__defaults__", (environ,))
    return environ


def test_the_state_lies_where_the_variable_says(fresh: dict[str, str], tmp_path: Path) -> None:
    fresh["APIMALL_STATE_DIR"] = str(tmp_path / "volume")
    service = instance.current()
    service.journal()
    assert service.folders.state == tmp_path / "volume"
    assert (tmp_path / "volume" / "journal.sqlite3").is_file()
    assert service.folders.results.name == "apimall", "clips stay in ComfyUI's output folder"
    service.close()


def test_a_variable_that_cannot_be_followed_starts_nothing_elsewhere(fresh: dict[str, str]) -> None:
    fresh["APIMALL_STATE_DIR"] = "relative"
    with pytest.raises(SetupError, match="APIMALL_STATE_DIR"):
        instance.current()
    assert instance._in_use == []


@pytest.mark.parametrize("place", ["user/__apimall_video", "output/apimall"])
@pytest.mark.usefixtures("fresh")
def test_a_folder_that_cannot_be_made_is_named(comfy: Comfy, place: str) -> None:
    shutil.rmtree(comfy.base / place)
    (comfy.base / place).write_bytes(b"in the way")
    with pytest.raises(SetupError, match=place):
        instance.current()
    outcome = comfy.run({"1": text_to_video(), "2": save("1")})
    assert place in outcome.error and "cannot be made" in outcome.error and "no credits were spent" in outcome.error
