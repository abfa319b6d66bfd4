"""Load Video: every source, every way to take a part of it, and when it looks again."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from comfy_api.latest import InputImpl, Types

from nodes.comfyui import host, loading
from nodes.media.decode import decode_frames
from nodes.media.encode import trim_clip
from nodes.media.forecast import Forecast
from nodes.media.probe import probe
from nodes.stopping import Stopped
from tests.host.outcomes import PromptRefused
from tests.support import clips
from tests.support.clips import animated_webp
from tests.support.node_files import (
    FPS,
    FRAMES,
    HEIGHT,
    SOUND_RATE,
    WIDTH,
    Comfy,
    Node,
    Outcome,
    clip_bytes,
    file_video,
    give,
    image_to_video,
    keep,
    load_video,
    other_codec_bytes,
    pictures,
    save,
    shade,
    stored_file,
    text_to_video,
    tone,
)

VIDEO, FRAMES_SLOT, LAST_FRAME, AUDIO, RATE, COUNT = range(6)
ALL = {str(10 + slot): keep("1", slot) for slot in range(6)}
LONG = 48


def stored(comfy: Comfy, data: bytes | None = None, name: str = "clip.mp4") -> Path:
    path = comfy.base / "input" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data or clip_bytes(count=LONG))
    return path


def load(comfy: Comfy, source: object = None, **inputs: Any) -> Outcome:
    given: dict[str, Node] = {} if source is None else {"0": give(source)}
    linked = {} if source is None else {"video": ["0", 0]}
    return comfy.run({**given, "1": load_video(**linked, **inputs), **ALL})


def shades(images: torch.Tensor) -> list[float]:
    return [round(float(picture.mean()) * 255) for picture in images]


def near(images: torch.Tensor, numbers: range, most: int = 2) -> bool:
    found, wanted = shades(images), [shade(number) for number in numbers]
    return len(found) == len(wanted) and all(abs(a - b) <= most for a, b in zip(found, wanted, strict=True))


def seconds_of(sound: dict[str, Any]) -> float:
    return float(sound["waveform"].shape[2] / sound["sample_rate"])


def test_the_list_offers_every_clip_and_no_still(comfy: Comfy) -> None:
    for name in ("clip.mp4", "moving.GIF", "broadcast.mxf", "camcorder.dv", "stream.m2ts", "notes.txt", "still.jpg"):
        stored(comfy, b"anything", name)
    stored(comfy, b"\x89PNG\r\n\x1a\n" + bytes(25) + b"\0\0\0\x08acTL", "moving.png")
    stored(comfy, b"\x89PNG\r\n\x1a\n" + bytes(25) + b"\0\0\0\x08IDAT", "still.png")
    offered = ["broadcast.mxf", "camcorder.dv", "clip.mp4", "moving.GIF", "moving.png", "stream.m2ts"]
    assert host.input_videos() == offered


def test_a_phones_hdr_is_toned_down_and_said_to_be(comfy: Comfy) -> None:
    path = comfy.base / "input" / "phone.mov"
    path.parent.mkdir(parents=True, exist_ok=True)
    clips.hdr_clip(path, [[203, 203, 203]], clips.HLG)
    outcome = load(comfy, file="phone.mov")
    assert "HLG (HDR) toned down to BT.709" in outcome.said()
    assert float(outcome.kept("11").mean()) == pytest.approx(0.944, abs=0.01)


def test_a_file_of_the_input_folder_is_loaded_whole(comfy: Comfy) -> None:
    path = stored(comfy)
    outcome = load(comfy, file="clip.mp4").ok()
    assert stored_file(outcome.kept("10")) == path
    assert near(outcome.kept("11"), range(LONG))
    assert torch.equal(outcome.kept("12"), outcome.kept("11")[-1:])
    assert abs(seconds_of(outcome.kept("13")) - LONG / FPS) < 0.05
    assert (outcome.kept("14"), outcome.kept("15")) == (FPS, LONG)
    assert outcome.history["outputs"]["1"]["images"][0]["filename"] == "clip.mp4"


def test_what_is_linked_counts_before_a_file_that_stands_in_the_widget(comfy: Comfy) -> None:
    linked = stored(comfy, clip_bytes(count=3), "linked.mp4")
    stored(comfy, name="file.mp4")
    assert load(comfy, file_video(linked), file="file.mp4").ok().kept("15") == 3


def test_it_costs_nothing_and_asks_nobody(comfy: Comfy) -> None:
    stored(comfy)
    load(comfy, file="clip.mp4").ok()
    assert comfy.requests == []


@pytest.mark.parametrize("name", ["sub/clip.mp4", "clip.mp4 [input]"])
def test_a_file_is_found_by_the_names_that_comfyui_gives(comfy: Comfy, name: str) -> None:
    stored(comfy, name=name.removesuffix(" [input]"))
    assert load(comfy, file=name).ok().kept("15") == LONG


def test_a_result_of_ours_is_loaded_from_the_output_folder(comfy: Comfy) -> None:
    comfy.run({"1": text_to_video(), "2": save("1")}).ok()
    (clip,) = host.results_folder().glob("*.mp4")
    assert load(comfy, file=f"apimall/{clip.name} [output]").ok().kept("15") == FRAMES


@pytest.mark.parametrize(
    ("inputs", "numbers", "fps"),
    [
        ({"start": 1.0}, range(24, 48), 24),
        ({"start": 0.5, "max_frames": 7}, range(12, 19), 24),
        ({"every_nth": 2}, range(0, 48, 2), 12),
        ({"every_nth": 5}, range(0, 48, 5), 4.8),
        ({"every_nth": 5, "max_frames": 3, "start": 1.0}, range(24, 39, 5), 4.8),
        ({"max_frames": 1}, range(1), 24),
        ({"max_frames": 1000}, range(48), 24),
        ({"every_nth": 1000}, range(1), 0.024),
        ({"start": 47 / 24}, range(47, 48), 24),
    ],
    ids=str,
)
def test_a_part_of_a_clip(comfy: Comfy, inputs: dict[str, Any], numbers: range, fps: float) -> None:
    stored(comfy)
    outcome = load(comfy, file="clip.mp4", **inputs).ok()
    assert near(outcome.kept("11"), numbers)
    assert torch.equal(outcome.kept("12"), outcome.kept("11")[-1:])
    assert outcome.kept("15") == len(numbers)
    assert outcome.kept("14") == pytest.approx(fps)
    assert seconds_of(outcome.kept("13")) == pytest.approx(len(numbers) / fps, abs=1 / SOUND_RATE)


def test_the_video_output_is_the_part_with_its_sound(comfy: Comfy) -> None:
    stored(comfy)
    outcome = load(comfy, file="clip.mp4", start=0.5, every_nth=2, max_frames=8, max_side=32).ok()
    path = stored_file(outcome.kept("10"))
    assert path is not None and path.is_relative_to(host.temp_folder()), "the gallery shows what people made"
    frames = decode_frames(path)
    assert near(torch.from_numpy(frames.pixels), range(12, 28, 2)) and frames.fps == 12
    assert frames.pixels.shape[1:3] == (24, 32) == outcome.kept("11").shape[1:3]
    with av.open(str(path)) as container:
        sound = container.streams.audio[0]
        assert abs(float(sound.duration * sound.time_base) - 8 / 12) < 0.06


def test_sound_begins_where_the_part_begins(comfy: Comfy) -> None:
    path = stored(comfy)
    whole = load(comfy, file="clip.mp4").ok().kept("13")["waveform"]
    part = load(comfy, file="clip.mp4", start=1.0, max_frames=12).ok().kept("13")["waveform"]
    begin = SOUND_RATE
    assert torch.allclose(part, whole[..., begin : begin + part.shape[2]], atol=1e-3), path


def test_a_silent_clip_gives_silence_of_the_parts_length(comfy: Comfy) -> None:
    stored(comfy, clip_bytes(silent=True, count=LONG))
    sound = load(comfy, file="clip.mp4", start=1.0, max_frames=6).ok().kept("13")
    assert sound["waveform"].shape == (1, 2, round(0.25 * sound["sample_rate"])) and not sound["waveform"].any()


@pytest.mark.parametrize("fps", [16.0, 30.0])
def test_a_target_rate_keeps_the_duration_of_pictures_and_sound(comfy: Comfy, fps: float) -> None:
    stored(comfy)
    outcome = load(comfy, file="clip.mp4", start=0.5, fps=fps).ok()
    count = round((LONG / FPS - 0.5) * fps)
    assert (outcome.kept("11").shape[0], outcome.kept("14"), outcome.kept("15")) == (count, fps, count)
    assert seconds_of(outcome.kept("13")) == pytest.approx(count / fps, abs=1 / SOUND_RATE)
    path = stored_file(outcome.kept("10"))
    assert path is not None and decode_frames(path).fps == fps


def test_frames_are_scaled_to_the_longest_side(comfy: Comfy) -> None:
    stored(comfy)
    small = load(comfy, file="clip.mp4", max_side=32).ok()
    assert small.kept("11").shape == (LONG, 24, 32, 3)
    assert "of 32x24" in small.said()
    assert "0.50 s" in load(comfy, file="clip.mp4", max_frames=FPS // 2).said(), "the part's length, not the clip's"
    assert load(comfy, file="clip.mp4", max_side=4096).ok().kept("11").shape == (LONG, HEIGHT, WIDTH, 3)


def test_frames_too_many_for_memory_are_refused_with_what_would_fit(
    comfy: Comfy, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored(comfy)
    room = Forecast(10, WIDTH, HEIGHT).bytes + Forecast(10, WIDTH, HEIGHT).working_bytes
    too_little = {**(decode_frames.__kwdefaults__ or {}), "free_bytes": lambda: room}
    monkeypatch.setattr(decode_frames, "__kwdefaults__", too_little)
    outcome = load(comfy, file="clip.mp4")
    assert (
        "max_frames 10" in outcome.error and "every_nth 5" in outcome.error and "no credits were spent" in outcome.error
    )


def test_only_what_is_linked_is_decoded_or_written(comfy: Comfy, decoded_pictures: list[Any]) -> None:
    stored(comfy)
    comfy.run({"1": load_video(file="clip.mp4"), "2": keep("1", COUNT), "3": keep("1", RATE)}).ok()
    assert len(decoded_pictures) <= 1
    assert not list(host.temp_folder().rglob("*.mp4"))


# The player


def shown_on(outcome: Outcome, node_id: str = "1") -> Path:
    (entry,) = outcome.ok().history["outputs"][node_id]["images"]
    folders = {"output": host.output_folder(), "temp": host.temp_folder(), "input": host.input_folder()}
    return folders[entry["type"]].joinpath(entry["subfolder"], entry["filename"])


def test_the_player_shows_the_part_that_was_loaded(comfy: Comfy) -> None:
    stored(comfy)
    prompt = {"1": load_video(file="clip.mp4", start=0.5, every_nth=2, max_frames=8), "2": keep("1", COUNT)}
    shown = shown_on(comfy.run(prompt))
    frames = decode_frames(shown)
    assert near(torch.from_numpy(frames.pixels), range(12, 28, 2), most=4) and frames.fps == 12
    assert probe(shown).has_audio and shown.is_relative_to(host.temp_folder())


def test_the_player_shows_the_file_that_is_handed_on_where_there_is_one(comfy: Comfy) -> None:
    stored(comfy)
    outcome = load(comfy, file="clip.mp4", start=0.5)
    assert shown_on(outcome) == stored_file(outcome.kept("10"))


@pytest.mark.parametrize("name", ["clip.mkv", "clip.avi"])
def test_the_player_shows_a_small_copy_of_what_browsers_do_not_play(comfy: Comfy, name: str) -> None:
    path = comfy.base / "input" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    frames = clips.numbered_pictures(3, 1280, 720)
    clips.write_clip(path, frames, "ffv1")
    outcome = load(comfy, file=name)
    copy = probe(shown_on(outcome))
    assert (copy.codec, copy.pixel_format, copy.width, copy.frame_count) == ("h264", "yuv420p", 512, 3)
    assert stored_file(outcome.kept("10")) == path, "what is handed on is the file itself"


def test_the_player_shows_a_copy_of_what_lies_where_comfyui_shows_no_file(comfy: Comfy, tmp_path: Path) -> None:
    path = tmp_path / "elsewhere" / "clip.mp4"
    path.parent.mkdir()
    path.write_bytes(clip_bytes(count=4))
    outcome = load(comfy, file_video(path))
    assert probe(shown_on(outcome)).frame_count == 4 and stored_file(outcome.kept("10")) == path


def test_an_animated_webp_is_offered_and_loaded_whatever_pyav_reads(comfy: Comfy) -> None:
    path = comfy.base / "input" / "moving.webp"
    path.parent.mkdir(parents=True, exist_ok=True)
    animated_webp(path, (40, 80, 120), [100, 200, 100])
    assert host.input_videos() == ["moving.webp"]
    outcome = load(comfy, file="moving.webp")
    assert shades(outcome.kept("11")) == [40, 80, 120] and outcome.kept("14") == pytest.approx(7.5)
    assert probe(shown_on(outcome)).codec == "h264"
    assert load(comfy, file="moving.webp", start=0.2, fps=10).ok().kept("15") == 2


# From another node


def test_a_linked_video_over_a_file_is_read_from_it(comfy: Comfy) -> None:
    path = stored(comfy)
    outcome = load(comfy, file_video(path)).ok()
    assert stored_file(outcome.kept("10")) == path and near(outcome.kept("11"), range(LONG))


def test_a_part_of_a_trimmed_video(comfy: Comfy) -> None:
    video = file_video(stored(comfy), start_time=0.5, duration=1.0)
    assert near(load(comfy, video).ok().kept("11"), range(12, 36))
    outcome = load(comfy, video, start=0.5, every_nth=2).ok()
    assert near(outcome.kept("11"), range(24, 36, 2))
    assert seconds_of(outcome.kept("13")) == pytest.approx(0.5, abs=1 / SOUND_RATE)
    path = stored_file(outcome.kept("10"))
    assert path is not None and near(torch.from_numpy(decode_frames(path).pixels), range(24, 36, 2))
    assert "lies behind the end" in load(comfy, video, start=1.5).error


def test_a_video_trimmed_at_its_beginning_only_goes_to_its_end(comfy: Comfy) -> None:
    assert near(load(comfy, file_video(stored(comfy), start_time=1.0)).ok().kept("11"), range(24, 48))


@pytest.mark.parametrize("data", [clip_bytes(count=LONG), other_codec_bytes(count=LONG)], ids=["h264", "mpeg4"])
def test_a_video_in_memory(comfy: Comfy, data: bytes) -> None:
    outcome = load(comfy, InputImpl.VideoFromFile(io.BytesIO(data)), start=0.5).ok()
    assert near(outcome.kept("11"), range(12, LONG), most=6)


def test_a_video_made_of_frames(comfy: Comfy) -> None:
    images = torch.from_numpy(np.stack(pictures(LONG)).astype(np.float32) / 255)
    audio = {"waveform": torch.from_numpy(tone(2.0).samples), "sample_rate": SOUND_RATE}
    parts = Types.VideoComponents(images=images, frame_rate=Fraction(FPS), audio=audio)
    outcome = load(comfy, InputImpl.VideoFromComponents(parts), start=0.5, max_frames=12).ok()
    assert near(outcome.kept("11"), range(12, 24))
    assert outcome.kept("13")["waveform"].abs().max() > 0.1


def test_nodes_that_want_the_same_part_at_the_same_time_make_it_once(
    comfy: Comfy, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = stored(comfy)
    made: list[Path] = []

    def counted(path: Path, part: Path, *rest: Any, **more: Any) -> Any:
        made.append(part)
        return trim_clip(path, part, *rest, **more)

    monkeypatch.setattr(loading, "trim_clip", counted)
    prompt = {str(number): load_video(video=["0", 0], start=0.5) for number in range(1, 5)}
    kept = {f"k{number}": keep(number, VIDEO) for number in prompt}
    outcome = comfy.run({"0": give(file_video(path)), **prompt, **kept}).ok()
    files = {stored_file(outcome.kept(node_id)) for node_id in kept}
    assert len(made) == 1
    (file,) = files
    assert file is not None and near(torch.from_numpy(decode_frames(file).pixels), range(12, LONG))
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_a_shot_is_loaded_in_part_and_becomes_the_next(comfy: Comfy) -> None:
    outcome = comfy.run(
        {
            "1": text_to_video(),
            "2": image_to_video(image=["1", 2]),
            "3": load_video(video=["2", 0], max_frames=6),
            "4": save("3"),
            "5": keep("3", FRAMES_SLOT),
        }
    ).ok()
    assert near(outcome.kept("5"), range(6)) and outcome.history["outputs"]["4"]["images"]


# From an address


def url_of(comfy: Comfy) -> str:
    """The address of a clip on the gateway's own shelf; its file may be changed."""
    url = comfy.run({"1": text_to_video(wait=True), "2": keep("1", 5)}).ok().kept("2")
    assert isinstance(url, str)
    return url


