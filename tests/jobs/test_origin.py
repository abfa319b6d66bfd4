"""A clip says what asked for it, and what it cost."""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import replace
from pathlib import Path

import pytest

from nodes.jobs import order_media
from nodes.jobs.order import Order
from nodes.jobs.origin import Origin
from nodes.jobs.work import Result
from nodes.rehearsal.scenes import Scene
from nodes.rehearsal.server import RehearsalGateway
from nodes.stopping import never_stop
from tests.support import harness
from tests.support.clips import packets_of
from tests.support.imprints import texts_behind

WORKFLOW = '{"id": "a1", "nodes": [{"type": "APIMall_TextToVideo"}]}'


def order(prompt: str = "a lighthouse", workflow: str = WORKFLOW, take: int = 0) -> Order:
    return replace(harness.text_order(prompt, take), origin=Origin('{"1": {}}', workflow))


def behind(result: Result) -> dict[str, str]:
    return texts_behind(result.path.read_bytes())


def test_the_clip_holds_workflow_prompt_and_receipt_and_the_journal_knows_the_file_as_it_lies(
    gateway: RehearsalGateway, user: Path
) -> None:
    with harness.bench(user, gateway.base_url) as bench:
        result = bench.make(order(take=4)).result()
        (delivery,) = bench.journal.deliveries(result.job)
    texts = behind(result)
    assert (texts["workflow"], texts["prompt"]) == (WORKFLOW, '{"1": {}}')
    receipt = json.loads(texts["apimall"])
    assert (receipt["model"], receipt["take"], receipt["credits_used"]) == ("wan2-6", 4, 30)
    assert receipt["task_id"] == result.task_id
    on_disk = result.path.stat()
    assert delivery.sha256 == hashlib.sha256(result.path.read_bytes()).hexdigest()
    assert (delivery.size_bytes, delivery.mtime_ns) == (on_disk.st_size, on_disk.st_mtime_ns)
    assert packets_of(result.path.read_bytes()) == packets_of(harness.tiny_clip())


def test_a_clip_without_an_origin_is_what_the_gateway_made(gateway: RehearsalGateway, user: Path) -> None:
    with harness.bench(user, gateway.base_url) as bench:
        assert behind(bench.make(harness.text_order()).result()) == {}


def test_a_clip_that_comes_after_a_restart_holds_its_workflow_all_the_same(tmp_path: Path, user: Path) -> None:
    hours = [0.0]
    slow = harness.rehearsal(tmp_path / "slow", seconds_per_task=3600.0, clock=lambda: time.time() + 3600 * hours[0])
    with slow as gateway:
        with harness.bench(user, gateway.base_url) as bench:
            ticket = bench.runner.submit(order())
            while not ticket.status().accepted:
                ticket.wait(0.01)
        hours[0] = 1.0
        with harness.bench(user, gateway.base_url) as later:
            assert later.runner.resume() == 1
            collected = later.runner.collect(None)
            assert collected is not None
            assert behind(harness.ended(collected).result())["workflow"] == WORKFLOW


def test_a_clip_that_is_downloaded_again_is_the_same_file(gateway: RehearsalGateway, user: Path) -> None:
    with harness.bench(user, gateway.base_url) as bench:
        result = bench.make(order()).result()
        first = result.path.read_bytes()
        result.path.unlink()
        again = bench.make(order(workflow='{"id": "another"}')).result()
    assert again.path.read_bytes() == first
    assert len(gateway.record.posts) == 1


def test_with_and_without_its_workflow_a_clip_is_the_same_source_for_the_next_job(
    gateway: RehearsalGateway, user: Path, tmp_path: Path
) -> None:
    with harness.bench(user, gateway.base_url) as bench:
        path = bench.make(order()).result().path
    plain = tmp_path / "plain.mp4"
    data = path.read_bytes()
    plain.write_bytes(data[: data.index(b"udta", len(harness.tiny_clip())) - 4])
    digests = {order_media.of_file(each, never_stop, "wan2-6").digest for each in (path, plain)}
    assert len(digests) == 1
    sent = order_media.of_file(path, never_stop, "wan2-6").write(tmp_path, never_stop)
    assert b"APIMall_TextToVideo" not in sent.path.read_bytes()


def test_a_clip_that_nothing_can_be_written_behind_is_delivered_as_it_is(tmp_path: Path, user: Path) -> None:
    odd = harness.tiny_clip() + b"\0\0\0\0free and so on to the end"

    def render(scene: Scene, path: Path) -> None:
        path.write_bytes(odd)

    with harness.rehearsal(tmp_path / "odd", render=render) as gateway, harness.bench(user, gateway.base_url) as bench:
        assert bench.make(order()).result().path.read_bytes() == odd


def test_a_folder_that_cannot_be_written_takes_no_clip_away(gateway: RehearsalGateway, user: Path) -> None:
    user.mkdir()
    (user / "origins").write_text("a file is in the way")
    with harness.bench(user, gateway.base_url) as bench:
        assert behind(bench.make(order()).result()) == {}


@pytest.mark.parametrize("rest", [b"", b"no gzip"])
def test_an_origin_that_was_spoilt_takes_no_clip_away(gateway: RehearsalGateway, user: Path, rest: bytes) -> None:
    with harness.bench(user, gateway.base_url) as bench:
        result = bench.make(order()).result()
        (kept,) = (user / "origins").iterdir()
        kept.write_bytes(rest)
        result.path.unlink()
        assert behind(bench.make(order()).result()) == {}


def test_a_workflow_with_the_key_in_it_is_written_nowhere(gateway: RehearsalGateway, user: Path) -> None:
    told = json.dumps({"nodes": [{"widgets_values": [f"Bearer {harness.KEY}"]}]})
    with harness.bench(user, gateway.base_url) as bench:
        result = bench.make(order(workflow=told)).result()
    assert behind(result) == {}
    files = [path for path in user.rglob("*") if path.is_file()]
    assert files and not any(harness.KEY.encode() in path.read_bytes() for path in files)
    assert not (user / "origins").exists()


def test_origins_of_clips_that_cannot_come_any_more_are_dropped(gateway: RehearsalGateway, user: Path) -> None:
    with harness.bench(user, gateway.base_url) as bench:
        bench.make(order())
        (kept,) = (user / "origins").iterdir()
        bench.runner.resume()
        assert kept.exists()
    fortnight = harness.Wiring(clocks=harness.quick_clocks(wall=lambda: kept.stat().st_mtime + 15 * 86_400))
    with harness.bench(user, gateway.base_url, fortnight) as later:
        later.runner.resume()
    assert not kept.exists()
