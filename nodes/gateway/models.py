"""The catalogue: a model is one row, and all that this pack knows of a model is in its row.

To add one, write its row: widgets, checks, warnings, uploads, the pace of polls and the rehearsal read it here. A limit
is written down only where a source names it (`docs/gateway.md`, "Assumptions").
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

TEXT_TO_VIDEO = "text-to-video"
IMAGE_TO_VIDEO = "image-to-video"
VIDEO_TO_VIDEO = "video-to-video"
TYPES = (TEXT_TO_VIDEO, IMAGE_TO_VIDEO, VIDEO_TO_VIDEO)

_UNKNOWN_RUN_SECONDS = 74.0


@dataclass(frozen=True)
class PictureLimits:
    """What a picture for the model should keep to: pixels a side, bytes of its file."""

    smallest_side: int
    largest_side: int
    largest_bytes: int


@dataclass(frozen=True)
class Offer:
    """One type of job, as a model makes it.

    durations: seconds, as the gateway spells them; the first is the default, as with resolutions. longest_prompt:
    characters that are refused beyond; safe_prompt: those that are certainly read. references: how many pictures or
    clips are used. source_seconds: shortest and longest source clip. usual_seconds: when jobs begin to be done.
    """

    durations: tuple[str, ...]
    resolutions: tuple[str, ...]
    longest_prompt: int
    safe_prompt: int
    usual_seconds: float
    references: int = 0
    source_seconds: tuple[float, float] | None = None


@dataclass(frozen=True)
class Model:
    """A row: the name that the gateway knows it by, what it makes of each type of job, and what pictures it takes."""

    name: str
    offers: Mapping[str, Offer]
    pictures: PictureLimits


CATALOGUE: tuple[Model, ...] = (
    Model(
        "wan2-6",
        {
            TEXT_TO_VIDEO: Offer(("5", "10", "15"), ("720p", "1080p"), 5000, 1500, 74.0),
            IMAGE_TO_VIDEO: Offer(("5", "10", "15"), ("720p", "1080p"), 5000, 1500, 74.0, references=1),
            VIDEO_TO_VIDEO: Offer(
                ("5", "10"), ("720p", "1080p"), 5000, 1500, 74.0, references=1, source_seconds=(2.0, 30.0)
            ),
        },
        PictureLimits(smallest_side=360, largest_side=2000, largest_bytes=10_000_000),
    ),
)
"""The first row is the default, and what a name that is not in the list is taken to be like."""


def names() -> tuple[str, ...]:
    """The models on offer, the default first."""
    return tuple(model.name for model in CATALOGUE)


def is_known(name: str) -> bool:
    """Whether the catalogue has this model; one that it has not is the gateway's to judge."""
    return name in names()


def durations(job_type: str) -> tuple[str, ...]:
    """Every duration that some model offers for a type, in the order of the catalogue."""
    return _every(offer.durations for offer in _offers_of(job_type))


def resolutions(job_type: str) -> tuple[str, ...]:
    """Every resolution that some model offers for a type, in the order of the catalogue."""
    return _every(offer.resolutions for offer in _offers_of(job_type))


def offer(name: str, job_type: str) -> Offer | None:
    """What a model makes of a type; None if it does not. A model nobody knows is taken for the default one."""
    return _row(name).offers.get(job_type)


def picture_limits(name: str) -> PictureLimits:
    """What a picture for the model should keep to."""
    return _row(name).pictures


def usual_seconds(name: str, job_type: str) -> float:
    """When jobs of a kind begin to be done, before any run of them is known; also of a task that others began."""
    found = offer(name, job_type)
    return found.usual_seconds if found else _UNKNOWN_RUN_SECONDS


def _row(name: str) -> Model:
    return next((model for model in CATALOGUE if model.name == name), CATALOGUE[0])


def _offers_of(job_type: str) -> list[Offer]:
    return [model.offers[job_type] for model in CATALOGUE if job_type in model.offers]


def _every(lists: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(word for words in lists for word in words))
