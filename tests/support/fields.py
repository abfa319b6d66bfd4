"""H.264 as camcorders write it: each field of a picture a packet of its own. No encoder at hand does that, so the
pictures are written macroblock by macroblock, as plain numbers (I_PCM of Rec. ITU-T H.264).
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av

WIDTH = HEIGHT = 32
_ACROSS, _SEQUENCE, _PICTURE, _IDR, _SLICE = WIDTH // 16, 0x67, 0x68, 0x65, 0x61
_GROUP = 5


def write_fields(path: Path, count: int, *, rate: int = 25) -> Path:
    """Pictures 0 to count - 1, told by their luma as `clips.numbered_pictures` are, in two packets each."""
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libx264", rate=rate)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.time_base = Fraction(1, 2 * rate)
        stream.codec_context.time_base = Fraction(1, 2 * rate)
        for field in range(2 * count):
            packet = av.Packet(_field(field))
            packet.stream, packet.time_base = stream, Fraction(1, 2 * rate)
            packet.pts = packet.dts = field
            packet.is_keyframe = field % (2 * _GROUP) == 0
            container.mux(packet)
    return path


def _field(number: int) -> bytes:
    picture, bottom = divmod(number, 2)
    frame_number = picture % _GROUP
    begins = not frame_number and not bottom
    bits = _Bits().golomb(0).golomb(7).golomb(0).bits(frame_number, 4).bits(1, 1).bits(bottom, 1)
    if begins:
        bits.golomb(picture % 2).bits(0, 2)
    else:
        bits.bits(0, 1)
    bits.golomb(0).golomb(1)
    luma = 16 + 4 * picture
    for _ in range(_ACROSS):
        bits.golomb(25).align(0)
        for value, times in ((luma, 256), (128, 128)):
            for _ in range(times):
                bits.bits(value, 8)
    units = [(_IDR if begins else _SLICE, bits)]
    if begins:
        units = [(_SEQUENCE, _sequence()), (_PICTURE, _picture()), *units]
    return b"".join(b"\0\0\0\1" + bytes((kind,)) + unit.payload() for kind, unit in units)


def _sequence() -> _Bits:
    """Main profile, no picture order of its own, two fields of one row of macroblocks."""
    bits = _Bits().bits(77, 8).bits(0, 8).bits(30, 8).golomb(0).golomb(0).golomb(2).golomb(1).bits(0, 1)
    return bits.golomb(_ACROSS - 1).golomb(HEIGHT // 32 - 1).bits(0, 1).bits(0, 1).bits(1, 1).bits(0, 2)


def _picture() -> _Bits:
    bits = _Bits().golomb(0).golomb(0).bits(0, 2).golomb(0).golomb(0).golomb(0).bits(0, 3)
    return bits.golomb(0).golomb(0).golomb(0).bits(1, 1).bits(0, 2)


class _Bits:
    """What a unit holds, bit by bit."""

    def __init__(self) -> None:
        self._text: list[str] = []
        self._count = 0

    def bits(self, value: int, count: int) -> _Bits:
        self._text.append(format(value, f"0{count}b"))
        self._count += count
        return self

    def golomb(self, value: int) -> _Bits:
        length = (value + 1).bit_length()
        return self.bits(value + 1, 2 * length - 1)

    def align(self, bit: int) -> _Bits:
        while self._count % 8:
            self.bits(bit, 1)
        return self

    def payload(self) -> bytes:
        self.bits(1, 1).align(0)
        data = int("".join(self._text), 2).to_bytes(self._count // 8, "big")
        out = bytearray()
        for byte in data:
            if byte <= 3 and out[-2:] == b"\0\0":
                out.append(3)
            out.append(byte)
        return bytes(out)