def shelf_file(comfy: Comfy) -> Path:
    (path,) = (comfy.base.parent / "gateway" / "results").glob("*.mp4")
    return path


def test_an_address_is_fetched_once_and_asked_for_changes_later(comfy: Comfy) -> None:
    url = url_of(comfy)
    before = comfy.count("download")
    assert near(load(comfy, url=url).ok().kept("11"), range(FRAMES))
    assert comfy.count("download") == before + 1
    comfy.restart()
    twins = {"1": load_video(url=f" {url}\n"), "2": load_video(url=url, start=0.1)}
    comfy.run({**twins, "3": keep("1", COUNT), "4": keep("2", COUNT)}).ok()
    asked = comfy.gateway.record.of("download")[-1]
    assert asked.headers["If-None-Match"] and comfy.count("download") == before + 2, "once a prompt, whoever asks"


def test_a_changed_file_behind_an_address_is_fetched_anew(comfy: Comfy) -> None:
    url = url_of(comfy)
    load(comfy, url=url).ok()
    shelf_file(comfy).write_bytes(clip_bytes(count=20))
    comfy.restart()
    assert load(comfy, url=url).ok().kept("15") == 20


def test_what_is_unchanged_behind_an_address_stays_in_the_cache(comfy: Comfy, runs: list[object]) -> None:
    url = url_of(comfy)
    for _ in range(3):
        assert load(comfy, url=url).ok().kept("15") == FRAMES
    assert len(runs) == 1
    comfy.gateway.stop()
    assert load(comfy, url=url).ok().kept("15") == FRAMES, "nobody answers: what is here is as good as ever"


