"""What leaves this machine for Image to Video, byte by byte."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from nodes.gateway import models
from nodes.media.stills import pixel_digest
from tests.support.node_files import (
    KEY,
    Comfy,
    image_to_video,
    noise,
    opened,
    puts,
    run_with,
    save,
    sent,
)

URL = "https://cdn.example.com/picture.png"


def eight_bits(images: torch.Tensor) -> np.ndarray[Any, Any]:
    rounded: np.ndarray[Any, Any] = np.rint(images.numpy().clip(0, 1) * np.float32(255)).astype(np.uint8)
    return rounded


def test_a_picture_is_uploaded_exactly_and_named_by_its_public_address(comfy: Comfy) -> None:
    images = noise()
    run_with(comfy, images, image_to_video).ok()
    assert comfy.steps() == ["upload_url", "put", "create", "download"]
    (put,) = puts(comfy)
    with opened(put.body) as picture:
        assert (picture.format, picture.mode, picture.info) == ("PNG", "RGB", {})
        assert np.array_equal(np.asarray(picture), eight_bits(images)[0])
    (task,) = comfy.gateway.record.tasks
    assert list(task.media) == sent(comfy)["image_urls"]


def test_only_documented_fields_are_sent(comfy: Comfy) -> None:
    run_with(comfy, noise(), image_to_video).ok()
    assert set(sent(comfy)) == {"model", "type", "prompt", "image_urls", "duration", "resolution"}
    assert sent(comfy)["duration"] == "5" and sent(comfy)["type"] == "image-to-video"
    (asked,) = comfy.gateway.record.of("upload_url")
    assert set(asked.json) == {"filename", "content_type", "file_size"}


def test_the_presigned_address_gets_the_file_and_no_key(comfy: Comfy) -> None:
    run_with(comfy, noise(), image_to_video).ok()
    (put,) = puts(comfy)
    assert "Authorization" not in put.headers and "Transfer-Encoding" not in put.headers
    assert put.headers["Content-Length"] == str(len(put.body))
    assert put.headers["Content-Type"] == "image/png"
    assert KEY not in str(put.headers) + put.path + put.query


def test_uploads_have_random_names(comfy: Comfy) -> None:
    for take in range(2):
        run_with(comfy, noise(), image_to_video, take=take).ok()
    names = [request.json["filename"] for request in comfy.gateway.record.of("upload_url")]
    assert len(set(names)) == 2


def test_what_lies_a_little_outside_of_0_to_1_is_cut_off(comfy: Comfy) -> None:
    images = noise() * 1.2 - 0.1
    run_with(comfy, images, image_to_video).ok()
    assert np.array_equal(np.asarray(opened(puts(comfy)[0].body)), eight_bits(images)[0])


def test_transparent_parts_become_white(comfy: Comfy) -> None:
    images = torch.full((1, 400, 400, 4), 0.25)
    images[..., 3] = 1.0
    images[:, :200, :, 3] = 0.0
    images[:, 200:300, :, 3] = 0.5
    run_with(comfy, images, image_to_video).ok()
    with opened(puts(comfy)[0].body) as picture:
        pixels = np.asarray(picture)
    assert picture.mode == "RGB"
    assert [int(pixels[row, 0, 0]) for row in (0, 250, 350)] == [255, 159, 64]


def test_a_large_picture_is_scaled_and_the_node_says_so(comfy: Comfy) -> None:
    outcome = run_with(comfy, torch.full((1, 1500, 3000, 3), 0.5), image_to_video).ok()
    assert opened(puts(comfy)[0].body).size == (2000, 1000)
    assert "scaled from 3000x1500 to 2000x1000" in outcome.said()


def test_a_small_picture_is_sent_with_a_warning(comfy: Comfy) -> None:
    outcome = run_with(comfy, noise(200, 300), image_to_video).ok()
    assert "300x200 is under 360 px" in outcome.said()


@pytest.fixture
def four_pictures_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    (row,) = models.CATALOGUE
    offer = replace(row.offers[models.IMAGE_TO_VIDEO], references=4)
    monkeypatch.setattr(models, "CATALOGUE", (replace(row, offers={**row.offers, models.IMAGE_TO_VIDEO: offer}),))


def test_more_pictures_than_the_model_uses_are_refused_before_any_is_uploaded(comfy: Comfy) -> None:
    outcome = run_with(comfy, noise(count=81), image_to_video)
    assert "81 images are given; wan2-6 uses 1" in outcome.error and "no credits were spent" in outcome.error
    outcome = run_with(comfy, noise(), image_to_video, image_urls=URL)
    assert "2 images are given; wan2-6 uses 1" in outcome.error
    assert comfy.requests == []


def test_a_model_that_nobody_knows_is_sent_what_is_linked(comfy: Comfy) -> None:
    run_with(comfy, noise(count=2), image_to_video, model="not-in-the-list")
    assert comfy.count("put") == 2


@pytest.mark.usefixtures("four_pictures_are_used")
def test_each_picture_of_a_batch_is_a_reference_before_the_addresses(comfy: Comfy) -> None:
    images = noise(count=2)
    run_with(comfy, images, image_to_video, image_urls=f"\n {URL} \n\n{URL}?2\n").ok()
    bodies = [np.asarray(opened(put.body)) for put in puts(comfy)]
    assert all(np.array_equal(body, image) for body, image in zip(bodies, eight_bits(images), strict=True))
    assert sent(comfy)["image_urls"][2:] == [URL, f"{URL}?2"] and len(sent(comfy)["image_urls"]) == 4


def test_addresses_alone_need_no_upload(comfy: Comfy) -> None:
    comfy.run({"1": image_to_video(image_urls=URL), "2": save("1")}).ok()
    assert comfy.steps() == ["create", "download"]
    assert sent(comfy)["image_urls"] == [URL]


def test_the_same_picture_in_another_job_is_not_uploaded_again(comfy: Comfy) -> None:
    images = noise()
    run_with(comfy, images, image_to_video).ok()
    comfy.restart()
    run_with(comfy, images.clone(), image_to_video, take=1).ok()
    assert (comfy.count("put"), comfy.count("create")) == (1, 2)


def test_the_same_picture_again_is_the_same_job(comfy: Comfy) -> None:
    images = torch.from_numpy(eight_bits(noise()).astype(np.float32) / np.float32(255))
    run_with(comfy, images, image_to_video).ok()
    before = len(comfy.requests)
    comfy.restart()
    run_with(comfy, images + 0.001, image_to_video).ok()
    assert len(comfy.requests) == before


def test_one_other_pixel_is_another_job(comfy: Comfy) -> None:
    images = noise()
    run_with(comfy, images, image_to_video).ok()
    images[0, 3, 5, 1] = (images[0, 3, 5, 1] + 0.5) % 1
    run_with(comfy, images, image_to_video).ok()
    assert comfy.count("create") == 2


def test_a_half_precision_picture_is_taken(comfy: Comfy) -> None:
    images = noise().half()
    run_with(comfy, images, image_to_video).ok()
    assert np.array_equal(np.asarray(opened(puts(comfy)[0].body)), eight_bits(images.float())[0])


def test_an_expired_upload_is_made_again_before_the_paid_call(comfy: Comfy) -> None:
    images = noise()
    run_with(comfy, images, image_to_video).ok()
    account = comfy.service.settings().account
    gone = f"{comfy.gateway.base_url}/cdn/uploads/gone.png"
    comfy.service.journal().remember_upload(account, pixel_digest(images[0].numpy()), gone)
    run_with(comfy, images, image_to_video, take=1).ok()
    assert (comfy.count("put"), comfy.count("create")) == (2, 2)
    assert comfy.gateway.record.charges() == comfy.gateway.record.tasks[0].credits_used * 2
