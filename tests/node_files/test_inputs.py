"""Wrong inputs: each has a message of its own, on the node and in the error, before anything is sent."""

from __future__ import annotations

import inspect
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from comfy_api.latest import InputImpl

from tests.host.outcomes import PromptRefused
from tests.support.node_files import (
    OUR_NODES,
    Comfy,
    Node,
    clip_bytes,
    file_video,
    give,
    image_to_video,
    keep,
    load_video,
    noise,
    poll,
    save,
    text_to_video,
    video_to_video,
)

NOT_SENT = "Nothing was sent; no credits were spent."


class Wrong(NamedTuple):
    """A node with a wrong input (the value of node 0, where it needs one) and what it must be told."""

    message: str
    node: Node
    value: Callable[[Comfy], object] = lambda comfy: None


def in_memory(data: bytes) -> Callable[[Comfy], object]:
    return lambda comfy: InputImpl.VideoFromFile(io.BytesIO(data))


def in_input_folder(data: bytes) -> Callable[[Comfy], object]:
    def value(comfy: Comfy) -> object:
        path = comfy.base / "input" / "given.mp4"
        path.write_bytes(data)
        return file_video(path)

    return value


def tensor(*shape: int, fill: float = 0.5) -> Callable[[Comfy], object]:
    return lambda comfy: torch.full(shape, fill)


def one_bad_picture(comfy: Comfy) -> object:
    images = noise()
    images[0, 5, 7, 2] = float("nan")
    return images


GIVEN = ["0", 0]
CLIP = in_input_folder(clip_bytes())
HTTPS = "https://cdn.example.com/clip.mp4"

WRONG = {
    "t2v empty prompt": Wrong("The prompt is empty", text_to_video("")),
    "t2v blank prompt": Wrong("The prompt is empty", text_to_video(" \n\t ")),
    "t2v endless prompt": Wrong("The prompt has 5,001 characters", text_to_video("x" * 5001)),
    "i2v nothing": Wrong("No image is given", image_to_video()),
    "i2v blank lines": Wrong("No image is given", image_to_video(image_urls=" \n\n  ")),
    "i2v http": Wrong("Line 1 of image_urls is no https address", image_to_video(image_urls="http://x.example/a.png")),
    "i2v second line": Wrong(
        "Line 4 of image_urls is no https address",
        image_to_video(image_urls="\nhttps://x.example/a.png\n\nfile:///etc/passwd\n"),
    ),
    "i2v blank in url": Wrong(
        "Line 1 of image_urls is no https address", image_to_video(image_urls="https://x.example/a b.png")
    ),
    "i2v url without host": Wrong("is not a URL the gateway could fetch", image_to_video(image_urls="https:///a.png")),
    "i2v url with password": Wrong(
        "is not a URL the gateway could fetch", image_to_video(image_urls="https://me:secret@x.example/a.png")
    ),
    "i2v rank 3": Wrong("The image has the shape (8, 8, 3)", image_to_video(image=GIVEN), tensor(8, 8, 3)),
    "i2v rank 5": Wrong("The image has the shape (1, 2, 8, 8, 3)", image_to_video(image=GIVEN), tensor(1, 2, 8, 8, 3)),
    "i2v channels": Wrong("The image has the shape (1, 8, 8, 2)", image_to_video(image=GIVEN), tensor(1, 8, 8, 2)),
    "i2v channels first": Wrong(
        "The image has the shape (1, 3, 8, 8)", image_to_video(image=GIVEN), tensor(1, 3, 8, 8)
    ),
    "i2v no pictures": Wrong("The image has the shape (0, 8, 8, 3)", image_to_video(image=GIVEN), tensor(0, 8, 8, 3)),
    "i2v nan": Wrong("Image 1 cannot be sent: The picture holds values", image_to_video(image=GIVEN), one_bad_picture),
    "i2v 0..255": Wrong("run from 128 to 128", image_to_video(image=GIVEN), tensor(1, 8, 8, 3, fill=128.0)),
    "i2v -1..1": Wrong("run from -1 to -1", image_to_video(image=GIVEN), tensor(1, 8, 8, 3, fill=-1.0)),
    "i2v endless prompt": Wrong(
        "The prompt has 6,000 characters", image_to_video(image=GIVEN, prompt="y" * 6000), tensor(1, 400, 400, 3)
    ),
    "v2v nothing": Wrong("No video is given", video_to_video()),
    "v2v blank url": Wrong("No video is given", video_to_video(video_url="  \n")),
    "v2v both": Wrong(
        "Both a video and a video_url are given", video_to_video(video=GIVEN, video_url=f" {HTTPS} "), CLIP
    ),
    "v2v http": Wrong("video_url is no https address", video_to_video(video_url="http://x.example/a.mp4")),
    "v2v two urls": Wrong("video_url is no https address", video_to_video(video_url=f"{HTTPS} {HTTPS}")),
    "v2v another address of this machine": Wrong(
        "video_url is no https address", video_to_video(video_url="http://127.0.0.1:9/a.mp4")
    ),
    "v2v no clip": Wrong(
        "cannot be sent: ", video_to_video(video=GIVEN), in_input_folder(b"<html>not a clip</html>" * 99)
    ),
    "v2v no clip in memory": Wrong("cannot be sent: ", video_to_video(video=GIVEN), in_memory(b"not a clip" * 99)),
    "poll blanks": Wrong("That is not a task id", poll("vid 01 HQ")),
    "poll endless": Wrong("That is not a task id", poll("v" * 201)),
    "poll nothing unfinished": Wrong("There is no job of this account that was not collected yet", poll("")),
    "load nothing": Wrong("No video is given", load_video()),
    "load blank url": Wrong("No video is given", load_video(url="   ")),
    "load missing file": Wrong("There is no file", load_video(file="gone.mp4")),
    "load foreign file": Wrong("leads out of its folder", load_video(file="../user/secret.mp4")),
    "load absolute file": Wrong(
        "not a name inside ComfyUI's input folder", load_video(file=str(Path(__file__).resolve()))
    ),
    "load a folder": Wrong("names no file", load_video(file=".")),
    "load no clip": Wrong("notes.txt", load_video(file="notes.txt")),
    "load http": Wrong("https", load_video(url="http://x.example/a.mp4")),
    "load private address": Wrong("10.0.0.1", load_video(url="https://10.0.0.1/a.mp4")),
    "load file address": Wrong("https", load_video(url="file:///etc/passwd")),
    "load start behind the end": Wrong("start 9 s lies behind", load_video(video=GIVEN, start=9.0), CLIP),
}