def test_what_has_changed_behind_an_address_is_seen_by_the_next_prompt(comfy: Comfy, runs: list[object]) -> None:
    url = url_of(comfy)
    load(comfy, url=url).ok()
    shelf_file(comfy).write_bytes(clip_bytes(count=20))
    before = comfy.count("download")
    assert load(comfy, url=url).ok().kept("15") == 20
    assert (comfy.count("download"), len(runs)) == (before + 1, 2)


def test_a_part_that_is_gone_from_disk_is_made_again(comfy: Comfy) -> None:
    stored(comfy)
    prompt = {"1": load_video(file="clip.mp4", start=0.5), "2": save("1")}
    comfy.run(prompt).ok()
    for part in host.temp_folder().rglob("*.mp4"):
        part.unlink()
    saving = save("1")
    saving["inputs"]["filename_prefix"] = "video/again"
    assert comfy.run({**prompt, "2": saving}).ok().history["outputs"]["2"]["images"]


def test_an_address_gets_no_key(comfy: Comfy) -> None:
    load(comfy, url=url_of(comfy)).ok()
    assert all("Authorization" not in request.headers for request in comfy.gateway.record.of("download"))


def test_a_page_behind_an_address_is_no_video_and_what_was_there_stays(comfy: Comfy) -> None:
    url = url_of(comfy)
    load(comfy, url=url).ok()
    good = shelf_file(comfy).read_bytes()
    shelf_file(comfy).write_bytes(b"<html>log in first</html>" * 40)
    comfy.restart()
    assert "leads to something that is not a video" in load(comfy, url=url).error
    shelf_file(comfy).write_bytes(good)
    assert load(comfy, url=url).ok().kept("15") == FRAMES
    assert {path.suffix for path in host.temp_folder().rglob("*.*")} == {".mp4", ".json"}
    assert not (host.results_folder() / "loaded").exists(), "the gallery shows what people made"


