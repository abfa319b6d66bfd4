"""Holds every clip of a folder against the `ffmpeg` program, picture by picture: `nox -s real -- <folder>`.

For clips that nobody here made: the test folders of media libraries, a phone, a shelf of old recordings. None of them
is part of the repository. Printed are the clips on which the two differ, in what, and how many clips of each kind
there were. Clips for bright displays are compared in all but their colours, which are toned down here.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from nodes.media.containers import sound_stream
from nodes.media.decode import decode_audio, decode_frames, decode_last_frame, iterate_pictures
from nodes.media.errors import MediaError
from nodes.media.plan import Plan
from nodes.media.probe import probe
from nodes.media.source import Source
from nodes.media.span import Span
from nodes.media.timeline import read_timeline

_MOST_PICTURES = 200
_FEWEST_PICTURES = 24
_MOST_PIXELS = 40_000_000  # of one clip, where that is more than the fewest pictures
_CLIP_SECONDS = 150
_PROGRAM_SECONDS = 120
_EACH = 8  # each picture is looked at by every eighth pixel of every eighth line, each eighth picture by all
_OPAQUE = 3
_CELL = 8  # luma is compared in squares of so many pixels, chroma as a whole: where it lies, the older scaler ignores
_MEAN_LEVELS = 2.0
_CELL_LEVELS = 14.0  # that one cell in a hundred may differ by
_LUMA = np.array([0.2126, 0.7152, 0.0722], np.float32)  # which stays as it is wherever chroma is said to lie
_STEP_SHARE = 0.3
_SOUND_SECONDS = 0.1
_HD_LINES = 720
_MATRICES = {"bt709": "bt709", "bt470bg": "bt601", "smpte170m": "bt601", "bt2020nc": "bt2020", "bt2020c": "bt2020"}
_TRANSPARENT = ("yuva", "gbrap", "rgba", "bgra", "argb", "abgr", "pal8", "ya8", "ya16")
_ALPHA_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}
_MATRICES |= {"fcc": "fcc", "smpte240m": "smpte240m"}

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass
class Finding:
    """What was seen of one clip. refused: in our words, None if it was read. differs: in what, None of it if empty."""

    path: Path
    kind: str
    refused: str | None = None
    differs: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Told:
    """What `ffprobe` says of the stream that is compared."""

    container: str
    codec: str
    width: int
    height: int
    matrix: str | None
    transparent: bool
    decoder: str | None  # that is asked for by name
    sound: bool

    @property
    def kind(self) -> str:
        return f"{self.container.split(',')[0]}/{self.codec}"

    @property
    def most(self) -> int:
        """Pictures that are compared."""
        return min(_MOST_PICTURES, max(_FEWEST_PICTURES, _MOST_PIXELS // (self.width * self.height)))


def main(line: Sequence[str] | None = None) -> int:
    """Compare and print; the number of clips that differ is the exit code's reason."""
    parser = argparse.ArgumentParser(prog="nox -s real --", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", default="", help="compare only paths that contain this")
    asked = parser.parse_args(line)
    clips = [path for path in sorted(asked.folder.rglob("*")) if path.is_file() and asked.only in str(path)]
    kinds: Counter[str] = Counter()
    wrong: Counter[str] = Counter()
    refused = 0
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        for done in as_completed([pool.submit(compare, path) for path in clips]):
            finding = done.result()
            if finding is None:
                continue
            kinds[finding.kind] += 1
            refused += finding.refused is not None
            wrong[finding.kind] += bool(finding.differs)
            for text in finding.differs + ([f"refused: {finding.refused}"] if finding.refused else []):
                _say(f"{finding.path.relative_to(asked.folder)} ({finding.kind}): {text}")
    for kind, count in kinds.most_common():
        _say(f"{count:5} {kind}" + (f", {wrong[kind]} differ" if wrong[kind] else ""))
    differing = wrong.total()
    _say(f"{kinds.total()} clips, {differing} differ, {refused} refused in words")
    return int(differing > 0)


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def compare(path: Path) -> Finding | None:
    """One clip; None if the program sees no moving pictures in it either."""
    av.logging.set_level(av.logging.PANIC)
    told = _told(path)
    if told is None:
        return None
    finding = Finding(path, told.kind)
    signal.signal(signal.SIGALRM, _too_long)
    signal.alarm(_CLIP_SECONDS)
    try:
        with tempfile.TemporaryDirectory(prefix="apimall-real-") as scratch:
            if not _compare_pictures(path, told, Path(scratch), finding):
                return None
            if told.sound:
                _compare_sound(path, finding)
    except MediaError as error:
        finding.refused = str(error)
    except Exception as error:  # noqa: BLE001  (whatever it is, it belongs into the list)
        finding.differs.append(f"foreign error {type(error).__name__}: {error}")
    finally:
        signal.alarm(0)
    return finding


def _too_long(_number: int, _frame: object) -> None:
    raise TimeoutError(f"not done in {_CLIP_SECONDS} s")


def _told(path: Path) -> Told | None:
    done = _run("ffprobe", "-v", "quiet", "-show_streams", "-show_format", "-of", "json", str(path))
    facts = json.loads(done.stdout or b"{}")
    streams = facts.get("streams", [])
    moving = [s for s in streams if s["codec_type"] == "video" and not s["disposition"]["attached_pic"]]
    if not moving or "format" not in facts:
        return None
    stream = moving[0]
    wide, high = Fraction(stream.get("width") or 0), Fraction(stream.get("height") or 0)
    if not wide or not high:
        return None
    over, under = (int(number) for number in stream.get("sample_aspect_ratio", "1:1").split(":"))
    aspect = Fraction(over, under) if over and under else Fraction(1)
    if Fraction(1, 16) <= aspect <= 16 and abs(aspect - 1) > Fraction(1, 100):
        wide, high = (wide * aspect, high) if aspect > 1 else (wide, high / aspect)
    turns = [data["rotation"] for data in stream.get("side_data_list", []) if "rotation" in data]
    if turns and turns[0] % 180:
        wide, high = high, wide
    form = stream.get("pix_fmt", "")
    rgb = form.startswith(("rgb", "bgr", "gbr", "argb", "abgr", "pal8", "gray", "mono"))
    tags = {name.lower(): value for name, value in stream.get("tags", {}).items()}
    decoder = _ALPHA_DECODERS.get(stream.get("codec_name")) if tags.get("alpha_mode") == "1" else None
    lines = stream["height"]
    matrix = _MATRICES.get(stream.get("color_space", ""), "bt709" if lines >= _HD_LINES else "bt601")
    return Told(
        container=facts["format"]["format_name"],
        codec=stream.get("codec_name", "?"),
        width=math.floor(wide + Fraction(1, 2)),
        height=math.floor(high + Fraction(1, 2)),
        matrix=None if rgb else matrix,
        transparent=bool(decoder) or form.startswith(_TRANSPARENT),
        decoder=decoder,
        sound=any(s["codec_type"] == "audio" for s in streams),
    )


def _compare_pictures(path: Path, told: Told, scratch: Path, finding: Finding) -> bool:
    theirs = _Pictures(path, told, scratch)
    try:
        first = theirs.next()
        if first is None:
            return False
        clip = probe(path)
        if (clip.width, clip.height) != (told.width, told.height):
            finding.differs.append(f"{clip.width}x{clip.height}, theirs {told.width}x{told.height}")
            return True
        chosen, ours = iterate_pictures(path)
        if chosen.frames > told.most:
            chosen, ours = iterate_pictures(path, Span(max_frames=told.most))
        means, kept = _colours(ours, theirs, first, finding, coloured=clip.hdr is None)
    finally:
        theirs.close()
    times = theirs.times(scratch)
    if len(kept) != len(times):
        finding.differs.append(f"{len(kept)} pictures, theirs {len(times)}")
    elif means and len(kept) == chosen.frames:  # else some are damaged, for both
        _compare_times(chosen, times, finding)
        _compare_parts(path, chosen, kept, finding, whole=chosen.frames < told.most)
    return True


class _Pictures:
    """What the program decodes, in its own time, uint8 [height, width, 3]; transparent parts on white."""

    def __init__(self, path: Path, told: Told, scratch: Path) -> None:
        form, planes = ("rgba", 4) if told.transparent else ("rgb24", 3)
        self._shape = (told.height, told.width, planes)
        self._size = told.height * told.width * planes
        matrix = f":in_color_matrix={told.matrix}" if told.matrix else ""
        # Only pictures that say they are interlaced: ours are brought to one moment in the same way.
        size = f"{told.width}:{told.height}:flags=bicubic+accurate_rnd+full_chroma_int{matrix}"
        chain = f"bwdif=send_frame:auto:interlaced,scale={size},format={form}"
        each = ("-map", "0:V:0", "-vsync", "passthrough", "-frames:v", str(told.most))
        by = ("-c:v", told.decoder) if told.decoder else ()
        self._process = subprocess.Popen(
            [
                *("ffmpeg", "-nostdin", "-v", "quiet", "-threads", "2", *by, "-i", str(path)),
                *(*each, "-vf", chain, "-f", "rawvideo", "pipe:1"),
                *(*each, "-enc_time_base", "-1", "-c:v", "rawvideo", "-f", "framecrc", str(scratch / "times")),
            ],
            stdout=subprocess.PIPE,
        )

    def next(self) -> Array | None:
        assert self._process.stdout is not None
        data = self._process.stdout.read(self._size)
        if len(data) < self._size:
            return None
        pixels: Array = np.frombuffer(data, np.uint8).reshape(self._shape)
        if self._shape[2] == _OPAQUE:
            return pixels
        share = pixels[..., 3:] / np.float32(255)
        flat: Array = pixels[..., :3] * share + 255 * (1 - share)
        return flat

    def close(self) -> None:
        while self.next() is not None:
            pass
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._process.wait(_PROGRAM_SECONDS)

    def times(self, scratch: Path) -> list[float]:
        """When each picture is shown, in seconds from the first."""
        tick, ticks = Fraction(1), []
        for line in (scratch / "times").read_text().splitlines():
            if line.startswith("#tb"):
                tick = Fraction(line.split(":")[1].strip())
            elif not line.startswith("#"):
                ticks.append(int(line.split(",")[2]))
        return [float((each - ticks[0]) * tick) for each in ticks]


def _colours(
    ours: Iterator[Any], theirs: _Pictures, first: Array, finding: Finding, *, coloured: bool
) -> tuple[list[float], list[Array]]:
    """Both streams side by side; small copies of our pictures come back, to know them again."""
    kept: list[Array] = []
    means, worst, tint = [], 0.0, 0.0
    their: Array | None = first
    before: Array | None = None
    for picture in ours:
        if picture is before:  # in place of one that does not decode
            continue
        before, number = picture, len(kept)
        kept.append(_glance(picture))
        if their is not None:
            means.append(float(np.abs((_glance(picture) - _glance(their)) @ _LUMA).mean()))
            if number % _EACH == 0:
                away = _cells(picture) - _cells(their)
                worst = max(worst, float(np.percentile(np.abs(away @ _LUMA), 99)))
                tint = max(tint, float(np.abs(away.mean(axis=(0, 1))).max()))
            their = theirs.next()
    if coloured and means and (max(means) > _MEAN_LEVELS or worst > _CELL_LEVELS or tint > _MEAN_LEVELS):
        found = f"mean {max(means):.1f}, cells {worst:.1f}, tint {tint:.1f} levels"
        finding.differs.append(f"colours, picture {int(np.argmax(means))}: {found}")
    return means, kept


def _glance(picture: Array) -> Array:
    each = _EACH if min(picture.shape[:2]) > 4 * _EACH else 1
    return picture[::each, ::each].astype(np.float32)


def _cells(picture: Array) -> Array:
    """Means of squares."""
    high, wide = (max(1, side // _CELL) for side in picture.shape[:2])
    tall, broad = picture.shape[0] // high, picture.shape[1] // wide
    cut = picture[: high * tall, : wide * broad].reshape(high, tall, wide, broad, 3)
    means: Array = cut.mean(axis=(1, 3), dtype=np.float32)
    return means


def _compare_times(chosen: Plan, times: list[float], finding: Finding) -> None:
    ours = list(chosen.moments) or [number / chosen.fps for number in range(chosen.frames)]
    steps = np.diff(times)
    allowed = max(0.005, _STEP_SHARE * float(np.median(steps))) if len(steps) else 0.005
    away = [abs(a - b) for a, b in zip(ours, times, strict=True)]
    if max(away) > allowed:
        at = int(np.argmax(away))
        finding.differs.append(f"times: picture {at} of {len(times)} at {ours[at]:.3f} s, theirs {times[at]:.3f} s")


def _compare_parts(path: Path, chosen: Plan, kept: list[Array], finding: Finding, *, whole: bool) -> None:
    """A part out of the middle and the last picture hold what the whole clip holds there."""
    middle = len(kept) // 2
    at = chosen.moments[middle] if chosen.moments else middle / chosen.fps
    # A little earlier, since a rate rounds times; the picture before it is as far away.
    step = at - chosen.moments[middle - 1] if chosen.moments and middle else 1 / chosen.fps
    part = decode_frames(path, Span(start_seconds=max(0.0, at - _STEP_SHARE * step), max_frames=2)).pixels
    for found, wanted in zip(part, kept[middle:], strict=False):
        seen = _glance(found * 255)
        if seen.shape != wanted.shape:  # a clip of pictures of two sizes: each part has that of its first
            return
        if np.abs(seen - wanted).mean() > _MEAN_LEVELS:
            finding.differs.append(f"other pictures from {at:.3f} s on than in the whole clip")
            break
    if whole:
        last = _glance(decode_last_frame(path)[0] * 255)
        away = np.abs(last - kept[-1]).mean() if last.shape == kept[-1].shape else 0.0
        if away > _MEAN_LEVELS:
            finding.differs.append(f"another last picture than in the whole clip, {away:.1f} levels away")


def _compare_sound(path: Path, finding: Finding) -> None:
    """How long the sound is, from the first picture to its end."""
    with Source(path) as source:
        track = sound_stream(source.container)
        if track is None:
            return
        number = [each.index for each in source.container.streams].index(track.index)
        zero = float(read_timeline(source, 0.0).zero * source.tick)
    listed = _run(
        *("ffmpeg", "-nostdin", "-v", "quiet", "-copyts", "-i", str(path), "-map", f"0:{number}"),
        *("-c:a", "pcm_s16le", "-f", "framecrc", "pipe:1"),
    ).stdout.decode()
    tick, ends = Fraction(1), []
    for line in listed.splitlines():
        if line.startswith("#tb"):
            tick = Fraction(line.split(":")[1].strip())
        elif not line.startswith("#"):
            _, _, begin, length, *_ = line.split(",")
            ends.append(int(begin) + int(length))
    sound = decode_audio(path)
    ours = sound.samples.shape[2] / sound.sample_rate
    theirs = max(0.0, float(max(ends) * tick) - zero) if ends else 0.0
    if abs(ours - theirs) > _SOUND_SECONDS and ends:
        finding.differs.append(f"{ours:.3f} s of sound, theirs {theirs:.3f} s")


def _run(*line: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(line, capture_output=True, timeout=_PROGRAM_SECONDS, check=False)


if __name__ == "__main__":
    sys.exit(main())
