"""Clips made for bright displays, brought to what a picture of BT.709 can show.

Phones film in HLG, films come in PQ, both with the colours of BT.2020. Taken for ordinary pictures they look grey and
dull. Here their signal becomes the light of a display (HLG: the system gamma of BT.2100 at 1000 cd/m2), that light is
compressed by the curve of ITU-R BT.2446-1, method C (a line, then a logarithm, applied to luminance alone, so hues
stay), brought to the primaries of BT.709, and written for the display of BT.1886. Method C's own numbers bring the
white of HDR to 90 % of a signal that goes on to 109 %; pictures end at 100 %, so the line and the logarithm have other
numbers here: 203 cd/m2, the diffuse white of BT.2408, comes out at 0.94, 1000 cd/m2 and all above it at 1, grey of
18 % at 0.48. What is too colourful for BT.709 is mixed with grey of its own luminance.

All this is one function of red, green and blue, so it is worked out once, in float64, for a cube of colours; FFmpeg's
lut3d interpolates between them, which is as quick as any other step.
"""

from __future__ import annotations

import functools
import tempfile
import threading
from dataclasses import dataclass
from enum import Enum
from fractions import Fraction
from pathlib import Path
from typing import Any

import av.filter
import numpy as np

_DIFFUSE_WHITE_NITS = 203.0
_PEAK_NITS = 1000.0
_HLG_SYSTEM_GAMMA = 1.2
_DISPLAY_GAMMA = 2.4
# In units of diffuse white: the slope of the line, where it ends, and method C's k3, chosen so that 1000 cd/m2 give 1.
_SLOPE = 0.95
_LINE_END = 0.85
_K3 = 0.947273
_POINTS = 65  # of the cube, on a side
_DIGITS = 5  # of its numbers
WHITE16 = 65535
_working_out = threading.Lock()

# To CIE XYZ, by the primaries that H.273 gives for each number of AVColorPrimaries, white D65.
_CHROMATICITIES = {
    1: ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060)),
    9: ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046)),
    12: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),
}
_D65 = (0.3127, 0.3290)
_BT709_PRIMARIES = 1
_BT2020_PRIMARIES = 9

Values = np.ndarray[Any, np.dtype[np.float64]]


class Transfer(Enum):
    """How the signal of a clip for bright displays stands for light; the numbers of H.273."""

    PQ = 16
    HLG = 18


@dataclass(frozen=True)
class Light:
    """What the colours of such a clip mean. primaries: of H.273, one that is known here."""

    transfer: Transfer
    primaries: int = _BT2020_PRIMARIES


def light_of(context: Any) -> Light | None:
    """What a decoder says of its clip's light; None for an ordinary clip."""
    try:
        transfer = Transfer(int(context.color_trc))
    except (ValueError, TypeError):
        return None
    primaries = int(context.color_primaries or 0)
    return Light(transfer, primaries if primaries in _CHROMATICITIES else _BT2020_PRIMARIES)


def to_bt709(signal: Values, light: Light) -> Values:
    """Red, green and blue of the signal, 0..1, [n, 3], as those of BT.709 for a BT.1886 display."""
    weights = _to_xyz(light.primaries)[1]
    nits = _pq_light(signal) if light.transfer is Transfer.PQ else _hlg_light(signal, weights)
    luminance = nits @ weights
    mapped = _compressed(luminance / _DIFFUSE_WHITE_NITS)
    scale = np.divide(mapped, luminance, out=np.zeros_like(mapped), where=luminance > 0)
    change = np.linalg.inv(_to_xyz(_BT709_PRIMARIES)) @ _to_xyz(light.primaries)
    colours = (nits * scale[:, None]) @ change.T
    result: Values = _within_reach(colours, mapped[:, None]) ** (1 / _DISPLAY_GAMMA)
    return result


