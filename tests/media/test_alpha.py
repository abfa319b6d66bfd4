"""Transparent clips: laid on white as stills are, whatever colours hide under what cannot be seen."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from nodes.media import pyav
from nodes.media.decode import decode_frames, decode_last_frame, iterate_pictures
from nodes.media.probe import probe
from nodes.media.source import Source
from nodes.media.span import Span
from tests.support import clips

SIZE = 64
HIDDEN, HALF, OPAQUE = slice(0, 20), slice(22, 42), slice(44, 64)


def _picture() -> Any:
    """Red that is hidden, half there, and there, from left to right."""
    rgba = np.zeros((SIZE, SIZE, 4), np.uint8)
    rgba[..., 0] = 200
    rgba[:, OPAQUE, 3] = 255
    rgba[:, 20:44, 3] = 128
    return rgba


def _clip(path: Path, codec: str, form: str) -> Path:
    frames = [av.VideoFrame.from_ndarray(_picture(), format="rgba").reformat(format=form) for _ in range(3)]
    return clips.write_clip(path, frames, codec, options={})


KINDS: dict[str, tuple[str, str, str]] = {
    "ProRes 4444": ("prores_ks", "yuva444p10le", ".mov"),
    "QuickTime Animation": ("qtrle", "argb", ".mov"),
    "PNG in MOV": ("png", "rgba", ".mov"),
    "PNG in MOV, 16 bit": ("png", "rgba64be", ".mov"),
    "FFV1 of an odd width": ("ffv1", "yuva420p", ".mkv"),
    "UT Video": ("utvideo", "gbrap", ".avi"),
}


@pytest.mark.parametrize(("codec", "form", "suffix"), KINDS.values(), ids=KINDS)
def test_what_is_transparent_is_white_and_what_is_opaque_keeps_its_colour(
    codec: str, form: str, suffix: str, tmp_path: Path
) -> None:
    path = _clip(tmp_path / f"clip{suffix}", codec, form)
    red = 200 / 255
    readings: list[Callable[[], Any]] = [
        lambda: decode_frames(path).pixels[1],
        lambda: decode_last_frame(path)[0],
        lambda: next(iter(iterate_pictures(path)[1])) / 255,
    ]
    for read in readings:
        pixels = read()
        means = [pixels[:, part].mean(axis=(0, 1)) for part in (HIDDEN, HALF, OPAQUE)]
        half = 128 / 255
        assert means[0] == pytest.approx([1, 1, 1], abs=2 / 255)
        assert means[1] == pytest.approx([red * half + 1 - half, 1 - half, 1 - half], abs=4 / 255)
        assert means[2] == pytest.approx([red, 0, 0], abs=4 / 255)
    assert probe(path).transparent
    assert "transparent parts, if any, are white" in map(str, probe(path).remarks)


def test_an_opaque_picture_with_alpha_is_the_same_to_the_bit_as_one_without(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    rgb = rng.integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
    rgba = np.concatenate([rgb, np.full((SIZE, SIZE, 1), 255, np.uint8)], axis=2)
    paths = [
        clips.write_clip(tmp_path / f"{form}.mov", [av.VideoFrame.from_ndarray(pixels, format=form)], "png", options={})
        for pixels, form in ((rgb, "rgb24"), (rgba, "rgba"))
    ]
    plain, with_alpha = (decode_frames(path).pixels[0] for path in paths)
    assert np.array_equal(plain, with_alpha)
    assert np.array_equal(plain, rgb / np.float32(255))


def webm(path: Path, codec: str, count: int = 3) -> Path:
    """With alpha: a second picture beside each block, which FFmpeg's own decoders leave out and libvpx's read."""
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(
            codec, rate=25, options={"auto-alt-ref": "0", "g": "10", "crf": "4", "b": "9M"}
        )
        stream.width, stream.height, stream.pix_fmt = SIZE, SIZE, "yuva420p"
        stream.metadata["alpha_mode"] = "1"
        for number in range(count):
            rgba = _picture()
            rgba[:, OPAQUE, 1] = 5 * number
            frame = av.VideoFrame.from_ndarray(rgba, format="rgba").reformat(format="yuva420p")
            frame.pts = None
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("codec", ["libvpx-vp9", "libvpx"])
def test_webm_with_alpha_shows_no_hidden_colours(codec: str, tmp_path: Path) -> None:
    path = webm(tmp_path / "clip.webm", codec)
    pixels = decode_frames(path).pixels[0]
    assert pixels[4:60, 4:16].min() > 0.95
    assert pixels[4:60, 48:60].mean(axis=(0, 1)) == pytest.approx([200 / 255, 0, 0], abs=8 / 255)
    assert [str(each) for each in probe(path).remarks] == ["transparent parts, if any, are white"]


@pytest.mark.parametrize("codec", ["libvpx-vp9", "libvpx"])
def test_a_part_of_webm_with_alpha_is_reached_from_its_key_frame(codec: str, tmp_path: Path) -> None:
    path = webm(tmp_path / "clip.webm", codec, count=40)
    whole = decode_frames(path).pixels
    assert len(whole) == 40
    read: list[Any] = []
    original = Source.decode

    def counted(self: Source, packet: Any) -> list[Any]:
        read.append(packet)
        return original(self, packet)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Source, "decode", counted)
        part = decode_frames(path, Span(start_seconds=1.3, max_frames=3)).pixels
        assert len(read) < 12
        assert np.array_equal(decode_last_frame(path)[0], whole[-1])
    assert np.array_equal(part, whole[33:36])  # 1.32 s is the first at or behind it


def test_a_decoder_that_alpha_takes_and_is_not_there_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Builds of FFmpeg without libvpx decode the colours all the same."""
    path = webm(tmp_path / "clip.webm", "libvpx-vp9")
    monkeypatch.setattr(pyav, "can_decode", lambda name: name != "libvpx-vp9")
    assert decode_frames(path).pixels.shape == (3, SIZE, SIZE, 3)
    (remark,) = probe(path).remarks
    assert str(remark) == "transparent parts show their hidden colours: this PyAV has no libvpx-vp9"
