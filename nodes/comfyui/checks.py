"""What the values on a node rule out before it is queued, in the words of the checks that `execute` makes.

A front end marks the widget then; a failure some milliseconds after queueing is shown nowhere by the newest. ComfyUI
calls `validate_inputs` with None for what is linked, leaves out what is not given, and passes on any JSON: everything
here takes all of that, and judges only text.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final
from urllib.parse import urlsplit

from ..gateway import models
from ..gateway.contract import is_loopback
from ..gateway.errors import InputError
from ..gateway.models import IMAGE_TO_VIDEO, VIDEO_TO_VIDEO
from ..jobs.order import Order
from ..remarks import remark
from ..troubles import Trouble
from . import host

NOTHING: Final = object()
"""The default of an optional input in `validate_inputs`: not linked, where None means linked."""

Verdict = bool | str


def verdict(*checks: Callable[[], object]) -> Verdict:
    """True, or the message of the first check that raises InputError."""
    for check in checks:
        try:
            check()
        except InputError as problem:
            return str(problem)
    return True


def of_job(job_type: str, prompt: object, model: object) -> Verdict:
    """Of a paid node: its prompt and model."""
    return verdict(lambda: _require_job(job_type, prompt, model))


def of_image_job(prompt: object, model: object, image: object, image_urls: object) -> Verdict:
    """Of Image to Video: that there is something to animate, too."""
    return verdict(
        lambda: _require_job(IMAGE_TO_VIDEO, prompt, model),
        lambda: None if image_urls is None else require_images(image is not NOTHING, lines_of(_text(image_urls))),
    )


def of_video_job(prompt: object, model: object, video: object, video_url: object) -> Verdict:
    """Of Video to Video: that there is one source, too."""
    return verdict(
        lambda: _require_job(VIDEO_TO_VIDEO, prompt, model),
        lambda: None if video_url is None else require_video(video is not NOTHING, _text(video_url)),
    )


def of_loaded(file: object, url: object, video: object) -> Verdict:
    """Of Load Video: that something is chosen, and a file that is chosen is there."""
    if video is not NOTHING or not isinstance(url, str) or url.strip() or not isinstance(file, str):
        return True
    return verdict(lambda: host.input_file(file) if file else _refuse_nothing())


def _refuse_nothing() -> None:
    raise no_video()


def no_video() -> InputError:
    """For a Load Video on which nothing is chosen."""
    return InputError(remark(Trouble.NO_VIDEO), advice=remark(Trouble.CHOOSE_A_VIDEO))


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def lines_of(urls: str) -> list[tuple[int, str]]:
    """The addresses in a text, each with the number of its line. Raises InputError for one that is none."""
    found = [(number, line.strip()) for number, line in enumerate(urls.splitlines(), 1) if line.strip()]
    for number, url in found:
        if not _may_be_open(url):
            raise no_open_line(number)
    return found


def no_open_line(number: int) -> InputError:
    """For a line of `image_urls` that the gateway could not read."""
    return InputError(remark(Trouble.NO_HTTPS_LINE, number=number), advice=remark(Trouble.ONE_A_LINE))


def require_images(linked: bool, urls: list[tuple[int, str]]) -> None:
    """Raises InputError when there is no image at all."""
    if not linked and not urls:
        raise InputError(remark(Trouble.NO_IMAGE), advice=remark(Trouble.LINK_AN_IMAGE))


def require_video(linked: bool, url: str) -> None:
    """Raises InputError unless there is exactly one source."""
    given = url.strip()
    if linked == bool(given):
        problem = Trouble.TWO_VIDEOS if given else Trouble.NO_VIDEO
        raise InputError(remark(problem), advice=remark(Trouble.LINK_ONE_VIDEO))
    if given and not _may_be_open(given):
        raise no_open_url()


def no_open_url() -> InputError:
    """For a `video_url` that the gateway could not read."""
    return InputError(remark(Trouble.NO_HTTPS_URL), advice=remark(Trouble.WRITE_OPEN_URL))


def _require_job(job_type: str, prompt: object, model: object) -> None:
    if not model and model is not None:
        raise InputError(remark(Trouble.NO_MODEL), advice=remark(Trouble.CHOOSE_A_MODEL))
    name = model if isinstance(model, str) else models.names()[0]
    offer = models.offer(name, job_type)
    if offer is not None and isinstance(prompt, str):
        Order(name, job_type, prompt, offer.durations[0], offer.resolutions[0])


def _may_be_open(url: str) -> bool:
    """https, or this machine, where the gateway may be a rehearsal; whether it is, is known only when it is sent."""
    try:
        parts = urlsplit(url)
        own = parts.scheme == "http" and is_loopback(parts.hostname)
    except ValueError:
        return False
    return (parts.scheme == "https" or own) and not any(character.isspace() for character in url)
