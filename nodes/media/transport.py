"""What recordings of broadcasts and camcorders say in their own packets, which FFmpeg does not pass on.

MPEG transport and program streams (ISO/IEC 13818-1) may be put end to end, and often are: each part then counts from a
time of its own. And what a broadcaster scrambles is read by FFmpeg as if it were not.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

TRANSPORT, PROGRAM = "mpegts", "mpeg"
"""FFmpeg's names of the two."""

_PACKET_BYTES = (188, 192, 204)  # plain, after a time stamp (AVCHD, Blu-ray), before a check sum
_SYNC = 0x47
_PACKETS_IN_STEP = 5
_HEAD_BYTES = 1 << 20
_PLACES = 32
_PLACE_BYTES = 2 << 20
_PACK_START = b"\0\0\1\xba"
_TICKS = 90_000  # a second
_WRAP_TICKS = 1 << 32  # half of what 33 bits hold: a clock that is this much back went over its end
_BACK_SECONDS = 1  # further than pictures are reordered
_AHEAD_SECONDS = 10  # no picture stands for so long in a stream

Array = np.ndarray[Any, np.dtype[np.uint8]]


class Clock:
    """Goes on where the clock of a stream's packets starts again, or leaps."""

    def __init__(self) -> None:
        self.leapt = False
        self._shift = 0
        self._due: int | None = None

    def continued(self, packet: Any) -> Any:
        """The same packet, at the time at which it would have been on one clock."""
        time = packet.pts if packet.dts is None else packet.dts
        if time is None:
            return packet
        second = 1 / packet.time_base
        away = 0 if self._due is None else time + self._shift - self._due
        if not -_BACK_SECONDS * second <= away <= _AHEAD_SECONDS * second:
            self._shift -= away
            self.leapt = True
        self._due = time + self._shift + (packet.duration or 0)
        if self._shift:
            packet.pts = None if packet.pts is None else packet.pts + self._shift
            packet.dts = None if packet.dts is None else packet.dts + self._shift
        if packet.pts is not None and abs(packet.pts - time - self._shift) > _AHEAD_SECONDS * second:
            packet.pts = time + self._shift  # damaged: a picture is shown soon after it is decoded
        return packet


def has_clock_that_leaps(name: str) -> bool:
    """Whether files of this form are read by a `Clock`."""
    return name in (TRANSPORT, PROGRAM)


def starts_again(path: Path, name: str) -> bool:
    """Whether the clock of a file of this form goes back somewhere, so that a time may be at two places of it.

    Of large files parts are read, from the first to the last.
    """
    with suppress(OSError):
        state = path.stat()
        return _starts_again(path, name, state.st_size, state.st_mtime_ns)
    return False


def scrambled(path: Path) -> frozenset[int]:
    """The streams of a transport stream, by their packet identifiers, of which more is scrambled than not."""
    with suppress(OSError):
        state = path.stat()
        return _scrambled(path, state.st_mtime_ns)
    return frozenset()


@functools.lru_cache(maxsize=64)
def _starts_again(path: Path, name: str, size: int, _changed: int) -> bool:
    last: dict[int, int] = {}
    step = max(1, (size - _PLACE_BYTES) // (_PLACES - 1))
    with path.open("rb") as file:
        for place in range(0, max(1, size - _PLACE_BYTES + step), max(step, _PLACE_BYTES)):
            file.seek(place)
            data = file.read(_PLACE_BYTES)
            for stream, time in _stream_times(data) if name == TRANSPORT else _pack_times(data):
                if _BACK_SECONDS * _TICKS < last.get(stream, 0) - time < _WRAP_TICKS:
                    return True
                last[stream] = max(time, last.get(stream, 0)) if abs(time - last.get(stream, 0)) < _WRAP_TICKS else time
    return False


@functools.lru_cache(maxsize=64)
def _scrambled(path: Path, _changed: int) -> frozenset[int]:
    with path.open("rb") as file:
        packets = _packets(file.read(_HEAD_BYTES))
    loaded = packets[packets[:, 3] & 0x10 > 0]  # adaptation_field_control: with a payload
    streams = _streams(loaded)
    noise = loaded[:, 3] & 0xC0 > 0  # transport_scrambling_control
    return frozenset(int(each) for each in np.unique(streams[noise]) if noise[streams == each].mean() > 0.5)


def _packets(data: bytes) -> Array:
    """The transport packets of a part of a file, uint8 [packets, 188]; none if it is none."""
    every = np.frombuffer(data, np.uint8)
    for size in _PACKET_BYTES:
        for begin in range(min(size, len(every) - _PACKETS_IN_STEP * size)):
            if (every[begin : begin + _PACKETS_IN_STEP * size : size] == _SYNC).all():
                count = (len(every) - begin) // size
                rows: Array = every[begin : begin + count * size].reshape(count, size)[:, : _PACKET_BYTES[0]]
                packets: Array = rows[rows[:, 0] == _SYNC]
                return packets
    return np.empty((0, _PACKET_BYTES[0]), np.uint8)


def _streams(packets: Array) -> np.ndarray[Any, np.dtype[np.int32]]:
    return (packets[:, 1] & 0x1F).astype(np.int32) << 8 | packets[:, 2]


def _stream_times(data: bytes) -> Iterator[tuple[int, int]]:
    """Packet identifier and presentation time of each PES packet that begins there (2.4.3.6)."""
    packets = _packets(data)
    begins = packets[(packets[:, 1] & 0x40 > 0) & (packets[:, 3] & 0xD0 == 0x10)]
    for stream, packet in zip(_streams(begins).tolist(), begins, strict=True):
        content = packet[5 + int(packet[4]) if packet[3] & 0x20 else 4 :].tobytes()
        if content[:3] == b"\0\0\1" and len(content) > 13 and content[7] & 0x80:
            yield stream, _time(content[9:14])


def _time(code: bytes) -> int:
    """33 bits with markers between them."""
    first, second, third, fourth, fifth = code
    return (first >> 1 & 7) << 30 | second << 22 | (third >> 1) << 15 | fourth << 7 | fifth >> 1


def _pack_times(data: bytes) -> Iterator[tuple[int, int]]:
    """The clock of each pack that begins there (2.5.3.4; MPEG-1 in its own way)."""
    at = data.find(_PACK_START)
    while 0 <= at < len(data) - 10:
        code = data[at + 4 : at + 9]
        if code[0] >> 6 == 1:
            high = (code[0] >> 3 & 7) << 30 | (code[0] & 3) << 28 | code[1] << 20 | (code[2] >> 3) << 15
            yield 0, high | (code[2] & 3) << 13 | code[3] << 5 | code[4] >> 3
        elif code[0] >> 4 == 2:
            yield 0, _time(code)
        at = data.find(_PACK_START, at + 4)
