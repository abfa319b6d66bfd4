"""Pictures and clips as media of an order: identified by their content, made ready only when they are uploaded.

What is uploaded can be read by anybody and is decoded by whichever host makes the job. So nothing but pictures and
sound goes up, and only in the form that every host takes: H.264 in an MP4, 8 bit 4:2:0, progressive, upright, square
pixels, at most 1920 pixels and 60 pictures a second (`docs/gateway.md`, "Pictures and source videos").
"""

from __future__ import annotations

import hashlib
import math
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..files import sha256_of, state_of
from ..gateway import models
from ..gateway.contract import LARGEST_UPLOAD_BYTES
from ..gateway.errors import InputError
from ..gateway.models import VIDEO_TO_VIDEO
from ..media.bare import copy_bare, copyable, extras
from ..media.decode import measure, usual_rate
from ..media.encode import trim_clip
from ..media.encoders import FOR_EVERYBODY, Encoder, choose, remark_on
from ..media.errors import NotAClip
from ..media.imprint import bytes_of_clip
from ..media.probe import Clip, probe
from ..media.span import Span
from ..media.stills import encode_still, pixel_digest
from ..remarks import Remark, Sentence, remark
from ..stopping import Stop
from ..troubles import Trouble
from .order import Medium, MediumFile

if TYPE_CHECKING:
    import numpy as np

LARGEST_SIDE_PIXELS = 1920
_MOST_PICTURES_A_SECOND = 60
_RATE_ROUNDING = 0.05  # 60000/1001 and what containers make of it are meant to be 60
_BURST = 1.1  # cameras that keep to 60 are off by as much for a few pictures
_PIXEL_FORMATS = ("yuv420p", "yuvj420p")
_PART_FOR_PICTURES = 0.8  # of the upload's limit; the rest is sound, the container's own, and x264's first buffer
_LENGTH_ROUNDING_SECONDS = 0.1
_MP4 = "video/mp4"


def of_picture(pixels: np.ndarray[Any, Any], model: str) -> Medium:
    """A float [height, width, 3 or 4] picture, 0..1, sent as PNG or JPEG. Raises BadPicture."""
    limits = models.picture_limits(model)

    def write(folder: Path, stop: Stop) -> MediumFile:
        still = encode_still(
            pixels,
            smallest_side=limits.smallest_side,
            largest_side=limits.largest_side,
            largest_bytes=limits.largest_bytes,
        )
        path = folder / f"{uuid.uuid4().hex}{still.suffix}"
        path.write_bytes(still.data)
        return MediumFile(path, still.content_type, ours=True, notes=still.notes)

    return Medium(pixel_digest(pixels), write)


def of_file(
    path: Path,
    stop: Stop,
    model: str,
    *,
    start_seconds: float = 0.0,
    seconds: float = 0.0,
    encoders: Sequence[Encoder] = FOR_EVERYBODY,
) -> Medium:
    """A clip on disk, or a part of it (`seconds` 0: to its end). Raises InputError, NotAClip, NoEncoder, Stopped.

    Its packets are copied where every host can decode them; anything else is encoded once, streamed, with its sound.
    """
    seen = state_of(path)
    clip = probe(path)
    whole = not start_seconds and not seconds
    length = _length(clip, start_seconds, seconds, model, stop)
    notes = notes_on_length(length, model)
    if not whole or why_encoded(clip):
        choose(encoders)
    # What we wrote behind a clip of ours is no part of it: with and without, it makes the same job.
    digest = sha256_of(path, stop, bytes_of_clip(path))
    if not whole:
        digest = hashlib.sha256(repr((digest, start_seconds, seconds)).encode()).hexdigest()

    def write(folder: Path, stop: Stop) -> MediumFile:
        out = folder / f"{uuid.uuid4().hex}.mp4"
        _require_unchanged(path, seen)
        file = made(out, stop)
        try:
            _require_unchanged(path, seen)
        except InputError:
            out.unlink()
            raise
        return file

    def made(out: Path, stop: Stop) -> MediumFile:
        left_out = _left_out(extras(path))
        why = (remark(Sentence.IS_PART) if not whole else None) or why_encoded(clip) or _why_not_copied(path, stop)
        if why is None:
            try:
                copy_bare(path, out, stop=stop)
                return MediumFile(out, _MP4, ours=True, notes=(*notes, *left_out))
            except NotAClip:
                why = remark(Sentence.NOT_COPIED)
        rate = _rate_of(path, Span(start_seconds, seconds=seconds))
        span = Span(start_seconds, max_side=LARGEST_SIDE_PIXELS, fps=rate, seconds=seconds)
        bits = most_bits_a_second(length)
        trim_clip(path, out, span, stop=stop, most_bits_a_second=bits, encoders=encoders)
        done = remark(Sentence.BECAUSE, what=_encoded_by(encoders), why=why)
        return MediumFile(out, _MP4, ours=True, notes=(*notes, done, *clip.remarks, *left_out))

    return Medium(digest, write)


