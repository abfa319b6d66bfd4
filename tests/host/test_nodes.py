"""The five nodes in real ComfyUIs: what leaves this machine, what comes back, and what it costs.

The gateway runs here, with clips of half a second; its clock can be stopped, so that a task takes as long as a test
needs it to.
"""

from __future__ import annotations

import io

import av
import numpy as np
import pytest
from PIL import Image

from nodes.media.decode import decode_frames
from tests.host.outcomes import PromptRefused
from tests.host.place import (
    FRAMES,
    KEY,
    Place,
    eight_bits,
    image_to_video,
    load_video,
    pictures,
    poll,
    save,
    shown,
    sound,
    text,
    text_to_video,
    video_to_video,
    write_clip,
)
from tests.support.clips import shown_in

pytestmark = pytest.mark.host


def test_frames_and_sound_linked_later_arrive_without_a_request(place: Place) -> None:
    shot = {"1": text_to_video("linked later"), "2": save("1")}
    clip = place.file(place.ok(shot), "1")
    count = place.since()
    history = place.ok({**shot, "3": pictures("1", 1), "4": pictures("1", 2), "5": sound("1")})
    assert count(None) == 0
    wanted = np.rint(decode_frames(clip).pixels * 255)
    found = [eight_bits(path) for path in place.files(history, "3")]
    # Core's Save Image cuts off where it should round.
    assert len(found) == FRAMES
    assert all(np.abs(a.astype(int) - b).max() <= 1 for a, b in zip(found, wanted, strict=True))
    assert np.array_equal(eight_bits(place.file(history, "4")), found[-1])
    assert place.file(history, "5", "audio").stat().st_size > 1000


def test_a_picture_arrives_exactly_and_its_presigned_address_gets_no_key(place: Place) -> None:
    noise = np.random.default_rng(7).integers(0, 256, (400, 480, 3), dtype=np.uint8)
    Image.fromarray(noise).save(place.host.base / "input" / "noise.png")
    load = {"class_type": "LoadImage", "inputs": {"image": "noise.png"}}
    place.ok({"0": load, "1": image_to_video("it moves", image=["0", 0]), "2": save("1")})
    put = place.gateway.record.of("put")[-1]
    assert "Authorization" not in put.headers and put.headers["Content-Length"] == str(len(put.body))
    with Image.open(io.BytesIO(put.body)) as picture:
        assert picture.format == "PNG" and np.array_equal(np.asarray(picture), noise)
    body = place.gateway.record.posts[-1].json
    assert set(body) == {"model", "type", "prompt", "image_urls", "duration", "resolution"}
    assert body["duration"] == "5"


def test_a_loaded_mp4_is_sent_packet_for_packet(place: Place) -> None:
    source = place.host.base / "input" / "source.mp4"
    write_clip(source, count=60)
    load = {"class_type": "LoadVideo", "inputs": {"file": "source.mp4"}}
    place.ok({"0": load, "1": video_to_video("repaint it", video=["0", 0]), "2": save("1")})
    assert shown_in(place.gateway.record.of("put")[-1].body) == shown_in(source.read_bytes())
    body = place.gateway.record.posts[-1].json
    assert set(body) == {"model", "type", "prompt", "video_url", "duration", "resolution"}


def test_a_video_of_frames_is_encoded_once_and_sent(place: Place) -> None:
    frames = {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 48, "batch_size": 60, "color": 0x336699}}
    made = {"class_type": "CreateVideo", "inputs": {"images": ["8", 0], "fps": 24.0}}
    count = place.since()
    for take in range(2):
        node = video_to_video("repaint frames", video=["9", 0], take=take)
        place.ok({"8": frames, "9": made, "1": node, "2": save("1")})
    assert (count("put"), count("create")) == (1, 2)
    with av.open(io.BytesIO(place.gateway.record.of("put")[-1].body)) as container:
        assert container.streams.video[0].codec_context.name == "h264"
        assert sum(1 for _ in container.decode(video=0)) == 60


def test_each_shot_begins_with_the_last_frame_of_the_one_before(place: Place) -> None:
    history = place.ok(
        {
            "1": text_to_video("first shot"),
            "2": image_to_video("second shot", image=["1", 2]),
            "3": load_video(video=["2", 0], start=0.125, every_nth=3, max_frames=2),
            "4": save("3"),
            "5": pictures("3", 1),
            "6": pictures("1", 2),
        }
    )
    last = eight_bits(place.file(history, "6"))
    uploaded = np.asarray(Image.open(io.BytesIO(place.gateway.record.of("put")[-1].body)).convert("RGB"))
    assert np.abs(uploaded.astype(int) - last).max() <= 1
    part = decode_frames(place.file(history, "4"))
    assert len(part.pixels) == len(place.files(history, "5")) == 2
    assert part.fps == 8


def test_twenty_nodes_that_want_ten_jobs_pay_for_ten_within_the_plan(place: Place) -> None:
    shots = {str(number): text_to_video(f"shot {number % 10}") for number in range(20)}
    saved = {f"s{number}": save(number) for number in shots}
    count = place.since()
    place.ok({**shots, **saved})
    assert count("create") == 10
    assert place.gateway.record.most_running() <= 3


