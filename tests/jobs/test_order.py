"""What makes two orders the same job (money rule 3), and what is refused before anything is sent."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from nodes.gateway.errors import Charge, InputError
from nodes.gateway.models import TEXT_TO_VIDEO, VIDEO_TO_VIDEO
from nodes.jobs.order import Order
from tests.support.harness import medium, text_order

IMAGE = Order("wan2-6", "image-to-video", "x", "5", "720p", 0, ("https://a/1", medium(b"one")))


def test_the_same_order_is_the_same_job() -> None:
    assert text_order().identity("a") == text_order().identity("a")


def test_the_same_content_is_the_same_job_however_it_will_be_written() -> None:
    again = replace(IMAGE, references=("https://a/1", medium(b"one", "image/jpeg")))
    assert IMAGE.identity("a") == again.identity("a")


@pytest.mark.parametrize(
    "change",
    [
        {"model": "wan2-7"},
        {"type": "video-to-video"},
        {"prompt": "y"},
        {"prompt": "x "},
        {"duration": "10"},
        {"resolution": "1080p"},
        {"take": 1},
        {"references": ("https://a/2", medium(b"one"))},
        {"references": ("https://a/1", medium(b"two"))},
        {"references": (medium(b"one"), "https://a/1")},
        {"references": ("https://a/1",)},
        {"references": ("https://a/1", medium(b"one"), medium(b"one"))},
    ],
)
def test_any_change_is_another_job(change: dict[str, Any]) -> None:
    assert replace(IMAGE, **change).identity("a") != IMAGE.identity("a")


def test_another_account_has_other_jobs() -> None:
    assert text_order().identity("a") != text_order().identity("b")


def test_a_url_is_never_mistaken_for_content() -> None:
    digest = medium(b"one").digest
    with_url = replace(IMAGE, references=(f"https://{digest}/",))
    assert with_url.identity("a") != replace(IMAGE, references=(medium(b"one"),)).identity("a")


@pytest.mark.parametrize(
    "wrong",
    [
        {"prompt": ""},
        {"prompt": " \n"},
        {"prompt": "x" * 5001},
        {"prompt": "half \ud83d a smile"},
        {"prompt": "an end \0 within"},
        {"model": "\udc00"},
        {"type": "speech-to-video"},
        {"references": ("http://a/1",)},
        {"references": ("https://user:pass@a/1",)},
        {"references": ("https://a/1 2",)},
        {"references": ("https:///1",)},
        {"references": ("https://[::1/1",)},
        {"references": ("file:///etc/passwd",)},
        {"references": ("https://a/\ud800",)},
    ],
)
def test_a_wrong_input_is_refused_before_a_cent_is_spent(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError) as caught:
        replace(text_order(), **wrong)
    assert caught.value.charge is Charge.NOT_SENT


def test_references_become_the_fields_of_their_type() -> None:
    image = IMAGE.request(("https://a/1", "https://cdn/one"))
    video = replace(IMAGE, type="video-to-video").request(("https://cdn/one",))
    text = text_order().request(())
    assert (image.image_urls, image.video_url) == (("https://a/1", "https://cdn/one"), None)
    assert (video.image_urls, video.video_url) == ((), "https://cdn/one")
    assert (text.image_urls, text.video_url) == ((), None)


def test_what_may_go_wrong_is_told_and_sent_all_the_same() -> None:
    assert not text_order().warnings
    assert "may be ignored" in str(replace(text_order(), prompt="x" * 1501).warnings[0])
    assert "does not know the model" in str(replace(text_order(), model="wan9").warnings[0])
    assert "2 images" in str(IMAGE.warnings[0])


@pytest.mark.parametrize(
    ("field", "value"), [("duration", "7"), ("duration", ""), ("resolution", "4k"), ("resolution", "720P")]
)
def test_what_is_not_on_offer_is_refused_before_anything_is_sent(field: str, value: str) -> None:
    settings = {"duration": "5", "resolution": "720p"} | {field: value}
    with pytest.raises(InputError, match=field):
        Order("wan2-6", TEXT_TO_VIDEO, "A yacht", settings["duration"], settings["resolution"])


def test_a_source_video_is_never_stretched_to_fifteen_seconds() -> None:
    with pytest.raises(InputError, match="duration"):
        Order("wan2-6", VIDEO_TO_VIDEO, "Bluer", "15", "720p", references=("https://example.com/a.mp4",))


@pytest.mark.parametrize("take", [-1, 2_147_483_648, 2**70])
def test_a_take_that_no_journal_could_keep_is_refused(take: int) -> None:
    with pytest.raises(InputError, match="take"):
        replace(text_order(), take=take)
