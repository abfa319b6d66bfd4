"""What the stand-in accepts and refuses is what the gateway's pages say."""

from __future__ import annotations

import base64
from typing import Any

import pytest
import requests

from nodes.rehearsal import contract
from nodes.rehearsal.server import RehearsalGateway

from .conftest import CLIP, KEY, T2V, Build, Caller, Clock


def test_a_create_is_answered_with_exactly_the_documented_fields(caller: Caller) -> None:
    answer = caller.create()
    assert answer.status_code == 200
    document = answer.json()
    assert set(document) == {"success", "data", "request_id"}
    assert document["success"] is True
    assert document["request_id"].startswith("req_")
    data = document["data"]
    assert set(data) == {"task_id", "request_id", "credits_used", "remaining_credits", "model"}
    assert data["task_id"].startswith("vid_")
    assert (data["credits_used"], data["remaining_credits"], data["model"]) == (30, 970, "wan2-6")


def test_a_task_goes_from_pending_over_processing_to_completed(caller: Caller, clock: Clock) -> None:
    task_id = caller.task()
    early = caller.look(task_id)
    clock.now += 3
    later = caller.look(task_id)
    clock.now += 3
    done = wait_until_completed(caller, task_id)
    assert [early["status"], later["status"], done["status"]] == ["pending", "processing", "completed"]
    assert early["video_url"] is None
    assert early["completed_at"] is None
    assert set(done) == {
        *("task_id", "model", "status", "output", "video_url", "error_message", "credits_used", "credits_refunded"),
        *("created_at", "updated_at", "completed_at"),
    }
    assert done["created_at"] == "2026-09-21T14:13:20.000Z"
    assert done["completed_at"] is not None
    assert done["output"]["resultUrls"] != [done["video_url"]]


def test_both_links_of_a_completed_task_lead_to_its_clip(caller: Caller, clock: Clock) -> None:
    done = completed(caller, clock)
    bodies = [requests.get(url, timeout=10).content for url in (done["video_url"], done["output"]["resultUrls"][0])]
    assert bodies[0].startswith(CLIP)
    assert bodies[0] == bodies[1]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": 1}, "Unknown parameter: seed"),
        ({"aspect_ratio": "16:9"}, "Unknown parameter: aspect_ratio"),
        ({"duration": 5}, "duration must be a string"),
        ({"duration": True}, "duration must be a string"),
        ({"prompt": ["a"]}, "prompt must be a string"),
        ({"duration": "7"}, "duration must be one of 5, 10, 15"),
        ({"resolution": "480p"}, "resolution must be one of"),
        ({"model": "wan2-7"}, "Unknown model: wan2-7"),
        ({"model": None}, "model is required"),
        ({"type": "audio-to-video"}, "Unknown type"),
        ({"prompt": None}, "prompt is required"),
        ({"prompt": "  "}, "prompt is required"),
        ({"prompt": "x" * 5001}, "longer than 5000"),
        ({"image_urls": ["https://example.com/a.png"]}, "not accepted for text-to-video"),
        ({"type": "image-to-video"}, "image_urls is required"),
        ({"type": "image-to-video", "image_urls": []}, "image_urls is required"),
        ({"type": "image-to-video", "image_urls": "https://example.com/a.png"}, "image_urls must be an array"),
        ({"type": "image-to-video", "image_urls": ["data:image/png;base64,AA"]}, "http or https URLs"),
        ({"type": "video-to-video"}, "video_url is required"),
        ({"type": "video-to-video", "video_url": ["https://example.com/a.mp4"]}, "video_url must be a string"),
        ({"type": "video-to-video", "video_url": "https://example.com/a.mp4", "duration": "15"}, "one of 5, 10 for"),
    ],
)
def test_what_the_contract_does_not_know_is_a_400_and_costs_nothing(
    caller: Caller, changes: dict[str, Any], message: str
) -> None:
    answer = caller.create(**changes)
    assert answer.status_code == 400
    document = answer.json()
    assert document["success"] is False
    assert document["error"]["code"] == "invalid_request"
    assert message in document["error"]["message"]
    assert caller.gateway.record.charges() == 0


