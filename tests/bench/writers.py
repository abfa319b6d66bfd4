"""Frames into clips and pictures into files, by the pack; each runs in a process of its own."""

from __future__ import annotations

import importlib
import io
import statistics
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tests.bench.clips import FULL_HD_5, KINDS, plain_still, still
from tests.bench.meter import Meter

_RUNS = 5  # of each form of a still
_PSNR_EVERY = 4


def ours(kind: str, pictures: str, out: str, settings: dict[str, Any]) -> dict[str, Any]:
    """encode_clip of the frames of a clip of `kind`."""
    from nodes.media.encode import encode_clip

    frames = floats(pictures)
    with Meter() as meter:
        encode_clip(list(frames), Fraction(KINDS[kind].fps), Path(out), **settings)
    return meter.sample(bytes=Path(out).stat().st_size)


def psnr(pictures: str, path: str) -> dict[str, Any]:
    """Decibels of a clip against the pictures that it was made of, and its bias in 8 bit levels; every fourth picture.

    luma: of Y alone. rgb: of all three, chroma at half its size included. Both in float64 and by the file's own tag,
    so that no reader's rounding is part of the answer.
    """
    luma = rgb = bias = 0.0
    count = 0
    av = importlib.import_module("av")
    with av.open(path) as container:
        decoded = container.decode(video=0)
        for number, (wanted, frame) in enumerate(zip(np.load(pictures, mmap_mode="r"), decoded, strict=True)):
            if number % _PSNR_EVERY:
                continue
            red, blue = (0.2126, 0.0722) if int(frame.colorspace) == 1 else (0.299, 0.114)
            light = wanted @ np.array([red, 1 - red - blue, blue])
            luma += float(np.mean(((_plane(frame.planes[0], np.uint8) - 16) * 255 / 219 - light) ** 2))
            difference = _rgb(frame, red, blue) - wanted
            rgb += float(np.mean(difference**2))
            bias += float(np.mean(difference))
            count += 1
    return {"wall": 0.0, "luma": _decibels(luma / count), "rgb": _decibels(rgb / count), "bias": bias / count}


def _decibels(mean_square: float) -> float:
    return float(10 * np.log10(255**2 / mean_square))


def _rgb(frame: Any, red: float, blue: float) -> Any:
    """Float64 RGB of a limited range yuv420p frame with those weights of red and blue in its luma."""
    whole = frame.reformat(format="yuv444p16le", interpolation=0x4 | 0x40000)
    y, cb, cr = (_plane(plane, np.uint16) / 256.0 for plane in whole.planes)
    y, cb, cr = (y - 16) / 219, (cb - 128) / 224, (cr - 128) / 224
    r = y + 2 * (1 - red) * cr
    b = y + 2 * (1 - blue) * cb
    g = (y - red * r - blue * b) / (1 - red - blue)
    return np.clip(np.stack([r, g, b], axis=-1), 0, 1) * 255


def _plane(plane: Any, kind: Any) -> Any:
    rows = np.frombuffer(plane, kind).reshape(plane.height, -1)
    return rows[:, : plane.width].astype(np.float64)


def stills() -> dict[str, Any]:
    """Milliseconds and bytes of one 1080p picture in every form that was considered, and of what the pack does."""
    from nodes.media.stills import encode_still, pixel_digest, to_bytes

    found: dict[str, Any] = {"wall": 0.0}
    for content, eight in (("rendered", plain_still(FULL_HD_5)), ("with grain", still(FULL_HD_5))):
        pixels = np.divide(eight, np.float32(255))
        forms: dict[str, dict[str, float]] = {}

        def measure(name: str, work: Any, forms: dict[str, dict[str, float]] = forms) -> None:
            times, size = [], 0
            for _ in range(_RUNS):
                began = time.perf_counter()
                size = len(work())
                times.append(time.perf_counter() - began)
            forms[name] = {"ms": statistics.median(times) * 1000, "bytes": size}

        def saved(kind: str, pixels: Any = pixels, **options: Any) -> bytes:
            file = io.BytesIO()
            Image.fromarray(to_bytes(pixels)).save(file, kind, **options)
            return file.getvalue()

        limits = {"smallest_side": 360, "largest_side": 2000, "largest_bytes": 10_000_000}
        measure("encode_still (ours)", lambda pixels=pixels, limits=limits: encode_still(pixels, **limits).data)
        measure("PNG level 1", lambda: saved("PNG", compress_level=1))
        measure("PNG level 3", lambda: saved("PNG", compress_level=3))
        measure("PNG level 6, Pillow's default", lambda: saved("PNG"))
        measure("WebP lossless, method 0", lambda: saved("WEBP", lossless=True, method=0, quality=0))
        measure("JPEG 95, 4:4:4", lambda: saved("JPEG", quality=95, subsampling=0))
        measure("JPEG 95, 4:2:0, Pillow's chroma", lambda: saved("JPEG", quality=95))
        measure("digest of the pixels, no file", lambda pixels=pixels: pixel_digest(pixels).encode())
        for name, options in (
            ("JPEG 95, 4:4:4", {"quality": 95, "subsampling": 0}),
            ("JPEG 95, 4:2:0, Pillow's chroma", {"quality": 95}),
        ):
            with Image.open(io.BytesIO(saved("JPEG", **options))) as image:
                error = np.mean((np.asarray(image, np.float64) - eight) ** 2)
            forms[name]["psnr"] = 10 * np.log10(255**2 / float(error))
        found[content] = forms
    return found


def floats(pictures: str) -> Any:
    """The pictures in a file of numpy as ComfyUI has them."""
    eight = np.load(pictures, mmap_mode="r")
    frames = np.empty(eight.shape, np.float32)
    for row, picture in zip(frames, eight, strict=True):
        np.divide(picture, np.float32(255), out=row)
    return frames
