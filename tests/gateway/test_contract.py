"""What is sent is exact; what comes back may be anything and is read without harm."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes.gateway import contract
from nodes.gateway.contract import CreateRequest

PAGE_QUERY = {
    "success": True,
    "data": {
        "task_id": "vid_01HQ9MA3M6V6HC6S5R9V7N4Q4D",
        "model": "wan2-6",
        "status": "completed",
        "output": {"resultUrls": ["https://cdn.apimall.ai/generated/video-01.mp4"]},
        "video_url": "https://cdn.apimall.ai/generated/result.mp4",
        "error_message": None,
        "credits_used": 30,
        "credits_refunded": 0,
        "created_at": "2026-03-12T09:35:00.000Z",
        "updated_at": "2026-03-12T09:36:48.000Z",
        "completed_at": "2026-03-12T09:36:48.000Z",
    },
    "request_id": "req_01HQ9M7J7X9P7Y8T6W5V4U3S2R",
}


def task(**data: Any) -> contract.Task | None:
    return contract.parse_task({"success": True, "data": data, "request_id": "req_1"}, "vid_1")


def test_a_request_is_sent_with_the_documented_fields_and_no_others() -> None:
    body = CreateRequest("wan2-6", "text-to-video", "A d\u00f6g", "5", "720p").body()
    expected = {
        "model": "wan2-6",
        "type": "text-to-video",
        "prompt": "A d\u00f6g",
        "duration": "5",
        "resolution": "720p",
    }
    assert json.loads(body) == expected
    assert "A d\u00f6g".encode() in body


def test_media_are_sent_as_the_page_names_them() -> None:
    image = CreateRequest("wan2-6", "image-to-video", "x", "5", "720p", image_urls=("https://a/1", "https://a/2"))
    video = CreateRequest("wan2-6", "video-to-video", "x", "5", "720p", video_url="https://a/v")
    assert json.loads(image.body())["image_urls"] == ["https://a/1", "https://a/2"]
    assert json.loads(video.body())["video_url"] == "https://a/v"
    assert "video_url" not in json.loads(image.body())


def test_equal_requests_have_equal_bytes() -> None:
    first, second = (CreateRequest("wan2-6", "text-to-video", "x", "5", "720p").body() for _ in range(2))
    assert first == second


def test_the_sample_of_the_page_is_read_whole() -> None:
    read = contract.parse_task(PAGE_QUERY, "vid_01HQ9MA3M6V6HC6S5R9V7N4Q4D")
    assert read is not None
    assert read.status == "completed"
    assert read.video_urls == (
        "https://cdn.apimall.ai/generated/result.mp4",
        "https://cdn.apimall.ai/generated/video-01.mp4",
    )
    assert (read.credits_used, read.credits_refunded, read.error_message) == (30, 0, None)


@pytest.mark.parametrize(
    "word", ["pending", "processing", "unknown", "queued", "succeeded", "complete", "FAIL", "\u2603"]
)
def test_no_word_but_two_ends_a_job(word: str) -> None:
    read = task(status=word)
    assert read is not None
    assert read.status not in (contract.COMPLETED, contract.FAILED)


@pytest.mark.parametrize("word", ["completed", "failed", "Completed", " FAILED "])
def test_the_two_words_end_a_job_however_they_are_written(word: str) -> None:
    read = task(status=word)
    assert read is not None
    assert read.status in (contract.COMPLETED, contract.FAILED)


@pytest.mark.parametrize("status", [None, "", "  ", 7, True, [], {}, "\u200b"])
def test_without_a_status_word_there_is_no_answer(status: object) -> None:
    assert task(status=status) is None


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"error_message": "too dark"}, "too dark"),
        ({"failMsg": "too dark"}, "too dark"),
        ({"error_message": None, "failMsg": "too dark"}, "too dark"),
        ({"error_message": "this", "failMsg": "that"}, "this"),
        ({"error_message": {"a": 1}}, None),
        ({"error_message": "<b>\x1b[31m\u202eevil\n\nlines"}, "<b> [31m evil lines"),
    ],
)
def test_the_reason_of_a_failure_is_read_from_either_field_as_one_line(
    data: dict[str, object], message: str | None
) -> None:
    read = task(status="failed", **data)
    assert read is not None
    assert read.error_message == message


def test_a_long_reason_is_cut() -> None:
    read = task(status="failed", error_message="x" * 100_000)
    assert read is not None
    assert read.error_message is not None
    assert len(read.error_message) == 600


@pytest.mark.parametrize(
    ("output", "urls"),
    [
        ({"resultUrls": ["https://a/1", "https://a/2"]}, ("https://a/0", "https://a/1", "https://a/2")),
        ({"resultUrls": ["https://a/0"]}, ("https://a/0",)),
        ({"resultUrls": "https://a/1"}, ("https://a/0",)),
        ({"resultUrls": [None, 5, {}, "", "https://a/9"]}, ("https://a/0",)),
        ({"resultUrls": ["u" * 5000]}, ("https://a/0",)),
        ([], ("https://a/0",)),
        (None, ("https://a/0",)),
    ],
)
def test_addresses_are_taken_in_their_order_of_preference(output: object, urls: tuple[str, ...]) -> None:
    read = task(status="completed", video_url="https://a/0", output=output)
    assert read is not None
    assert read.video_urls == urls


@pytest.mark.parametrize(
    ("value", "credits"),
    [
        (30, 30.0),
        (2.5, 2.5),
        ("30", 30.0),
        (None, None),
        (True, None),
        (-1, None),
        ("many", None),
        (float("nan"), None),
        (float("inf"), None),
        (10**400, None),
        (1e308, None),
        ([30], None),
    ],
)
def test_credits_are_a_number_or_not_known(value: object, credits: float | None) -> None:
    read = task(status="failed", credits_used=value, credits_refunded=value)
    assert read is not None
    assert (read.credits_used, read.credits_refunded) == (credits, credits)


@pytest.mark.parametrize(
    ("task_id", "found"),
    [
        ("vid_1", "vid_1"),
        (12345, "12345"),
        ("x" * 200, "x" * 200),
        ("x" * 201, None),
        ("", None),
        (None, None),
        (True, None),
        (1.5, None),
        (["vid_1"], None),
        ("two words", None),
        ("line\nbreak", None),
        ("zero\u200bwidth", None),
        (".", None),
        ("..", None),
        ("../account/balances", "../account/balances"),
        (10**300, None),
    ],
)
def test_a_task_id_is_opaque_but_must_be_able_to_be_one(task_id: object, found: str | None) -> None:
    assert contract.task_identifier(task_id) == found
    accepted = contract.parse_accepted({"data": {"task_id": task_id}})
    assert (accepted and accepted.task_id) == found


def test_an_accepted_reply_may_lack_everything_but_the_task() -> None:
    assert contract.parse_accepted({"data": {"task_id": "vid_1", "credits_used": None}}) == contract.Accepted("vid_1")


@pytest.mark.parametrize("data", [None, [], "vid_1", 5, {}, {"id": "vid_1"}])
def test_a_reply_that_names_no_task_accepts_nothing(data: object) -> None:
    assert contract.parse_accepted({"data": data}) is None


@pytest.mark.parametrize(
    ("envelope", "code", "message"),
    [
        ({"error": {"code": "insufficient_credits", "message": "Too few"}}, "insufficient_credits", "Too few"),
        ({"error": "Too few"}, None, "Too few"),
        ({"error": None, "message": "Too few"}, None, "Too few"),
        ({"error": [1, 2]}, None, None),
        ({"error": {"code": 5, "message": ["x"]}}, None, None),
        ({}, None, None),
    ],
)
def test_a_refusal_is_read_in_whatever_shape_it_comes(
    envelope: dict[str, Any], code: str | None, message: str | None
) -> None:
    refusal = contract.parse_refusal(envelope)
    assert (refusal.code, refusal.message) == (code, message)


@pytest.mark.parametrize(
    ("data", "credits"),
    [
        ({"credits": 120, "api_credits": 80}, 80.0),
        ({"credits": 120}, 120.0),
        ({"credits": 120, "api_credits": None}, 120.0),
        ({"api_credits": 0, "credits": 5}, 0.0),
        ({}, None),
        (None, None),
    ],
)
def test_the_balance_is_what_the_api_can_spend(data: object, credits: float | None) -> None:
    assert contract.parse_balance({"data": data}).credits == credits


def test_an_upload_slot_needs_both_addresses() -> None:
    both = {"upload_url": "https://r2/x", "public_url": "https://cdn/x"}
    assert contract.parse_upload_address({"data": both}, "image/png") == contract.UploadAddress(
        "https://r2/x", "https://cdn/x", "image/png"
    )
    for missing in both:
        assert contract.parse_upload_address({"data": {**both, missing: None}}, "image/png") is None


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"null",
        b"[]",
        b"5",
        b'"text"',
        b"{",
        b"<html>",
        b"\xff\xfe\x00",
        b'{"a":' * 200_000,
        b"[" * 100_000,
        b'{"a":' + b"9" * 10_000 + b"}",
        b"\xef\xbb\xbf{}x",
    ],
)
def test_what_is_no_json_object_is_none(raw: bytes) -> None:
    assert contract.parse_object(raw) is None
    assert contract.parse_object(raw, secret="sk-secret") is None


@pytest.mark.parametrize(
    "raw",
    [b'{"a":"x sk-secret y"}', b'{"a":"x \\u0073k-secret y"}', b'{"deep":[{"sk-secret":"sk-secretsk-secret"}]}'],
)
def test_an_echoed_key_is_taken_out_before_anything_is_read(raw: bytes) -> None:
    read = contract.parse_object(raw, secret="sk-secret")
    assert read is not None
    assert "[key]" in json.dumps(read)
    assert "sk-secret" not in json.dumps(read)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
KNOWN = st.sampled_from(
    ["task_id", "status", "video_url", "output", "resultUrls", "credits_used", "error_message", "upload_url", "url"]
)
DATA = st.dictionaries(KNOWN, JSON, max_size=6)


@given(st.fixed_dictionaries({}, optional={"data": DATA | JSON, "error": JSON, "request_id": JSON, "message": JSON}))
def test_no_json_whatever_its_shape_breaks_the_reading(envelope: dict[str, Any]) -> None:
    contract.parse_accepted(envelope)
    contract.parse_task(envelope, "vid_1")
    contract.parse_refusal(envelope)
    contract.parse_balance(envelope)
    contract.parse_upload_address(envelope, "image/png")
    contract.parse_file_url(envelope)


@given(st.text(), st.integers(min_value=4, max_value=700))
def test_clean_text_is_one_short_visible_line(text: str, longest: int) -> None:
    shown = contract.clean_text(text, longest)
    assert len(shown) <= longest
    assert shown == " ".join(shown.split())
    assert shown.encode().decode() == shown


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", "localhost", "LOCALHOST"])
def test_every_loopback_address_is_this_machine(host: str) -> None:
    assert contract.is_loopback(host)


@pytest.mark.parametrize(
    "host", [None, "", "0.0.0.0", "192.0.2.7", "::ffff:192.0.2.7", "localhost.evil.example", "127.1", "::"]
)
def test_other_addresses_are_not(host: str | None) -> None:
    assert not contract.is_loopback(host)