WRONG = {
    "The prompt is empty": text_to_video(" "),
    "No image is given": image_to_video("x"),
    "Line 2 of image_urls is no https address": image_to_video("x", image_urls="https://x.example/a.png\nhttp://b"),
    "No video is given. Nothing was sent; no credits were spent. Link": video_to_video("x"),
    "That is not a task id": poll("no id"),
    "No video is given. Nothing was sent; no credits were spent. Choose": load_video(),
    "There is no file": load_video(file="gone.mp4"),
    "leads to an address that is not public": load_video(url="https://10.0.0.1/a.mp4"),
}


@pytest.mark.parametrize("message", WRONG)
def test_a_wrong_input_is_named_before_any_request(place: Place, message: str) -> None:
    count = place.since()
    try:
        error = place.error({"1": WRONG[message], "2": save("1")})
    except PromptRefused as refused:
        error = refused.node_errors["1"]["errors"][0]["details"]
    assert message in error and "Nothing was sent; no credits were spent." in error
    assert count(None) == 0


def test_an_interrupt_ends_the_wait_and_the_job_is_continued(place: Place) -> None:
    count = place.since()
    # Ids of their own, because texts of earlier prompts are kept.
    shots = {"a": text_to_video("interrupted"), "b": text_to_video("as well"), "3": save("a"), "4": save("b")}
    place.clock.stop()
    prompt_id = place.host.queue(shots)
    for node_id in ("a", "b"):
        place.host.await_text(node_id, "task ")
    place.host.interrupt()
    history = place.host.wait(prompt_id)
    assert "execution_interrupted" in [event for event, _ in history["status"]["messages"]]
    assert {"a", "b"} == {node for node, said in place.host.texts() if "You stopped the wait" in said}
    place.clock.go_on()
    place.ok(shots)
    assert count("create") == 2


def test_a_failing_sibling_takes_no_job_with_it(place: Place) -> None:
    count = place.since()
    shot = {"1": text_to_video("with a bad neighbour"), "2": save("1")}
    place.clock.stop()
    prompt_id = place.host.queue({**shot, "3": load_video(url=f"{place.gateway.base_url}/cdn/none"), "4": save("3")})
    assert place.host.wait(prompt_id)["status"]["status_str"] == "error"
    place.clock.go_on()
    place.ok(shot)
    assert count("create") == 1
    assert "Task exception was never retrieved" not in place.host.log


def test_what_was_submitted_is_collected_after_a_restart(place: Place) -> None:
    place.clock.stop()
    submitted = {"1": text_to_video("collected later", wait=False), "2": text("1", 4), "3": save("1")}
    history = place.ok(submitted)
    task_id = place.gateway.record.tasks[-1].task_id
    assert shown(history, "2") == task_id and "3" not in history["outputs"]

    peek = place.ok({"1": poll(task_id, wait=False), "2": save("1"), "3": text("1", 4)})
    assert "2" not in peek["outputs"] and shown(peek, "3") == task_id

    count = place.since()
    place.host.restart()
    place.clock.go_on()
    collected = place.ok({"1": poll(f' "{task_id}" '), "2": save("1"), "3": pictures("1", 1)})
    assert len(place.files(collected, "3")) == FRAMES
    assert count("create") == 0


def test_an_id_that_the_gateway_does_not_know(place: Place) -> None:
    assert "Check the id" in place.error({"1": poll("vid_01UNKNOWN"), "2": save("1")})
    peek = place.ok({"1": poll("vid_01UNKNOWN", wait=False), "2": save("1"), "3": text("1", 4)})
    assert "2" not in peek["outputs"] and shown(peek, "3") == "vid_01UNKNOWN"


def test_load_video_runs_again_when_its_file_has_changed_and_not_otherwise(place: Place) -> None:
    path = place.host.base / "input" / "changing.mp4"
    write_clip(path, count=10)
    prompt = {"1": load_video(file="changing.mp4"), "2": text("1", 5), "3": text("1", 4)}
    assert (shown(place.ok(prompt), "2"), place.since()(None)) == ("10", 0)
    again = dict(place.ok(prompt)["status"]["messages"])
    assert "1" in again["execution_cached"]["nodes"]
    write_clip(path, count=20)
    history = place.ok(prompt)
    assert (shown(history, "2"), shown(history, "3")) == ("20", "24.0")


def test_load_video_fetches_an_address_once(place: Place) -> None:
    place.ok({"1": text_to_video("at an address"), "2": save("1")})
    url = f"{place.gateway.base_url}/cdn/generated/{place.gateway.record.tasks[-1].task_id}/result.mp4"
    assert shown(place.ok({"1": load_video(url=url), "2": text("1", 5)}), "2") == str(FRAMES)
    assert shown(place.ok({"1": load_video(url=url, max_frames=5), "2": text("1", 5)}), "2") == "5"
    assert place.gateway.record.of("download")[-1].headers["If-None-Match"]
    assert "Authorization" not in place.gateway.record.of("download")[-1].headers


def test_no_log_speaks_of_trouble(place: Place) -> None:
    assert place.host.log_about("Task exception") == []
    assert KEY not in place.host.log