class ToneMapper:
    """Turns scaled frames of one size and form (gbrp16, or gbrap16, whose alpha stays). One to a thread.

    white: the number that stands for the signal's 1.
    """

    def __init__(self, light: Light, width: int, height: int, form: str, white: int) -> None:
        self.form = (width, height, form, white)
        tick = Fraction(1, 1000)
        self._graph = av.filter.Graph()
        self._in = self._graph.add_buffer(width=width, height=height, format=av.VideoFormat(form), time_base=tick)
        with tempfile.TemporaryDirectory(prefix="apimall-colours-") as folder:
            cube = Path(folder) / "colours.cube"
            cube.write_bytes(_cube(light, white))
            mapper = self._graph.add("lut3d", file=str(cube), interp="tetrahedral")
        self._out = self._graph.add("buffersink")
        self._in.link_to(mapper)
        mapper.link_to(self._out)
        self._graph.configure()
        self._tick = tick
        self._count = 0

    def frame(self, frame: Any) -> Any:
        """The same picture for BT.709; 1 is 65535."""
        frame.pts, frame.time_base = self._count, self._tick
        self._count += 1
        self._in.push(frame)
        return self._out.pull()


def _pq_light(signal: Values) -> Values:
    """cd/m2 of SMPTE ST 2084."""
    m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
    root = np.clip(signal, 0, 1) ** (1 / m2)
    nits: Values = 10_000 * (np.maximum(root - c1, 0) / (c2 - c3 * root)) ** (1 / m1)
    return nits


def _hlg_light(signal: Values, weights: Values) -> Values:
    """cd/m2 of ARIB STD-B67 on a display of 1000."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    signal = np.clip(signal, 0, 1)
    scene = np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12)
    nits: Values = _PEAK_NITS * scene * (scene @ weights)[:, None] ** (_HLG_SYSTEM_GAMMA - 1)
    return nits


def _compressed(luminance: Values) -> Values:
    """BT.2446-1, method C, 5.1.4: of luminance in units of diffuse white; the logarithm goes on where the line ends."""
    above = np.maximum(luminance, _LINE_END) / _LINE_END
    curve = _SLOPE * _LINE_END * (1 + (1 - _K3) * np.log((above - _K3) / (1 - _K3)))
    result: Values = np.minimum(np.where(luminance < _LINE_END, _SLOPE * luminance, curve), 1)
    return result


def _within_reach(colours: Values, luminance: Values) -> Values:
    """Mix with grey of the same luminance as far as needed for every part to lie in 0..1."""
    away = colours - luminance
    room = np.where(away > 0, 1 - luminance, luminance)
    share = np.divide(room, np.abs(away), out=np.ones_like(away), where=np.abs(away) > room)
    result: Values = np.clip(luminance + away * share.min(axis=1, keepdims=True), 0, 1)
    return result


@functools.cache
def _to_xyz(primaries: int) -> Values:
    """The matrix from linear red, green and blue to XYZ (SMPTE RP 177)."""
    columns = np.array([(x / y, 1, (1 - x - y) / y) for x, y in _CHROMATICITIES[primaries]]).T
    x, y = _D65
    result: Values = columns * np.linalg.solve(columns, np.array([x / y, 1, (1 - x - y) / y]))
    return result


def _cube(light: Light, white: int) -> bytes:
    """A .cube file; worked out once, though several threads ask for it at the same moment."""
    with _working_out:
        return _worked_out_cube(light, white)


@functools.cache
def _worked_out_cube(light: Light, white: int) -> bytes:
    """Lines of red, green and blue, red changing quickest."""
    axis = np.linspace(0, WHITE16 / white, _POINTS)
    blue, green, red = (each.ravel() for each in np.meshgrid(axis, axis, axis, indexing="ij"))
    colours = to_bt709(np.stack([red, green, blue], axis=1), light)
    return f"LUT_3D_SIZE {_POINTS}\n".encode() + _written(colours)


def _written(colours: Values) -> bytes:
    """Numbers from 0 to 1, [n, 3], as lines of text, digit by digit: Python's own way takes ten times as long."""
    rest = np.rint(colours * 10**_DIGITS).astype(np.int32)
    text = np.full((*colours.shape, _DIGITS + 3), ord(" "), np.uint8)
    text[..., 1] = ord(".")
    text[:, -1, -1] = ord("\n")
    for place in (*range(_DIGITS + 1, 1, -1), 0):
        rest, digit = np.divmod(rest, 10)
        text[..., place] = digit + ord("0")
    return text.tobytes()
