"""The clips are real: right size, length, rate, colours and sound, and different by prompt."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from nodes.rehearsal import lettering, scenes
from nodes.rehearsal.film import soft_chord
from nodes.rehearsal.landscape import light_of
from nodes.rehearsal.picture import Picture
from nodes.rehearsal.scenes import Scene, fit, plan, render

from .conftest import Build, Caller, Clock
from .test_contract import completed

Pixels = npt.NDArray[np.uint8]
CAT = "\u4e00\u53ea\u732b\u5728\u96e8\u4e2d\u884c\u8d70"


def small(prompt: str = "A racing yacht", kind: str = "text-to-video", **changes: Any) -> Scene:
    return replace(Scene(kind, prompt, 1, 192, 108, 10), **changes)


def frames_of(path: Path) -> list[Pixels]:
    with av.open(str(path)) as container:
        return [rgb_of(frame) for frame in container.decode(video=0)]


def rgb_of(frame: av.VideoFrame) -> Pixels:
    """The picture by its tags, told explicitly: PyAV before 17 does not look at them by itself."""
    shown = frame.reformat(
        format="rgb24",
        src_colorspace="ITU709",
        dst_colorspace="DEFAULT",
        src_color_range="MPEG",
        dst_color_range="JPEG",
    )
    return np.asarray(shown.to_ndarray(), np.uint8)


def first_pictures(scene: Scene) -> list[Pixels]:
    return [picture.flat() for picture in scenes.pictures(scene)]


def test_a_720p_task_becomes_the_clip_that_the_contract_promises(build: Build, clock: Clock, tmp_path: Path) -> None:
    caller = Caller(build(render=render))
    done = completed(caller, clock)
    path = tmp_path / "clip.mp4"
    path.write_bytes(caller.session.get(done["video_url"], timeout=10).content)
    data = path.read_bytes()
    assert 0 < data.find(b"moov") < data.find(b"mdat")
    with av.open(str(path)) as container:
        video, audio = container.streams.video[0], container.streams.audio[0]
        context = video.codec_context
        assert (context.name, context.pix_fmt, context.width, context.height) == ("h264", "yuv420p", 1280, 720)
        assert (context.color_primaries, context.color_trc, context.colorspace, context.color_range) == (1, 1, 1, 1)
        assert (video.average_rate, video.frames) == (30, 150)
        assert (audio.codec_context.name, audio.codec_context.sample_rate) == ("aac", 48000)
        assert float(audio.duration * audio.time_base) == pytest.approx(5, abs=0.03)
        shown = list(container.decode(video=0))
    assert len(shown) == 150
    first, last = (rgb_of(shown[index]).astype(int) for index in (0, 149))
    assert np.abs(first - last).mean() > 2
    # The badge of the mark: its own yellow, where it always is.
    assert np.abs(last[34, 40] - (245, 190, 62)).max() < 30


@pytest.mark.parametrize("seconds", [5, 15])
def test_a_film_has_its_length_in_pictures_and_sound(tmp_path: Path, seconds: int) -> None:
    render(small(seconds=seconds), tmp_path / "a.mp4")
    with av.open(str(tmp_path / "a.mp4")) as container:
        assert container.streams.video[0].frames == seconds * 10
        audio = container.streams.audio[0]
        assert float(audio.duration * audio.time_base) == pytest.approx(seconds, abs=0.03)


def test_the_sound_is_audible_never_loud_and_silent_at_both_ends() -> None:
    chord = soft_chord(7, 5.0)
    assert chord.shape == (2, 240_000)
    assert 0.1 < np.abs(chord).max() < 0.35
    assert np.abs(chord[:, 0]).max() < 0.001
    assert np.abs(chord[:, -1]).max() < 0.001


def test_the_same_scene_is_the_same_film_and_another_prompt_or_take_is_another() -> None:
    first = first_pictures(small())[5]
    assert np.array_equal(first, first_pictures(small())[5])
    assert not np.array_equal(first, first_pictures(small("A night city"))[5])
    assert not np.array_equal(first, first_pictures(small(variation=1))[5])


@pytest.mark.parametrize("size", [(192, 108), (108, 192), (360, 96)])
def test_a_landscape_is_painted_at_every_shape_and_passes_by(size: tuple[int, int]) -> None:
    pictures = list(scenes.painted(small(width=size[0], height=size[1], seconds=4)))
    assert len(pictures) == 40
    assert {picture.size for picture in pictures} == {size}
    assert np.abs(pictures[0].flat().astype(int) - pictures[-1].flat()).max() > 20


def test_the_words_of_a_prompt_choose_its_light() -> None:
    brightness = [np.asarray(next(scenes.painted(small(f"A fox at {hour}"))).y).mean() for hour in ("noon", "midnight")]
    assert brightness[0] > 2 * brightness[1]
    assert light_of("A night after a sunny day") == light_of("midnight")


@pytest.mark.parametrize(
    "prompt",
    [
        "",
        " ",
        CAT,
        CAT * 40,
        "x" * 3000,
        "a\nb\tc\x00d",
        "\ud800 lone",
        "\U0001f600" * 9,
        "\u0645\u0631\u062d\u0628\u0627",
    ],
)
def test_any_prompt_can_be_written_into_the_picture(prompt: str) -> None:
    assert len(first_pictures(small(prompt))) == 10


def test_letters_that_no_font_has_are_written_as_question_marks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lettering, "FONT_FILES", ())
    assert len(first_pictures(small(CAT))) == 10
    assert lettering.legible(f"A cat {CAT[:2]}!", lettering.font_for(CAT, 20)) == "A cat ??!"
    assert lettering.plain("a\x00b\ud800") == "a b\ufffd"


def test_long_text_is_wrapped_and_cut_with_dots() -> None:
    lines = lettering.wrap("one two three four five six seven eight nine ten", 9, len)
    assert lines == ["one two", "three", "four five", "six se..."]
    assert all(len(line) <= 9 for line in lettering.wrap("x" * 30, 9, len))


def test_image_to_video_has_the_shape_of_the_image_and_shows_it(tmp_path: Path) -> None:
    path = tmp_path / "upload"
    half = np.zeros((300, 200, 3), np.uint8)
    half[:150] = (200, 40, 40)
    half[150:] = (40, 40, 200)
    Image.fromarray(half).save(path, "PNG")
    scene = plan("image-to-video", "x", 5, "720p", (path,), 0)
    assert scene.width / scene.height == pytest.approx(2 / 3, abs=0.02)
    assert scene.width * scene.height == pytest.approx(1280 * 720, rel=0.02)
    assert scene.width % 8 == scene.height % 8 == 0
    render(replace(scene, width=128, height=192, seconds=1, fps=10), tmp_path / "a.mp4")
    frames = frames_of(tmp_path / "a.mp4")
    for frame in (frames[0], frames[-1]):
        assert np.abs(frame[60, 64].astype(int) - (200, 40, 40)).max() < 12
        assert np.abs(frame[125, 64].astype(int) - (40, 40, 200)).max() < 12


def test_video_to_video_recolours_the_source_and_repeats_it_when_it_is_short(tmp_path: Path) -> None:
    render(small(seconds=1), tmp_path / "source.mp4")
    scene = plan("video-to-video", "x", 5, "720p", (tmp_path / "source.mp4",), 0)
    assert (scene.width, scene.height) == (1280, 720)
    scene = replace(scene, width=192, height=108, seconds=2, fps=10)
    pictures = [picture.flat() for picture in scenes.recoloured(scene)]
    assert len(pictures) == 20
    assert np.abs(pictures[0].astype(int) - pictures[10]).mean() < 1
    source = Picture.of_flat(next(iter(_planes(tmp_path / "source.mp4"))))
    luma = np.corrcoef(np.asarray(source.y).ravel(), pictures[0][:108].ravel())[0, 1]
    assert luma > 0.98
    assert np.abs(source.flat()[108:].astype(int) - pictures[0][108:]).mean() > 4


@pytest.mark.parametrize("kind", ["image-to-video", "video-to-video"])
def test_a_reference_that_is_not_at_hand_is_replaced_by_a_landscape(kind: str) -> None:
    scene = plan(kind, "x", 5, "1080p", (None,), 0)
    assert (scene.width, scene.height) == (1920, 1080)
    assert len(first_pictures(replace(scene, width=192, height=108, seconds=1, fps=10))) == 10


@pytest.mark.parametrize(
    ("size", "fitted"),
    [((1920, 1080), (1280, 720)), ((1000, 1000), (960, 960)), ((10, 4000), (480, 1920)), ((4000, 10), (1920, 480))],
)
def test_the_tier_gives_the_pixels_and_the_source_the_shape(size: tuple[int, int], fitted: tuple[int, int]) -> None:
    assert fit(size, "720p") == fitted


def test_pictures_keep_their_colours_through_their_planes() -> None:
    colours = np.array([[200, 30, 60], [20, 180, 90], [255, 255, 255], [0, 0, 0]], np.uint8)
    rgb = colours.repeat(8, 0).repeat(16, 1).reshape(32, 3, 16).transpose(0, 2, 1)
    frame = av.VideoFrame.from_ndarray(Picture.of(rgb).flat(), format="yuv420p")
    back = rgb_of(frame)
    assert np.abs(back[2::8].astype(int) - rgb[2::8]).max() <= 4


def _planes(path: Path) -> list[Pixels]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray() for frame in container.decode(video=0)]
