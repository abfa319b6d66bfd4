"""Ways to get a clip's frames as float32 [frames, height, width, 3]; each runs in a process of its own."""

from __future__ import annotations

import importlib
import importlib.util
import os
import subprocess
from pathlib import Path
from typing import Any

import av
import numpy as np

from tests.bench.meter import Meter

_BICUBIC_ROUNDED = 0x4 | 0x40000
_BT709, _BT601 = 1, 5
_LIMITED, _FULL = 1, 2
_HELD_PICTURES = 24


def ours(
    path: str, tiny: str, span: dict[str, Any] | None = None, as_node: bool = True, room: int | None = None
) -> dict[str, Any]:
    """The pack: accurate frames, and as its nodes ask for them, then sound, and both as torch's."""
    from nodes.media.audio import decode_audio
    from nodes.media.decode import decode_frames
    from nodes.media.forecast import free_memory_bytes
    from nodes.media.span import Span

    wrap = _wrapper() if as_node else _plain
    clip = Path(path)
    decode_frames(Path(tiny))
    decode_audio(Path(tiny))
    with Meter() as frames_only:
        frames = decode_frames(
            clip, Span(**(span or {})), free_bytes=lambda: min(room or free_memory_bytes(), free_memory_bytes())
        )
        image = wrap(frames.pixels)
    cost = frames_only.cost
    with Meter() as rest:
        kept = wrap(decode_audio(clip).samples) if as_node else None
    cost_with_sound = cost.wall + rest.cost.wall
    del kept
    return frames_only.sample(
        wall=cost_with_sound,
        frames_wall=cost.wall,
        user=cost.user + rest.cost.user,
        system=cost.system + rest.cost.system,
        shape=list(image.shape),
        mean=float(frames.pixels[0].mean()),
        last_mean=float(frames.pixels[-1].mean()),
    )


def _wrapper() -> Any:
    """torch.from_numpy where there is torch, as in ComfyUI; imported before the clock runs, as there."""
    if importlib.util.find_spec("torch") is None:
        return _plain
    return importlib.import_module("torch").from_numpy


def _plain(pixels: Any) -> Any:
    return pixels


def floor(path: str, tiny: str) -> dict[str, Any]:
    """CPU seconds that accurate frames cost at least: to decode, to bring to RGB, to fill the array, each by itself."""
    for _ in _pictures(tiny):
        pass
    with Meter() as decoding:
        count = sum(1 for _ in _pictures(path))
    held = []
    for picture in _pictures(path):
        held.append(picture)
        if len(held) == _HELD_PICTURES:
            break
    reformatter = importlib.import_module("av.video.reformatter").VideoReformatter()

    def rgb(picture: Any) -> Any:
        return reformatter.reformat(
            picture,
            format="gbrp",
            interpolation=_BICUBIC_ROUNDED,
            src_colorspace=_BT709,
            dst_colorspace=_BT601,
            src_color_range=_LIMITED,
            dst_color_range=_FULL,
            **_one_thread(),
        ).to_ndarray()

    eight = rgb(held[0])
    with Meter() as converting:
        for number in range(count):
            rgb(held[number % len(held)])
    with Meter() as filling:
        out = np.empty((count, *eight.shape), np.float32)
        for row in out:
            np.divide(eight, np.float32(255), out=row)
    cores = _cores()
    parts = {"decoding": decoding.cost.cpu, "converting": converting.cost.cpu, "filling": filling.cost.cpu}
    return {"wall": sum(parts.values()) / cores, "cores": cores, **parts}


def decode_only(path: str, tiny: str) -> dict[str, Any]:
    """The limit of this decoder with all cores: pictures are decoded and dropped."""
    for _ in _pictures(tiny):
        pass
    with Meter() as meter:
        count = sum(1 for _ in _pictures(path))
    return meter.sample(count=count)


def needed_only(path: str, tiny: str, every_nth: int = 0) -> dict[str, Any]:
    """The limit of this decoder for a few pictures: they and those they refer to are decoded, and all are dropped.

    every_nth: 0 for the last alone. As many threads as ours takes where many pictures are left out.
    """
    from nodes.media.source import SPARSE_THREADS

    def needed(clip: str) -> int:
        with av.open(clip) as container:
            packets = [packet for packet in container.demux(video=0) if packet.size]
            times = sorted(packet.pts for packet in packets if packet.pts is not None)
            wanted = set(times[::every_nth] if every_nth else times[-1:])
            container.streams.video[0].thread_type = "AUTO"
            context = container.streams.video[0].codec_context
            context.thread_count = SPARSE_THREADS
            count = 0
            for packet in (*packets, None):
                context.skip_frame = "DEFAULT" if packet is not None and packet.pts in wanted else "NONREF"
                for picture in context.decode(packet):
                    count += 1
                    if picture.pts == max(wanted):
                        return count
        return count

    needed(tiny)
    with Meter() as meter:
        count = needed(path)
    return meter.sample(count=count)


def imageio_imread(path: str, tiny: str, plugin: str) -> dict[str, Any]:
    """The plain way of imageio's guide, made float as ComfyUI wants it."""
    imageio = importlib.import_module("imageio.v3")
    imageio.imread(tiny, plugin=plugin)
    with Meter() as meter:
        pixels = imageio.imread(path, plugin=plugin).astype(np.float32) / np.float32(255)
    return meter.sample(shape=list(pixels.shape))


