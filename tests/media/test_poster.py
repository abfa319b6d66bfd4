"""The small picture that stands for a clip."""

from __future__ import annotations

import io
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from nodes.media.errors import NotAClip
from nodes.media.poster import poster
from nodes.media.probe import probe, verify


def damaged(path: Path, *numbers: int) -> Path:
    """A clip of key frames, of which some are overwritten."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"g": "1"})
        stream.width = stream.height = 64
        for number in range(40):
            picture = np.full((64, 64, 3), number * 5, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    with av.open(str(path)) as container:
        places = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    data = bytearray(path.read_bytes())
    for number in numbers:
        at, size = places[number]
        data[at or 0 : (at or 0) + size] = bytes(size)
    path.write_bytes(data)
    return path


def test_it_is_of_a_picture_near_the_beginning(tmp_path: Path) -> None:
    with Image.open(io.BytesIO(poster(damaged(tmp_path / "clip.mp4")))) as picture:
        assert picture.format == "JPEG" and abs(int(np.asarray(picture).mean()) - 25) < 6


def test_where_that_one_is_damaged_it_is_of_the_first_whole_one(tmp_path: Path) -> None:
    path = damaged(tmp_path / "clip.mp4", 5)
    assert verify(path).width == 64, "such a clip is delivered"
    with Image.open(io.BytesIO(poster(path))) as picture:
        assert int(np.asarray(picture).mean()) < 6


def test_a_name_that_no_file_can_have_is_no_clip(tmp_path: Path) -> None:
    for name in ("x" * 300 + ".mp4", "a\0b.mp4"):
        with pytest.raises(NotAClip):
            probe(tmp_path / name)
