"""Every fault can be scripted, does what it says, and is played once, in order."""

from __future__ import annotations

import http.client
import socket
import threading
import urllib.request
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import pytest
import requests

from nodes.rehearsal.faults import STEPS, VOCABULARY, instead, parse, title
from nodes.rehearsal.script import Script
from tests.support.dice import Dice

from .conftest import CLIP, Caller, Clock
from .test_contract import completed, presigned


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 408, 409, 425, 429, 451, 500, 502, 503, 504])
def test_any_status_of_the_table_can_be_answered_in_the_envelope(caller: Caller, status: int) -> None:
    caller.gateway.script("create", str(status))
    answer = caller.create("key-1")
    assert answer.status_code == status
    assert set(answer.json()) == {"success", "error", "request_id"}
    assert caller.gateway.record.charges() == 0
    assert caller.create("key-1").status_code == 200


@pytest.mark.parametrize("after", ["7", "Wed, 21 Oct 2037 07:28:00 GMT", "99999999999"])
def test_a_429_can_say_when_to_come_back(caller: Caller, after: str) -> None:
    caller.gateway.script("poll", f"429:{after}")
    assert caller.get("/api/v1/videos/vid_x").headers["Retry-After"] == after


def test_a_refusal_can_hide_that_the_request_was_carried_out(caller: Caller) -> None:
    caller.gateway.script("create", "500+done")
    assert caller.create("key-1").status_code == 500
    assert caller.gateway.record.charges() == 30
    assert caller.create("key-1").status_code == 200
    assert caller.gateway.record.charges() == 30


def test_a_409_can_name_the_task_of_its_key(caller: Caller) -> None:
    task_id = caller.task(key="key-1")
    caller.gateway.script("create", "409:task")
    answer = caller.create("key-1")
    assert (answer.status_code, answer.json()["data"]) == (409, {"task_id": task_id})


@pytest.mark.parametrize("fault", ["drop-before", "reset"])
def test_a_request_lost_on_its_way_has_no_effect(caller: Caller, fault: str) -> None:
    caller.gateway.script("create", fault)
    with pytest.raises(requests.ConnectionError):
        caller.create("key-1")
    assert caller.gateway.record.charges() == 0


@pytest.mark.parametrize("fault", ["drop-after", "reset-after"])
def test_a_lost_reply_leaves_a_charged_task_that_its_key_finds(caller: Caller, fault: str) -> None:
    caller.gateway.script("create", fault)
    with pytest.raises(requests.ConnectionError):
        caller.create("key-1")
    assert caller.gateway.record.charges() == 30
    assert caller.task(key="key-1") == caller.gateway.record.tasks[0].task_id
    assert caller.gateway.record.charges() == 30


def test_a_stall_after_acceptance_is_charged_although_the_client_left(caller: Caller) -> None:
    caller.gateway.script("create", "stall:60")
    with pytest.raises(requests.Timeout):
        caller.session.post(caller.gateway.base_url + "/api/v1/videos/generate", json=wish(), timeout=0.2)
    assert any(caller.balance() == 970 for _ in range(1000))


def test_a_stall_before_acceptance_is_void_when_the_client_leaves(caller: Caller) -> None:
    caller.gateway.script("create", "stall-before:60")
    with pytest.raises(requests.Timeout):
        requests.post(
            caller.gateway.base_url + "/api/v1/videos/generate",
            json=wish(),
            headers=caller_headers(caller),
            timeout=0.2,
        )
    assert threads_end("process_request_thread")
    assert caller.gateway.record.charges() == 0


def test_a_short_stall_before_acceptance_ends_well(caller: Caller) -> None:
    caller.gateway.script("create", "stall-before:0.05")
    assert caller.create().status_code == 200


def test_stopping_ends_every_stall(caller: Caller) -> None:
    caller.gateway.script("balance", "stall:600")
    failures: list[Exception] = []

    def ask() -> None:
        try:
            caller.balance()
        except requests.ConnectionError as error:
            failures.append(error)

    asking = threading.Thread(target=ask)
    asking.start()
    assert caller.gateway.record.wait_for("balance")
    caller.gateway.stop()
    asking.join(5)
    assert len(failures) == 1


def test_truncated_json_is_well_framed_but_no_json(caller: Caller) -> None:
    caller.gateway.script("create", "truncate")
    answer = caller.create("key-1")
    assert answer.status_code == 200
    with pytest.raises(requests.exceptions.JSONDecodeError):
        answer.json()
    assert caller.gateway.record.charges() == 30