def test_a_file_of_a_name_that_windows_would_not_have_is_loaded(comfy: Comfy) -> None:
    for name in ("~draft.mp4", " clip.mp4", "a:b.mp4"):
        stored(comfy, name=name)
        assert name in host.input_videos()
        assert load(comfy, file=name).ok().kept("15") == LONG


def test_an_address_that_gives_nothing_out_is_named_by_its_host_alone(comfy: Comfy) -> None:
    outcome = load(comfy, url=f"{comfy.gateway.base_url}/cdn/generated/none/result.mp4?signature=SECRET")
    assert "127.0.0.1" in outcome.error and "404" in outcome.error
    assert "SECRET" not in outcome.error + comfy.comfy.log


def test_another_address_of_this_machine_is_refused(comfy: Comfy) -> None:
    outcome = load(comfy, url="http://127.0.0.1:1/clip.mp4")
    assert "https" in outcome.error


def test_nodes_that_want_the_same_address_fetch_it_one_after_the_other(comfy: Comfy) -> None:
    url = url_of(comfy)
    nodes = {str(number): load_video(url=url, max_frames=number) for number in range(1, 5)}
    kept = {f"k{number}": keep(number, COUNT) for number in nodes}
    outcome = comfy.run({**nodes, **kept}).ok()
    assert [outcome.kept(node_id) for node_id in kept] == [1, 2, 3, 4]