def _length(clip: Clip, start_seconds: float, seconds: float, model: str, stop: Stop) -> float:
    """How long the pictures of a clip, or of a part of it, last; if that is too long for the model, how long roughly.

    Headers often tell the length of the sound, or that of a recording that broke off. So packets are read, but none
    that lie behind what the model takes.
    """
    offer = models.offer(model, VIDEO_TO_VIDEO)
    limits = [seconds, offer.source_seconds[1] + 1 if offer and offer.source_seconds else 0.0]
    reach = min((limit for limit in limits if limit), default=0.0)
    found = measure(clip.path, Span(start_seconds, fps=_MOST_PICTURES_A_SECOND, seconds=reach), stop=stop).seconds
    at_the_end = not reach or found < reach - _LENGTH_ROUNDING_SECONDS
    return found if at_the_end else max(found, seconds or clip.seconds - start_seconds)


def _require_unchanged(path: Path, seen: object) -> None:
    """A job may wait for hours, and its file be another by then: what was linked is what is paid for."""
    if state_of(path) != seen:
        raise InputError(remark(Trouble.CHANGED_SINCE, file=path.name), advice=remark(Trouble.SEND_AS_IT_IS))


def _encoded_by(encoders: Sequence[Encoder]) -> Remark:
    return remark_on(choose(encoders)) or remark(Sentence.ENCODED)


def encoded(encode: Callable[[Path, Stop], None], notes: tuple[Remark, ...]) -> Callable[[Path, Stop], MediumFile]:
    """How a medium is written that has to be encoded first: `encode(path, stop)` makes the file. Raises NoEncoder."""
    choose(FOR_EVERYBODY)

    def write(folder: Path, stop: Stop) -> MediumFile:
        path = folder / f"{uuid.uuid4().hex}.mp4"
        encode(path, stop)
        return MediumFile(path, _MP4, ours=True, notes=(*notes, _encoded_by(FOR_EVERYBODY)))

    return write


def why_encoded(clip: Clip) -> Remark | None:
    """Why a clip cannot be sent with the packets it has; None if it can."""
    reasons = {
        remark(Sentence.IS_CODEC, codec=clip.codec): clip.codec != "h264",
        remark(Sentence.IS_FORM, form=clip.pixel_format): clip.pixel_format not in _PIXEL_FORMATS,
        remark(Sentence.IS_HDR, form=clip.hdr or ""): clip.hdr is not None,
        remark(Sentence.IS_INTERLACED): clip.interlaced,
        remark(Sentence.IS_TURNED): not clip.upright,
        remark(Sentence.NOT_SQUARE): not clip.square_pixels,
        remark(Sentence.IS_SIZE, width=clip.width, height=clip.height): max(clip.width, clip.height)
        > LARGEST_SIDE_PIXELS,
        remark(Sentence.IS_FAST, rate=f"{clip.fps:g}"): clip.fps > _MOST_PICTURES_A_SECOND + _RATE_ROUNDING,
        remark(Sentence.IS_LARGE, megabytes=f"{clip.size_bytes / 1e6:.0f}"): clip.size_bytes > LARGEST_UPLOAD_BYTES,
    }
    return next((reason for reason, holds in reasons.items() if holds), None)


def _why_not_copied(path: Path, stop: Stop) -> Remark | None:
    """Why its packets cannot be sent as they lie, by looking at each; None if they can."""
    found = copyable(path, stop=stop)
    if found.why_not is None and found.most_a_second > _MOST_PICTURES_A_SECOND * _BURST:
        return remark(Sentence.BURSTS, rate=f"{found.most_a_second:.0f}")
    return found.why_not


def _rate_of(path: Path, part: Span) -> float:
    """A constant rate for what is sent: its own, or where its pictures keep to none, that of most of them."""
    rate = usual_rate(path, part)
    return rate / every_nth_sent(rate)


def every_nth_sent(rate: float) -> int:
    """Which pictures of a clip of so many a second are sent: 1 for all of them, 2 for every other one."""
    return max(1, math.ceil((rate - _RATE_ROUNDING) / _MOST_PICTURES_A_SECOND))


def most_bits_a_second(seconds: float) -> int:
    """How many bits a second pictures may take, so that a clip of this length can be uploaded."""
    return int(LARGEST_UPLOAD_BYTES * 8 * _PART_FOR_PICTURES / max(seconds, 1.0))


def notes_on_length(seconds: float, model: str) -> tuple[Remark, ...]:
    """A warning for a source that may be too short. Raises InputError for one that is too long for the model."""
    offer = models.offer(model, VIDEO_TO_VIDEO)
    if offer is None or offer.source_seconds is None:
        return ()
    shortest, longest = offer.source_seconds
    told = {"seconds": f"{seconds:.1f}", "model": model, "shortest": f"{shortest:g}", "longest": f"{longest:g}"}
    if seconds > longest + _LENGTH_ROUNDING_SECONDS:
        raise InputError(
            remark(Trouble.SOURCE_TOO_LONG, **told), advice=remark(Trouble.CUT_BEFORE, longest=f"{longest:g}")
        )
    if seconds < shortest:
        return (remark(Sentence.SHORT_SOURCE, **told),)
    return ()


def _left_out(found: tuple[Remark, ...]) -> tuple[Remark, ...]:
    return (remark(Sentence.LEFT_OUT, extras=found),) if found else ()