@pytest.mark.parametrize("step", ["balance", "download"])
def test_a_reply_can_break_off_in_the_middle(caller: Caller, clock: Clock, step: str) -> None:
    url = completed(caller, clock)["video_url"] if step == "download" else caller.gateway.base_url + BALANCES
    caller.gateway.script(step, "cut")
    with pytest.raises(http.client.IncompleteRead):
        read_whole(url, caller.session.headers)


@pytest.mark.parametrize("text", ["[]", '"x"', "null", "7", '{"success":true}', '{"success":true,"data":"x"}'])
def test_json_of_a_wrong_shape_comes_with_200(caller: Caller, text: str) -> None:
    caller.gateway.script("create", f"shape:{text}")
    answer = caller.create()
    assert (answer.status_code, answer.text) == (200, text)


def test_success_false_can_come_with_200(caller: Caller) -> None:
    caller.gateway.script("create", "not-success:provider_error")
    answer = caller.create()
    assert (answer.status_code, answer.json()["success"], answer.json()["error"]["code"]) == (
        200,
        False,
        "provider_error",
    )
    assert caller.gateway.record.charges() == 0


def test_fields_can_be_nulls_or_anything(caller: Caller) -> None:
    caller.gateway.script("create", "nulls", 'fields:{"credits_used":30.5,"new":[1]}')
    nulls, odd = (caller.create("key-1").json()["data"] for _ in range(2))
    assert nulls["task_id"] == odd["task_id"]
    assert (nulls["credits_used"], odd["credits_used"], odd["new"]) == (None, 30.5, [1])


def test_a_proxys_html_page_can_stand_in_for_an_answer(caller: Caller) -> None:
    caller.gateway.script("poll", "html")
    answer = caller.get("/api/v1/videos/x")
    assert (answer.status_code, answer.headers["Content-Type"]) == (502, "text/html; charset=utf-8")


def test_a_huge_reply_is_still_json(caller: Caller) -> None:
    caller.gateway.script("balance", "huge:3000000")
    answer = caller.get(BALANCES)
    assert len(answer.content) == 3_000_000
    assert answer.json()["success"] is True


@pytest.mark.parametrize("fault", ["drip:2000", "drip-headers:2000"])
def test_a_slow_reply_arrives_whole(caller: Caller, fault: str) -> None:
    caller.gateway.script("balance", fault)
    assert caller.balance() == 1000


def test_a_redirect_leads_elsewhere_and_does_nothing(caller: Caller) -> None:
    caller.gateway.script("create", "redirect:https://elsewhere.example/steal")
    url = caller.gateway.base_url + "/api/v1/videos/generate"
    answer = caller.session.post(url, json=wish(), allow_redirects=False, timeout=10)
    assert (answer.status_code, answer.headers["Location"]) == (307, "https://elsewhere.example/steal")
    assert caller.gateway.record.charges() == 0


def test_a_status_word_is_told_once(caller: Caller, clock: Clock) -> None:
    task_id = completed(caller, clock)["task_id"]
    caller.gateway.script("poll", "status:unknown", "status:defrosting")
    looks = [caller.look(task_id) for _ in range(3)]
    assert [seen["status"] for seen in looks] == ["unknown", "defrosting", "completed"]
    assert [bool(seen["video_url"]) for seen in looks] == [False, False, True]


def test_a_completed_task_can_hide_its_links(caller: Caller, clock: Clock) -> None:
    task_id = completed(caller, clock)["task_id"]
    caller.gateway.script("poll", "no-url", "only-result-urls")
    nothing, only = caller.look(task_id), caller.look(task_id)
    assert (nothing["video_url"], nothing["output"]) == (None, {"resultUrls": []})
    assert only["video_url"] is None
    assert requests.get(only["output"]["resultUrls"][0], timeout=10).status_code == 200


@pytest.mark.parametrize("status", [403, 404, 410])
def test_links_can_be_told_that_have_run_out(caller: Caller, clock: Clock, status: int) -> None:
    task_id = completed(caller, clock)["task_id"]
    caller.gateway.script("poll", f"expired:{status}")
    dead, alive = caller.look(task_id), caller.look(task_id)
    assert requests.get(dead["video_url"], timeout=10).status_code == status
    assert requests.get(dead["output"]["resultUrls"][0], timeout=10).status_code == status
    assert requests.get(alive["video_url"], timeout=10).status_code == 200


