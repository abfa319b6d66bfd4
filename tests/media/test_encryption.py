"""Clips that are encrypted are called so: FFmpeg decodes them as if they were not, into noise or nothing."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from nodes.media.audio import Sound, decode_audio
from nodes.media.decode import decode_frames
from nodes.media.encode import encode_clip
from nodes.media.errors import NotAClip
from nodes.media.probe import probe
from tests.support import clips

KEY = {"encryption_key": "0123456789abcdef0123456789abcdef", "encryption_kid": "fedcba9876543210fedcba9876543210"}


def _plain(path: Path) -> Path:
    wave = 0.25 * np.sin(np.arange(44_100, dtype=np.float32) * np.float32(0.05))
    sound = Sound(np.stack([wave, wave])[np.newaxis], 44_100)
    return encode_clip(
        [np.full((48, 64, 3), 9 * number, np.uint8) for number in range(24)], 24, path, sound=sound, preset="ultrafast"
    ).path


@pytest.mark.parametrize("movflags", ["use_metadata_tags", "faststart"])
def test_an_encrypted_mp4_is_called_encrypted(tmp_path: Path, movflags: str) -> None:
    path = tmp_path / "protected.mp4"
    options = {"encryption_scheme": "cenc-aes-ctr", "movflags": movflags, **KEY}
    clips.copied(_plain(tmp_path / "plain.mp4"), path, options=options)
    assert b"encv" in path.read_bytes()
    for read in (probe, decode_frames):
        with pytest.raises(NotAClip, match=r"protected\.mp4 is encrypted: only a player that has its key can show it"):
            read(path)


def test_an_encrypted_webm_is_called_encrypted(tmp_path: Path) -> None:
    frames = [av.VideoFrame(64, 48, "yuv420p") for _ in range(3)]
    path = clips.write_clip(tmp_path / "plain.webm", frames, "libvpx-vp9", options={})
    with pytest.raises(NotAClip, match="is encrypted"):
        probe(_said_to_be_encrypted(path))


def test_the_pictures_of_a_clip_whose_sound_alone_is_encrypted_are_shown(tmp_path: Path) -> None:
    path = _plain(tmp_path / "clip.mp4")
    path.write_bytes(path.read_bytes().replace(b"mp4a", b"enca"))
    clip = probe(path)
    assert not clip.has_audio and "its sound is encrypted, and left out" in map(str, clip.remarks)
    assert len(decode_frames(path).pixels) == 24
    assert not decode_audio(path).samples.any()


def _said_to_be_encrypted(path: Path) -> Path:
    """Its one track gets ContentEncodings with a key (RFC 9559, 5.1.4.1.31): what is said of it, not the bytes."""
    data = path.read_bytes()
    encryption = _element(b"\x50\x35", _element(b"\x47\xe1", b"\5") + _element(b"\x47\xe2", b"the key's name"))
    encodings = _element(b"\x6d\x80", _element(b"\x62\x40", _element(b"\x50\x33", b"\1") + encryption))
    segment = data.index(b"\x18\x53\x80\x67")
    tracks = data.rindex(b"\x16\x54\xae\x6b", 0, data.index(b"\x1f\x43\xb6\x75"))  # an index names it before
    tracks_content, tracks_end = _content(data, tracks + 4)
    entry_content, entry_end = _content(data, data.index(b"\xae\x01", tracks_content) + 1)
    entry = _element(b"\xae", data[entry_content:entry_end] + encodings)
    rest = data[tracks_end:]
    unknown = b"\x18\x53\x80\x67\x01" + b"\xff" * 7  # the segment's size, which is another now
    segment_content, _ = _content(data, segment + 4)
    before = data[:segment] + unknown + data[segment_content:tracks]
    path.write_bytes(before + _element(b"\x16\x54\xae\x6b", entry) + rest)
    return path


def _element(name: bytes, content: bytes) -> bytes:
    return name + b"\x01" + len(content).to_bytes(7, "big") + content


def _content(data: bytes, at: int) -> tuple[int, int]:
    """Where the content begins and ends of an element whose size stands there."""
    length = 9 - data[at].bit_length()
    size = int.from_bytes(data[at : at + length], "big") & ((1 << 7 * length) - 1)
    return at + length, at + length + size