def prompt_of(wrong: Wrong, comfy: Comfy) -> dict[str, Node]:
    given: dict[str, Node] = {"0": give(wrong.value(comfy))} if GIVEN in wrong.node["inputs"].values() else {}
    return {**given, "1": wrong.node, "2": save("1"), "3": keep("1", 2)}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG.keys())
def test_a_wrong_input_is_named_before_anything_is_sent(wrong: Wrong, comfy: Comfy) -> None:
    (comfy.base / "input" / "notes.txt").write_text("no clip " * 999, encoding="utf-8")
    (comfy.base / "user" / "secret.mp4").write_bytes(clip_bytes())
    try:
        outcome = comfy.run(prompt_of(wrong, comfy))
    except PromptRefused as refused:
        told = refused.node_errors["1"]["errors"][0]["details"]
    else:
        told = outcome.error
        assert wrong.message.split(": ")[0] in outcome.said(), "new front ends show the text on the node, not the error"
        assert outcome.all_kept("3") == []
    assert wrong.message in told and NOT_SENT in told
    assert comfy.requests == []


TEXTS = ("prompt", "image_urls", "video_url", "task_id", "url", "file")
LITERAL = {
    name: wrong
    for name, wrong in WRONG.items()
    if (name.split()[0] in ("t2v", "poll") and name != "poll nothing unfinished")
    or name in ("i2v nothing", "i2v blank lines", "i2v http", "i2v file", "i2v endless prompt")
    or name in ("v2v nothing", "v2v blank url", "v2v both", "v2v http", "v2v two urls")
    or name in ("load nothing", "load blank url", "load missing file", "load foreign file", "load a folder")
}


