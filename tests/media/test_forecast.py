"""Too much is refused before it is taken, with the settings that fit."""

from __future__ import annotations

import re
import struct
from pathlib import Path

import numpy as np
import pytest

from nodes.media import decode, forecast
from nodes.media.decode import Span, decode_frames
from nodes.media.errors import TooLarge
from nodes.media.forecast import RESERVE_BYTES, Forecast, free_memory_bytes, require_fit
from tests.support import clips

GIB = 1024**3


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("forecast") / "clip.mp4"
    return clips.write_clip(path, clips.numbered_pictures(48, 320, 192), "libx264", options={"crf": "4"})


def _room_for(frames: float, width: int = 320, height: int = 192) -> int:
    """Free memory in which so many frames fit, and no more."""
    return int(Forecast(1, width, height).working_bytes + frames * width * height * 12)


def _settings(message: str) -> dict[str, int]:
    return {name: int(value) for name, value in re.findall(r"(every_nth|max_side|max_frames) (\d+)", message)}


def test_the_issue_s_example_names_numbers_and_settings() -> None:
    with pytest.raises(TooLarge) as refusal:
        require_fit(Forecast(450, 1920, 1080), Span(), 6 * GIB, clip_frames=450)
    message = str(refusal.value)
    assert message.startswith(
        "450 frames of 1920x1080 need 10.4 GiB of memory; 5.6 GiB can be used (6.0 GiB are free)."
    )
    assert _settings(message) == {"every_nth": 2, "max_side": 1408, "max_frames": 242}


@pytest.mark.parametrize(
    "span", [Span(), Span(every_nth=2), Span(start_seconds=0.48), Span(max_frames=40), Span(max_side=300)]
)
def test_each_setting_offered_fits_when_it_is_taken(span: Span, clip: Path) -> None:
    room = _room_for(7)
    with pytest.raises(TooLarge) as refusal:
        decode_frames(clip, span, free_bytes=lambda: room)
    offered = _settings(str(refusal.value))
    assert set(offered) == {"every_nth", "max_side", "max_frames"}
    for name, value in offered.items():
        changed = Span(**{**span.__dict__, name: value})
        frames = decode_frames(clip, changed, free_bytes=lambda: room)
        assert frames.pixels.nbytes <= room - RESERVE_BYTES


def test_what_fits_exactly_is_not_refused(clip: Path) -> None:
    assert len(decode_frames(clip, free_bytes=lambda: _room_for(48)).pixels) == 48
    with pytest.raises(TooLarge, match=r"^48 frames of 320x192 need 34 MiB"):
        decode_frames(clip, free_bytes=lambda: _room_for(47.9))


def test_where_not_even_one_frame_fits_the_message_says_so(clip: Path) -> None:
    with pytest.raises(TooLarge, match="Not even one frame fits"):
        decode_frames(clip, free_bytes=lambda: 0)


def test_a_refusal_allocates_no_frames_and_decodes_no_picture(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode, "wanted_pictures", None)
    monkeypatch.setattr(decode, "_allocate", None)
    with pytest.raises(TooLarge):
        decode_frames(clip, free_bytes=lambda: _room_for(7))


@pytest.mark.parametrize("lie", [10**9, 3, 0])
def test_a_header_that_lies_about_its_count_changes_nothing(lie: int, clip: Path, tmp_path: Path) -> None:
    path = tmp_path / "liar.mp4"
    path.write_bytes(clip.read_bytes())
    clips.patched(path, b"stts", 8, struct.pack(">I", lie))
    frames = decode_frames(path, free_bytes=lambda: _room_for(60))
    if lie == 10**9:
        assert clips.numbers_of(frames.pixels) == list(range(48))
    assert frames.pixels.flags.owndata
    assert len(frames.pixels) <= 48


def test_a_header_that_claims_more_than_the_file_could_hold_is_not_quoted(clip: Path, tmp_path: Path) -> None:
    path = tmp_path / "liar.mp4"
    path.write_bytes(clip.read_bytes())
    clips.patched(path, b"stts", 8, struct.pack(">I", 10**9))
    with pytest.raises(TooLarge) as refusal:
        decode_frames(path, free_bytes=lambda: _room_for(7))
    assert "1000000000" not in str(refusal.value)


def test_a_system_that_refuses_the_memory_is_told_as_too_large(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refusing(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(np, "empty", refusing)
    with pytest.raises(TooLarge, match=r"The system refused 34 MiB for 48 frames"):
        decode_frames(clip)


def test_free_memory_is_a_number_below_all_there_is() -> None:
    assert 0 < free_memory_bytes() < 1 << 50


def test_a_second_generation_group_limits_what_is_free(tmp_path: Path) -> None:
    (tmp_path / "cgroup").write_text("0::/user/service\n")
    group = tmp_path / "mount" / "user" / "service"
    group.mkdir(parents=True)
    (group / "memory.max").write_text("max\n")
    (group / "memory.current").write_text("5\n")
    (group / "memory.stat").write_text("anon 1\ninactive_file 0\n")
    parent = group.parent
    (parent / "memory.max").write_text(f"{2 * GIB}\n")
    (parent / "memory.current").write_text(f"{GIB}\n")
    (parent / "memory.stat").write_text(f"anon 5\ninactive_file {GIB // 4}\nactive_file 7\n")
    assert list(forecast._cgroup_rooms(tmp_path / "cgroup", tmp_path / "mount")) == [GIB + GIB // 4]


def test_a_first_generation_group_limits_what_is_free(tmp_path: Path) -> None:
    (tmp_path / "cgroup").write_text("12:cpu,cpuacct:/x\n5:memory:/docker/abc\n")
    root = tmp_path / "mount" / "memory"  # inside a container the mount shows the group itself
    root.mkdir(parents=True)
    (root / "memory.limit_in_bytes").write_text(f"{3 * GIB}\n")
    (root / "memory.usage_in_bytes").write_text(f"{GIB}\n")
    (root / "memory.stat").write_text("cache 1\ntotal_inactive_file 4096\n")
    assert list(forecast._cgroup_rooms(tmp_path / "cgroup", tmp_path / "mount")) == [2 * GIB + 4096]


def test_without_groups_there_is_no_limit_of_theirs(tmp_path: Path) -> None:
    assert list(forecast._cgroup_rooms(tmp_path / "none", tmp_path)) == []


def test_reserve_is_kept_out_of_what_fits() -> None:
    assert not Forecast(1, 16, 16).fits(RESERVE_BYTES)
    assert np.isclose(Forecast(10, 100, 100).bytes, 1_200_000)
