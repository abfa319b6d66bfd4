"""What ComfyUI tells of a run goes into the clip, as far as its owner lets it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from comfy.cli_args import args

from nodes.comfyui import host
from tests.support.imprints import texts_behind
from tests.support.node_files import Comfy, keep, load_video, poll, text_to_video, video_to_video

WORKFLOW = {"id": "6f1c", "nodes": [{"id": 1, "type": "APIMall_TextToVideo", "widgets_values": ["a lighthouse"]}]}


def queued(comfy: Comfy, prompt: dict[str, Any]) -> Any:
    comfy._texts_before = 0
    return comfy.wait(comfy.comfy.queue(prompt, workflow=WORKFLOW)).ok()


def clips() -> list[Path]:
    return sorted(host.results_folder().glob("*.mp4"))


def behind() -> dict[str, Any]:
    (clip,) = clips()
    return {name: json.loads(text) for name, text in texts_behind(clip.read_bytes()).items()}


def settings(values: dict[str, Any]) -> None:
    import folder_paths

    file = Path(folder_paths.get_user_directory()) / "default" / "comfy.settings.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(values))


def test_the_clip_holds_the_workflow_and_the_prompt_as_they_were_queued(comfy: Comfy) -> None:
    queued(comfy, {"1": text_to_video("a lighthouse", take=2), "2": keep("1", 4)})
    texts = behind()
    assert texts["workflow"] == WORKFLOW
    assert texts["prompt"] == {"1": text_to_video("a lighthouse", take=2), "2": keep("1", 4)}
    assert texts["apimall"]["take"] == 2


def test_a_prompt_that_no_canvas_sent_is_kept_without_one(comfy: Comfy) -> None:
    comfy.run({"1": text_to_video()}).ok()
    assert set(behind()) == {"apimall", "prompt"}


def test_a_clip_that_was_collected_holds_what_made_it_and_not_what_collected_it(slow_comfy: Comfy) -> None:
    queued(slow_comfy, {"1": text_to_video(wait=False), "2": keep("1", 4)})
    slow_comfy.clock.advance(3600.0)
    slow_comfy.run({"1": poll()}).ok()
    assert behind()["workflow"] == WORKFLOW
    assert "APIMall_PollResult" not in json.dumps(behind())


def test_whoever_wants_no_workflows_in_clips_gets_none(comfy: Comfy) -> None:
    settings({host.WORKFLOW_SETTING: False})
    queued(comfy, {"1": text_to_video()})
    assert behind() == {}


@pytest.mark.parametrize("flag", ["disable_metadata", "multi_user"])
def test_the_way_comfyui_was_started_may_forbid_it(comfy: Comfy, monkeypatch: pytest.MonkeyPatch, flag: str) -> None:
    monkeypatch.setattr(args, flag, True)
    queued(comfy, {"1": text_to_video()})
    assert behind() == {}


def test_a_clip_of_ours_becomes_public_without_its_workflow(comfy: Comfy) -> None:
    queued(comfy, {"1": text_to_video("canary in a cage"), "2": keep("1", 4)})
    (clip,) = clips()
    assert b"canary" in clip.read_bytes()
    prompt = {"1": load_video(file=f"apimall/{clip.name} [output]"), "2": video_to_video(video=["1", 0])}
    queued(comfy, prompt)
    (upload,) = comfy.gateway.record.of("put")
    assert upload.body and b"canary" not in upload.body