@pytest.mark.parametrize("wrong", LITERAL.values(), ids=LITERAL.keys())
def test_what_is_written_on_a_node_is_refused_with_the_prompt(wrong: Wrong, comfy: Comfy) -> None:
    with pytest.raises(PromptRefused) as refused:
        comfy.queue(prompt_of(wrong, comfy))
    assert wrong.message in refused.value.node_errors["1"]["errors"][0]["details"]


@pytest.mark.parametrize("wrong", LITERAL.values(), ids=LITERAL.keys())
def test_what_is_linked_is_refused_when_the_node_runs(wrong: Wrong, comfy: Comfy) -> None:
    prompt = prompt_of(wrong, comfy)
    inputs = dict(wrong.node["inputs"])
    for number, name in enumerate(name for name in TEXTS if isinstance(inputs.get(name), str)):
        prompt[f"linked {number}"] = give(inputs[name])
        inputs[name] = [f"linked {number}", 0]
    prompt["1"] = {**wrong.node, "inputs": inputs}
    outcome = comfy.run(prompt)
    assert wrong.message in outcome.error and NOT_SENT in outcome.error and comfy.requests == []


ANYTHING: list[Any] = [
    None,
    "",
    " ",
    7,
    True,
    [],
    {},
    ["1", 0],
    "x" * 9999,
    "\ud800",
    "http://[",
    "a\0b",
    "../x",
    float("nan"),
]


@pytest.mark.parametrize("node", OUR_NODES, ids=lambda node: node.GET_SCHEMA().node_id)
def test_a_check_takes_any_value_and_none_and_nothing(comfy: Comfy, node: Any) -> None:
    names = list(inspect.signature(node.validate_inputs).parameters)
    assert node.validate_inputs(**dict.fromkeys(names)) is True, "all linked: nothing can be said"
    for value in ANYTHING:
        for name in names:
            told = node.validate_inputs(**{name: value})
            assert told is True or (isinstance(told, str) and NOT_SENT in told)


def test_a_wrong_node_does_not_disturb_the_next_prompt(comfy: Comfy) -> None:
    assert comfy.run({"0": give(""), "1": text_to_video(["0", 0]), "2": save("1")}).error
    comfy.run({"1": text_to_video(), "2": save("1")}).ok()


def test_without_a_key_nothing_is_sent_and_the_message_says_where_to_put_one(comfy: Comfy) -> None:
    del comfy.environ["APIMALL_API_KEY"]
    outcome = comfy.run({"1": text_to_video(), "2": save("1")})
    assert "No API Mall key is set" in outcome.error and NOT_SENT in outcome.error
    assert comfy.requests == []


@pytest.mark.parametrize(
    ("wrong", "kind"),
    [
        (text_to_video(take=-1), "value_smaller_than_min"),
        (text_to_video(take=1 << 31), "value_bigger_than_max"),
        (text_to_video(model=""), "custom_validation_failed"),
        (load_video(every_nth=0), "value_smaller_than_min"),
        (load_video(start=-0.5), "value_smaller_than_min"),
        (load_video(max_frames=-1), "value_smaller_than_min"),
        (load_video(max_side=-1), "value_smaller_than_min"),
    ],
    ids=lambda value: str(value) if isinstance(value, str) else None,
)
def test_numbers_outside_their_range_are_refused_with_the_prompt(comfy: Comfy, wrong: Node, kind: str) -> None:
    with pytest.raises(PromptRefused) as refused:
        comfy.queue({"1": wrong, "2": save("1")})
    assert {error["type"] for error in refused.value.node_errors["1"]["errors"]} == {kind}


@pytest.mark.parametrize("values", [{"duration": "7"}, {"resolution": "4k"}, {"duration": ""}], ids=str)
def test_a_value_that_slips_past_an_old_host_is_refused_by_the_gateway_and_costs_nothing(
    open_comfy: Callable[..., Comfy], values: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    # 0.3.64 does not look at the lists of V3 nodes.
    monkeypatch.setattr("standin_host._built_in_checks", lambda declared, value: [])
    comfy = open_comfy()
    outcome = comfy.run({"1": text_to_video(**values), "2": save("1")})
    assert "no credits were spent" in outcome.error
    assert comfy.gateway.record.charges() == 0
