"""Which packets make a picture that is shown, read from their own first bytes.

A packet is not always a picture. VP8 and VP9 send pictures that only others refer to, with times of their own. A
camcorder (AVCHD) sends the two fields of a picture in H.264 as a packet each. Packets counted are not pictures counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

# Reordering in H.264 and HEVC reaches at most 16 pictures: after this many packets no earlier time can turn up.
REORDER_PACKETS = 32

_SLICES = (1, 2, 5)  # nal_unit_type of H.264's slices (7.4.1)
_SEQUENCE = 7
_PICTURES_ALONE = frozenset((1, 2, 3, 4, 5, _SEQUENCE, 8))  # slices, and what says how to read them
_GROUP_START = b"\0\0\1\xb8"
_HIGH_PROFILES = frozenset((44, 83, 86, 100, 110, 118, 122, 128, 134, 135, 138, 139, 244))
_HEADER_BYTES = 64  # more than a slice header's first few numbers need

Shows = Callable[[Any], bool]


def shown(packets: Iterator[Any], decoder: str, extradata: bytes) -> Iterator[Any]:
    """The packets that make a picture which is shown; each pass over a file asks anew."""
    shows = _shows(decoder, extradata)
    return (packet for packet in packets if not packet.is_discard and shows(packet))


def may_hold_fields(decoder: str, extradata: bytes) -> bool:
    """Whether a picture of this H.264 may come as two packets."""
    return decoder == "h264" and Fields.of(extradata) is not None


def is_closed(key: Any, decoder: str) -> bool:
    """Whether pictures shown before this key frame, but coded after it, need none from before: closed_gop of MPEG-2."""
    if decoder not in ("mpeg1video", "mpeg2video"):
        return False
    header = bytes(key).partition(_GROUP_START)[2][:4]  # ISO/IEC 13818-2, 6.2.2.6: after a time of 25 bits
    return len(header) == 4 and bool(header[3] & 0x40)


def _shows(decoder: str, extradata: bytes) -> Shows:
    if decoder == "vp8":
        return _vp8_shows
    if decoder == "vp9":
        return _vp9_shows
    fields = Fields.of(extradata) if decoder == "h264" else None
    return _always if fields is None else _FirstFields(fields).shows


def _always(_packet: Any) -> bool:
    return True


def _vp8_shows(packet: Any) -> bool:
    """RFC 6386, 9.1: show_frame is the fifth bit."""
    return bool(memoryview(packet)[0] & 0x10)


def _vp9_shows(packet: Any) -> bool:
    """Annex B of the VP9 bitstream: a packet may be several frames with an index at its end; one shown is enough."""
    data = memoryview(packet)
    last = data[-1]
    count, width = (last & 7) + 1, ((last >> 3) & 3) + 1
    begin = len(data) - 2 - count * width
    if last & 0xE0 != 0xC0 or begin < 0 or data[begin] != last:
        return _vp9_frame_shows(data[0])
    at = 0
    for number in range(count):
        size = int.from_bytes(data[begin + 1 + number * width : begin + 1 + (number + 1) * width], "little")
        if size and at < begin and _vp9_frame_shows(data[at]):
            return True
        at += size
    return False


def is_key(packet: Any, decoder: str) -> bool:
    """Whether VP8 or VP9 says in the packet's first byte that nothing before is needed (RFC 6386, 9.1; VP9, 6.2)."""
    first = memoryview(packet)[0]
    if decoder == "vp8":
        return not first & 1
    existing, inter = (first >> 2 & 1, first >> 1 & 1) if (first >> 4) & 3 == 3 else (first >> 3 & 1, first >> 2 & 1)
    return decoder == "vp9" and not existing and not inter


def _vp9_frame_shows(first: int) -> bool:
    """6.2: frame_marker, two bits of profile (profile 3 has one more), show_existing_frame, frame_type, show_frame."""
    third = (first >> 4) & 3 == 3
    existing, frame = (first >> 2 & 1, first & 1) if third else (first >> 3 & 1, first >> 1 & 1)
    return bool(existing or frame)


class _Bits:
    """Numbers out of an H.264 NAL unit (7.2, 9.1), without its emulation prevention. Past the end: zeros."""

    def __init__(self, data: bytes) -> None:
        data = data.replace(b"\0\0\3", b"\0\0")
        self._value = int.from_bytes(data, "big")
        self._left = len(data) * 8

    def take(self, count: int) -> int:
        self._left -= count
        return (self._value >> max(0, self._left)) & ((1 << count) - 1) if self._left >= 0 else 0

    def golomb(self) -> int:
        zeros = 0
        while self._left > 0 and not self.take(1):
            zeros += 1
        return (1 << zeros) - 1 + self.take(zeros)

    def signed(self) -> int:
        code = self.golomb()
        return (code + 1) // 2 if code % 2 else -(code // 2)


