"""The small picture that stands for a clip."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nodes.media.errors import NotAClip
from nodes.media.poster import poster
from nodes.media.probe import probe, verify
from tests.support.clips import damaged


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
