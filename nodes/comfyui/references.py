"""What an artist links in, as the references of an order: identified by content, encoded only when uploaded."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..gateway import models
from ..gateway.errors import InputError
from ..gateway.models import IMAGE_TO_VIDEO
from ..jobs import order_media
from ..jobs.order import Medium
from ..media.audio import Sound
from ..media.encode import encode_clip
from ..media.errors import BadPicture, MediaError
from ..media.stills import to_bytes
from ..remarks import remark
from ..stopping import Stop, Stopped
from ..troubles import Trouble
from . import host, instance
from .checks import lines_of, no_open_line, no_open_url, require_images, require_video
from .linked_video import LinkedVideo, clip_of

if TYPE_CHECKING:
    import numpy as np
    import torch


def of_images(image: torch.Tensor | None, urls: str, model: str, stop: Stop) -> tuple[Medium | str, ...]:
    """Each picture of a batch, then each URL, one a line. Raises InputError; nothing was sent then."""
    lines = lines_of(urls)
    for number, url in lines:
        if not _is_open(url):
            raise no_open_line(number)
    pictures = _pictures_of(image)
    require_images(len(pictures) > 0, lines)
    _require_usable(len(pictures) + len(lines), model)
    sent = (_of_picture(number, each, model, stop) for number, each in enumerate(pictures, 1))
    return (*sent, *(url for _, url in lines))


def _require_usable(count: int, model: str) -> None:
    """A model that uses one picture would be sent, and make public, the others for nothing."""
    offer = models.offer(model, IMAGE_TO_VIDEO)
    if offer is not None and models.is_known(model) and count > offer.references:
        raise InputError(
            remark(Trouble.TOO_MANY_IMAGES, count=count, model=model, most=offer.references),
            advice=remark(Trouble.LINK_ONE_IMAGE),
        )


def of_video(video: LinkedVideo | None, url: str, model: str, stop: Stop) -> Medium | str:
    """The one source video: linked, or the https address of one. Raises InputError; nothing was sent then."""
    require_video(video is not None, url)
    if video is None:
        given = url.strip()
        if not _is_open(given):
            raise no_open_url()
        return given
    try:
        return _of_clip(video, model, stop)
    except MediaError as problem:
        raise InputError(remark(Trouble.VIDEO_NOT_SENT, problem=problem.what)) from None


def _pictures_of(image: torch.Tensor | None) -> Sequence[np.ndarray[Any, Any]]:
    """The pictures of a batch, float [height, width, 3 or 4] each."""
    if image is None:
        return ()
    if image.ndim != 4 or image.shape[-1] not in (3, 4) or 0 in image.shape:
        raise InputError(
            remark(Trouble.IMAGE_SHAPE, shape=str(tuple(image.shape))), advice=remark(Trouble.LINK_IMAGE_OUTPUT)
        )
    pictures: np.ndarray[Any, Any] = image.detach().cpu().float().numpy()
    return pictures  # type: ignore[return-value]


def _of_picture(number: int, pixels: np.ndarray[Any, Any], model: str, stop: Stop) -> Medium:
    if stop():
        raise Stopped
    try:
        return order_media.of_picture(pixels, model)
    except BadPicture as problem:
        raise InputError(remark(Trouble.IMAGE_NOT_SENT, number=number, problem=problem.what)) from None


def _is_open(url: str) -> bool:
    """https, or an address of the gateway's own where that is the rehearsal on this machine."""
    current = instance.current()
    own = current.loopback_origin(current.settings())
    reachable = url.lower().startswith("https://") or (own is not None and url.startswith(f"{own}/"))
    return reachable and not any(character.isspace() for character in url)


def _of_clip(video: LinkedVideo, model: str, stop: Stop) -> Medium:
    """What a VIDEO shows, as a file; frames are encoded only when they have to be uploaded."""
    frames = host.frames_of(video.own)
    if frames is not None:
        return _of_frames(frames, model, stop)
    clip = clip_of(video, stop)
    return order_media.of_file(clip.path, stop, model, start_seconds=clip.start_seconds, seconds=clip.seconds)


def _of_frames(parts: host.VideoParts, model: str, stop: Stop) -> Medium:
    """A clip made of frames: identified by its rounded pixels and its sound, whatever encoder comes to write it."""

    seconds = len(parts.pictures) / float(parts.fps)
    notes = order_media.notes_on_length(seconds, model)
    nth = order_media.every_nth_sent(float(parts.fps))
    sent = replace(parts, pictures=parts.pictures[::nth], fps=parts.fps / nth)

    def encode(path: Path, stop: Stop) -> None:
        bits = order_media.most_bits_a_second(seconds)
        encode_frames(sent, path, stop, most_bits_a_second=bits, max_side=order_media.LARGEST_SIDE_PIXELS)

    return Medium(frames_digest(parts, stop), order_media.encoded(encode, notes))


def encode_frames(parts: host.VideoParts, path: Path, stop: Stop, **settings: Any) -> None:
    """Write a clip that is frames and sound in memory. `settings` as for `encode_clip`."""
    sound = None if parts.samples is None else Sound(parts.samples, parts.sample_rate)
    encode_clip(parts.pictures, parts.fps, path, sound=sound, stop=stop, **settings)


def frames_digest(parts: host.VideoParts, stop: Stop) -> str:
    """The identity of a clip that is frames and sound in memory: SHA-256, hex."""
    digest = hashlib.sha256(repr((len(parts.pictures), parts.fps, parts.sample_rate)).encode())
    for picture in parts.pictures:
        if stop():
            raise Stopped
        digest.update(to_bytes(picture).tobytes())
    if parts.samples is not None:
        digest.update(parts.samples.tobytes())
    return digest.hexdigest()
