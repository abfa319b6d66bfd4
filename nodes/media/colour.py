"""From a decoded frame to upright RGB: matrix, range, depth, shape and direction, in one swscale pass.

Accurate colours are the only mode. The matrix and the range are always passed explicitly, because PyAV before 17
ignores the frame's own tags; chroma is interpolated (bicubic) and results are rounded (ACCURATE_RND), because the
quicker forms darken every pass by about one level, which adds up over a chain of clips. Clips for bright displays are
brought to BT.709 on the way (see hdr.py).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av.filter
import numpy as np
from av import VideoFrame
from av.video.reformatter import VideoReformatter

from .hdr import WHITE16, Light, ToneMapper
from .pyav import display_matrix, one_scaler_thread

# libswscale's SWS_BICUBIC | SWS_ACCURATE_RND. PyAV's enum has no name for the second before 17.
_TO_RGB_FLAGS = 0x4 | 0x40000

# AVColorSpace (H.273 matrix coefficients) -> the number libswscale knows the matrix by.
_SWS_MATRICES = {1: 1, 4: 4, 5: 5, 6: 5, 7: 7, 9: 9, 10: 9}
_SWS_BT709 = 1
_SWS_BT601 = 5
_SWS_BT2020 = 9
_LIMITED = 1  # AVCOL_RANGE_MPEG
_FULL = 2  # AVCOL_RANGE_JPEG
_HD_LINES = 720

_BYTE_BITS = 8
_BYTE_WHITE = 255
_BLOCK_LINES = 128  # fewer cost more: each step takes and gives back the interpreter's lock
_NOTHING_ABOVE = (255, 65535)  # for these values of white; elsewhere limited range goes beyond it
_LARGEST_ASPECT = 16
_GRAPH_TICK = Fraction(1, 1000)
_ASPECT_WORTH_SCALING = Fraction(1, 100)

Pixels = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Turn:
    """How stored pictures are turned to be shown: transpose first, then flips. The identity by default."""

    transpose: bool = False
    flip_rows: bool = False
    flip_columns: bool = False

    @property
    def is_identity(self) -> bool:
        return not (self.transpose or self.flip_rows or self.flip_columns)

    @property
    def degrees(self) -> int:
        """Clockwise rotation in degrees: 0, 90, 180, 270. A mirrored picture gives the turn without its mirror."""
        if self.transpose:
            return 90 if self.flip_columns else 270
        return 180 if self.flip_rows else 0

    def apply(self, plane: Pixels) -> Pixels:
        """Turn [height, width], or [height, width, channels]; a view, nothing is copied."""
        if self.transpose:
            plane = plane.swapaxes(0, 1)
        if self.flip_rows:
            plane = plane[::-1]
        if self.flip_columns:
            plane = plane[:, ::-1]
        return plane


def turn_of(frame: VideoFrame, decoder: str) -> Turn:
    """Read a frame's display matrix: rotation and mirroring, in steps of 90 degrees. Others are left alone."""
    matrix = display_matrix(frame, decoder)
    if matrix is None:
        return Turn()
    a, b, c, d = matrix
    if (b, c) == (0, 0) and a and d:
        return Turn(False, d < 0, a < 0)
    if (a, d) == (0, 0) and b and c:
        return Turn(True, b < 0, c < 0)
    return Turn()


@dataclass(frozen=True)
class Shape:
    """Sizes in pixels: as scaled by swscale, before the turn, and as shown, after it."""

    scaled_width: int
    scaled_height: int
    turn: Turn

    @property
    def width(self) -> int:
        return self.scaled_height if self.turn.transpose else self.scaled_width

    @property
    def height(self) -> int:
        return self.scaled_width if self.turn.transpose else self.scaled_height


def shape_for(width: int, height: int, aspect: Fraction | None, turn: Turn, max_side: int = 0) -> Shape:
    """The size a picture is brought to.

    Pixels that are not square are made square by widening the narrow direction, as players do: every node downstream
    takes pixels for square. An aspect within 1 % of square, or beyond 16:1, is taken for square.
    """
    wide, high = Fraction(width), Fraction(height)
    if aspect and 1 / _LARGEST_ASPECT <= aspect <= _LARGEST_ASPECT and abs(aspect - 1) > _ASPECT_WORTH_SCALING:
        if aspect > 1:
            wide *= aspect
        else:
            high /= aspect
    longer = max(wide, high)
    if max_side and longer > max_side:
        wide, high = wide * max_side / longer, high * max_side / longer
    return Shape(max(1, math.floor(wide + Fraction(1, 2))), max(1, math.floor(high + Fraction(1, 2))), turn)


