"""An interrupt ends any of it at the next picture, and leaves nothing behind; progress never falls."""

from __future__ import annotations

import threading
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nodes.media import source
from nodes.media.colour import Converter
from nodes.media.decode import Sound, Span, decode_audio, decode_frames, decode_last_frame
from nodes.media.encode import encode_clip, trim_clip
from nodes.media.errors import NotAClip
from nodes.stopping import Stopped
from tests.support import clips


class After:
    """A stop check that says yes from its n-th question on."""

    def __init__(self, questions: int) -> None:
        self.left = questions
        self.asked = 0

    def __call__(self) -> bool:
        self.asked += 1
        return self.asked > self.left


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("stops") / "clip.mp4"
    pictures = np.random.default_rng(1).random((48, 64, 96, 3), dtype=np.float32)
    sound = Sound(np.zeros((1, 2, 96_000), np.float32), 48_000)
    encode_clip(pictures, Fraction(24), path, sound=sound, preset="ultrafast")
    return path


WORK: dict[str, Callable[[Path, Path, Any], object]] = {
    "frames": lambda clip, out, stop: decode_frames(clip, stop=stop),
    "part": lambda clip, out, stop: decode_frames(clip, Span(start_seconds=1.0), stop=stop),
    "last frame": lambda clip, out, stop: decode_last_frame(clip, stop=stop),
    "sound": lambda clip, out, stop: decode_audio(clip, stop=stop),
    "clip": lambda clip, out, stop: encode_clip(np.zeros((40, 32, 32, 3)), 24, out / "out.mp4", stop=stop),
    "trimmed clip": lambda clip, out, stop: trim_clip(clip, out / "out.mp4", Span(every_nth=2), stop=stop),
}


@pytest.mark.parametrize("name", WORK)
@pytest.mark.parametrize("questions", [0, 1, 15])
def test_a_stop_ends_the_work_and_leaves_no_file(name: str, questions: int, clip: Path, tmp_path: Path) -> None:
    stop = After(questions)
    with pytest.raises(Stopped, match="interrupted"):
        WORK[name](clip, tmp_path, stop)
    assert stop.asked == questions + 1
    assert list(tmp_path.iterdir()) == []


def test_it_is_asked_for_every_picture_that_is_decoded(clip: Path) -> None:
    stop = After(1000)
    decode_frames(clip, stop=stop)
    assert stop.asked >= 48


def test_no_converter_outlives_a_stop(clip: Path) -> None:
    """The rows must not be written to once the array may be gone."""
    with pytest.raises(Stopped):
        decode_frames(clip, stop=After(30))
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("apimall-frames")]


def test_an_error_in_a_converter_reaches_the_caller(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: object) -> None:
        raise RuntimeError("conversion failed")

    monkeypatch.setattr(Converter, "write", failing)
    with pytest.raises(RuntimeError, match="conversion failed"):
        decode_frames(clip)


@pytest.mark.parametrize("name", ["frames", "clip", "trimmed clip"])
def test_progress_rises_to_the_end(name: str, clip: Path, tmp_path: Path) -> None:
    told: list[float] = []
    if name == "frames":
        decode_frames(clip, Span(every_nth=2), tell=told.append)
    elif name == "clip":
        encode_clip(np.zeros((10, 32, 32, 3)), 24, tmp_path / "out.mp4", tell=told.append)
    else:
        trim_clip(clip, tmp_path / "out.mp4", Span(every_nth=2), tell=told.append)
    assert told == sorted(told)
    assert told[-1] == 1.0
    assert len(told) >= 10


def test_a_clip_that_yields_no_picture_for_long_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "_FIRST_PICTURE_PACKETS", 5)
    fed: list[int] = []

    def barren(self: source.Source, packet: Any) -> list[Any]:
        fed.append(1)
        return []

    monkeypatch.setattr(source.Source, "decode", barren)
    path = clips.write_clip(tmp_path / "clip.mp4", clips.numbered_pictures(50), "libx264")
    with pytest.raises(NotAClip):
        decode_frames(path)
    assert len(fed) < 10