@dataclass(frozen=True)
class Units:
    """How the NAL units of a packet of H.264 lie in it. length_bytes: before each unit, 0 for start codes."""

    length_bytes: int

    @classmethod
    def of(cls, extradata: bytes) -> Units:
        """From a decoder's header."""
        return cls((extradata[4] & 3) + 1 if _is_avcc(extradata) else 0)

    def each(self, data: bytes) -> Iterator[bytes]:
        """The units of a packet or header, none of them empty; of one that is cut off what is there."""
        if not self.length_bytes:
            # Zeros at the end belong to the next start code: a unit ends with another byte (B.1).
            yield from filter(None, (unit.rstrip(b"\0") for unit in data.split(b"\0\0\1")[1:]))
            return
        at = 0
        while (begin := at + self.length_bytes) < len(data):
            at = begin + int.from_bytes(data[at:begin], "big")
            if begin < at:
                yield data[begin:at]

    def pictures_alone(self, data: bytes) -> bytes:
        """The packet without the units that show nothing: anybody may write anything into messages (SEI)."""
        kept = [unit for unit in self.each(data) if unit[0] & 31 in _PICTURES_ALONE]
        if self.length_bytes:
            return b"".join(len(unit).to_bytes(self.length_bytes, "big") + unit for unit in kept)
        return b"".join(b"\0\0\0\1" + unit for unit in kept)

    def sequences(self, data: bytes) -> list[bytes]:
        """The units that say how large and of what form the pictures are from here on."""
        return [unit for unit in self.each(data) if unit[0] & 31 == _SEQUENCE]


@dataclass(frozen=True)
class Fields:
    """How to read a slice of H.264 whose pictures may be fields."""

    units: Units
    frame_number_bits: int
    planes_apart: bool

    @classmethod
    def of(cls, extradata: bytes) -> Fields | None:
        """From a decoder's header; None if all pictures are frames, or nothing is told."""
        units = Units.of(extradata)
        if units.length_bytes:
            sequence = extradata[8 : 8 + int.from_bytes(extradata[6:8], "big")]
        else:
            sequence = next(iter(units.sequences(extradata)), b"")
        return _sequence(sequence, units) if len(sequence) > 4 else None


def _is_avcc(extradata: bytes) -> bool:
    """ISO/IEC 14496-15."""
    return extradata[:1] == b"\1" and len(extradata) > 8


def _sequence(unit: bytes, units: Units) -> Fields | None:
    """7.3.2.1.1, as far as frame_mbs_only_flag."""
    bits = _Bits(unit[1:])
    profile = bits.take(8)
    bits.take(16)
    bits.golomb()
    planes_apart = False
    if profile in _HIGH_PROFILES:
        form = bits.golomb()
        if form == 3:
            planes_apart = bool(bits.take(1))
        bits.golomb()
        bits.golomb()
        bits.take(1)
        if bits.take(1):
            for number in range(12 if form == 3 else 8):
                if bits.take(1):
                    _skip_scaling_list(bits, 16 if number < 6 else 64)
    frame_number_bits = bits.golomb() + 4
    order = bits.golomb()
    if order == 0:
        bits.golomb()
    elif order == 1:
        bits.take(1)
        bits.signed()
        bits.signed()
        for _ in range(min(bits.golomb(), 255)):
            bits.signed()
    bits.golomb()
    bits.take(1)
    bits.golomb()
    bits.golomb()
    return None if bits.take(1) else Fields(units, frame_number_bits, planes_apart)


def _skip_scaling_list(bits: _Bits, size: int) -> None:
    last = following = 8
    for _ in range(size):
        if following:
            following = (last + bits.signed()) % 256
        last = following or last


class _FirstFields:
    """Tells a picture's first field, or a whole frame, from a second field, packet after packet."""

    def __init__(self, fields: Fields) -> None:
        self._fields = fields
        self._waiting: tuple[int, int] | None = None  # frame_num and parity of a first field

    def shows(self, packet: Any) -> bool:
        unit = next((unit for unit in self._fields.units.each(bytes(packet)) if unit[0] & 31 in _SLICES), b"")
        if not unit:
            return True
        field = self._field(unit)
        if field is None:
            self._waiting = None
            return True
        number, parity = field
        if self._waiting == (number, 1 - parity):
            self._waiting = None
            return False
        self._waiting = field
        return True

    def _field(self, unit: bytes) -> tuple[int, int] | None:
        """frame_num and bottom_field_flag (7.3.3); None for a frame."""
        bits = _Bits(unit[1:_HEADER_BYTES])
        for _ in range(3):
            bits.golomb()
        if self._fields.planes_apart:
            bits.take(2)
        number = bits.take(self._fields.frame_number_bits)
        return (number, bits.take(1)) if bits.take(1) else None
