"""Clips for bright displays: HLG and PQ, against the curve worked out in float64, and ordinary clips left alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from nodes.media.decode import decode_frames, decode_last_frame
from nodes.media.encode import trim_clip
from nodes.media.probe import probe
from nodes.media.span import WHOLE
from tests.support import clips
from tests.support.clips import HLG, PATCH, PQ, hdr_clip

GREYS = (0.0, 0.1, 1.0, 10.0, 36.54, 100.0, 203.0, 400.0, 1000.0)


def _patches(pixels: Any) -> Any:
    """The colour in the middle of each patch, red, green, blue."""
    middle = slice(PATCH // 4, 3 * PATCH // 4)
    count = pixels.shape[1] // PATCH
    return np.stack([pixels[middle, n * PATCH :][:, middle].mean((0, 1)) for n in range(count)])


def _greys(*nits: float) -> list[list[float]]:
    return [[each] * 3 for each in nits]


def _expected_grey(nits: float) -> float:
    """A line to 0.85 of diffuse white, then method C's logarithm up to 1000 cd/m2; shown by BT.1886."""
    y = nits / 203
    if y > 0.85:
        y = 0.85 * (1 + 0.052727 * np.log((y / 0.85 - 0.947273) / 0.052727))
    return float(min(0.95 * y, 1.0) ** (1 / 2.4))


@pytest.mark.parametrize("transfer", [PQ, HLG], ids=["PQ", "HLG"])
@pytest.mark.parametrize(
    ("codec", "suffix", "bits"),
    [("libx265", ".mp4", 10), ("libx265", ".mkv", 10), ("libx264", ".mov", 10), ("libx264", ".ts", 8)],
)
def test_greys_follow_the_curve(transfer: int, codec: str, suffix: str, bits: int, tmp_path: Path) -> None:
    path = hdr_clip(tmp_path / f"clip{suffix}", _greys(*GREYS), transfer, codec, bits)
    found = _patches(decode_frames(path).pixels[1])
    assert np.ptp(found, axis=1).max() < 1.5 / 255  # grey stays grey
    step = 2.5 / 255 if bits == 10 else 6 / 255  # what one number of the signal is worth where it is worth most
    assert found.mean(axis=1) == pytest.approx([_expected_grey(nits) for nits in GREYS], abs=step)


@pytest.mark.parametrize("transfer", [PQ, HLG], ids=["PQ", "HLG"])
def test_black_is_black_diffuse_white_is_nearly_white_and_grey_lies_where_it_should(
    transfer: int, tmp_path: Path
) -> None:
    path = hdr_clip(tmp_path / "clip.mp4", _greys(0, 0.18 * 203, 203, 1000), transfer)
    black, grey, white, bright = _patches(decode_last_frame(path)[0]).mean(axis=1)
    assert black == pytest.approx(0, abs=0.5 / 255)
    assert grey == pytest.approx(0.46, abs=0.025)
    assert 0.93 <= white < bright
    assert bright == pytest.approx(1, abs=1 / 255)


@pytest.mark.parametrize("transfer", [PQ, HLG], ids=["PQ", "HLG"])
def test_colours_of_bt709_come_out_as_themselves(transfer: int, tmp_path: Path) -> None:
    """Linear BT.709 colours, told in the primaries of BT.2020 (the matrix of BT.2087), below the curve's bend."""
    to_2020 = np.array([[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]])
    colours = np.array([[0.5, 0.1, 0.1], [0.1, 0.5, 0.1], [0.1, 0.1, 0.5], [0.45, 0.3, 0.22], [0.3, 0.3, 0.05]])
    path = hdr_clip(tmp_path / "clip.mp4", (203 * colours @ to_2020.T).tolist(), transfer)
    found = _patches(decode_frames(path).pixels[0])
    assert found == pytest.approx((0.95 * colours) ** (1 / 2.4), abs=4 / 255)


def test_colours_beyond_bt709_keep_their_hue_and_their_luminance(tmp_path: Path) -> None:
    path = hdr_clip(tmp_path / "clip.mp4", [[150, 0.1, 0.1], [0.1, 150, 0.1], [0.1, 0.1, 150], [900, 100, 100]], PQ)
    found = _patches(decode_frames(path).pixels[0]).astype(float)
    linear = found**2.4
    assert linear.argmax(axis=1).tolist() == [0, 1, 2, 0]
    luminance = linear @ np.array([0.2126, 0.7152, 0.0722])
    expected = np.array([0.2627 * 150, 0.6780 * 150, 0.0593 * 150]) / 203 * 0.95
    assert luminance[:3] == pytest.approx(expected, abs=0.01)


def test_a_cut_is_written_in_the_colours_that_frames_have(tmp_path: Path) -> None:
    path = hdr_clip(tmp_path / "clip.mp4", _greys(0, 36.54, 203, 1000), HLG)
    cut = trim_clip(path, tmp_path / "cut.mp4", WHOLE, crf=1)
    with av.open(str(cut.path)) as container:
        assert container.streams.video[0].codec_context.color_trc == 1
    assert decode_frames(cut.path).pixels == pytest.approx(decode_frames(path).pixels, abs=3 / 255)


def test_a_clip_says_what_it_was_made_for(tmp_path: Path) -> None:
    assert probe(hdr_clip(tmp_path / "pq.mp4", _greys(1, 2), PQ)).hdr == "PQ"
    assert probe(hdr_clip(tmp_path / "hlg.mp4", _greys(1, 2), HLG)).hdr == "HLG"
    plain = clips.write_clip(tmp_path / "plain.mp4", clips.numbered_pictures(2), "libx264")
    assert probe(plain).hdr is None


def test_what_the_container_says_of_light_counts_where_the_pictures_say_nothing(tmp_path: Path) -> None:
    """ProRes has a place for it in each picture, and says "unspecified" there; its decoder forgets the rest."""
    planes = [np.full((64, 64 // step), 600, "<u2") for step in (1, 2, 2)]
    frame = clips.frame_of(planes, "yuv422p10le", 64, 64)
    path = tmp_path / "clip.mov"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("prores_ks", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv422p10le"
        context = stream.codec_context
        context.color_primaries, context.color_trc, context.colorspace = clips.BT2020, HLG, clips.BT2020
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    content = path.read_bytes()
    beginning, *pictures = content.split(b"icpf")
    unsaid = (picture[:14] + bytes((2, 2, 2)) + picture[17:] for picture in pictures)
    path.write_bytes(b"icpf".join((beginning, *unsaid)))
    assert probe(path).hdr == "HLG"
    assert np.array_equal(decode_frames(path).pixels[-1:], decode_last_frame(path))
