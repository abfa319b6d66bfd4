"""What leaves this machine for Video to Video: the file as it lies where it may, else a clip that looks the same."""

from __future__ import annotations

import inspect
import io
from collections.abc import Iterable
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, ClassVar

import av
import numpy as np
import pytest
import torch
from comfy_api.latest import InputImpl, Types

from tests.support.clips import shown_in
from tests.support.node_files import (
    FPS,
    HEIGHT,
    SOUND_RATE,
    WIDTH,
    Comfy,
    clip_bytes,
    file_video,
    give,
    image_to_video,
    keep,
    load_video,
    noise,
    other_codec_bytes,
    pictures,
    puts,
    run_with,
    save,
    sent,
    shade,
    text_to_video,
    tone,
    video_to_video,
)


def stored(comfy: Comfy, data: bytes, name: str = "source.mp4") -> Path:
    path = comfy.base / "input" / name
    path.write_bytes(data)
    return path


def shades_of(data: bytes) -> list[int]:
    with av.open(io.BytesIO(data)) as container:
        assert container.streams.video[0].codec_context.name == "h264"
        return [round(float(frame.to_ndarray(format="gray").mean())) for frame in container.decode(video=0)]


def close_to(found: list[int], numbers: Iterable[int]) -> bool:
    wanted = [shade(number) for number in numbers]
    return len(found) == len(wanted) and all(abs(a - b) <= 4 for a, b in zip(found, wanted, strict=True))


def test_an_h264_mp4_is_sent_packet_for_packet_and_never_decoded(comfy: Comfy, decoded_pictures: list[Any]) -> None:
    data = clip_bytes(count=60)
    run_with(comfy, file_video(stored(comfy, data)), video_to_video).ok()
    (put,) = puts(comfy)
    assert shown_in(put.body) == shown_in(data) and put.headers["Content-Type"] == "video/mp4"
    assert set(sent(comfy)) == {"model", "type", "prompt", "video_url", "duration", "resolution"}
    assert {picture.pts for picture in decoded_pictures} == {0}, "only first pictures, to see that each is a clip"


def test_an_mp4_in_memory_is_sent_packet_for_packet(comfy: Comfy) -> None:
    data = clip_bytes(count=60)
    run_with(comfy, InputImpl.VideoFromFile(io.BytesIO(data)), video_to_video).ok()
    assert shown_in(puts(comfy)[0].body) == shown_in(data)


@pytest.mark.parametrize("where", ["on disk", "in memory"])
def test_another_codec_is_encoded_as_h264(comfy: Comfy, where: str) -> None:
    data = other_codec_bytes(count=60)
    video = file_video(stored(comfy, data)) if where == "on disk" else InputImpl.VideoFromFile(io.BytesIO(data))
    outcome = run_with(comfy, video, video_to_video).ok()
    assert close_to(shades_of(puts(comfy)[0].body), range(60))
    assert "encoded as H.264" in outcome.said()


def from_frames(sound: bool = True, count: int = 60) -> Any:
    images = torch.from_numpy(np.stack(pictures(count)).astype(np.float32) / 255)
    samples = torch.from_numpy(tone(count / FPS).samples)
    audio = {"waveform": samples, "sample_rate": SOUND_RATE} if sound else None
    parts = Types.VideoComponents(images=images, frame_rate=Fraction(FPS), audio=audio)
    return InputImpl.VideoFromComponents(parts)


@pytest.mark.parametrize("sound", [True, False], ids=["with sound", "silent"])
def test_frames_are_encoded_once_with_their_sound(comfy: Comfy, sound: bool) -> None:
    run_with(comfy, from_frames(sound), video_to_video).ok()
    body = puts(comfy)[0].body
    assert close_to(shades_of(body), range(60))
    with av.open(io.BytesIO(body)) as container:
        assert bool(container.streams.audio) is sound
        assert container.streams.video[0].average_rate == FPS
    run_with(comfy, from_frames(sound), video_to_video, take=1).ok()
    assert comfy.count("put") == 1


def test_a_trimmed_video_is_sent_as_the_part_it_shows(comfy: Comfy) -> None:
    video = file_video(stored(comfy, clip_bytes(count=96)), start_time=1.0, duration=2.0)
    run_with(comfy, video, video_to_video).ok()
    body = puts(comfy)[0].body
    assert close_to(shades_of(body), range(24, 72))
    with av.open(io.BytesIO(body)) as container:
        assert abs(float(container.streams.audio[0].duration * container.streams.audio[0].time_base) - 2.0) < 0.1


