"""What the four generating nodes hand on, what it costs, and how it is found again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from nodes.comfyui import host
from nodes.media.decode import decode_frames
from tests.support.harness import eventually
from tests.support.node_files import (
    FRAMES,
    HEIGHT,
    SECONDS,
    SOUND_RATE,
    WIDTH,
    Comfy,
    Outcome,
    clip_bytes,
    give_list,
    keep,
    save,
    shade,
    stored_file,
    text_to_video,
)

VIDEO, FRAMES_SLOT, LAST_FRAME, AUDIO, TASK_ID, VIDEO_URL = range(6)
ALL = {str(10 + slot): keep("1", slot) for slot in range(6)}


def shades(images: torch.Tensor) -> list[float]:
    return [round(float(picture.mean()) * 255) for picture in images]


def near(found: list[float], wanted: list[int]) -> bool:
    return len(found) == len(wanted) and all(abs(a - b) <= 2 for a, b in zip(found, wanted, strict=True))


def test_a_prompt_becomes_a_clip_with_frames_sound_and_ids(comfy: Comfy) -> None:
    outcome = comfy.run({"1": text_to_video(), **ALL}).ok()
    (task,) = comfy.gateway.record.tasks
    stored = stored_file(outcome.kept("10"))
    assert stored is not None and stored.parent == host.results_folder()
    frames = outcome.kept("11")
    assert frames.shape == (FRAMES, HEIGHT, WIDTH, 3) and frames.dtype == torch.float32
    assert near(shades(frames), [shade(number) for number in range(FRAMES)])
    assert torch.equal(outcome.kept("12"), frames[-1:])
    sound = outcome.kept("13")
    assert sound["sample_rate"] == SOUND_RATE and sound["waveform"].shape[1] == 2
    assert abs(sound["waveform"].shape[2] / SOUND_RATE - SECONDS) < 0.05
    assert outcome.kept("14") == task.task_id
    assert outcome.kept("15") == f"{comfy.gateway.base_url}/cdn/generated/{task.task_id}/result.mp4"


def test_the_clip_is_shown_on_the_node_and_the_saved_one_is_the_gateways(comfy: Comfy) -> None:
    outcome = comfy.run({"1": text_to_video(), "2": save("1")}).ok()
    (shown,) = outcome.history["outputs"]["1"]["images"]
    assert (shown["subfolder"], shown["type"]) == ("apimall", "output")
    (saved,) = outcome.history["outputs"]["2"]["images"]
    copy = (comfy.base / "output" / saved["subfolder"] / saved["filename"]).read_bytes()
    assert copy.startswith(clip_bytes())
    assert copy == (comfy.base / "output" / "apimall" / shown["filename"]).read_bytes()


def cached(outcome: Outcome) -> list[str]:
    nodes: list[str] = dict(outcome.history["status"]["messages"])["execution_cached"]["nodes"]
    return nodes


def test_a_clip_that_is_gone_from_disk_is_not_served_from_the_cache(comfy: Comfy) -> None:
    def saved_as(prefix: str) -> Outcome:
        saving = save("1")
        saving["inputs"]["filename_prefix"] = prefix
        return comfy.run({"1": text_to_video(), "2": saving}).ok()

    saved_as("video/one")
    assert cached(saved_as("video/two")) == ["1"]
    for clip in host.results_folder().glob("*.mp4"):
        clip.unlink()
    outcome = saved_as("video/three")
    (saved,) = outcome.history["outputs"]["2"]["images"]
    assert (comfy.base / "output" / saved["subfolder"] / saved["filename"]).is_file() and cached(outcome) == []
    assert (comfy.count("create"), comfy.count("download")) == (1, 2)
    assert cached(saved_as("video/four")) == ["1"]


def test_a_silent_clip_gives_silence_of_its_length(comfy: Comfy) -> None:
    sound = comfy.run({"1": text_to_video("a silent lake"), "2": keep("1", AUDIO)}).ok().kept("2")
    assert sound["waveform"].shape == (1, 2, round(SECONDS * sound["sample_rate"]))
    assert not sound["waveform"].any()


def test_unlinked_frames_and_sound_are_not_decoded(
    comfy: Comfy, decoded_pictures: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    for name in ("decode_frames", "decode_last_frame"):
        monkeypatch.setattr(f"nodes.media.decode.{name}", lambda *_, name=name, **__: asked.append(name))
    monkeypatch.setattr("nodes.media.audio.decode_audio", lambda *_, **__: asked.append("decode_audio"))
    comfy.run({"1": text_to_video(), "2": save("1"), "3": keep("1", TASK_ID)}).ok()
    assert asked == []
    assert len(decoded_pictures) <= 1, "one picture is decoded to see that the download is a clip, and no more"


def test_frames_linked_later_are_the_right_ones_and_cost_nothing(comfy: Comfy) -> None:
    plain = {"1": text_to_video(), "2": save("1")}
    comfy.run(plain).ok()
    before = len(comfy.requests)
    outcome = comfy.run({**plain, "3": keep("1", FRAMES_SLOT), "4": keep("1", AUDIO), "5": keep("1", LAST_FRAME)}).ok()
    assert near(shades(outcome.kept("3")), [shade(number) for number in range(FRAMES)])
    assert outcome.kept("4")["waveform"].abs().max() > 0.1
    assert torch.equal(outcome.kept("5"), outcome.kept("3")[-1:])
    assert len(comfy.requests) == before


@pytest.mark.parametrize("first", range(6))
def test_no_output_is_ever_none_whatever_was_linked_before(comfy: Comfy, first: int) -> None:
    comfy.run({"1": text_to_video(), "2": keep("1", first)}).ok()
    outcome = comfy.run({"1": text_to_video(), **ALL}).ok()
    assert all(outcome.kept(str(10 + slot)) is not None for slot in range(6))
    assert len(comfy.gateway.record.posts) == 1


def test_the_same_prompt_again_makes_no_request(comfy: Comfy) -> None:
    prompt = {"1": text_to_video(), "2": save("1")}
    comfy.run(prompt).ok()
    before = len(comfy.requests)
    comfy.run(prompt).ok()
    comfy.restart()
    outcome = comfy.run(prompt).ok()
    assert len(comfy.requests) == before
    assert "already paid" in outcome.said()


def test_a_restarted_comfyui_needs_no_gateway_to_serve_what_is_paid(comfy: Comfy) -> None:
    prompt = {"1": text_to_video(), **ALL}
    comfy.run(prompt).ok()
    comfy.gateway.stop()
    comfy.restart()
    assert comfy.run(prompt).ok().kept("11").shape[0] == FRAMES


@pytest.mark.parametrize(
    "change", [{"take": 1}, {"prompt": "a lighthouse!"}, {"duration": "10"}, {"resolution": "1080p"}], ids=str
)
def test_another_take_or_any_other_change_pays_once_more(comfy: Comfy, change: dict[str, Any]) -> None:
    comfy.run({"1": text_to_video(), "2": save("1")}).ok()
    comfy.run({"1": text_to_video(**change), "2": save("1")}).ok()
    keys = [request.headers["Idempotency-Key"] for request in comfy.gateway.record.posts]
    assert len(set(keys)) == 2


def test_a_result_that_was_deleted_is_fetched_again_and_not_paid(comfy: Comfy) -> None:
    prompt = {"1": text_to_video(), "2": save("1")}
    comfy.run(prompt).ok()
    for clip in host.results_folder().glob("*.mp4"):
        clip.unlink()
    comfy.restart()
    comfy.run(prompt).ok()
    assert (comfy.count("create"), comfy.count("download")) == (1, 2)


def test_two_equal_nodes_of_one_prompt_are_one_job(comfy: Comfy) -> None:
    outcome = comfy.run({"1": text_to_video(), "2": text_to_video(), "3": keep("1", 1), "4": keep("2", 1)}).ok()
    assert torch.equal(outcome.kept("3"), outcome.kept("4"))
    assert (comfy.count("create"), comfy.count("download")) == (1, 1)


def test_lists_of_prompts_make_one_job_each_within_the_plan(open_comfy: Callable[..., Comfy]) -> None:
    comfy = open_comfy(seconds_per_task=0.1)
    prompts = give_list([f"shot {number}" for number in range(10)])
    outcome = comfy.run(
        {
            "0": prompts,
            "1": text_to_video(["0", 0]),
            "2": text_to_video(["0", 0]),
            "3": keep("1", TASK_ID),
            "4": keep("2", TASK_ID),
        }
    ).ok()
    assert len(comfy.gateway.record.tasks) == 10
    assert comfy.gateway.record.most_running() <= 3
    assert outcome.all_kept("3") == outcome.all_kept("4")
    by_task = {task.task_id: task.prompt for task in comfy.gateway.record.tasks}
    assert [by_task[task_id] for task_id in outcome.all_kept("3")] == [f"shot {number}" for number in range(10)]


def test_a_list_of_takes_makes_one_job_each(open_comfy: Callable[..., Comfy]) -> None:
    comfy = open_comfy(seconds_per_task=0.1)
    comfy.environ["APIMALL_MAX_JOBS"] = "2"
    outcome = comfy.run({"0": give_list([0, 1, 2, 3]), "1": text_to_video(take=["0", 0]), "2": keep("1", TASK_ID)}).ok()
    assert len(set(outcome.all_kept("2"))) == 4
    assert comfy.gateway.record.most_running() <= 2


def test_jobs_beyond_the_plan_say_that_they_wait(slow_comfy: Comfy) -> None:
    slow_comfy.environ["APIMALL_MAX_JOBS"] = "1"
    prompt = {"1": text_to_video("one"), "2": text_to_video("two"), "3": save("1"), "4": save("2")}
    prompt_id = slow_comfy.queue(prompt)
    slow_comfy.comfy.server.await_sent(
        lambda: any("waiting for a slot (1 of 1 running)" in text for _, text in slow_comfy.comfy.texts()), 30
    )
    eventually(lambda: len(slow_comfy.gateway.record.tasks) == 1, "the first job is accepted")
    slow_comfy.clock.advance(3600)
    eventually(lambda: len(slow_comfy.gateway.record.tasks) == 2, "the second job has its place")
    slow_comfy.clock.advance(3600)
    slow_comfy.wait(prompt_id).ok()


def test_the_gateways_failure_is_told_with_its_refund(comfy: Comfy) -> None:
    comfy.gateway.script("create", "fail:part")
    outcome = comfy.run({"1": text_to_video(), "2": save("1")})
    assert "could not make the video" in outcome.error
    assert "Refunded:" in outcome.said()
    (task,) = comfy.gateway.record.tasks
    assert task.task_id in outcome.error
    again = comfy.run({"1": text_to_video(), "2": save("1")})
    assert "Refunded: 15 of 30 credits" in again.error, "what is owed still is not paid a second time"
    assert len(comfy.gateway.record.posts) == 1


def test_frames_that_do_not_fit_are_refused_and_the_clip_is_still_there(
    comfy: Comfy, monkeypatch: pytest.MonkeyPatch
) -> None:
    too_little = {**(decode_frames.__kwdefaults__ or {}), "free_bytes": lambda: 0}
    monkeypatch.setattr(decode_frames, "__kwdefaults__", too_little)
    outcome = comfy.run({"1": text_to_video(), "2": keep("1", FRAMES_SLOT)})
    assert "safe on disk" in outcome.error
    comfy.run({"1": text_to_video(), "2": save("1")}).ok()
    assert comfy.count("create") == 1


def test_frames_are_what_the_media_room_decodes(comfy: Comfy) -> None:
    outcome = comfy.run({"1": text_to_video(), "2": keep("1", FRAMES_SLOT), "3": keep("1", VIDEO)}).ok()
    path = stored_file(outcome.kept("3"))
    assert path is not None
    assert np.array_equal(outcome.kept("2").numpy(), decode_frames(path).pixels)
