"""Frames against a float64 conversion, clip by clip, and the drift of a chain of clips."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from nodes.media.decode import decode_frames
from nodes.media.encode import encode_clip
from tests.support import clips
from tests.support.clips import BT601, BT709, BT2020, FULL, LIMITED

LARGEST_MEAN = 0.6 / 255
LARGEST_ERROR = 3 / 255
LARGEST_BIAS = 0.1 / 255
LARGEST_DRIFT = 0.2 / 255


@dataclass(frozen=True)
class Case:
    """A clip to make: what is tagged, and what the frames must follow."""

    codec: str
    suffix: str
    pix_fmt: str
    width: int = 96
    height: int = 64
    tagged: int | None = BT709
    meant: int = BT709
    tagged_range: int | None = LIMITED
    full: bool = False
    chroma: tuple[int, int] = (2, 2)
    bits: int = 8
    left_sited: bool | None = None
    planes: Callable[..., list[Any]] = clips.gentle_planes


CASES = {
    "h264 bt709 limited": Case("libx264", ".mp4", "yuv420p"),
    "h264 bt709 limited, sharp chroma": Case("libx264", ".mp4", "yuv420p", planes=clips.sharp_planes),
    "h264 bt601 limited": Case("libx264", ".mp4", "yuv420p", tagged=BT601, meant=BT601),
    "h264 bt709 full": Case("libx264", ".mp4", "yuvj420p", tagged_range=FULL, full=True),
    "h264 bt601 full": Case("libx264", ".mp4", "yuvj420p", tagged=BT601, meant=BT601, tagged_range=FULL, full=True),
    "h264 untagged, small": Case("libx264", ".mp4", "yuv420p", tagged=None, meant=BT601, tagged_range=None),
    "h264 untagged, 720 lines": Case("libx264", ".mp4", "yuv420p", 64, 720, tagged=None, tagged_range=None),
    "h264 bt2020": Case("libx264", ".mp4", "yuv420p", tagged=BT2020, meant=BT2020),
    "h264 4:2:2": Case("libx264", ".mp4", "yuv422p", chroma=(2, 1)),
    "h264 4:2:2 sharp chroma": Case("libx264", ".mp4", "yuv422p", chroma=(2, 1), planes=clips.sharp_planes),
    "h264 4:4:4": Case("libx264", ".mp4", "yuv444p", chroma=(1, 1)),
    "h264 4:4:4 sharp chroma": Case("libx264", ".mp4", "yuv444p", chroma=(1, 1), planes=clips.sharp_planes),
    "h264 10 bit": Case("libx264", ".mp4", "yuv420p10le", bits=10),
    "h264 10 bit 4:2:2": Case("libx264", ".mkv", "yuv422p10le", chroma=(2, 1), bits=10),
    "h264 10 bit 4:4:4 full": Case(
        "libx264", ".mov", "yuv444p10le", chroma=(1, 1), bits=10, tagged_range=FULL, full=True
    ),
    "h264 cropped": Case("libx264", ".mp4", "yuv420p", 90, 50),
    "hevc bt709": Case("libx265", ".mp4", "yuv420p"),
    "hevc bt2020 10 bit": Case("libx265", ".mp4", "yuv420p10le", tagged=BT2020, meant=BT2020, bits=10),
    "vp9 bt709": Case("libvpx-vp9", ".webm", "yuv420p", left_sited=False),
    "vp9 odd size": Case("libvpx-vp9", ".webm", "yuv420p", 97, 65, left_sited=False),
    "vp9 4:4:4": Case("libvpx-vp9", ".webm", "yuv444p", chroma=(1, 1)),
    "av1 bt709": Case("libsvtav1", ".mp4", "yuv420p", left_sited=False),
    "av1 10 bit": Case("libsvtav1", ".webm", "yuv420p10le", bits=10, left_sited=False),
    "prores 4:2:2 10 bit": Case("prores_ks", ".mov", "yuv422p10le", chroma=(2, 1), bits=10, left_sited=False),
    "ffv1 odd size": Case("ffv1", ".mkv", "yuv420p", 97, 65, left_sited=False),
    "mpeg4 in avi": Case("mpeg4", ".avi", "yuv420p", tagged=None, meant=BT601, tagged_range=None),
}


def _raw_frames(path: Path) -> list[Any]:
    with av.open(str(path)) as container:
        return list(container.decode(video=0))


@pytest.mark.parametrize("name", CASES)
def test_frames_equal_the_reference_conversion(
    name: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    case = CASES[name]
    rng = np.random.default_rng(7)
    extra = {} if case.bits == 8 else {"bits": case.bits}
    frames = [
        clips.frame_of(
            case.planes(rng, case.width, case.height, case.chroma, **extra), case.pix_fmt, case.width, case.height
        )
        for _ in range(3)
    ]
    path = clips.write_clip(
        tmp_path / f"clip{case.suffix}", frames, case.codec, colorspace=case.tagged, color_range=case.tagged_range
    )
    # The reference starts from the numbers that the codec gives back: whether it lost any is not the question here.
    expected = np.stack(
        [
            clips.reference_rgb(
                clips.planes_of(frame),
                matrix=case.meant,
                full=case.full,
                bits=case.bits,
                left_sited=case.left_sited,
            )
            for frame in _raw_frames(path)
        ]
    )
    pixels = decode_frames(path).pixels
    assert pixels.shape == (3, case.height, case.width, 3)
    error = pixels - expected
    mean, largest, bias = np.abs(error).mean(), np.abs(error).max(), error.mean()
    record_property("error in levels", f"mean {mean * 255:.3f} max {largest * 255:.2f} bias {bias * 255:+.3f}")
    assert mean <= LARGEST_MEAN
    assert largest <= LARGEST_ERROR
    assert np.abs(error.mean(axis=(0, 1, 2))).max() <= LARGEST_BIAS


@pytest.mark.parametrize("full", [False, True], ids=["limited", "full"])
def test_frames_equal_pictures_that_are_known_in_rgb(full: bool, tmp_path: Path) -> None:
    """No kernel of ours on either side: colours that change gently, sampled where H.264 puts its samples."""
    width, height = 160, 96

    def rgb_at(x: Any, y: Any) -> Any:
        waves = [0.5 + 0.35 * np.sin(2 * np.pi * (x / width * a + y / height * b) + c) for a, b, c in PHASES]
        return np.stack(waves, axis=-1)

    def yuv_at(x: Any, y: Any) -> list[Any]:
        red, green, blue = np.moveaxis(rgb_at(x, y), -1, 0)
        luma = 0.2126 * red + 0.7152 * green + 0.0722 * blue
        scale, base = ((255, 255), 0) if full else ((219, 224), 16)
        numbers = [
            base + scale[0] * luma,
            128 + scale[1] * (blue - luma) / 1.8556,
            128 + scale[1] * (red - luma) / 1.5748,
        ]
        return [np.rint(plane).astype(np.uint8) for plane in numbers]

    y, x = np.mgrid[0:height, 0:width].astype(float)
    chroma_y, chroma_x = np.mgrid[0:height:2, 0:width:2].astype(float)
    chroma_x += 0.0 if clips.PYAV_FOLLOWS_CHROMA_SITES else 0.5
    planes = [yuv_at(x, y)[0], *yuv_at(chroma_x, chroma_y + 0.5)[1:]]
    frame = clips.frame_of(planes, "yuvj420p" if full else "yuv420p", width, height)
    path = clips.write_clip(
        tmp_path / "known.mp4", [frame], "libx264", colorspace=BT709, color_range=FULL if full else LIMITED
    )
    # At the rim there is no chroma sample beyond the last, so nobody can know the colour there.
    error = (decode_frames(path).pixels[0] - rgb_at(x, y))[4:-4, 4:-4]
    assert np.abs(error).mean() <= LARGEST_MEAN
    assert np.abs(error).max() <= LARGEST_ERROR
    assert np.abs(error.mean(axis=(0, 1))).max() <= LARGEST_BIAS


PHASES = ((1.0, 0.5, 0.3), (0.5, 1.0, 2.0), (1.5, -0.5, 4.0))


def test_eight_bit_values_become_exactly_value_over_255(tmp_path: Path) -> None:
    ramp = np.tile(np.arange(256, dtype=np.uint8), (2, 1))
    grey = np.full_like(ramp, 128)
    frame = clips.frame_of([ramp, grey, grey], "yuvj444p", 256, 2)
    path = clips.write_clip(tmp_path / "ramp.mp4", [frame], "libx264", colorspace=BT709, color_range=FULL)
    expected = np.arange(256, dtype=np.float32) / np.float32(255)
    assert np.array_equal(decode_frames(path).pixels[0, 0, :, 1], expected)


def test_brighter_than_white_and_darker_than_black_are_cut_off(tmp_path: Path) -> None:
    ramp = np.tile(np.arange(0, 1024, dtype="<u2"), (2, 1))
    grey = np.full_like(ramp, 512)
    frame = clips.frame_of([ramp, grey, grey], "yuv444p10le", 1024, 2)
    path = clips.write_clip(tmp_path / "ramp.mp4", [frame], "libx264", colorspace=BT709, color_range=LIMITED)
    pixels = decode_frames(path).pixels[0, 0, :, 1]
    assert (pixels[:64].max(), pixels[940:].min(), pixels[940:].max()) == (0, 1, 1)


@pytest.mark.parametrize(
    ("codec", "suffix", "pix_fmt", "bits", "chroma"),
    [("ffv1", ".mkv", "yuva420p", 8, (2, 2)), ("ffv1", ".mkv", "yuva444p10le", 10, (1, 1))],
)
def test_alpha_lays_the_colours_on_white(
    codec: str, suffix: str, pix_fmt: str, bits: int, chroma: tuple[int, int], tmp_path: Path
) -> None:
    rng = np.random.default_rng(5)
    planes = clips.gentle_planes(rng, 64, 48, chroma, bits)
    alpha = rng.integers(0, 1 << bits, planes[0].shape).astype(planes[0].dtype)
    frame = clips.frame_of([*planes, alpha], pix_fmt, 64, 48)
    path = clips.write_clip(tmp_path / f"alpha{suffix}", [frame], codec, colorspace=BT709, color_range=LIMITED)
    colours = clips.reference_rgb(planes, matrix=BT709, full=False, bits=bits, left_sited=False)
    share = (alpha / ((1 << bits) - 1))[..., np.newaxis]
    expected = colours * share + 1 - share
    assert np.abs(decode_frames(path).pixels[0] - expected).max() <= LARGEST_ERROR


def test_prores_with_alpha_is_laid_on_white(tmp_path: Path) -> None:
    planes = clips.gentle_planes(np.random.default_rng(5), 96, 64, (1, 1), 10)
    frame = clips.frame_of([*planes, np.full_like(planes[0], 512)], "yuva444p10le", 96, 64)
    path = clips.write_clip(tmp_path / "alpha.mov", [frame], "prores_ks", colorspace=BT709)
    stored = _raw_frames(path)[0]
    bits = max(component.bits for component in stored.format.components)
    *planes, alpha = clips.planes_of(stored)
    share = (alpha / ((1 << bits) - 1))[..., np.newaxis]
    expected = clips.reference_rgb(planes, matrix=BT709, full=False, bits=bits) * share + 1 - share
    assert np.abs(decode_frames(path).pixels[0] - expected).max() <= LARGEST_ERROR


@pytest.mark.parametrize("pix_fmt", ["bgr0", "gbrp10le", "gbrp16le"])
def test_rgb_sources_come_out_as_they_went_in(pix_fmt: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    deep = pix_fmt != "bgr0"
    rgb = rng.integers(0, 256, (48, 64, 3), dtype=np.uint8)
    if deep:
        bits = int(pix_fmt[4:6])
        values = rng.integers(0, 1 << bits, (48, 64, 3)).astype("<u2")
        frame = clips.frame_of([values[..., c] for c in (1, 2, 0)], pix_fmt, 64, 48)
        expected = values / ((1 << bits) - 1)
    else:
        frame = av.VideoFrame.from_ndarray(rgb, format="rgb24").reformat(format=pix_fmt)
        expected = rgb / 255
    path = clips.write_clip(tmp_path / "rgb.mkv", [frame], "ffv1")
    assert np.abs(decode_frames(path).pixels[0] - expected).max() <= (0.5 if deep else 1e-4) / 255


def _photographic(width: int = 128, height: int = 96) -> Any:
    """Smooth shapes, soft edges and grain, float32 [1, height, width, 3]."""
    rng = np.random.default_rng(11)
    y, x = np.mgrid[0:height, 0:width].astype(float)
    picture = np.stack(
        [0.5 + 0.3 * np.sin(x / a + y / b + c) for a, b, c in ((17, 23, 0), (13, -19, 1), (29, 11, 2))], 2
    )
    picture[(x - 40) ** 2 + (y - 50) ** 2 < 400] = (0.8, 0.2, 0.15)
    return np.clip(picture + rng.normal(0, 0.02, picture.shape), 0.02, 0.98).astype(np.float32)[None]


def test_five_passes_through_a_clip_leave_the_colours_in_place(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    first = _photographic()
    pixels = first
    for number in range(5):
        path = tmp_path / f"pass{number}.mp4"
        encode_clip(pixels, 24, path, crf=0)  # without loss: what remains are the conversions
        pixels = decode_frames(path).pixels
    drift = (pixels - first).mean(axis=(0, 1, 2))
    record_property("drift in levels", str(drift * 255))
    assert np.abs(drift).max() < LARGEST_DRIFT


def test_five_passes_through_a_clip_move_no_colour_edge(tmp_path: Path) -> None:
    """Half a pixel a pass is what a wrong chroma site costs."""
    picture = np.zeros((1, 32, 64, 3), np.float32)
    picture[:, :, :32] = (0.7, 0.3, 0.4)
    picture[:, :, 32:] = (0.3, 0.5, 0.6)
    pixels = picture
    for number in range(5):
        encode_clip(pixels, 24, tmp_path / f"{number}.mp4", crf=0)
        pixels = decode_frames(tmp_path / f"{number}.mp4").pixels

    def edge(frames: Any) -> float:
        red_over_green = (frames[0, :, :, 0] - frames[0, :, :, 1]).mean(axis=0)
        high, low = red_over_green[:8].mean(), red_over_green[-8:].mean()
        return float(((red_over_green - low) / (high - low)).sum())

    assert abs(edge(pixels) - edge(picture)) < 0.1
