"""Clips made on the spot, with known pictures, and the plain float64 conversion that frames are held against."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

Array = np.ndarray[Any, np.dtype[Any]]

LIMITED, FULL = 1, 2
BT709, BT601, BT2020 = 1, 6, 9
PQ, HLG = 16, 18
PATCH = 32
LUMA_WEIGHTS = {BT709: (0.2126, 0.0722), BT601: (0.299, 0.114), BT2020: (0.2627, 0.0593)}
PYAV_FOLLOWS_CHROMA_SITES = int(av.__version__.split(".")[0]) >= 17

LOSSLESS = {
    "libx264": {"qp": "0", "preset": "ultrafast"},
    "libx265": {"x265-params": "lossless=1:log-level=none", "preset": "ultrafast"},
    "libvpx-vp9": {"lossless": "1", "deadline": "realtime", "cpu-used": "8"},
    "ffv1": {},
}


def require_encoder(name: str) -> None:
    try:
        av.codec.Codec(name, "w")
    except Exception:  # noqa: BLE001  (PyAV's class for it changed between versions)
        pytest.skip(f"PyAV {av.__version__} here has no encoder {name}")


def frame_of(planes: Sequence[Array], pix_fmt: str, width: int, height: int) -> Any:
    """A frame whose planes hold exactly these numbers."""
    frame = av.VideoFrame(width, height, pix_fmt)
    for plane, values in zip(frame.planes, planes, strict=True):
        item = values.dtype.itemsize
        lines = np.zeros((plane.height, plane.line_size // item), values.dtype)
        lines[: values.shape[0], : values.shape[1]] = values
        plane.update(lines.tobytes())
    return frame


def planes_of(frame: Any) -> list[Array]:
    """A planar frame's numbers, without padding."""
    deep = max(component.bits for component in frame.format.components) > 8
    kind = np.dtype("<u2") if deep else np.dtype(np.uint8)
    found = []
    for plane in frame.planes:
        lines = np.frombuffer(bytes(plane), kind).reshape(plane.height, -1)
        found.append(lines[:, : plane.width])
    return found


def write_clip(
    path: Path,
    frames: Iterable[Any],
    codec: str,
    *,
    rate: Fraction = Fraction(25),
    options: dict[str, str] | None = None,
    colorspace: int | None = None,
    color_range: int | None = None,
    times: Sequence[int] | None = None,
    tick: Fraction | None = None,
    aspect: Fraction | None = None,
    container_options: dict[str, str] | None = None,
    keep: Callable[[int, Any], bool] = lambda number, packet: True,
) -> Path:
    """Encode frames as they are, losslessly where the codec can. keep: which packets reach the file."""
    require_encoder(codec)
    todo = list(frames)
    with av.open(str(path), "w", options=container_options or {}) as container:
        stream: Any = container.add_stream(
            codec, rate=rate, options=LOSSLESS.get(codec, {}) if options is None else options
        )
        stream.width, stream.height, stream.pix_fmt = todo[0].width, todo[0].height, todo[0].format.name
        context = stream.codec_context
        context.time_base = tick or 1 / rate
        if colorspace is not None:
            context.colorspace = colorspace
        if color_range is not None:
            context.color_range = color_range
        if aspect is not None:
            context.sample_aspect_ratio = aspect
        packets = []
        for number, frame in enumerate(todo):
            frame.pts = times[number] if times else number
            frame.time_base = tick or 1 / rate
            if colorspace is not None:
                frame.colorspace = colorspace
            if color_range is not None:
                frame.color_range = color_range
            packets += stream.encode(frame)
        packets += stream.encode(None)
        container.mux([packet for number, packet in enumerate(packets) if keep(number, packet)])
    return path


def _as_it_is(number: int, packet: Any) -> list[Any]:
    return [packet]


def copied(
    path: Path,
    out: Path,
    change: Callable[[int, Any], list[Any]] = _as_it_is,
    *,
    tracks: Sequence[str] = ("video", "audio"),
    options: Mapping[str, str] = MappingProxyType({}),
) -> Path:
    """The tracks of a file in another, packet by packet, each as `change` leaves it."""
    with av.open(str(path)) as source, av.open(str(out), "w", options=dict(options)) as container:
        taken = [stream for stream in source.streams if stream.type in tracks]
        copies = {stream.index: container.add_stream_from_template(stream, opaque=True) for stream in taken}
        for number, packet in enumerate(packet for packet in source.demux(taken) if packet.size):
            copy = copies[packet.stream.index]
            for each in change(number, packet):
                each.stream = copy
                container.mux(each)
    return out