@pytest.mark.parametrize(("refund", "refunded"), [("all", 30), ("part", 15), ("none", 0), ("later", 0)])
def test_a_task_can_be_failed_on_the_spot(caller: Caller, refund: str, refunded: int) -> None:
    task_id = caller.task()
    caller.gateway.script("poll", f"fail:{refund}")
    seen = caller.look(task_id)
    assert (seen["status"], seen["credits_refunded"]) == ("failed", refunded)
    assert caller.look(task_id)["status"] == "failed"


def test_a_task_can_be_bound_to_fail_from_its_creation(caller: Caller, clock: Clock) -> None:
    caller.gateway.script("create", "fail:part")
    task_id = caller.task()
    assert caller.look(task_id)["status"] == "pending"
    clock.now += 10
    assert caller.look(task_id)["credits_refunded"] == 15


def test_downloads_can_be_short_cut_long_or_of_unknown_length(caller: Caller, clock: Clock) -> None:
    url = completed(caller, clock)["video_url"]
    whole = requests.get(url, timeout=10).content
    caller.gateway.script("download", "cut", "truncate", "long", "no-length", "empty")
    with pytest.raises(http.client.IncompleteRead):
        read_whole(url)
    assert requests.get(url, timeout=10).content == whole[: len(whole) // 2]
    assert raw_get(url).endswith(whole + bytes(100_000))
    unstated = requests.get(url, timeout=10)
    assert ("Content-Length" in unstated.headers, unstated.content) == (False, whole)
    assert requests.get(url, timeout=10).content == b""


def test_downloads_can_be_something_else_than_a_clip(caller: Caller, clock: Clock) -> None:
    url = completed(caller, clock)["video_url"]
    whole = requests.get(url, timeout=10).content
    caller.gateway.script(
        "download", instead(200, body=b"<!DOCTYPE html>", content_type="video/mp4"), "broken", "expired"
    )
    page, broken, expired = (requests.get(url, timeout=10) for _ in range(3))
    assert (page.status_code, page.headers["Content-Type"]) == (200, "video/mp4")
    assert page.content.startswith(b"<!DOCTYPE html>")
    assert broken.content.startswith(CLIP[: CLIP.index(b"mdat") + 4])
    assert len(broken.content) == len(whole)
    assert broken.content != whole
    assert (expired.status_code, "expired" in expired.text) == (403, True)


def test_a_finished_task_can_be_told_in_a_word_nobody_knows_with_links_that_lead_to_its_clip(
    caller: Caller, clock: Clock
) -> None:
    caller.gateway.always("poll", "finished-as:succeeded")
    task_id = caller.task()
    assert caller.look(task_id)["status"] == "pending"
    clock.now += 10
    assert caller.gateway.wait_for_clips()
    seen = caller.look(task_id)
    assert seen["status"] == "succeeded"
    assert requests.get(seen["video_url"], timeout=10).content.startswith(CLIP)


def test_a_key_whose_first_request_is_in_work_is_a_409_until_it_is_not(caller: Caller, clock: Clock) -> None:
    caller.gateway.script("create", "busy:60")
    with pytest.raises(requests.ConnectionError):
        caller.create("key-1")
    early = caller.create("key-1")
    assert (early.status_code, early.headers["Retry-After"]) == (409, "2")
    clock.now += 61
    assert caller.task(key="key-1") == caller.gateway.record.tasks[0].task_id
    assert caller.gateway.record.charges() == 30


def test_a_part_is_refused_when_the_file_has_changed_or_ranges_are_unknown(caller: Caller, clock: Clock) -> None:
    url = completed(caller, clock)["video_url"]
    whole = requests.get(url, timeout=10)
    rest = {"Range": "bytes=9-", "If-Range": whole.headers["ETag"]}
    caller.gateway.script("download", None, "changed", "no-range")
    part, changed, unranged = (requests.get(url, headers=rest, timeout=10) for _ in range(3))
    assert (part.status_code, part.content) == (206, whole.content[9:])
    assert (changed.status_code, changed.content, changed.headers["ETag"]) == (200, whole.content, '"changed"')
    assert (unranged.status_code, unranged.headers["ETag"]) == (200, whole.headers["ETag"])


def test_a_step_can_be_down_for_hours_of_the_servers_clock(caller: Caller, clock: Clock) -> None:
    url = completed(caller, clock)["video_url"]
    caller.gateway.read_script({"download": f"503~{4 * 3600}"})
    for hours, status in ((0, 503), (3, 503), (2, 200)):
        clock.now += hours * 3600
        assert requests.get(url, timeout=10).status_code == status


def test_headers_can_drip_in_many_small_pieces(caller: Caller, clock: Clock) -> None:
    url = completed(caller, clock)["video_url"]
    caller.gateway.script("download", "drip-headers:400")
    pieces = raw_pieces(url)
    head = next(number for number in range(len(pieces)) if b"\r\n\r\n" in b"".join(pieces[: number + 1]))
    assert head > 5
    assert CLIP in b"".join(pieces)


def test_a_put_can_be_refused_once(caller: Caller) -> None:
    told = presigned(caller)
    caller.gateway.script("put", "403")
    headers = {"Content-Type": "image/png"}
    answers = [requests.put(told["upload_url"], data=b"picture", headers=headers, timeout=10) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [403, 200]
    assert "<Code>Error</Code>" in answers[0].text


def test_a_script_is_played_in_order_and_none_is_a_proper_answer(caller: Caller) -> None:
    caller.gateway.script("balance", "503", None, "500")
    assert [caller.get(BALANCES).status_code for _ in range(4)] == [503, 200, 500, 200]


def test_a_standing_fault_is_played_until_it_is_taken_back(caller: Caller) -> None:
    caller.gateway.always("balance", "503")
    caller.gateway.script("balance", None)
    assert [caller.get(BALANCES).status_code for _ in range(3)] == [200, 503, 503]
    caller.gateway.always("balance", None)
    assert caller.get(BALANCES).status_code == 200


def test_an_unknown_step_or_fault_is_named() -> None:
    with pytest.raises(ValueError, match="no step 'creation'"):
        Script().script("creation", None)
    with pytest.raises(ValueError, match="no fault 'explode'"):
        parse("explode")
    with pytest.raises(ValueError, match="'some' is no refund"):
        parse("fail:some")


@pytest.mark.parametrize("word", [*VOCABULARY, "503", "429:7", "429:date+7", "409:task"])
def test_every_word_of_the_vocabulary_builds_its_fault_and_has_a_title(word: str) -> None:
    assert parse(word).word == word
    assert parse(f"{word}+done").done
    assert title(word)


def test_a_script_in_words_says_how_often_or_how_long() -> None:
    script = Script()
    script.read({"create": ["503*2", "none", "429:7"], "poll": "status:unknown*", "download": ["404", "503~60"]}, 1000)
    assert [script.next_fault("create", 1000).word for _ in range(5)] == ["503", "503", "none", "429:7", "none"]
    assert [script.next_fault("poll", 1000).word for _ in range(3)] == ["status:unknown"] * 3
    assert [script.next_fault("download", now).word for now in (1000, 1059, 1061)] == ["404", "503", "none"]


def test_dice_play_the_same_faults_for_the_same_seed() -> None:
    first, second = (Dice({"poll": ["503", "drop-after"]}, 0.3, seed=7) for _ in range(2))
    played = [first.next_fault("poll", 0).word for _ in range(200)]
    assert played == [second.next_fault("poll", 0).word for _ in range(200)]
    assert 30 < sum(word != "none" for word in played) < 90
    assert {first.next_fault(step, 0).word for step in STEPS if step != "poll"} == {"none"}


BALANCES = "/api/v1/account/balances"


def wish() -> dict[str, Any]:
    return {"model": "wan2-6", "prompt": "A cat"}


def caller_headers(caller: Caller) -> dict[str, str]:
    return {"Authorization": str(caller.session.headers["Authorization"])}


def threads_end(name: str) -> bool:
    """Waits until no server thread serves a connection any more."""
    for thread in threading.enumerate():
        if name in thread.name:
            thread.join(5)
    return not any(name in thread.name for thread in threading.enumerate())


def read_whole(url: str, headers: Mapping[str, Any] = MappingProxyType({})) -> bytes:
    """An answer as long as it says: older releases of requests take a shorter one for whole."""
    with urllib.request.urlopen(urllib.request.Request(url, headers=dict(headers)), timeout=10) as answer:
        return bytes(answer.read())


def raw_get(url: str) -> bytes:
    """Everything that the server sends, past any Content-Length."""
    return b"".join(raw_pieces(url))


def raw_pieces(url: str) -> list[bytes]:
    """What each read from the connection brings."""
    host, _, path = url.removeprefix("http://").partition("/")
    name, _, port = host.partition(":")
    with socket.create_connection((name, int(port)), 10) as connection:
        connection.sendall(f"GET /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        return list(iter(lambda: connection.recv(65536), b""))