def imageio_imiter(path: str, tiny: str, plugin: str, shape: list[int]) -> dict[str, Any]:
    """imageio a picture at a time into an array of known size."""
    imageio = importlib.import_module("imageio.v3")
    imageio.imread(tiny, plugin=plugin)
    options = {"thread_type": "FRAME"} if plugin == "pyav" else {}
    with Meter() as meter:
        out = np.empty(shape, np.float32)
        for number, picture in enumerate(imageio.imiter(path, plugin=plugin, **options)):
            np.divide(picture, np.float32(255), out=out[number])
    return meter.sample(shape=list(out.shape))


def opencv(path: str, tiny: str, shape: list[int]) -> dict[str, Any]:
    """OpenCV's reader into an array of known size."""
    cv2 = importlib.import_module("cv2")
    cv2.VideoCapture(tiny).read()
    with Meter() as meter:
        out = np.empty(shape, np.float32)
        capture = cv2.VideoCapture(path)
        number = 0
        while True:
            there, picture = capture.read()
            if not there:
                break
            np.divide(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), np.float32(255), out=out[number])
            number += 1
    return meter.sample(shape=[number, *shape[1:]])


def opencv_gathered(path: str, tiny: str, shape: list[int]) -> dict[str, Any]:
    """OpenCV's reader as VideoHelperSuite uses it: a float picture at a time, gathered by numpy from a generator."""
    cv2 = importlib.import_module("cv2")
    cv2.VideoCapture(tiny).read()

    def read() -> Any:
        capture = cv2.VideoCapture(path)
        while capture.isOpened():
            there, picture = capture.read()
            if not there:
                return
            floats = np.array(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), dtype=np.float32)
            floats /= 255.0
            yield floats

    with Meter() as meter:
        out = np.fromiter(read(), np.dtype((np.float32, tuple(shape[1:]))))
    return meter.sample(shape=list(out.shape))


def bare_copy(path: str, tiny: str, out: str) -> dict[str, Any]:
    """What an upload of a clip that goes as it is costs before the first byte is sent: looked at, packets copied."""
    from nodes.media.bare import copy_bare, copyable

    copyable(Path(tiny))
    with Meter() as meter:
        why_not = copyable(Path(path)).why_not
        if why_not is None:
            copy_bare(Path(path), Path(out))
    if why_not is not None:
        return {"failed": why_not}
    return meter.sample(bytes=Path(out).stat().st_size)


def part_of_long(path: str, tiny: str, out: str, start_seconds: float, what: str) -> dict[str, Any]:
    """Two seconds of a clip, and how many packets of pictures are read for them."""
    from nodes.media.decode import decode_frames
    from nodes.media.demuxer import Demuxer
    from nodes.media.encode import trim_clip
    from nodes.media.span import Span

    span = Span(start_seconds, seconds=2.0, fps=16.0 if what == "frames_at_rate" else 0.0)

    def work() -> None:
        if what == "cut":
            trim_clip(Path(path), Path(out), span)
        else:
            decode_frames(Path(path), span)

    trim_clip(Path(tiny), Path(out), Span())
    with Meter() as meter:
        work()
    read = 0
    packets = Demuxer.packets

    def counted(self: Any, **how: Any) -> Any:
        nonlocal read
        for packet in packets(self, **how):
            read += 1
            yield packet

    Demuxer.packets = counted  # type: ignore[method-assign]
    work()
    return meter.sample(packets=read)


def ffmpeg(path: str, program: str) -> dict[str, Any]:
    """The ffmpeg program writing 8 bit RGB to nowhere: a quarter of the bytes, and nobody has them in the end."""
    command = [program, "-v", "error", "-nostdin", "-threads", str(_cores()), "-i", path, "-an"]
    with Meter() as meter:
        subprocess.run([*command, "-f", "rawvideo", "-pix_fmt", "rgb24", "-y", os.devnull], check=True)
    return meter.sample()


def last_frame(path: str, tiny: str) -> dict[str, Any]:
    """The pack's last frame, its seeks and the pictures that it decodes for it, beside the clip's key frames."""
    from nodes.media import containers, decode, demuxer, source

    decode.decode_last_frame(Path(tiny))
    with Meter() as meter:
        decode.decode_last_frame(Path(path))
    seeks = 0
    pictures = 0
    open_container, decode_packet = containers.open_container, source.Source.decode

    class Counted:
        def __init__(self, container: Any) -> None:
            self._container = container

        def __getattr__(self, name: str) -> Any:
            return getattr(self._container, name)

        def seek(self, *arguments: Any, **keywords: Any) -> None:
            nonlocal seeks
            seeks += 1
            self._container.seek(*arguments, **keywords)

    def counted_decode(self: Any, packet: Any) -> list[Any]:
        nonlocal pictures
        ready = decode_packet(self, packet)
        pictures += len(ready)
        return ready

    demuxer.open_container = lambda path: Counted(open_container(path))  # type: ignore[assignment, attr-defined, return-value]
    source.Source.decode = counted_decode  # type: ignore[method-assign]
    decode.decode_last_frame(Path(path))
    with av.open(path) as container:
        keys = [bool(packet.is_keyframe) for packet in container.demux(video=0) if packet.size]
    group = keys[::-1].index(True) + 1
    return meter.sample(seeks=seeks, pictures=pictures, last_group=group)


def _pictures(path: str) -> Any:
    with av.open(path) as container:
        container.streams.video[0].thread_type = "AUTO"
        yield from container.decode(video=0)


def _one_thread() -> dict[str, int]:
    return {"threads": 1} if int(av.__version__.split(".")[0]) >= 17 else {}


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
