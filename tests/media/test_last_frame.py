"""The last picture: one seek, and the last whole one if the end is damaged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from nodes.media import containers, demuxer, last_picture, source
from nodes.media.decode import decode_frames, decode_last_frame
from tests.support import clips

GROUPS = {"crf": "8", "x264-params": "keyint=12:min-keyint=12:scenecut=0:bframes=3:b-adapt=0:b-pyramid=normal"}


@pytest.fixture(scope="module")
def moving(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("last") / "moving.mp4"
    return clips.write_clip(path, clips.moving_pictures(60), "libx264", options=GROUPS)


@pytest.mark.parametrize("count", [1, 2, 11, 12, 13, 39, 60])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
def test_the_last_frame_is_the_last_of_all_frames(count: int, suffix: str, tmp_path: Path) -> None:
    path = clips.write_clip(tmp_path / f"clip{suffix}", clips.moving_pictures(count), "libx264", options=GROUPS)
    last = decode_last_frame(path)
    assert last.shape == (1, 96, 160, 3)
    assert last.dtype == np.float32
    assert np.array_equal(last[0], decode_frames(path).pixels[-1])


@pytest.mark.parametrize(("codec", "suffix"), [("libx265", ".mp4"), ("libvpx-vp9", ".webm"), ("libsvtav1", ".mp4")])
def test_other_codecs_have_a_last_frame_too(codec: str, suffix: str, tmp_path: Path) -> None:
    path = clips.write_clip(tmp_path / f"clip{suffix}", clips.moving_pictures(30), codec)
    assert np.array_equal(decode_last_frame(path)[0], decode_frames(path).pixels[-1])


def test_one_long_group_of_pictures_gives_its_last(tmp_path: Path) -> None:
    options = {"crf": "8", "x264-params": "keyint=250:scenecut=0:bframes=3:b-adapt=0:b-pyramid=normal"}
    path = clips.write_clip(tmp_path / "long.mp4", clips.moving_pictures(90), "libx264", options=options)
    assert np.array_equal(decode_last_frame(path)[0], decode_frames(path).pixels[-1])


def test_on_the_way_only_the_one_shown_last_is_decoded_for_itself(tmp_path: Path) -> None:
    options = {"x264-params": "keyint=250:scenecut=0:bframes=3:b-adapt=0:b-pyramid=none"}
    path = clips.write_clip(tmp_path / "long.mp4", clips.moving_pictures(90), "libx264", options=options)
    with source.Source(path) as opened:
        times: list[int] = []
        packets = list(opened.packets())
        kept = last_picture._skipping_all_but_the_last(opened, iter(packets), times)
        wanted = [packet.pts for packet in kept if opened.video.codec_context.skip_frame == "DEFAULT"]
    assert wanted == times == [max(packet.pts for packet in packets)]


def test_it_takes_one_seek_and_no_more_than_a_group_of_pictures(moving: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures: list[Any] = []
    opened: list[Path] = []
    decode_packet, open_container = source.Source.decode, containers.open_container

    def counting(self: source.Source, packet: Any) -> list[Any]:
        ready = decode_packet(self, packet)
        pictures.extend(ready)
        return ready

    def opening(path: Path) -> Any:
        opened.append(path)
        return open_container(path)

    monkeypatch.setattr(source.Source, "decode", counting)
    monkeypatch.setattr(demuxer, "open_container", opening)
    decode_last_frame(moving)
    assert len(opened) == 1
    assert len(pictures) <= 12


def _with_damaged_end(path: Path, out: Path, packets: int) -> Path:
    """Overwrite the payload of the last packets in the file."""
    with av.open(str(path)) as container:
        places = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    content = bytearray(path.read_bytes())
    for place, size in places[-packets:]:
        content[place + 4 : place + size] = bytes(size - 4)
    out.write_bytes(bytes(content))
    return out


@pytest.mark.parametrize("packets", [1, 3, 12, 30])
def test_damaged_last_packets_give_the_last_whole_picture(packets: int, moving: Path, tmp_path: Path) -> None:
    path = _with_damaged_end(moving, tmp_path / "damaged.mp4", packets)
    whole = decode_frames(moving).pixels
    last = decode_last_frame(path)[0]
    distances = np.abs(whole - last).mean(axis=(1, 2, 3))
    nearest = int(distances.argmin())
    assert distances[nearest] == 0
    assert 60 - packets - 5 <= nearest < 60


def test_a_header_that_claims_a_longer_clip_changes_nothing(moving: Path, tmp_path: Path) -> None:
    path = tmp_path / "longer.mp4"
    path.write_bytes(moving.read_bytes())
    clips.patched(path, b"mdhd", 16, (1 << 30).to_bytes(4, "big"))
    assert np.array_equal(decode_last_frame(path)[0], decode_frames(moving).pixels[-1])