def test_a_null_is_not_a_string(caller: Caller) -> None:
    answer = caller.post("/api/v1/videos/generate", {**T2V, "video_url": None})
    assert answer.status_code == 400


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"x"', b"\xff"])
def test_a_body_that_is_no_json_object_is_a_400(caller: Caller, body: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    url = caller.gateway.base_url + "/api/v1/videos/generate"
    assert caller.session.post(url, data=body, headers=headers, timeout=10).status_code == 400


def test_a_body_that_is_not_declared_as_json_is_a_400(caller: Caller) -> None:
    url = caller.gateway.base_url + "/api/v1/videos/generate"
    assert caller.session.post(url, data=b'{"model":"wan2-6","prompt":"x"}', timeout=10).status_code == 400


@pytest.mark.parametrize(
    ("key", "status", "code"),
    [
        ("", 401, "unauthorized"),
        (contract.REFUSED_KEY, 401, "unauthorized"),
        (contract.UNAPPROVED_KEY, 403, "forbidden"),
    ],
)
def test_a_key_that_is_missing_refused_or_not_approved_opens_nothing(
    gateway: RehearsalGateway, key: str, status: int, code: str
) -> None:
    caller = Caller(gateway, key)
    for answer in (caller.create(), caller.get("/api/v1/account/balances"), caller.get("/api/v1/videos/vid_x")):
        assert answer.status_code == status
        assert answer.json()["error"]["code"] == code


def test_another_host_name_than_the_gateways_is_a_403(caller: Caller) -> None:
    answer = caller.get("/api/v1/account/balances", headers={"Host": "rebound.example.com"})
    assert answer.status_code == 403


def test_a_prompt_with_the_documented_word_is_blocked(caller: Caller) -> None:
    answer = caller.create(prompt=f"A cat, {contract.BLOCKED_WORD.upper()}")
    assert answer.status_code == 451
    assert answer.json()["error"] == {"code": "content_blocked", "message": "Prompt blocked by content moderation"}


def test_a_task_is_known_to_its_own_account_only(caller: Caller) -> None:
    task_id = caller.task()
    assert caller.get(f"/api/v1/videos/{task_id}").status_code == 200
    assert Caller(caller.gateway, "sk-somebody-else").get(f"/api/v1/videos/{task_id}").status_code == 404
    assert caller.get("/api/v1/videos/history").status_code == 404


def test_the_method_of_each_address_is_the_documented_one(caller: Caller) -> None:
    assert caller.get("/api/v1/videos/generate").status_code == 405
    assert caller.post("/api/v1/account/balances", {}).status_code == 405
    assert caller.get("/api/v2/anything").status_code == 404


def test_a_presigned_upload_becomes_a_public_file(caller: Caller) -> None:
    url = caller.uploaded(b"picture", name="random-name.png")
    assert url.endswith("/random-name.png")
    served = requests.get(url, timeout=10)
    assert (served.content, served.headers["Content-Type"]) == (b"picture", "image/png")


@pytest.mark.parametrize(
    ("data", "headers", "code"),
    [
        (b"picture", {"Content-Type": "image/jpeg"}, "SignatureDoesNotMatch"),
        (b"pictures", {"Content-Type": "image/png"}, "SignatureDoesNotMatch"),
        (b"picture", {"Content-Type": "image/png", "Authorization": f"Bearer {KEY}"}, "InvalidArgument"),
        (iter([b"pict", b"ure"]), {"Content-Type": "image/png"}, "MissingContentLength"),
    ],
)
def test_a_put_that_differs_from_what_was_signed_is_a_403_in_xml(
    caller: Caller, data: Any, headers: dict[str, str], code: str
) -> None:
    told = presigned(caller)
    answer = requests.put(told["upload_url"], data=data, headers=headers, timeout=10)
    assert answer.status_code == 403
    assert f"<Code>{code}</Code>" in answer.text
    assert requests.get(told["public_url"], timeout=10).status_code == 404


def test_a_presigned_address_runs_out(caller: Caller, clock: Clock) -> None:
    told = presigned(caller, expires_in=60)
    clock.now += 61
    answer = requests.put(told["upload_url"], data=b"picture", headers={"Content-Type": "image/png"}, timeout=10)
    assert answer.status_code == 403
    assert "expired" in answer.text


def test_a_forged_signature_is_a_403(caller: Caller) -> None:
    address = presigned(caller)["upload_url"].partition("?")[0] + "?signature=00"
    answer = requests.put(address, data=b"picture", headers={"Content-Type": "image/png"}, timeout=10)
    assert answer.status_code == 403


@pytest.mark.parametrize(
    "changes",
    [
        {"filename": "../a.png"},
        {"filename": ""},
        {"content_type": "application/pdf"},
        {"file_size": 0},
        {"file_size": "7"},
        {"file_size": True},
        {"file_size": 104_857_601},
        {"expires_in": 59},
        {"expires_in": 3601},
        {"acl": "public"},
    ],
)
def test_a_presigned_address_is_given_for_documented_wishes_only(caller: Caller, changes: dict[str, Any]) -> None:
    wish = {"filename": "a.png", "content_type": "image/png", "file_size": 7, **changes}
    assert caller.post("/api/v1/files/upload-url", wish).status_code == 400


@pytest.mark.parametrize("form", ["{0}", "data:image/png;base64,{0}"])
def test_a_base64_upload_becomes_a_public_file(caller: Caller, form: str) -> None:
    data = form.format(base64.b64encode(b"picture").decode())
    told = caller.post("/api/v1/files/base64", {"data": data, "content_type": "image/png"}).json()["data"]
    assert (told["content_type"], told["file_size"]) == ("image/png", 7)
    assert told["url"].endswith(told["key"])
    assert requests.get(told["url"], timeout=10).content == b"picture"


@pytest.mark.parametrize(
    "body", [{}, {"data": "%%%"}, {"data": "AAAA"}, {"data": "AAAA", "content_type": "text/html"}, {"data": ""}]
)
def test_a_base64_upload_without_data_or_type_is_a_400(caller: Caller, body: dict[str, str]) -> None:
    assert caller.post("/api/v1/files/base64", body).status_code == 400


def test_an_own_upload_can_be_used_as_reference(caller: Caller) -> None:
    url = caller.uploaded(b"picture")
    assert caller.create(type="image-to-video", image_urls=[url]).status_code == 200


def test_a_result_can_be_used_as_source_of_the_next_task(caller: Caller, clock: Clock) -> None:
    done = completed(caller, clock)
    assert caller.create(type="video-to-video", video_url=done["video_url"]).status_code == 200


@pytest.mark.parametrize(
    "url",
    [
        "{base}/cdn/uploads/2026/01/01/nothing.png",
        "{base}/rehearsal/record",
        "http://example.com/a.png",
        "https://192.168.1.4/a.png",
        "https://nas.local/a.png",
        "https://nowhere.invalid/a.png",
    ],
)
def test_a_reference_that_a_provider_could_not_fetch_is_a_400_and_costs_nothing(caller: Caller, url: str) -> None:
    answer = caller.create(type="image-to-video", image_urls=[url.format(base=caller.gateway.base_url)])
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "media_unreachable"
    assert caller.gateway.record.charges() == 0


def test_a_foreign_https_reference_is_accepted_without_being_visited(caller: Caller) -> None:
    assert caller.create(type="image-to-video", image_urls=["https://example.com/a.png"]).status_code == 200


def test_the_requests_of_a_minute_can_be_limited(build: Build, clock: Clock) -> None:
    caller = Caller(build(requests_per_minute=2))
    statuses = [caller.get("/api/v1/account/balances") for _ in range(3)]
    assert [answer.status_code for answer in statuses] == [200, 200, 429]
    assert statuses[2].json()["error"]["code"] == "rate_limited"
    assert "Retry-After" in statuses[2].headers
    clock.now += 61
    assert caller.get("/api/v1/account/balances").status_code == 200


def presigned(caller: Caller, **changes: Any) -> dict[str, Any]:
    wish = {"filename": "a.png", "content_type": "image/png", "file_size": 7, **changes}
    told: dict[str, Any] = caller.post("/api/v1/files/upload-url", wish).json()["data"]
    return told


def wait_until_completed(caller: Caller, task_id: str) -> dict[str, Any]:
    """A look at a task whose time has come, once its clip is there."""
    assert caller.gateway.wait_for_clips()
    seen = caller.look(task_id)
    assert seen["status"] == "completed"
    return seen


def completed(caller: Caller, clock: Clock, **changes: Any) -> dict[str, Any]:
    task_id = caller.task(**changes)
    clock.now += 10
    return wait_until_completed(caller, task_id)