def matrix_of(frame: VideoFrame, untagged: int | None = None) -> int:
    """libswscale's number for the frame's matrix; `untagged` if it has none, or bt709 from 720 lines up, else bt601."""
    tagged = _SWS_MATRICES.get(int(frame.colorspace), untagged)
    if tagged is not None:
        return tagged
    return _SWS_BT709 if frame.height >= _HD_LINES else _SWS_BT601


def range_of(frame: VideoFrame) -> int:
    """AVColorRange of the frame; untagged is limited for YUV, and full for RGB and the yuvj formats."""
    tagged = int(frame.color_range)
    if tagged in (_LIMITED, _FULL):
        return tagged
    return _FULL if frame.format.is_rgb or frame.format.name.startswith("yuvj") else _LIMITED


def depth_of(frame: VideoFrame) -> int:
    """Bits of the deepest component."""
    return max((component.bits for component in frame.format.components), default=8)


def has_alpha(frame: VideoFrame) -> bool:
    """Whether pictures of this form can be transparent; a palette may hold transparent colours."""
    return frame.format.has_palette or any(component.is_alpha for component in frame.format.components)


def _white_of(frame: VideoFrame) -> int:
    """The number that libswscale writes into gbrp16 for white.

    It shifts what it holds up to 16 bits and does not stretch it: limited range ends at 255 << 8, full range of n bits
    at (2**n - 1) << (16 - n). Divided by 65535 instead, as is usual, pictures come out up to one level too dark.
    """
    if not frame.format.is_rgb and range_of(frame) == _LIMITED:
        return 255 << 8
    return _full16(depth_of(frame))


def _full16(bits: int) -> int:
    bits = min(bits, 16)  # floats have more
    return ((1 << bits) - 1) << (16 - bits)


class _Evener:
    """Repeats the last column or line of frames of odd size, if their chroma is coarser than their luma.

    libswscale stretches the chroma of 49 columns over the 97 of the luma, which moves it by up to one pixel; over 98
    it lies where it should. FFmpeg's filters do it, because only they keep where a frame says its chroma lies.
    """

    def __init__(self) -> None:
        self._form: tuple[int, int, str] | None = None
        self._graph: Any = None

    def evened(self, frame: VideoFrame) -> VideoFrame:
        form = frame.format
        right = frame.width % 2 if form.chroma_width(2) == 1 else 0
        below = frame.height % 2 if form.chroma_height(2) == 1 else 0
        if not (right or below) or not form.is_planar or form.is_rgb:
            return frame
        if self._form != (frame.width, frame.height, form.name):
            self._form = (frame.width, frame.height, form.name)
            self._graph = self._built(frame, right, below)
        frame.pts, frame.time_base = None, _GRAPH_TICK
        self._graph.push(frame)
        even: VideoFrame = self._graph.pull()
        return even

    @staticmethod
    def _built(frame: VideoFrame, right: int, below: int) -> Any:
        """Plane by plane, since the filters that add lines to a picture leave out the half column at its end."""
        names = "yuva"[: len(frame.planes)]
        graph = av.filter.Graph()
        begin = graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=_GRAPH_TICK)
        apart = graph.add("extractplanes", "+".join(names))
        together = graph.add(
            "mergeplanes", "0x" + "".join(f"{at}0" for at in range(len(names))) + ":" + frame.format.name
        )
        end = graph.add("buffersink")
        begin.link_to(apart)
        for at, name in enumerate(names):
            if name in "uv":
                apart.link_to(together, at, at)
                continue
            larger = graph.add("pad", f"{frame.width + right}:{frame.height + below}:0:0")
            filled = graph.add("fillborders", f"right={right}:bottom={below}:mode=smear")
            apart.link_to(larger, at, 0)
            larger.link_to(filled)
            filled.link_to(together, 0, at)
        together.link_to(end)
        graph.configure()
        return graph


