"""Files from strangers: a clear error, soon, and nothing taken that was not forecast."""

from __future__ import annotations

import struct
import wave
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from nodes.media import source
from nodes.media.decode import decode_audio, decode_frames, decode_last_frame
from nodes.media.encode import encode_clip
from nodes.media.errors import MediaError, NotAClip
from nodes.media.probe import probe, verify
from tests.support import clips


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("good") / "good.mp4"
    clips.write_clip(path, clips.moving_pictures(24), "libx264", options={"crf": "10"})
    return path.read_bytes()


def _everything_refuses(path: Path, kind: type[MediaError] = MediaError) -> str:
    for read in (probe, decode_frames, decode_last_frame):
        with pytest.raises(kind) as refusal:
            read(path)
        assert path.name in str(refusal.value)
    return str(refusal.value)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not a video at all",
        b"<html><body>404</body></html>",
        bytes(range(256)) * 64,
        b"\0\0\0\x18ftypmp42" + b"\0" * 4096,
        b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nclip.mp4\n#EXT-X-ENDLIST\n",
        b"ffconcat version 1.0\nfile clip.mp4\n",
        b"\x89PNG\r\n\x1a\n" + b"\0" * 64,
    ],
    ids=["empty", "text", "page", "noise", "only a file type box", "play list", "concatenation", "picture"],
)
def test_what_is_no_clip_is_refused(content: bytes, good: bytes, tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").write_bytes(good)  # what a play list beside it would lead to
    path = tmp_path / "stranger.mp4"
    path.write_bytes(content)
    _everything_refuses(path, NotAClip)
    with pytest.raises(NotAClip):
        verify(path)


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    _everything_refuses(tmp_path / "nothing.mp4", NotAClip)
    (tmp_path / "folder.mp4").mkdir()
    _everything_refuses(tmp_path / "folder.mp4", NotAClip)


def test_names_that_ffmpeg_would_read_as_more_than_a_name_are_names(good: bytes, tmp_path: Path) -> None:
    for name in ("concat:a.mp4", "frame%03d.mp4", "pipe:0.mp4", "-i.mp4", "h\u00e9 .mp4"):
        path = tmp_path / name
        path.write_bytes(good)
        assert probe(path).width == 160


def test_verify_wants_an_mp4(good: bytes, tmp_path: Path) -> None:
    path = tmp_path / "good.mp4"
    path.write_bytes(good)
    assert verify(path).frame_count == 24
    webm = clips.write_clip(tmp_path / "clip.webm", clips.moving_pictures(2), "libvpx-vp9")
    assert probe(webm).codec == "vp9"
    with pytest.raises(NotAClip, match="is not an MP4"):
        verify(webm)


def test_verify_refuses_an_mp4_whose_pictures_are_gone(good: bytes, tmp_path: Path) -> None:
    path = tmp_path / "hollow.mp4"
    at = good.index(b"mdat") + 4
    end = good.index(b"moov") - 4
    path.write_bytes(good[:at] + b"\0" * (end - at) + good[end:])
    with pytest.raises(NotAClip, match="No picture of hollow"):
        verify(path)
    _everything_refuses(path, NotAClip)


def test_sound_alone_is_named_for_what_it_is(tmp_path: Path) -> None:
    path = tmp_path / "song.mp4"
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("aac", rate=44100, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 4096), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 44100
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    assert "only sound" in _everything_refuses(path, NotAClip)
    assert decode_audio(path).sample_rate == 44100


def test_a_sound_file_of_another_kind_is_no_clip(tmp_path: Path) -> None:
    with wave.open(str(tmp_path / "sound.wav"), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(b"\0" * 100)
    _everything_refuses(tmp_path / "sound.wav", NotAClip)


def test_no_decoder_makes_a_picture_above_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The header names the first size; a larger one comes later."""
    both = tmp_path / "both.ts"
    for width, height in ((128, 64), (128, 96)):
        part = tmp_path / f"{height}.ts"
        clips.write_clip(part, clips.moving_pictures(4, width, height), "libx264", options={"crf": "1", "g": "4"})
        with both.open("ab") as file:
            file.write(part.read_bytes())
    assert len(decode_frames(both).pixels) > 4
    monkeypatch.setattr(source, "LARGEST_PICTURE_PIXELS", 128 * 64)
    assert 1 <= len(decode_frames(both).pixels) <= 4


@pytest.mark.parametrize("side", [60_000, 12_000])
def test_pictures_of_huge_size_are_refused(side: int, tmp_path: Path) -> None:
    frames = [frame.reformat(format="yuvj420p") for frame in clips.moving_pictures(3)]
    path = clips.write_clip(tmp_path / "huge.avi", frames, "mjpeg", options={})
    patched = path.read_bytes()
    at = patched.find(b"\xff\xc0")
    while at >= 0:  # the size in each JPEG's start of frame
        patched = patched[: at + 5] + struct.pack(">HH", side, side) + patched[at + 9 :]
        at = patched.find(b"\xff\xc0", at + 1)
    path.write_bytes(patched)
    _everything_refuses(path, NotAClip)


def test_a_header_of_60000_pixels_a_side_is_refused_or_found_out(good: bytes, tmp_path: Path) -> None:
    path = tmp_path / "header.mp4"
    path.write_bytes(good)
    clips.patched(path, b"avc1", 24, struct.pack(">HH", 60000, 60000))
    try:
        clip = probe(path)
    except NotAClip as refusal:
        assert "60000x60000" in str(refusal)
    else:
        assert (clip.width, clip.height) == (160, 96)


@pytest.mark.parametrize("box", [b"mdhd", b"mvhd"])
def test_a_clock_of_zero_ticks_is_survived(box: bytes, good: bytes, tmp_path: Path) -> None:
    path = tmp_path / "clock.mp4"
    path.write_bytes(good)
    clips.patched(path, box, 12, struct.pack(">I", 0))
    try:
        frames = decode_frames(path)
    except MediaError:
        return
    assert 1 <= len(frames.pixels) <= 24
    assert np.isfinite([frames.fps, frames.seconds]).all()


def test_a_clip_without_key_frames_gives_an_error_or_what_decodes(tmp_path: Path) -> None:
    path = clips.write_clip(
        tmp_path / "headless.mp4",
        clips.moving_pictures(24),
        "libx264",
        options={"crf": "10"},
        keep=lambda number, packet: not packet.is_keyframe,
    )
    try:
        assert 0 < len(decode_frames(path).pixels) < 24
    except NotAClip as refusal:
        assert "headless.mp4" in str(refusal)


def test_a_hundred_streams_are_one_clip(tmp_path: Path) -> None:
    path = tmp_path / "many.mkv"
    frame = clips.moving_pictures(1, 32, 32)[0]
    with av.open(str(path), "w") as container:
        streams: list[Any] = []
        for _ in range(100):
            stream: Any = container.add_stream("mpeg4", rate=25)
            stream.width = stream.height = 32
            stream.pix_fmt = "yuv420p"
            streams.append(stream)
        for stream in streams:
            frame.pts = 0
            container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    assert decode_frames(path).pixels.shape == (1, 32, 32, 3)


def test_metadata_that_is_no_text_hurts_nobody(tmp_path: Path) -> None:
    path = tmp_path / "named.mkv"
    with av.open(str(path), "w") as container:
        container.metadata["title"] = "AAAABBBB"
        stream: Any = container.add_stream("mpeg4", rate=25)
        stream.width = stream.height = 32
        stream.pix_fmt = "yuv420p"
        container.mux(stream.encode(clips.moving_pictures(1, 32, 32)[0]))
        container.mux(stream.encode(None))
    path.write_bytes(path.read_bytes().replace(b"AAAABBBB", b"\xff\xfe\x80\x81\xc3\x28\xa0\xa1"))
    assert probe(path).width == 32


@pytest.mark.parametrize("seed", range(12))
def test_clips_with_flipped_bytes_give_frames_or_a_media_error(seed: int, good: bytes, tmp_path: Path) -> None:
    rng = np.random.default_rng(seed)
    content = bytearray(good)
    area = (0, len(content)) if seed % 2 else (good.index(b"moov"), len(content))
    for at in rng.integers(*area, 12):
        content[at] = rng.integers(0, 256)
    path = tmp_path / "flipped.mp4"
    path.write_bytes(bytes(content))
    for read in (probe, decode_frames, decode_last_frame, decode_audio):
        try:
            read(path)
        except MediaError as refusal:
            assert "flipped.mp4" in str(refusal) or "frames of" in str(refusal)


def test_a_clip_we_wrote_passes(tmp_path: Path) -> None:
    encode_clip(np.zeros((3, 32, 48, 3), np.float32), 24, tmp_path / "ours.mp4")
    assert verify(tmp_path / "ours.mp4").frame_count == 3
