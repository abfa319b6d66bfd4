"""What is tried in each ComfyUI, without a browser."""

from __future__ import annotations

import io
import json
import urllib.error
from pathlib import Path
from typing import Any

import av
import numpy as np

from tests.host import examples
from tests.host.outcomes import PromptRefused
from tests.host.place import (
    FRAMES,
    Node,
    Place,
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
from tests.radar.probe import Absent, Probes
from tests.support.clips import shown_in

PROBES: Probes[Place] = Probes()
PAID = ("APIMall_TextToVideo", "APIMall_ImageToVideo", "APIMall_VideoToVideo")
LOOP_EXAMPLE = "A list of shots"


@PROBES.that("schema", "the pack loads without a word in the log")
def loads(place: Place) -> None:
    names = [name for name in place.host.get("/object_info") if name.startswith("APIMall_")]
    assert len(names) == 5, names
    assert place.host.log_about("apimall-video") == []


@PROBES.that("schema", "inputs keep their order, with tooltips")
def order(place: Place) -> None:
    info = place.host.object_info("APIMall_TextToVideo")
    names = ["prompt", "model", "duration", "resolution", "take", "wait"]
    assert info["input_order"]["required"] == names
    assert all(info["input"]["required"][name][1]["tooltip"] for name in names)


@PROBES.that("schema", "no node asks for the user's Comfy account")
def nobodys_partner(place: Place) -> None:
    assert not any(place.host.object_info(name)["api_node"] for name in PAID)


@PROBES.that("output nodes", "a lone node runs, and its clip is on it")
def alone(place: Place) -> None:
    history = place.ok({"1": text_to_video("alone")})
    assert place.file(history, "1").is_file()


@PROBES.that("output nodes", "`wait` off with nothing linked submits")
def submits(place: Place) -> None:
    count = place.since()
    place.ok({"1": text_to_video("submitted alone", wait=False)})
    assert count("create") == 1


@PROBES.that("output nodes", "a lone Poll Result collects")
def collects(place: Place) -> None:
    place.ok({"1": text_to_video("collected alone", wait=False), "2": text("1", 4)})
    task_id = place.gateway.record.tasks[-1].task_id
    assert place.file(place.ok({"1": poll(task_id)}), "1").is_file()


@PROBES.that("output nodes", "Load Video alone is refused, as core's is")
def loads_only(place: Place) -> None:
    write_clip(place.host.base / "input" / "alone.mp4")
    assert refused(place, {"1": load_video(file="alone.mp4")}) is not None


@PROBES.that("links", "nothing unlinked is decoded")
def decodes_nothing(place: Place) -> None:
    batches(place)
    place.ok({"1": text_to_video("undecoded"), "2": save("1")})
    assert batches(place) == 0


@PROBES.that("links", "what is linked later arrives, without a request")
def linked_later(place: Place) -> None:
    shot = {"1": text_to_video("linked later"), "2": save("1")}
    place.ok(shot)
    count = place.since()
    history = place.ok({**shot, "3": pictures("1", 1), "4": sound("1")})
    assert len(place.files(history, "3")) == FRAMES and place.file(history, "4", "audio").is_file()
    assert count(None) == 0


@PROBES.that("caches", "an unchanged node is served from the cache")
def cached(place: Place) -> None:
    shot = {"1": text_to_video("cached"), "2": save("1")}
    place.ok(shot)
    assert "1" in cached_nodes(place.ok(shot))


@PROBES.that("caches", "a clip that was deleted is there again, unpaid, when only Save Video changed")
def deleted(place: Place) -> None:
    shot = {"1": text_to_video("deleted"), "2": save("1")}
    place.ok(shot)
    newest(place).unlink()
    count = place.since()
    other = save("1")
    other["inputs"]["filename_prefix"] = "video/other"
    history = place.ok({**shot, "2": other})
    assert place.file(history, "2").is_file() and count("create") == 0


@PROBES.that("caches", "what changed behind a url is seen by the next prompt, with one question")
def changed_address(place: Place) -> None:
    place.ok({"1": text_to_video("at an address"), "2": save("1")})
    task_id = place.gateway.record.tasks[-1].task_id
    url = f"{place.gateway.base_url}/cdn/generated/{task_id}/result.mp4"
    prompt = {"1": load_video(url=url), "2": text("1", 5)}
    assert shown(place.ok(prompt), "2") == str(FRAMES)
    write_clip(last_of(place.host.base.parent / "gateway" / "results"), count=20)
    count = place.since()
    assert shown(place.ok(prompt), "2") == "20" and count("download") == 1


@PROBES.that("VIDEO", "a file anywhere that another node opened is sent packet for packet")
def file_elsewhere(place: Place) -> None:
    clip = place.host.base.parent / "elsewhere.mp4"
    write_clip(clip, count=54)
    place.ok({"0": made(clip, ""), "1": video_to_video("elsewhere", video=["0", 0]), "2": save("1")})
    assert shown_in(place.gateway.record.of("put")[-1].body) == shown_in(clip.read_bytes())


def _sends_what_it_shows(place: Place, how: str) -> None:
    if how not in kinds(place):
        raise Absent
    clip = place.host.base / "input" / "source.mp4"
    write_clip(clip, count=54)
    count = place.since()
    whole = {"0": made(clip, ""), "1": video_to_video(f"{how} and whole", video=["0", 0]), "2": save("1")}
    place.ok(whole)
    changed = {"0": made(clip, how), "1": video_to_video(f"{how} and whole", video=["0", 0]), "2": save("1")}
    before = set((place.host.base / "temp").glob("*.npy"))
    place.ok(changed)
    (kept,) = set((place.host.base / "temp").glob("*.npy")) - before
    wanted, found = np.load(kept), decoded(place.gateway.record.of("put")[-1].body)
    assert count("create") == 2, "the part and the whole counted as one job"
    assert found.shape == wanted.shape, f"sent {found.shape}, shown {wanted.shape}"
    assert int(np.abs(found.astype(int) - wanted).max()) <= 16


@PROBES.that("VIDEO", "a trimmed one is sent as it shows")
def trimmed(place: Place) -> None:
    _sends_what_it_shows(place, "as_trimmed")


@PROBES.that("VIDEO", "a cropped one is sent as it shows")
def cropped(place: Place) -> None:
    _sends_what_it_shows(place, "as_cropped")


@PROBES.that("VIDEO", "joined ones are sent as they show")
def joined(place: Place) -> None:
    _sends_what_it_shows(place, "joined")


@PROBES.that("VIDEO", "after every other public as_... it is sent as it shows")
def other_transforms(place: Place) -> None:
    others = [how for how in kinds(place) if how not in ("as_trimmed", "as_cropped", "joined")]
    if not others:
        raise Absent
    for how in others:
        _sends_what_it_shows(place, how)


@PROBES.that("VIDEO", "Save Video copies the gateway's packets")
def copies_packets(place: Place) -> None:
    history = place.ok({"1": text_to_video("copied"), "2": save("1")})
    assert packets(place.file(history, "2")) == packets(newest(place))


@PROBES.that("expansion", "a copy decodes nothing but what is linked to it")
def copy_decodes(place: Place) -> None:
    batches(place)
    history = place.ok({"7": text_to_video("copied by a loop"), "8": repeat("7", 2), "9": save("7")})
    assert sum("shown" in node_id for node_id in history["outputs"]) == 2
    assert batches(place) == 0


@PROBES.that("expansion", "a copy's text is on the node that the user sees")
def copy_text(place: Place) -> None:
    prompt = {"seen": text_to_video("text of a copy"), "texts": repeat("seen", 2), "9": save("seen")}
    place.ok(prompt)
    said = {node_id for node_id, words in place.host.texts() if "task " in words or "paid" in words}
    assert not [node_id for node_id in said if node_id.startswith("texts.")], said


@PROBES.that("expansion", "the example with Start/End Loop runs: each shot from the last frame before")
def loop(place: Place) -> None:
    if "StartLoop" not in place.host.get("/object_info"):
        raise Absent
    count = place.since()
    examples.give_inputs(place.host)
    place.ok(examples.api_prompt(place.host, LOOP_EXAMPLE))
    assert count("create") == 3


@PROBES.that("validation", "an empty prompt is refused with the prompt, on its widget")
def empty_prompt(place: Place) -> None:
    assert "The prompt is empty" in str(refused(place, {"1": text_to_video(" "), "2": save("1")}))


@PROBES.that("validation", "nothing to animate is refused with the prompt")
def nothing_to_animate(place: Place) -> None:
    assert "No image is given" in str(refused(place, {"1": image_to_video("x"), "2": save("1")}))


@PROBES.that("validation", "both a video and a url are refused with the prompt")
def both(place: Place) -> None:
    node = video_to_video("x", video=["0", 0], video_url="https://x.example/a.mp4")
    clip = place.host.base / "input" / "both.mp4"
    write_clip(clip)
    told = str(refused(place, {"0": made(clip, ""), "1": node, "2": save("1")}))
    assert "Both a video and a video_url" in told


@PROBES.that("validation", "a bad task id is refused with the prompt")
def bad_task_id(place: Place) -> None:
    assert "not a task id" in str(refused(place, {"1": poll("no id"), "2": save("1")}))


@PROBES.that("validation", "what is linked is not judged before it is known, and refused then")
def linked_value(place: Place) -> None:
    texts = {"0": text("5", 4), "5": text_to_video("for its id"), "1": poll(["5", 4]), "2": save("1")}
    place.ok(texts)


@PROBES.that("validation", "a model that nobody knows yet is passed on to the gateway")
def unknown_model(place: Place) -> None:
    count = place.since()
    try:
        place.run({"1": text_to_video("x", model="wan9-9"), "2": save("1")})
    except PromptRefused as told:
        raise AssertionError(str(told)) from None
    assert count("create") == 1


@PROBES.that("running", "nodes of one prompt wait together; one failing takes no job with it")
def siblings(place: Place) -> None:
    count = place.since()
    shot = {"1": text_to_video("with a bad neighbour"), "2": save("1")}
    place.clock.stop()
    try:
        bad = load_video(url=f"{place.gateway.base_url}/cdn/none")
        prompt_id = place.host.queue({**shot, "3": bad, "4": save("3")})
        assert place.host.wait(prompt_id)["status"]["status_str"] == "error"
    finally:
        place.clock.go_on()
    place.ok(shot)
    assert count("create") == 1


@PROBES.that("running", "an interrupt ends the wait and not the job")
def interrupted(place: Place) -> None:
    count = place.since()
    shot = {"waits": text_to_video("interrupted"), "2": save("waits")}
    place.clock.stop()
    try:
        prompt_id = place.host.queue(shot)
        place.host.await_text("waits", "task ")
        place.host.interrupt()
        place.host.wait(prompt_id)
    finally:
        place.clock.go_on()
    place.ok(shot)
    assert count("create") == 1


@PROBES.that("running", "progress arrives at the browser, for the node")
def progress(place: Place) -> None:
    place.ok({"moves": text_to_video("progress"), "3": pictures("moves", 1)})
    states = [data["nodes"] for event, data in place.host.sent() if event == "progress_state"]
    assert any("moves" in nodes for nodes in states)


@PROBES.that("files", "scripts, help, words and templates of the pack are served")
def served(place: Place) -> None:
    assert [path for path in place.host.get("/extensions") if "apimall-video" in path]
    assert "apimall-video" in place.host.get("/workflow_templates")
    assert "APIMall_TextToVideo" in json.dumps(place.host.get("/i18n"))


@PROBES.that("files", "nothing under the state folder is served")
def private(place: Place) -> None:
    for path in ("/userdata/__apimall_video%2Fjournal.sqlite3", "/userdata/..%2F__apimall_video%2Fjournal.sqlite3"):
        try:
            place.host.get(path)
        except urllib.error.HTTPError as answer:
            assert answer.code in (400, 403, 404), answer.code
        else:
            raise AssertionError(f"{path} is served")


def refused(place: Place, prompt: dict[str, Node]) -> list[dict[str, Any]] | dict[str, Any]:
    """The errors of node 1 in the answer to POST /prompt, or the answer."""
    try:
        history = place.run(prompt)
    except PromptRefused as told:
        errors: list[dict[str, Any]] | None = told.node_errors.get("1", {}).get("errors")
        return errors or told.reply
    raise AssertionError(f"it was queued: {history['status']['status_str']}")


def made(path: Path, how: str) -> Node:
    return {"class_type": "Radar_MakeVideo", "inputs": {"path": str(path), "how": how}}


def repeat(original: str, slot: int) -> Node:
    return {"class_type": "Radar_Repeat", "inputs": {"original": original, "slot": slot}}


def kinds(place: Place) -> list[str]:
    names: list[str] = place.ok({"1": {"class_type": "Radar_Kinds", "inputs": {}}})["outputs"]["1"]["text"]
    return names


def batches(place: Place) -> int:
    return int(shown(place.ok({"1": {"class_type": "Radar_Batches", "inputs": {}}}), "1"))


def newest(place: Place) -> Path:
    """The clip that came last."""
    return last_of(place.host.base / "output" / "apimall")


def last_of(folder: Path) -> Path:
    return max(folder.glob("*.mp4"), key=lambda path: path.stat().st_mtime_ns)


def decoded(data: bytes) -> np.ndarray[Any, Any]:
    with av.open(io.BytesIO(data)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def packets(path: Path) -> list[bytes]:
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(video=0) if packet.size]


def cached_nodes(history: dict[str, Any]) -> list[str]:
    nodes: list[str] = dict(history["status"]["messages"])["execution_cached"]["nodes"]
    return nodes
