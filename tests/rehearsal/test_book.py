"""Credits, Idempotency-Keys and what a restarted stand-in still knows."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from nodes.rehearsal.book import FILE, Book, What
from nodes.rehearsal.scenes import Scene
from nodes.rehearsal.server import RehearsalGateway

from .conftest import KEY, Build, Caller, Clock, tiny
from .test_contract import completed, wait_until_completed


@pytest.mark.parametrize(
    ("duration", "resolution", "credits"),
    [("5", "720p", 30), ("10", "720p", 60), ("15", "720p", 90), ("5", "1080p", 45), ("15", "1080p", 135)],
)
def test_credits_are_charged_at_creation_by_length_and_size(
    caller: Caller, duration: str, resolution: str, credits: int
) -> None:
    data = caller.create(duration=duration, resolution=resolution).json()["data"]
    assert (data["credits_used"], data["remaining_credits"]) == (credits, 1000 - credits)
    assert caller.balance() == 1000 - credits
    assert caller.gateway.credits(KEY) == 1000 - credits


def test_a_task_that_cannot_be_paid_is_a_402_and_not_made(build: Build) -> None:
    caller = Caller(build(credits=40))
    assert caller.create().status_code == 200
    answer = caller.create()
    assert answer.status_code == 402
    assert answer.json()["error"]["code"] == "insufficient_credits"
    assert (caller.balance(), len(caller.gateway.record.tasks)) == (10, 1)


def test_granted_credits_can_be_spent(build: Build) -> None:
    caller = Caller(build(credits=0))
    caller.gateway.grant(30)
    assert caller.create().status_code == 200


def test_two_keys_are_two_accounts(gateway: RehearsalGateway) -> None:
    one, other = Caller(gateway, "sk-one"), Caller(gateway, "sk-other")
    first, second = one.task(key="same"), other.task(key="same")
    assert first != second
    assert (one.balance(), other.balance()) == (970, 970)


def test_the_same_key_and_bytes_are_answered_again_and_charged_once(caller: Caller) -> None:
    first, again = caller.create("key-1"), caller.create("key-1")
    assert again.content == first.content
    assert caller.gateway.record.charges() == 30
    assert len(caller.gateway.record.posts) == 2


def test_the_same_key_with_another_body_is_a_409_and_costs_nothing(caller: Caller) -> None:
    caller.create("key-1")
    answer = caller.create("key-1", prompt="Another prompt")
    assert answer.status_code == 409
    assert answer.json()["error"]["code"] == "idempotency_conflict"
    assert caller.gateway.record.charges() == 30


def test_the_same_key_with_the_same_wish_in_other_bytes_is_a_409_too(caller: Caller) -> None:
    url = caller.gateway.base_url + "/api/v1/videos/generate"
    headers = {"Idempotency-Key": "key-1", "Content-Type": "application/json"}
    bodies = (b'{"model":"wan2-6","prompt":"x"}', b'{"model": "wan2-6", "prompt": "x"}')
    answers = [caller.session.post(url, data=body, headers=headers, timeout=10).status_code for body in bodies]
    assert answers == [200, 409]


def test_a_refused_request_does_not_use_its_key_up(build: Build) -> None:
    caller = Caller(build(credits=0))
    assert caller.create("key-1").status_code == 402
    caller.gateway.grant(30)
    assert caller.create("key-1").status_code == 200


def test_without_a_key_every_post_is_charged(caller: Caller) -> None:
    assert caller.task() != caller.task()
    assert caller.gateway.record.charges() == 60


def test_two_processes_never_have_the_book_open_at_once(tmp_path: Path) -> None:
    one, other = (Book(tmp_path, 100, lambda: 0.0) for _ in range(2))
    opened = threading.Event()

    def open_other() -> None:
        with other.open():
            opened.set()

    opening = threading.Thread(target=open_other)
    with one.open():
        opening.start()
        assert not opened.wait(0.1)
    assert opened.wait(10)
    opening.join()


def test_many_posts_with_one_key_at_once_make_one_task(build: Build) -> None:
    callers = [Caller(build()) for _ in range(2)] * 6
    with ThreadPoolExecutor(len(callers)) as pool:
        answers = list(pool.map(lambda caller: Caller(caller.gateway).create("key-1").content, callers))
    assert len(set(answers)) == 1
    assert callers[0].gateway.record.charges() == 30


def test_too_many_unfinished_tasks_are_a_429_until_one_has_ended(build: Build, clock: Clock) -> None:
    caller = Caller(build(most_running=2))
    tasks = [caller.task(prompt="one"), caller.task(prompt="two")]
    answer = caller.create(prompt="three")
    assert answer.status_code == 429
    assert answer.json()["error"]["code"] == "too_many_concurrent_jobs"
    clock.now += 10
    for task_id in tasks:
        wait_until_completed(caller, task_id)
    assert caller.create(prompt="three").status_code == 200
    assert caller.gateway.record.most_running() == 2


def test_a_replay_is_no_further_task_for_the_limit(build: Build) -> None:
    caller = Caller(build(most_running=1))
    caller.task(key="key-1")
    assert caller.create("key-1").status_code == 200


@pytest.mark.parametrize(("word", "refunded"), [("rehearse-failed", 30), ("rehearse-part-refund", 15)])
def test_a_prompt_can_ask_for_a_failure_with_its_refund(caller: Caller, clock: Clock, word: str, refunded: int) -> None:
    task_id = caller.task(prompt=f"A cat {word}")
    assert caller.look(task_id)["status"] == "pending"
    clock.now += 10
    seen = caller.look(task_id)
    assert (seen["status"], seen["credits_used"], seen["credits_refunded"]) == ("failed", 30, refunded)
    assert seen["error_message"] == "The provider could not generate this video"
    assert seen["video_url"] is None
    assert caller.balance() == 970 + refunded
    assert caller.refunds() == refunded


def test_a_late_refund_is_posted_by_the_second_look(caller: Caller, clock: Clock) -> None:
    task_id = caller.task(prompt="A cat rehearse-late-refund")
    clock.now += 10
    looks = [caller.look(task_id) for _ in range(3)]
    assert [seen["credits_refunded"] for seen in looks] == [0, 30, 30]
    assert {seen["status"] for seen in looks} == {"failed"}
    assert caller.balance() == 1000


def test_the_book_has_a_line_for_each_charge_and_refund_with_key_task_and_credits(caller: Caller, clock: Clock) -> None:
    kept, failed = caller.task(key="key-1"), caller.task(key="key-2", prompt="A cat rehearse-part-refund")
    caller.create("key-1")
    clock.now += 10
    caller.look(failed)
    lines = [(entry.what, entry.credits, entry.task_id, entry.key) for entry in caller.gateway.record.entries]
    charges = [(What.CHARGE, 30, kept, "key-1"), (What.CHARGE, 30, failed, "key-2")]
    assert lines == [*charges, (What.REFUND, 15, failed, "key-2")]


@pytest.mark.parametrize(("fate", "untold"), [("all/60", 0), ("all/60/null", None)])
def test_a_refund_can_lag_and_be_untold_until_then(caller: Caller, clock: Clock, fate: str, untold: int | None) -> None:
    caller.gateway.script("create", f"fail:{fate}")
    task_id = caller.task()
    clock.now += 10
    assert [caller.look(task_id)["credits_refunded"] for _ in range(3)] == [untold] * 3
    assert (caller.balance(), caller.refunds()) == (970, 0)
    clock.now += 60
    assert caller.look(task_id)["credits_refunded"] == 30
    assert (caller.balance(), caller.refunds()) == (1000, 30)


@pytest.mark.parametrize("way", ["script", "prompt"])
def test_a_task_can_run_for_ever_and_keeps_its_place_in_the_plan(build: Build, clock: Clock, way: str) -> None:
    caller = Caller(build(most_running=1))
    if way == "script":
        caller.gateway.script("create", "endless")
    task_id = caller.task(prompt="A cat" if way == "script" else "A cat rehearse-endless")
    clock.now += 10 * 86_400
    assert caller.look(task_id)["status"] == "processing"
    assert caller.create().status_code == 429


def test_another_client_can_fill_the_plan_for_a_while(build: Build, clock: Clock) -> None:
    caller = Caller(build(most_running=3))
    caller.gateway.occupy(tasks=2, seconds=100)
    assert [caller.create().status_code for _ in range(2)] == [200, 429]
    clock.now += 101
    assert caller.gateway.wait_for_clips()
    assert [caller.create().status_code for _ in range(3)] == [200, 200, 200]
    assert caller.gateway.record.charges() == 4 * 30


def test_a_new_key_of_an_account_sees_its_tasks_and_the_old_one_can_be_revoked(gateway: RehearsalGateway) -> None:
    old, new = Caller(gateway, "sk-me.1"), Caller(gateway, "sk-me.2")
    task_id = old.task(key="key-1")
    gateway.revoke("sk-me.1")
    assert old.get(f"/api/v1/videos/{task_id}").status_code == 401
    assert new.look(task_id)["task_id"] == task_id
    assert new.task(key="key-1") == task_id
    assert new.balance() == 970


def test_a_clock_that_is_set_back_makes_no_charge_undone(caller: Caller, clock: Clock) -> None:
    caller.task()
    clock.now -= 86_400
    assert (caller.balance(), caller.gateway.record.charges()) == (970, 30)


def test_a_restarted_gateway_knows_its_tasks_keys_credits_and_files(build: Build, clock: Clock) -> None:
    before = Caller(build())
    first = before.create("key-1")
    done = completed(before, clock)
    url = before.uploaded(b"picture")
    before.gateway.stop()
    after = Caller(build())
    assert after.create("key-1").content == first.content
    assert after.look(done["task_id"])["status"] == "completed"
    assert after.balance() == 940
    assert after.create(type="image-to-video", image_urls=[url]).status_code == 200
    path = url.removeprefix(before.gateway.base_url)
    assert requests.get(after.gateway.base_url + path, timeout=10).content == b"picture"


def test_a_stopped_gateway_starts_again_on_its_port(gateway: RehearsalGateway, caller: Caller) -> None:
    task_id = caller.task()
    base_url = gateway.base_url
    gateway.stop()
    with pytest.raises(requests.ConnectionError):
        caller.look(task_id)
    assert gateway.start() == base_url
    assert caller.look(task_id)["task_id"] == task_id


def test_a_restarted_gateway_renders_what_the_former_one_left(build: Build, clock: Clock) -> None:
    leave = threading.Event()

    def never(scene: Scene, path: Path) -> None:
        leave.wait(30)
        raise OSError("the machine went down")

    former = Caller(build(render=never))
    task_id = former.task()
    former.gateway.stop()
    after = Caller(build())
    clock.now += 10
    assert wait_until_completed(after, task_id)["status"] == "completed"
    leave.set()


def test_a_task_is_not_completed_before_its_clip_is_there(build: Build, clock: Clock) -> None:
    finish = threading.Event()

    def slow(scene: Scene, path: Path) -> None:
        finish.wait(30)
        tiny(scene, path)

    caller = Caller(build(render=slow))
    task_id = caller.task()
    clock.now += 1000
    assert caller.look(task_id)["status"] == "processing"
    finish.set()
    wait_until_completed(caller, task_id)


def test_a_clip_that_cannot_be_made_fails_its_task_with_a_full_refund(build: Build, clock: Clock) -> None:
    caller = Caller(build())
    url = caller.uploaded(b"this is no picture")
    task_id = caller.task(type="image-to-video", image_urls=[url])
    clock.now += 10
    assert caller.gateway.wait_for_clips()
    seen = caller.look(task_id)
    assert (seen["status"], seen["credits_refunded"]) == ("failed", 30)
    assert "reference media could not be read" in seen["error_message"]


def test_another_take_of_the_same_wish_is_another_clip(caller: Caller, clock: Clock) -> None:
    bodies = [requests.get(completed(caller, clock)["video_url"], timeout=10).content for _ in range(2)]
    assert bodies[0] != bodies[1]


def test_a_book_that_is_none_is_told_at_the_start(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"this is no database, and never was one" * 100)
    with pytest.raises(OSError, match="without it the rehearsal begins anew"):
        RehearsalGateway(tmp_path)


def test_an_emptied_folder_begins_anew(caller: Caller, tmp_path: Path) -> None:
    caller.task()
    (tmp_path / "gateway" / FILE).unlink()
    assert caller.balance() == 1000
    caller.task()
    assert (caller.balance(), len(caller.gateway.record.tasks)) == (970, 1)


def test_no_key_is_written_to_disk(caller: Caller, clock: Clock, tmp_path: Path) -> None:
    completed(caller, clock)
    caller.uploaded(b"picture")
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert KEY.encode() not in written
