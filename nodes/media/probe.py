"""What a clip is, and whether a file is one; nothing but its first picture is decoded, unless that is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..remarks import Remark, Sentence, remark
from .colour import Shape, Turn, has_alpha, shape_for
from .containers import sound_stream
from .deinterlace import deinterlacer
from .encryption import encrypted_streams
from .errors import NotAClip
from .source import ONE_THREAD, Source

_FTYP_WINDOW_BYTES = 12


@dataclass(frozen=True)
class Clip:
    """A clip as its header and its first picture tell it.

    width, height: as shown: turned upright, pixels square. frame_count and seconds: what the header claims, a hint;
    frame_count is None where it claims nothing. rotation: clockwise degrees that were applied; upright: neither turned
    nor mirrored. codec: FFmpeg's name. hdr: HLG or PQ for a clip made for bright displays, None for others.
    transparent: its pictures may have transparent parts. unread: what of it cannot be decoded here.
    """

    path: Path
    width: int
    height: int
    fps: float
    frame_count: int | None
    seconds: float
    codec: str
    pixel_format: str
    rotation: int
    has_audio: bool
    square_pixels: bool
    interlaced: bool
    upright: bool
    container: str
    size_bytes: int
    hdr: str | None
    transparent: bool
    unread: tuple[Remark, ...]

    def shape(self, max_side: int) -> Shape:
        """The size of its pictures where they are brought to at most `max_side`; 0: as they are."""
        return shape_for(self.width, self.height, None, Turn(), max_side)

    @property
    def remarks(self) -> tuple[Remark, ...]:
        """What is done to its pictures wherever they are decoded, as a user may want to know."""
        done = {
            remark(Sentence.TONED_DOWN, form=self.hdr or ""): self.hdr is not None,
            remark(Sentence.ON_WHITE): self.transparent,
            remark(Sentence.DEINTERLACED): self.interlaced and deinterlacer() is not None,
            remark(Sentence.INTERLACED): self.interlaced and deinterlacer() is None,
        }
        return (*(each for each, holds in done.items() if holds), *self.unread)


def probe(path: Path) -> Clip:
    """Read a clip's facts. Raises NotAClip."""
    with Source(path, threads=ONE_THREAD) as source:
        picture = source.first_picture()
        turn = source.turn(picture)
        shape = shape_for(picture.width, picture.height, source.aspect, turn)
        claimed = int(source.video.frames or 0)
        return Clip(
            path=path,
            width=shape.width,
            height=shape.height,
            fps=float(source.rate),
            frame_count=claimed if claimed > 0 else None,
            seconds=source.seconds,
            codec=source.decoder,
            pixel_format=picture.format.name,
            rotation=turn.degrees,
            has_audio=sound_stream(source.container) is not None,
            square_pixels=(shape.scaled_width, shape.scaled_height) == (picture.width, picture.height),
            interlaced=bool(picture.interlaced_frame),
            upright=turn.is_identity,
            container=source.container.format.name,
            size_bytes=path.stat().st_size,
            hdr=source.light.transfer.name if source.light else None,
            transparent=has_alpha(picture),
            unread=_unread(source),
        )


def _unread(source: Source) -> tuple[Remark, ...]:
    noise = encrypted_streams(source.container)
    found = {
        remark(Sentence.HIDDEN_COLOURS, decoder=source.missing_decoder or ""): source.missing_decoder is not None,
        remark(Sentence.SOUND_ENCRYPTED): any(track.index in noise for track in source.container.streams.audio),
    }
    return tuple(each for each, holds in found.items() if holds)


def verify(path: Path, *, to_the_end: bool = False) -> Clip:
    """Make sure that a downloaded file is an MP4 whose first picture decodes, or all of them. Raises NotAClip."""
    try:
        with path.open("rb") as file:
            head = file.read(_FTYP_WINDOW_BYTES)
    except OSError as error:
        raise NotAClip(f"{path.name} cannot be read: {error.strerror}.") from error
    if head[4:8] != b"ftyp":
        raise NotAClip(f"{path.name} is not an MP4: it does not begin with a file type box.")
    clip = probe(path)
    if to_the_end:
        _require_all_pictures(path)
    return clip


def _require_all_pictures(path: Path) -> None:
    with Source(path, threads=ONE_THREAD) as source:
        told = sum(1 for _ in source.shown(source.packets()))
        source.reopen()
        sound = sum(not picture.is_corrupt for picture in source.pictures(source.packets()))
    if sound < told:
        raise NotAClip(f"{path.name} is damaged: of its {told} pictures {sound} decode.")
