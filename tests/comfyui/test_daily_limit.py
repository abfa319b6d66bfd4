"""The limit of credits a day, as ComfyUI's settings hold it."""

from __future__ import annotations

import json
from pathlib import Path

import folder_paths
import pytest

from nodes.comfyui import host
from nodes.gateway.errors import SetupError


@pytest.fixture
def settings_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(folder_paths, "get_user_directory", lambda: str(tmp_path))
    file = tmp_path / "default" / "comfy.settings.json"
    file.parent.mkdir()
    return file


@pytest.mark.parametrize(("content", "limit"), [({}, 0), ({"x": 1}, 0), (0, 0), (250, 250), (12.5, 12.5), (None, 0)])
def test_the_limit_is_what_the_settings_say(settings_file: Path, content: object, limit: float) -> None:
    settings = content if isinstance(content, dict) else {host.DAILY_LIMIT_SETTING: content}
    settings_file.write_text(json.dumps(settings))
    assert host.daily_limit() == limit


def test_without_settings_there_is_no_limit(settings_file: Path) -> None:
    assert host.daily_limit() == 0


@pytest.mark.parametrize("text", ['{"apimallvideo.Limits.Daily', "[]", '{"apimallvideo.Limits.DailyCredits": "much"}'])
def test_a_limit_that_cannot_be_read_lets_nothing_through(settings_file: Path, text: str) -> None:
    settings_file.write_text(text)
    with pytest.raises(SetupError):
        host.daily_limit()
