"""Every form that PyAV reads is read, and what is no clip is called by its name."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from nodes.media.decode import decode_frames, decode_last_frame
from nodes.media.errors import NotAClip
from nodes.media.kinds import is_clip
from nodes.media.probe import probe
from tests.support import clips

COUNT = 12
RATE = 25
LARGE = (720, 576)  # the size of DV


def _grey(number: int) -> int:
    return 40 + 15 * number


def _clip(path: Path, codec: str, form: str, size: tuple[int, int], container: str | None) -> Path:
    clips.require_encoder(codec)
    with av.open(str(path), "w", format=container) as out:
        stream: Any = out.add_stream(codec, rate=RATE)
        stream.width, stream.height = size
        stream.pix_fmt = form
        for number in range(COUNT):
            pixels = np.full((size[1], size[0], 3), _grey(number), np.uint8)
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format=form)
            frame.pts, frame.time_base = number, Fraction(1, RATE)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


KINDS: dict[str, tuple[str, str, tuple[int, int], str | None]] = {
    "clip.gif": ("gif", "gray", (64, 48), None),
    "clip.apng": ("apng", "rgb24", (64, 48), None),
    "animated.png": ("apng", "rgba", (64, 48), "apng"),
    "clip.mxf": ("mpeg2video", "yuv420p", (64, 48), None),
    "clip.dv": ("dvvideo", "yuv420p", LARGE, None),
    "clip.nut": ("ffv1", "yuv420p", (64, 48), None),
    "clip.y4m": ("wrapped_avframe", "yuv420p", (64, 48), "yuv4mpegpipe"),
    "clip.ivf": ("libvpx-vp9", "yuv420p", (64, 48), None),
    "clip.h264": ("libx264", "yuv420p", (64, 48), "h264"),
    "clip.m2v": ("mpeg2video", "yuv420p", (64, 48), "mpeg2video"),
    "clip.vob": ("mpeg2video", "yuv420p", (64, 48), "vob"),
    "clip.m2ts": ("libx264", "yuv420p", (64, 48), "mpegts"),
    "clip.wmv": ("wmv2", "yuv420p", (64, 48), "asf"),
    "clip.3gp": ("mpeg4", "yuv420p", (64, 48), None),
    "clip.rm": ("rv10", "yuv420p", (176, 144), None),
}


@pytest.mark.parametrize("name", KINDS)
def test_every_form_is_read_and_is_known_for_a_clip(name: str, tmp_path: Path) -> None:
    path = _clip(tmp_path / name, *KINDS[name])
    frames = decode_frames(path)
    assert frames.fps == pytest.approx(RATE)
    assert len(frames.pixels) == COUNT
    shown = frames.pixels.mean(axis=(1, 2, 3)) * 255
    assert shown == pytest.approx([_grey(number) for number in range(COUNT)], abs=6)
    assert decode_last_frame(path).mean() * 255 == pytest.approx(_grey(COUNT - 1), abs=6)
    assert is_clip(path)


@pytest.mark.parametrize(("suffix", "form"), [(".gif", "GIF"), (".png", "PNG")])
def test_an_animation_with_transparent_parts_keeps_its_times_and_lies_on_white(
    suffix: str, form: str, tmp_path: Path
) -> None:
    pictures = []
    for number in range(3):
        rgba = np.zeros((48, 64, 4), np.uint8)
        rgba[8:24, 16 * number : 16 * number + 16] = (200, 0, 0, 255)
        pictures.append(Image.fromarray(rgba))
    path = tmp_path / f"moving{suffix}"
    pictures[0].save(
        path, form, save_all=True, append_images=pictures[1:], duration=200, disposal=2 if form == "GIF" else 1
    )
    frames = decode_frames(path)
    assert frames.fps == pytest.approx(5)
    assert frames.seconds == pytest.approx(0.6)
    for number, picture in enumerate(frames.pixels):
        assert picture[40:].min() == 1
        assert picture[10:22, 16 * number + 2 : 16 * number + 14] == pytest.approx(
            np.broadcast_to([200 / 255, 0, 0], (12, 12, 3)), abs=2 / 255
        )


def _webp(path: Path, count: int) -> Path:
    pictures = [Image.new("RGB", (64, 48), (_grey(number),) * 3) for number in range(count)]
    pictures[0].save(path, "WEBP", save_all=count > 1, append_images=pictures[1:], duration=40, lossless=True)
    return path


def test_an_animated_webp_is_read_or_called_by_its_name(tmp_path: Path) -> None:
    path = _webp(tmp_path / "moving.webp", COUNT)
    assert is_clip(path)
    if "webp_anim" in av.formats_available:
        assert len(decode_frames(path).pixels) == COUNT
        return
    for read in (probe, decode_frames, decode_last_frame):
        with pytest.raises(NotAClip, match="animated WebP"):
            read(path)


def test_a_still_picture_is_no_clip(tmp_path: Path) -> None:
    still = _webp(tmp_path / "still.webp", 1)
    Image.new("RGB", (64, 48)).save(tmp_path / "still.png")
    assert not is_clip(still)
    assert not is_clip(tmp_path / "still.png")
    assert not is_clip(tmp_path / "not there.webp")
    with pytest.raises(NotAClip, match="PNG picture"):
        probe(tmp_path / "still.png")


@pytest.mark.parametrize(
    ("head", "title"),
    [
        (b"", "an empty file"),
        (b"%PDF-1.7\n", "a PDF"),
        (b"PK\x03\x04" + b"\0" * 40, "a ZIP archive"),
        (b"\n<!DOCTYPE html><html>", "a page"),
        (b"\xef\xbb\xbf<!DOCTYPE html><html>", "a page"),
        (b"<!-- cached --><html>", "a page"),
        (b'{"error": "no such file"}', "a page or a text"),
        (b"#EXTM3U\n#EXTINF:1,\nclip.mp4\n", "a play list"),
        (b"\xff\xd8\xff\xe0\0\x10JFIF\0", "a JPEG picture"),
        (b"\0\0\0\x18ftypheic" + b"\0" * 40, "a HEIC picture"),
    ],
)
def test_what_is_no_clip_is_called_by_its_name(head: bytes, title: str, tmp_path: Path) -> None:
    path = tmp_path / "renamed.mp4"
    path.write_bytes(head)
    for read in (probe, decode_frames, decode_last_frame):
        with pytest.raises(NotAClip, match=f"renamed.mp4 .*it is {title}"):
            read(path)


@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
def test_a_file_that_is_still_being_written_is_said_to_be_not_whole(suffix: str, tmp_path: Path) -> None:
    path = _clip(tmp_path / f"clip{suffix}", "libx264", "yuv420p", (64, 48), None)
    data = path.read_bytes()
    for written in (40, data.index(b"moov") // 2, data.index(b"moov") + 20):
        path.write_bytes(data[:written])
        with pytest.raises(NotAClip, match=f"clip{suffix} cannot be opened as a video: it is not whole.*Wait until"):
            probe(path)
