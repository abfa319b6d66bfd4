"""Whatever a clip holds and whenever a reading ends, the process that reads, ComfyUI's, goes on."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from nodes.media.colour import Turn
from nodes.media.decode import decode_audio, decode_frames, decode_last_frame
from nodes.media.errors import NotAClip
from nodes.media.probe import probe, verify
from nodes.media.source import Source
from tests.support import clips, packets
from tests.support.processes import listen

ROUNDS = 16
LEAST_READINGS = 300
FREEZE_SECONDS = 60.0

READ_AND_COLLECT = """
import gc, json, pathlib, sys
from nodes.media.decode import decode_frames, decode_last_frame
from nodes.media.probe import probe
path = pathlib.Path(sys.argv[1])
for read in (probe, decode_frames, decode_last_frame) * 5:
    print(json.dumps({"begun": f"{read.__name__} of {path.name}"}), flush=True)
    read(path)
    gc.collect()
"""


def test_readings_that_end_before_their_clip_freeze_nobody_while_pyav_logs(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.media.dropped_early", str(tmp_path), str(ROUNDS)]
    assert len(list(listen(command, FREEZE_SECONDS))) >= LEAST_READINGS


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".avi"])
@pytest.mark.parametrize("form", ["PNG", "JPEG"])
def test_pictures_with_a_profile_kill_nobody(form: str, suffix: str, tmp_path: Path) -> None:
    path = packets.write_pictures(tmp_path / f"clip{suffix}", form, [packets.picture(form, profile=True)] * 3)
    assert len(list(listen([sys.executable, "-c", READ_AND_COLLECT, str(path)], FREEZE_SECONDS))) == 15


def test_a_cover_with_a_profile_kills_nobody(tmp_path: Path) -> None:
    film = clips.write_clip(tmp_path / "film.mp4", clips.moving_pictures(3), "libx264")
    path = packets.with_cover(film, packets.picture("PNG", profile=True), tmp_path / "covered.mp4")
    assert len(list(listen([sys.executable, "-c", READ_AND_COLLECT, str(path)], FREEZE_SECONDS))) == 15


@pytest.mark.parametrize("form", ["PNG", "JPEG"])
def test_a_cover_is_never_taken_for_the_film(form: str, tmp_path: Path) -> None:
    film = clips.write_clip(tmp_path / "film.mp4", clips.moving_pictures(6), "libx264")
    path = packets.with_cover(film, packets.picture(form), tmp_path / "covered.mp4")
    with Source(path) as source:
        assert len(source.container.streams.video) == 2
        assert source.video.index != 0
    assert verify(path).codec == "h264"
    assert np.array_equal(decode_frames(path).pixels, decode_frames(film).pixels)
    assert np.array_equal(decode_last_frame(path), decode_last_frame(film))


@pytest.mark.parametrize("form", ["PNG", "JPEG"])
def test_a_song_with_a_cover_is_no_clip(form: str, tmp_path: Path) -> None:
    path = packets.write_song(tmp_path / "song.mp4", form, packets.picture(form))
    for read in (probe, decode_frames, decode_last_frame):
        with pytest.raises(NotAClip, match="only sound"):
            read(path)
    assert decode_audio(path).sample_rate == 44_100


def test_pictures_with_side_data_of_unknown_types_are_read_and_still_turned(tmp_path: Path) -> None:
    path = packets.write_enhanced(tmp_path / "enhanced.mp4")
    plain = decode_frames(path).pixels
    clips.with_display_matrix(path, 0, 1, -1, 0)
    assert probe(path).rotation == 90
    assert np.array_equal(decode_frames(path).pixels, np.rot90(plain, -1, axes=(1, 2)))
    assert np.array_equal(decode_last_frame(path)[0], np.rot90(plain[-1], -1))


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi"])
def test_pictures_of_a_camera_held_sideways_are_shown_upright(suffix: str, tmp_path: Path) -> None:
    level = packets.write_pictures(tmp_path / f"level{suffix}", "JPEG", [packets.picture("JPEG")] * 3)
    turned = packets.picture("JPEG", profile=True, orientation=6)
    path = packets.write_pictures(tmp_path / f"turned{suffix}", "JPEG", [turned] * 3)
    assert probe(path).rotation == 90
    assert np.array_equal(decode_frames(path).pixels, np.rot90(decode_frames(level).pixels, -1, axes=(1, 2)))


@pytest.mark.parametrize(
    ("matrix", "turn"),
    [
        ((1, 0, 0, 1), Turn()),
        ((0, 1, -1, 0), Turn(transpose=True, flip_columns=True)),
        ((-1, 0, 0, -1), Turn(flip_rows=True, flip_columns=True)),
        ((0, -1, 1, 0), Turn(transpose=True, flip_rows=True)),
        ((0, 0, 0, 0), Turn()),
    ],
)
def test_turned_pictures_with_a_profile_are_shown_upright(
    matrix: tuple[int, int, int, int], turn: Turn, tmp_path: Path
) -> None:
    path = packets.write_pictures(tmp_path / "turned.mov", "PNG", [packets.picture("PNG", profile=True)])
    clips.with_display_matrix(path, *matrix)
    with Source(path) as source:
        assert source.turn(source.first_picture()) == turn