TRANSFORMS = [name for name in dir(InputImpl.VideoFromFile) if name.startswith("as_")]
ARGUMENTS = {"start_time": 0.5, "duration": 2.0, "x": 8, "y": 4, "width": 32, "height": 24}


def changed(video: Any, transform: str) -> Any:
    """The VIDEO after one of its public `as_...`, whatever that is."""
    method = getattr(video, transform)
    return method(**{name: ARGUMENTS[name] for name in inspect.signature(method).parameters if name in ARGUMENTS})


def pixels_of(data: bytes) -> np.ndarray[Any, Any]:
    with av.open(io.BytesIO(data)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def same_pictures(sent: bytes, shown: torch.Tensor) -> bool:
    found = pixels_of(sent)
    return found.shape == tuple(shown.shape) and bool(np.abs(found / 255 - shown.numpy()).max() < 0.06)


@pytest.mark.parametrize("where", ["on disk", "in memory"])
@pytest.mark.parametrize("transform", TRANSFORMS)
def test_what_a_video_shows_is_sent_whatever_was_done_to_it(comfy: Comfy, transform: str, where: str) -> None:
    data = clip_bytes(count=96)
    whole = file_video(stored(comfy, data)) if where == "on disk" else InputImpl.VideoFromFile(io.BytesIO(data))
    video = changed(whole, transform)
    run_with(comfy, video, video_to_video).ok()
    run_with(comfy, whole, video_to_video).ok()
    of_the_part, of_all = puts(comfy)
    assert same_pictures(of_the_part.body, video.get_components().images)
    assert shown_in(of_all.body) == shown_in(data) and comfy.count("create") == 2


def test_a_clip_that_was_resized_to_its_own_size_is_still_not_its_file(comfy: Comfy) -> None:
    video = file_video(stored(comfy, clip_bytes(count=60))).as_cropped(0, 0, WIDTH // 2, HEIGHT // 2)
    video = video.as_resized(WIDTH, HEIGHT)
    run_with(comfy, video, video_to_video).ok()
    assert puts(comfy)[0].body != clip_bytes(count=60)


def test_clips_joined_by_comfyui_are_written_once_and_never_decoded_whole(comfy: Comfy) -> None:
    one, two = file_video(stored(comfy, clip_bytes(count=36))), InputImpl.VideoFromFile(io.BytesIO(clip_bytes()))
    joined = CountedList([one, two])
    nodes = {"1": video_to_video(video=["0", 0]), "2": video_to_video(video=["0", 0], take=1)}
    comfy.run({"0": give(joined), **nodes, "3": load_video(video=["0", 0]), "4": keep("3", 5)}).ok()
    assert close_to(shades_of(puts(comfy)[0].body), [*range(36), *range(12)])
    assert (joined.saved, comfy.count("create")) == (1, 2)


class CountedList(InputImpl.VideoFromList):  # type: ignore[valid-type, misc]
    """Knows how often it was written; being decoded whole is an error."""

    saved = 0

    def save_to(self, path: str, **more: Any) -> None:
        self.saved += 1
        super().save_to(path, **more)


def test_a_file_that_another_node_opened_elsewhere_is_sent_packet_for_packet(comfy: Comfy, tmp_path: Path) -> None:
    path = tmp_path / "elsewhere" / "clip.mp4"
    path.parent.mkdir()
    path.write_bytes(clip_bytes(count=60))
    run_with(comfy, file_video(path), video_to_video).ok()
    assert shown_in(puts(comfy)[0].body) == shown_in(path.read_bytes())
    assert list((comfy.base / "temp").rglob("*.mp4")) == []


def test_a_video_whose_file_is_gone_is_named_before_anything_is_sent(comfy: Comfy) -> None:
    path = stored(comfy, clip_bytes(count=60))
    video = file_video(path)
    path.unlink()
    outcome = run_with(comfy, video, video_to_video)
    assert "The file of the linked video is gone: source.mp4" in outcome.error and comfy.requests == []


def test_a_video_that_cannot_be_written_fails_in_words(comfy: Comfy) -> None:
    class Broken(InputImpl.VideoFromFile):  # type: ignore[valid-type, misc]
        def save_to(self, path: str, **more: Any) -> None:
            raise RuntimeError("no encoder")

    outcome = run_with(comfy, Broken(io.BytesIO(b"")), video_to_video)
    assert "cannot be written" in outcome.error and "no encoder" in outcome.error and comfy.requests == []
    assert list((comfy.base / "temp").rglob("*.mp4")) == []


class Bare:
    """Another pack's own VIDEO: it has a `save_to` and nothing else that ComfyUI's have."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def save_to(self, path: str) -> None:
        Path(path).write_bytes(self.data)


class WithSlots(Bare):
    __slots__ = ("data",)


@dataclass
class WithoutHash(Bare):
    data: bytes


@dataclass(frozen=True)
class AllEqual(Bare):
    data: bytes = field(compare=False)


@pytest.mark.parametrize("kind", [Bare, WithSlots, WithoutHash, AllEqual])
def test_whatever_can_save_itself_is_sent_as_it_saves_itself(comfy: Comfy, kind: type[Bare]) -> None:
    first, second = clip_bytes(count=60), clip_bytes(count=72)
    videos = [kind(first), kind(second)]
    for video in videos:
        run_with(comfy, video, video_to_video).ok()
    assert [shown_in(put.body) for put in puts(comfy)] == [shown_in(first), shown_in(second)]


def test_a_video_that_writes_no_file_is_told_so(comfy: Comfy) -> None:
    class Silent(Bare):
        def save_to(self, path: str) -> None:
            pass

    class Folder(Bare):
        def save_to(self, path: str) -> None:
            Path(path).mkdir()

    for video in (Silent(b""), Folder(b"")):
        outcome = run_with(comfy, video, video_to_video)
        assert "wrote no file of it" in outcome.error and comfy.requests == []


@pytest.mark.parametrize(
    "value", ["clip.mp4", Path("clip.mp4"), {"file": "clip.mp4"}, ("a", "b"), [], b"", 7], ids=repr
)
def test_what_is_no_video_is_called_by_its_type(comfy: Comfy, value: object) -> None:
    for node in (video_to_video, load_video):
        outcome = comfy.run({"0": give(value), "1": node(video=["0", 0]), "2": save("1")})
        assert f"no VIDEO of ComfyUI, but a {type(value).__name__}" in outcome.error and comfy.requests == []


def of_frames(count: int = 60, **parts: Any) -> Any:
    usual = {"images": torch.zeros(count, HEIGHT, WIDTH, 3), "frame_rate": Fraction(FPS), "audio": None}
    return InputImpl.VideoFromComponents(Types.VideoComponents(**(usual | parts)))


@pytest.mark.parametrize("rate", [Fraction(23.976), 23.976, 24000 / 1001, Fraction(24000, 1001)], ids=str)
def test_a_rate_that_was_a_float_before_is_the_usual_one(comfy: Comfy, rate: Any) -> None:
    run_with(comfy, of_frames(frame_rate=rate), video_to_video).ok()
    with av.open(io.BytesIO(puts(comfy)[0].body)) as container:
        found = container.streams.video[0].average_rate
    assert found is not None and abs(float(found) - 23.976) < 0.001


def test_frames_are_sent_no_larger_and_no_quicker_than_everybody_plays(comfy: Comfy) -> None:
    run_with(comfy, of_frames(250, images=torch.zeros(250, 9, 2000, 3), frame_rate=Fraction(125)), video_to_video).ok()
    with av.open(io.BytesIO(puts(comfy)[0].body)) as container:
        stream = container.streams.video[0]
        assert (stream.width, stream.height) == (1920, 10)
        assert (stream.frames, stream.average_rate) == (84, Fraction(125, 3))


@pytest.mark.parametrize("rate", [0, -24, float("nan"), float("inf"), None], ids=str)
def test_a_rate_that_is_none_is_said_to_be(comfy: Comfy, rate: Any) -> None:
    outcome = run_with(comfy, of_frames(frame_rate=rate), video_to_video)
    assert f"The linked video has {rate} frames a second" in outcome.error and comfy.requests == []


@pytest.mark.parametrize(
    ("shape", "channels"), [((1, 1, 44_100), 1), ((2, 44_100), 2), ((3, 2, 44_100), 2), ((1, 8, 44_100), 8)]
)
def test_sound_of_any_usual_shape_is_sent(comfy: Comfy, shape: tuple[int, ...], channels: int) -> None:
    sound = {"waveform": torch.zeros(shape), "sample_rate": 44_100}
    run_with(comfy, of_frames(audio=sound), video_to_video).ok()
    with av.open(io.BytesIO(puts(comfy)[0].body)) as container:
        assert container.streams.audio[0].codec_context.channels == channels


@pytest.mark.parametrize("sound", ["", {}, {"waveform": torch.zeros(9), "sample_rate": 9}, {"waveform": None}], ids=str)
def test_sound_that_is_none_is_said_to_be(comfy: Comfy, sound: object) -> None:
    outcome = run_with(comfy, of_frames(audio=sound), video_to_video)
    assert "The sound of the linked video is no AUDIO of ComfyUI" in outcome.error and comfy.requests == []


class Watched(io.BytesIO):
    """Knows which of its kind were moved in."""

    moved: ClassVar[set[int]] = set()

    def seek(self, *where: int) -> int:
        self.moved.add(id(self))
        return super().seek(*where)

    def read(self, size: int | None = -1, /) -> bytes:
        self.moved.add(id(self))
        return super().read(size)


@pytest.mark.parametrize("trim", [{}, {"start_time": 0.5, "duration": 2.0}], ids=["whole", "trimmed"])
def test_memory_that_other_nodes_read_meanwhile_is_left_where_it_is(comfy: Comfy, trim: dict[str, Any]) -> None:
    """Save Video, say, reads the same on the prompt's thread: two readers would lose each other's place."""
    memory = Watched(clip_bytes(count=96))
    video = InputImpl.VideoFromFile(memory, **trim)
    Watched.moved.clear()
    nodes = {"1": video_to_video(video=["0", 0]), "2": load_video(video=["0", 0]), "3": keep("2", 5)}
    comfy.run({"0": give(video), **nodes}).ok()
    assert Watched.moved and id(memory) not in Watched.moved, "copies were read"


def test_two_parts_of_one_video_are_two_jobs(comfy: Comfy) -> None:
    path = stored(comfy, clip_bytes(count=96))
    for start in (0.0, 1.0):
        run_with(comfy, file_video(path, start_time=start, duration=2.0), video_to_video).ok()
    assert (comfy.count("put"), comfy.count("create")) == (2, 2)


def test_the_same_video_under_another_name_is_the_same_job(comfy: Comfy) -> None:
    data = clip_bytes(count=60)
    run_with(comfy, file_video(stored(comfy, data, "a.mp4")), video_to_video).ok()
    run_with(comfy, file_video(stored(comfy, data, "b.mp4")), video_to_video).ok()
    run_with(comfy, InputImpl.VideoFromFile(io.BytesIO(data)), video_to_video).ok()
    assert (comfy.count("put"), comfy.count("create")) == (1, 1)


def test_a_length_the_model_is_not_known_to_take_is_a_warning(comfy: Comfy) -> None:
    outcome = run_with(comfy, file_video(stored(comfy, clip_bytes())), video_to_video).ok()
    assert "the source lasts 0.5 s; wan2-6 takes 2 to 30 s" in outcome.said()
    fine = run_with(comfy, file_video(stored(comfy, clip_bytes(count=60))), video_to_video).ok()
    assert "the source lasts" not in "".join(text for _, text in fine.texts)


def test_the_address_of_a_video_needs_no_upload(comfy: Comfy) -> None:
    address = "https://cdn.example.com/clip.mp4"
    comfy.run({"1": video_to_video(video_url=f" {address} "), "2": save("1")}).ok()
    assert comfy.steps() == ["create", "download"]
    assert sent(comfy)["video_url"] == address


def test_the_clip_of_one_node_is_the_source_of_the_next(comfy: Comfy) -> None:
    comfy.run({"0": text_to_video(), "1": video_to_video(video=["0", 0]), "2": save("1")}).ok()
    assert shown_in(puts(comfy)[0].body) == shown_in(clip_bytes())


def test_nothing_made_for_an_upload_is_left_behind(comfy: Comfy) -> None:
    run_with(comfy, noise(), image_to_video).ok()
    run_with(comfy, from_frames(), video_to_video).ok()
    uploads = comfy.base / "user" / "__apimall_video" / "uploads"
    assert not [path for path in uploads.rglob("*") if path.is_file()]
