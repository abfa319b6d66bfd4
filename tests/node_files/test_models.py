"""A model is one row of the catalogue: a new row passes through every room without another line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nodes.gateway import models
from nodes.gateway.errors import InputError
from nodes.gateway.models import IMAGE_TO_VIDEO, TEXT_TO_VIDEO, VIDEO_TO_VIDEO, Model, Offer, PictureLimits
from nodes.jobs.order import Order
from nodes.jobs.pace import next_poll
from nodes.journal.reads import Records
from nodes.journal.rows import Kind
from nodes.text_to_video import TextToVideo
from tests.support.harness import ACCOUNT, bench, rehearsal

MADE_UP = Model(
    "made-up-9",
    {TEXT_TO_VIDEO: Offer(("8", "3"), ("480p", "720p"), longest_prompt=40, safe_prompt=20, usual_seconds=20.0)},
    PictureLimits(smallest_side=8, largest_side=100, largest_bytes=1000),
)


@pytest.fixture
def with_made_up(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(models, "CATALOGUE", (*models.CATALOGUE, MADE_UP))
    yield


def made_up(prompt: str = "a kite", duration: str = "3", resolution: str = "480p") -> Order:
    return Order("made-up-9", TEXT_TO_VIDEO, prompt, duration, resolution)


@pytest.mark.usefixtures("with_made_up")
def test_the_node_offers_what_any_model_offers_and_keeps_its_defaults() -> None:
    offered: dict[str, Any] = {entry.id: entry for entry in TextToVideo.define_schema().inputs}
    assert offered["model"].options == ["wan2-6", "made-up-9"]
    assert offered["duration"].options == ["5", "10", "15", "8", "3"]
    assert offered["resolution"].options == ["720p", "1080p", "480p"]
    assert [offered[name].default for name in ("model", "duration", "resolution")] == ["wan2-6", "5", "720p"]


@pytest.mark.usefixtures("with_made_up")
@pytest.mark.parametrize(
    ("order", "problem"),
    [
        (lambda: made_up(duration="5"), "Choose one of 8, 3"),
        (lambda: made_up(resolution="1080p"), "Choose one of 480p, 720p"),
        (lambda: made_up("x" * 41), "Shorten it to 40"),
        (lambda: Order("made-up-9", IMAGE_TO_VIDEO, "x", "3", "480p"), "Choose another model"),
        (lambda: Order("wan2-6", TEXT_TO_VIDEO, "x", "3", "720p"), "Choose one of 5, 10, 15"),
    ],
)
def test_an_order_keeps_to_what_its_own_model_offers(order: Any, problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        order()


@pytest.mark.usefixtures("with_made_up")
def test_what_is_warned_of_is_the_models_own() -> None:
    (warning,) = made_up("x" * 21).warnings
    assert str(warning) == "Of 21 characters of prompt, those beyond 20 may be ignored."


@pytest.mark.usefixtures("with_made_up")
def test_a_job_of_it_is_rehearsed_paid_and_learned_from(tmp_path: Path) -> None:
    with rehearsal(tmp_path / "gateway") as gateway, bench(tmp_path / "user", gateway.base_url) as ours:
        result = ours.make(made_up()).result()
        assert result.path.is_file()
        kind = Kind("made-up-9", TEXT_TO_VIDEO, "3", "480p")
        assert result.job.kind == kind
        estimate = Records(ours.journal.place).estimate(ACCOUNT, kind)
        assert (estimate.runs, estimate.credits) == (1, 12.0)
        assert Records(ours.journal.place).estimate(ACCOUNT, Kind("wan2-6", *kind_without_model(kind))).runs == 0


def kind_without_model(kind: Kind) -> tuple[str, str, str]:
    return kind.type, kind.duration, kind.resolution


@pytest.mark.usefixtures("with_made_up")
def test_it_is_polled_by_its_own_usual_time() -> None:
    usual = models.usual_seconds("made-up-9", TEXT_TO_VIDEO)
    assert next_poll(16, None, usual, watched=True) < next_poll(16, None, 74.0, watched=True)


def test_a_model_nobody_knows_is_taken_for_the_default_one() -> None:
    assert models.offer("not-in-the-list", VIDEO_TO_VIDEO) == models.offer("wan2-6", VIDEO_TO_VIDEO)


def test_the_readme_names_what_the_catalogue_offers() -> None:
    readme = (Path(__file__).resolve().parents[2] / "README.md").read_text("utf-8")
    for model in models.CATALOGUE:
        for job_type, offer in model.offers.items():
            row = f"| `{model.name}` | {job_type} | {', '.join(offer.durations)} | {', '.join(offer.resolutions)} |"
            assert row in readme
