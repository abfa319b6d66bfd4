"""Which of FFmpeg's encoders writes pictures: the first of a list that this PyAV has.

PyAV from PyPI brings x264. Other builds (of Linux distributions, of conda) may leave it out for its licence.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..remarks import Remark, Sentence, remark
from ..troubles import Trouble
from . import pyav
from .errors import NoEncoder

# What costs little beside the preset and gives most: a longer look ahead, and bits spread by a less cautious rule.
_X264_PARAMS = "chromaloc=1:trellis=1:rc-lookahead=20:aq-strength=0.7"
_CRF_HALVES = 6  # this much more of it takes half the bits
_BITS_A_PIXEL = 0.25  # at crf 18, of an encoder that goes by a rate
_USUAL_CRF = 18
_MPEG4_QUALITY = 2 * 118  # the best that its rules allow, in FFmpeg's lambda


@dataclass(frozen=True)
class Quality:
    """What is asked for, in x264's words; most_bits_a_second: None for as many as crf takes."""

    preset: str
    crf: int
    most_bits_a_second: int | None
    pixels_a_second: float


@dataclass(frozen=True)
class Encoder:
    """name: FFmpeg's. form: of the pictures, as people call it. most_ticks: of its clock, a second."""

    name: str
    form: str
    most_ticks: int
    options: Callable[[Quality], dict[str, str]]


def _x264(quality: Quality) -> dict[str, str]:
    params = _X264_PARAMS
    if quality.most_bits_a_second is not None:
        kilobits = max(1, quality.most_bits_a_second // 1000)
        params += f":vbv-maxrate={kilobits}:vbv-bufsize={max(1, kilobits // 2)}"
    return {"preset": quality.preset, "crf": str(quality.crf), "x264-params": params}


def _openh264(quality: Quality) -> dict[str, str]:
    finer = 2 ** ((_USUAL_CRF - quality.crf) / _CRF_HALVES)
    bits = quality.pixels_a_second * _BITS_A_PIXEL * finer
    return {"b": str(int(min(bits, quality.most_bits_a_second or bits))), "allow_skip_frames": "0", "profile": "high"}


def _mpeg4(quality: Quality) -> dict[str, str]:
    return {"flags": "+qscale", "global_quality": str(_MPEG4_QUALITY)}


X264 = Encoder("libx264", "H.264", 90_000, _x264)
OPENH264 = Encoder("libopenh264", "H.264", 90_000, _openh264)
MPEG4 = Encoder("mpeg4", "MPEG-4", 60_000, _mpeg4)

FOR_EVERYBODY: Sequence[Encoder] = (X264, OPENH264)
"""For what leaves this machine: every host decodes H.264."""

FOR_US: Sequence[Encoder] = (*FOR_EVERYBODY, MPEG4)
"""For what stays here, best first."""


def choose(wanted: Sequence[Encoder], has: Callable[[str], bool] = pyav.can_encode) -> Encoder:
    """The first that is there. Raises NoEncoder."""
    for encoder in wanted:
        if has(encoder.name):
            return encoder
    names = ", ".join(encoder.name for encoder in wanted)
    raise NoEncoder(remark(Trouble.NO_ENCODER, version=str(pyav.VERSION), form=wanted[0].form, names=names))


def remark_on(encoder: Encoder) -> Remark | None:
    """What a user may want to know of a clip that was written with it; None for the usual one."""
    return None if encoder is X264 else remark(Sentence.OTHER_ENCODER, form=encoder.form, encoder=encoder.name)