# Running again


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Grows by one entry for each time that the node runs."""
    seen: list[object] = []
    find = loading._find

    def counted(wanted: Any, *rest: Any) -> Any:
        seen.append(wanted)
        return find(wanted, *rest)

    monkeypatch.setattr(loading, "_find", counted)
    return seen


@pytest.mark.parametrize("change", ["size", "time"])
def test_it_runs_again_when_the_file_has_changed_and_not_otherwise(
    comfy: Comfy, runs: list[object], change: str
) -> None:
    path = stored(comfy)
    for _ in range(2):
        load(comfy, file="clip.mp4").ok()
    assert len(runs) == 1
    if change == "size":
        path.write_bytes(clip_bytes(count=20))
    else:
        os.utime(path, ns=(1, 1))
    outcome = load(comfy, file="clip.mp4").ok()
    assert len(runs) == 2 and outcome.kept("15") == (20 if change == "size" else LONG)


def test_a_file_that_comes_back_is_found(comfy: Comfy, runs: list[object]) -> None:
    with pytest.raises(PromptRefused, match="There is no file"):
        load(comfy, file="clip.mp4")
    stored(comfy)
    assert load(comfy, file="clip.mp4").ok().kept("15") == LONG
    assert len(runs) == 1


def test_frames_linked_later_arrive(comfy: Comfy) -> None:
    stored(comfy)
    comfy.run({"1": load_video(file="clip.mp4"), "2": keep("1", COUNT)}).ok()
    assert all(load(comfy, file="clip.mp4").ok().kept(str(10 + slot)) is not None for slot in range(6))


def test_an_interrupt_stops_the_decoding(comfy: Comfy, monkeypatch: pytest.MonkeyPatch) -> None:
    stored(comfy)

    def interrupted(*_: Any, stop: Callable[[], bool], **__: Any) -> None:
        comfy.comfy.interrupt()
        if stop():
            raise Stopped

    monkeypatch.setattr("nodes.comfyui.loading.measure", interrupted)
    prompt_id = comfy.queue({"1": load_video(file="clip.mp4"), "2": keep("1", 1)})
    assert "execution_interrupted" in comfy.wait(prompt_id).events