class Converter:
    """Turns decoded frames into RGB of one shape. Not thread-safe: one to a thread, reused for every frame.

    light: of a clip for bright displays, None for others. What is transparent is laid on white, as stills are.
    """

    def __init__(self, shape: Shape, light: Light | None = None) -> None:
        self._shape = shape
        self._light = light
        self._mapper: ToneMapper | None = None
        self._reformatter = VideoReformatter()
        self._evener = _Evener()
        self._block: Pixels = np.empty((0, 0, 3), np.uint8)

    def write(self, frame: VideoFrame, row: Pixels) -> None:
        """Write the frame's pixels into float32 [height, width, 3], 0..1; 8 bit values as exactly value / 255.

        In blocks of lines: what is interleaved is still in the processor's cache when it becomes floats.
        """
        (*planes, alpha), white = self._upright(frame)
        opaque = _BYTE_WHITE if planes[0].dtype == np.uint8 else _full16(depth_of(frame))
        for top in range(0, len(row), _BLOCK_LINES):
            out = row[top : top + _BLOCK_LINES]
            block = self._block_for(out.shape, planes[0].dtype)
            for channel, plane in enumerate(planes):
                block[..., channel] = plane[top : top + _BLOCK_LINES]
            np.copyto(out, block)
            np.divide(out, np.float32(white), out=out)
            if white not in _NOTHING_ABOVE:
                np.minimum(out, 1, out=out)
            if alpha is not None:
                _lay_on_white(out, alpha[top : top + _BLOCK_LINES], opaque)

    def rgb(self, frame: VideoFrame) -> Pixels:
        """Upright pixels [height, width, 3]: uint8, or from sources above 8 bits or with alpha float32, 0..1."""
        shape = (self._shape.height, self._shape.width, 3)
        if self._is_deep(frame) or has_alpha(frame):
            floats: Pixels = np.empty(shape, np.float32)
            self.write(frame, floats)
            return floats
        (*planes, _), _ = self._upright(frame)
        pixels: Pixels = np.empty(shape, np.uint8)
        for channel, plane in enumerate(planes):
            pixels[..., channel] = plane
        return pixels

    def _is_deep(self, frame: VideoFrame) -> bool:
        return self._light is not None or depth_of(frame) > _BYTE_BITS

    def _block_for(self, shape: tuple[int, ...], kind: Any) -> Pixels:
        if self._block.shape[0] < shape[0] or self._block.shape[1:] != shape[1:] or self._block.dtype != kind:
            self._block = np.empty(shape, kind)
        return self._block[: shape[0]]

    def _upright(self, frame: VideoFrame) -> tuple[tuple[Any, ...], int]:
        """Red, green, blue and alpha (None if there is none), and the value of white.

        As uint8 or uint16 [height, width], views of one scaled frame.
        """
        shape = self._shape
        width, height = shape.scaled_width, shape.scaled_height
        whole = frame
        if (width, height) == (frame.width, frame.height):
            whole = self._evener.evened(frame)
            width, height = whole.width, whole.height
        deep = self._is_deep(frame)
        if frame.format.is_rgb:
            matrix = other = _SWS_BT601  # not used, but libswscale takes some RGB through YUV: the same way back
        else:
            matrix = matrix_of(frame, _SWS_BT2020 if self._light else None)
            # RGB has no matrix, but PyAV before 17 passes ours on only if the two differ.
            other = _SWS_BT601 if matrix == _SWS_BT709 else _SWS_BT709
        scaled: Any = self._reformatter.reformat(
            whole,
            width=width,
            height=height,
            format=("gbrap" if has_alpha(frame) else "gbrp") + ("16le" if deep else ""),
            interpolation=_TO_RGB_FLAGS,
            src_colorspace=matrix,
            dst_colorspace=other,
            src_color_range=_FULL if frame.format.is_rgb else range_of(frame),
            dst_color_range=_FULL,
            **one_scaler_thread(),
        )
        white = _white_of(frame) if deep else _BYTE_WHITE
        if self._light is not None:
            scaled, white = self._mapped(scaled, self._light, white)
        kind: np.dtype[Any] = np.dtype("<u2") if deep else np.dtype(np.uint8)
        lines = [np.frombuffer(plane, kind).reshape(plane.height, -1) for plane in scaled.planes]
        green, blue, red, *rest = (
            shape.turn.apply(plane[: shape.scaled_height, : shape.scaled_width]) for plane in lines
        )
        return (red, green, blue, rest[0] if rest else None), white

    def _mapped(self, scaled: VideoFrame, light: Light, white: int) -> tuple[VideoFrame, int]:
        form = (scaled.width, scaled.height, scaled.format.name, white)
        if self._mapper is None or self._mapper.form != form:
            self._mapper = ToneMapper(light, *form)
        return self._mapper.frame(scaled), WHITE16


def _lay_on_white(colours: Pixels, alpha: Pixels, opaque: int) -> None:
    """In place; where it is opaque, colours stay what they are to the bit."""
    if alpha.min() >= opaque:
        return
    share = np.minimum(alpha / np.float32(opaque), 1, dtype=np.float32)[..., np.newaxis]
    colours *= share
    colours += 1 - share
