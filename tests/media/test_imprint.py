"""What is written behind a clip: found by ComfyUI's page, passed over by all else."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from nodes.media.audio import Sound
from nodes.media.decode import decode_frames
from nodes.media.encode import encode_clip
from nodes.media.errors import NotAClip
from nodes.media.imprint import bytes_of_clip, imprint
from nodes.media.probe import probe, verify
from nodes.media.span import WHOLE
from tests.support.clips import copied, packets_of
from tests.support.imprints import texts_behind

TEXTS = {"prompt": '{"1": {"class_type": "APIMall_TextToVideo"}}', "workflow": '{"nodes": [], "title": "\u706f\u5854"}'}


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / "clip.mp4"
    sound = Sound(np.zeros((1, 2, 24_000), np.float32), 48_000)
    encode_clip([np.full((48, 64, 3), 10 * n, np.uint8) for n in range(12)], 24, path, sound=sound)
    return path


def with_moov_first(path: Path) -> None:
    copied(path, path.with_name("first.mp4"), options={"movflags": "faststart"}).replace(path)


def as_it_is(path: Path) -> None:
    pass


@pytest.mark.parametrize("arranged", [as_it_is, with_moov_first])
def test_texts_are_found_and_not_a_byte_of_the_clip_is_another(clip: Path, arranged: Callable[[Path], None]) -> None:
    arranged(clip)
    before = clip.read_bytes()
    shown = decode_frames(clip, WHOLE).pixels
    known = probe(clip)
    imprint(clip, '{"take": 3}', TEXTS)
    after = clip.read_bytes()
    assert after[: len(before)] == before
    assert texts_behind(after) == {"apimall": '{"take": 3}', **TEXTS}
    assert packets_of(after) == packets_of(before)
    verify(clip)
    assert probe(clip).seconds == known.seconds
    assert (decode_frames(clip, WHOLE).pixels == shown).all()
    assert bytes_of_clip(clip) == len(before)


def test_a_clip_of_somebody_else_is_its_own_from_beginning_to_end(clip: Path) -> None:
    theirs = b"\0\0\0\x10udta" + b"\0\0\0\x08meta"
    clip.write_bytes(clip.read_bytes() + theirs)
    assert bytes_of_clip(clip) == clip.stat().st_size


@pytest.mark.parametrize(
    "rest",
    [b"\0\0\0\0free", b"\0\0\x40\0free", b"\0\0\0\x08udta", b"junk", b"\0\0\0\x08free" * 1000],
    ids=["a box to the end", "half a box", "user data", "junk", "too many boxes"],
)
def test_nothing_is_written_behind_what_is_not_made_of_whole_boxes(clip: Path, rest: bytes) -> None:
    before = clip.read_bytes() + rest
    clip.write_bytes(before)
    with pytest.raises(NotAClip):
        imprint(clip, "{}", TEXTS)
    assert clip.read_bytes() == before
    assert bytes_of_clip(clip) == len(before)


def test_a_disk_that_is_full_leaves_the_clip_as_it_was(clip: Path) -> None:
    resource = pytest.importorskip("resource", reason="no such limits here")
    before = clip.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    told = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 100, limits[1]))
    try:
        with pytest.raises(OSError, match="too large"):
            imprint(clip, "{}", TEXTS)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, told)
    assert clip.read_bytes() == before