def gentle_planes(
    rng: np.random.Generator, width: int, height: int, chroma: tuple[int, int], bits: int = 8
) -> list[Array]:
    """Luma with detail and chroma with soft edges, inside the limited range."""
    top = 1 << (bits - 8)
    kind = np.uint8 if bits == 8 else np.dtype("<u2")

    def plane(wide: int, high: int, low: int, span: int, detail: float) -> Array:
        y, x = np.mgrid[0:high, 0:wide]
        turns = rng.uniform(1, 3, 2)
        wave = 0.5 + 0.35 * np.sin(2 * np.pi * turns[0] * x / wide + rng.uniform(0, 6)) * np.cos(
            2 * np.pi * turns[1] * y / high + rng.uniform(0, 6)
        )
        values: Array = np.clip((low + span * wave + rng.normal(0, detail, wave.shape)) * top, 0, (256 * top) - 1)
        return values.astype(kind)

    wide, high = -(-width // chroma[0]), -(-height // chroma[1])
    return [plane(width, height, 30, 190, 8), plane(wide, high, 70, 110, 3), plane(wide, high, 70, 110, 3)]


def sharp_planes(rng: np.random.Generator, width: int, height: int, chroma: tuple[int, int]) -> list[Array]:
    """Noise in blocks: chroma edges that tell one siting from another."""
    wide, high = -(-width // chroma[0]), -(-height // chroma[1])
    luma = rng.integers(90, 160, (height, width), dtype=np.uint8)
    blocks = rng.integers(100, 156, (2, -(-high // 4), -(-wide // 4)), dtype=np.uint8)
    u, v = (np.kron(block, np.ones((4, 4), np.uint8))[:high, :wide] for block in blocks)
    return [luma, u, v]


def reference_rgb(
    planes: Sequence[Array], *, matrix: int, full: bool, bits: int = 8, left_sited: bool | None = None
) -> Array:
    """Float64 RGB of Y, U, V planes, 0..1, by the definitions of H.273.

    Chroma is brought to every pixel by the cubic that libswscale calls bicubic (B = 0, C = 0.6), from where its samples
    lie: halfway between two lines, and in a line at the left pixel (H.264, HEVC unless told otherwise) or between two.
    The kernel is a choice, not a law; what the choice is worth is tested apart, against pictures known in RGB.
    """
    if left_sited is None:
        left_sited = PYAV_FOLLOWS_CHROMA_SITES
    height, width = planes[0].shape
    luma, u, v = (plane.astype(np.float64) / (1 << (bits - 8)) for plane in planes)
    if full:
        scale = (1 << bits) - 1
        top = 1 << (bits - 8)
        luma, u, v = luma * top / scale, (u - 128) * top / scale, (v - 128) * top / scale
    else:
        luma, u, v = (luma - 16) / 219, (u - 128) / 224, (v - 128) / 224
    u, v = (_to_size(plane, width, height, left_sited) for plane in (u, v))
    red_weight, blue_weight = LUMA_WEIGHTS[matrix]
    red = luma + 2 * (1 - red_weight) * v
    blue = luma + 2 * (1 - blue_weight) * u
    green = (luma - red_weight * red - blue_weight * blue) / (1 - red_weight - blue_weight)
    rgb: Array = np.clip(np.stack([red, green, blue], axis=2), 0, 1)
    return rgb


def _to_size(plane: Array, width: int, height: int, left_sited: bool) -> Array:
    if plane.shape[1] != width:
        plane = _interpolated(plane.T, width, 0.0 if left_sited else 0.5).T
    if plane.shape[0] != height:
        plane = _interpolated(plane, height, 0.5)
    return plane


def _interpolated(lines: Array, count: int, site: float) -> Array:
    """Twice as many lines; `site`: where a sample lies between the two pixels it stands for, 0 at the first."""
    where = (np.arange(count) - site) / 2
    first = np.floor(where).astype(int)
    out = np.zeros((count, lines.shape[1]))
    for tap in range(-1, 3):
        weight = _cubic(np.abs(where - (first + tap)))
        out += weight[:, None] * lines[np.clip(first + tap, 0, lines.shape[0] - 1)]
    return out


def _cubic(x: Array, c: float = 0.6) -> Array:
    near = (2 - c) * x**3 + (c - 3) * x**2 + 1
    far = -c * x**3 + 5 * c * x**2 - 8 * c * x + 4 * c
    weights: Array = np.where(x < 1, near, np.where(x < 2, far, 0.0))
    return weights


def numbered_pictures(count: int, width: int = 64, height: int = 48) -> list[Any]:
    """yuv420p frames whose luma tells their number: 16 + 4 x number."""
    grey = np.full((height // 2, width // 2), 128, np.uint8)
    return [
        frame_of([np.full((height, width), 16 + 4 * number, np.uint8), grey, grey], "yuv420p", width, height)
        for number in range(count)
    ]


def numbers_of(pixels: Array) -> list[int]:
    """Which numbered pictures these frames are."""
    return [round((float(frame.mean()) * 219) / 4) for frame in pixels]


def moving_pictures(count: int, width: int = 160, height: int = 96, seed: int = 3) -> list[Any]:
    """yuv420p frames with motion, so that a codec uses references of every kind."""
    rng = np.random.default_rng(seed)
    base = [np.kron(rng.integers(40, 200, (40, 60), dtype=np.uint8), np.ones((8, 8), np.uint8)) for _ in range(3)]
    frames = []
    for number in range(count):
        cut = [
            np.ascontiguousarray(plane[number : number + high, 2 * number : 2 * number + wide])
            for plane, wide, high in zip(
                base, (width, width // 2, width // 2), (height, height // 2, height // 2), strict=True
            )
        ]
        frames.append(frame_of(cut, "yuv420p", width, height))
    return frames


def patched(path: Path, box: bytes, offset: int, data: bytes) -> Path:
    """Overwrite bytes after the first four letters `box` in a file."""
    content = bytearray(path.read_bytes())
    at = content.index(box) + len(box) + offset
    content[at : at + len(data)] = data
    path.write_bytes(content)
    return path


def with_display_matrix(path: Path, a: int, b: int, c: int, d: int) -> Path:
    """Set the rotation and mirroring in an MP4's track header."""
    one = 1 << 16
    matrix = struct.pack(">9i", a * one, b * one, 0, c * one, d * one, 0, 0, 0, 1 << 30)
    return patched(path, b"tkhd", 40, matrix)


def hdr_signal(nits: Any, transfer: int, gamma: float = 1.2) -> Any:
    """What a camera writes for light in cd/m2: SMPTE ST 2084, or HLG for a display of 1000 (BT.2100)."""
    nits = np.asarray(nits, float)
    if transfer == PQ:
        y = (nits / 10_000) ** (2610 / 16384)
        return ((3424 / 4096 + 2413 / 128 * y) / (1 + 2392 / 128 * y)) ** (2523 / 32)
    luminance = nits @ np.array([0.2627, 0.6780, 0.0593]) / 1000
    scene = nits / 1000 * np.where(luminance > 0, luminance, 1)[..., None] ** (1 / gamma - 1)
    return np.where(
        scene <= 1 / 12, np.sqrt(3 * scene), 0.17883277 * np.log(np.maximum(12 * scene, 1) - 0.28466892) + 0.55991073
    )


def hdr_clip(
    path: Path, nits: Sequence[Sequence[float]], transfer: int, codec: str = "libx265", bits: int = 10
) -> Path:
    """Patches side by side, one for each [red, green, blue] of BT.2020 in cd/m2."""
    red, green, blue = hdr_signal(np.array(nits), transfer).T
    luma = 0.2627 * red + 0.6780 * green + 0.0593 * blue
    top = 1 << (bits - 8)
    numbers = (16 + 219 * luma, 128 + 224 * (blue - luma) / 1.8814, 128 + 224 * (red - luma) / 1.4746)
    kind = np.uint8 if bits == 8 else np.dtype("<u2")
    lines = [np.repeat(np.rint(plane * top), PATCH).astype(kind) for plane in numbers]
    planes = [np.tile(line[::step], (PATCH // step, 1)) for line, step in zip(lines, (1, 2, 2), strict=True)]
    form = "yuv420p" if bits == 8 else "yuv420p10le"
    frame = frame_of(planes, form, PATCH * len(nits), PATCH)
    names = {PQ: "smpte2084", HLG: "arib-std-b67"}
    if codec == "libx265":
        told = f"lossless=1:log-level=none:colorprim=bt2020:transfer={names[transfer]}:colormatrix=bt2020nc"
        options = {"x265-params": told, "preset": "ultrafast"}
    else:
        told = f"colorprim=bt2020:transfer={names[transfer]}:colormatrix=bt2020nc"
        options = {"x264-params": told, "qp": "0", "preset": "ultrafast"}
    return write_clip(path, [frame] * 3, codec, colorspace=BT2020, color_range=LIMITED, options=options)


def packets_of(data: bytes) -> list[tuple[str, bytes]]:
    """Every packet of pictures and sound, track by track."""
    with av.open(io.BytesIO(data)) as container:
        found = [(packet.stream.type, bytes(packet)) for packet in container.demux() if packet.size]
    return sorted(found, key=lambda packet: packet[0])


def shown_in(data: bytes) -> list[tuple[str, bytes]]:
    """As `packets_of`, of H.264 in MP4 without the messages among its pictures: of those nothing is sent."""
    return [(kind, _without_messages(packet) if kind == "video" else packet) for kind, packet in packets_of(data)]


def _without_messages(packet: bytes) -> bytes:
    kept, at = b"", 0
    while at < len(packet):
        end = at + 4 + int.from_bytes(packet[at : at + 4], "big")
        if packet[at + 4] & 31 != 6:
            kept += packet[at:end]
        at = end
    return kept


def animated_webp(path: Path, shades: Sequence[int], durations: Sequence[int], alpha: int | None = None) -> Path:
    """Grey pictures that stand so many milliseconds each."""
    mode, rest = ("RGB", ()) if alpha is None else ("RGBA", (alpha,))
    first, *others = (Image.new(mode, (64, 48), (shade, shade, shade, *rest)) for shade in shades)
    first.save(path, "WEBP", save_all=True, append_images=others, duration=list(durations), lossless=True, exact=True)
    return path


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
