"""What the stand-in remembers of its requests, how it serves files, and how it is run by itself."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import requests

from nodes.rehearsal import record
from nodes.rehearsal.__main__ import arguments, main
from nodes.rehearsal.faults import VOCABULARY
from nodes.rehearsal.server import RehearsalGateway

from .conftest import KEY, T2V, Caller, Clock
from .test_contract import completed

PACK = Path(__file__).parents[2]


def test_every_request_is_recorded_as_it_arrived(caller: Caller, clock: Clock) -> None:
    caller.gateway.script("create", "503")
    caller.create("key-1")
    caller.create("key-1")
    first, second = caller.gateway.record.posts
    assert (first.method, first.path, first.step) == ("POST", "/api/v1/videos/generate", "create")
    assert (first.fault, second.fault) == ("503", None)
    assert first.body == second.body
    assert first.json == dict(T2V)
    assert first.headers["idempotency-key"] == "key-1"
    assert first.headers["AUTHORIZATION"] == f"Bearer {KEY}"
    assert first.at == clock.now


def test_uploads_and_downloads_are_recorded_with_their_bytes_and_without_a_key(caller: Caller, clock: Clock) -> None:
    caller.uploaded(b"picture")
    requests.get(completed(caller, clock)["video_url"], timeout=10)
    (put,) = caller.gateway.record.of("put")
    assert put.body == b"picture"
    assert put.query.startswith("signature=")
    for request in (put, *caller.gateway.record.of("download")):
        assert request.headers["Authorization"] is None
    assert caller.gateway.record.count() == len(caller.gateway.record.requests)


def test_the_record_can_be_read_by_another_process_without_the_key(caller: Caller) -> None:
    task_id = caller.task()
    view = requests.get(caller.gateway.base_url + "/rehearsal/record", timeout=10)
    assert KEY not in view.text
    seen = view.json()
    assert json.loads(base64.b64decode(seen["requests"][0]["body_base64"])) == dict(T2V)
    assert seen["requests"][0]["headers"]["authorization"] == "Bearer (masked)"
    assert [(entry["what"], entry["task_id"], entry["credits"]) for entry in seen["entries"]] == [
        ("charge", task_id, 30)
    ]
    assert (seen["requests"][0]["step"], seen["tasks"][0]["task_id"]) == ("create", task_id)


def test_faults_and_credits_can_be_set_by_another_process(caller: Caller) -> None:
    base_url = caller.gateway.base_url
    requests.post(base_url + "/rehearsal/script", json={"create": ["503", "none", "500*2"]}, timeout=10)
    assert [caller.create().status_code for _ in range(3)] == [503, 200, 500]
    requests.post(base_url + "/rehearsal/clear", json={}, timeout=10)
    assert caller.create().status_code == 200
    requests.post(base_url + "/rehearsal/grant", json={"credits": 60}, timeout=10)
    assert caller.balance() == 1000


@pytest.mark.parametrize("script", [{"creation": "503"}, {"create": "explode"}, {"create": 5}, {"create": [7]}])
def test_a_script_that_makes_no_sense_is_a_400(caller: Caller, script: dict[str, object]) -> None:
    assert requests.post(caller.gateway.base_url + "/rehearsal/script", json=script, timeout=10).status_code == 400


def test_a_web_page_can_neither_script_nor_read(caller: Caller) -> None:
    base_url = caller.gateway.base_url
    plain = requests.post(base_url + "/rehearsal/script", data='{"create": "503"}', timeout=10)
    assert plain.status_code == 400
    rebound = requests.get(base_url + "/rehearsal/record", headers={"Host": "evil.example"}, timeout=10)
    assert rebound.status_code == 403
    assert "Access-Control-Allow-Origin" not in requests.options(base_url + "/rehearsal/script", timeout=10).headers


def test_waiting_for_a_request_ends_when_it_arrives(caller: Caller) -> None:
    asking = threading.Thread(target=caller.balance)
    asking.start()
    assert caller.gateway.record.wait_for("balance")
    assert not caller.gateway.record.wait_for("balance", count=2, timeout_seconds=0.01)
    asking.join()


def test_the_record_keeps_to_its_budget(monkeypatch: pytest.MonkeyPatch, caller: Caller) -> None:
    monkeypatch.setattr(record, "KEPT_BODY_BYTES", 25)
    monkeypatch.setattr(record, "KEPT_REQUESTS", 4)
    kept = caller.gateway.record
    for number in range(6):
        caller.get(f"/api/v1/videos/{number}")
    assert [request.path[-1] for request in kept.requests] == ["2", "3", "4", "5"]
    for name in ("a.png", "b.png"):
        caller.uploaded(b"x" * 20, name=name)
    assert [request.body for request in kept.of("put")] == [b"x" * 20]
    assert (kept.count("poll"), kept.count("put")) == (6, 2)


def test_results_are_served_with_validators_and_ranges(caller: Caller, clock: Clock) -> None:
    url = completed(caller, clock)["video_url"]
    whole = requests.get(url, timeout=10)
    etag = whole.headers["ETag"]
    head = requests.head(url, timeout=10)
    assert (head.headers["Content-Length"], head.content) == (str(len(whole.content)), b"")
    assert requests.get(url, headers={"If-None-Match": etag}, timeout=10).status_code == 304
    since = {"If-Modified-Since": whole.headers["Last-Modified"]}
    assert requests.get(url, headers=since, timeout=10).status_code == 304
    rest = requests.get(url, headers={"Range": "bytes=4-", "If-Range": etag}, timeout=10)
    assert (rest.status_code, rest.content) == (206, whole.content[4:])
    assert rest.headers["Content-Range"] == f"bytes 4-{len(whole.content) - 1}/{len(whole.content)}"
    changed = requests.get(url, headers={"Range": "bytes=4-", "If-Range": '"other"'}, timeout=10)
    assert (changed.status_code, changed.content) == (200, whole.content)
    past = requests.get(url, headers={"Range": f"bytes={len(whole.content)}-"}, timeout=10)
    assert past.status_code == 416


def test_one_connection_carries_many_requests(caller: Caller) -> None:
    for _ in range(5):
        caller.balance()
        caller.create(prompt=None)
    pools = caller.session.get_adapter("http://").poolmanager.pools  # type: ignore[attr-defined]
    keys = pools.keys()
    assert [pools[key].num_connections for key in keys] == [1]


def test_it_runs_by_itself_with_the_faults_of_its_command_line(tmp_path: Path) -> None:
    script = tmp_path / "script.json"
    script.write_text('{"balance": ["500"]}', "utf-8")
    line = ["--port", "0", "--folder", str(tmp_path / "own"), "--fault", "create=503,409:task", "--script", str(script)]
    command = [sys.executable, "-m", "nodes.rehearsal", *line]
    with subprocess.Popen(command, cwd=PACK, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        try:
            base_url = running.stdout.readline().removeprefix("Rehearsal gateway: ").strip()
            advice = running.stdout.readline()
            headers = {"Authorization": f"Bearer {KEY}"}
            generate = base_url + "/api/v1/videos/generate"
            answers = [
                requests.post(generate, json=dict(T2V), headers=headers, timeout=10),
                requests.get(base_url + "/api/v1/account/balances", headers=headers, timeout=10),
                requests.post(generate, json=dict(T2V), headers=headers, timeout=10),
            ]
        finally:
            running.terminate()
    assert [answer.status_code for answer in answers] == [503, 500, 409]
    assert answers[2].json()["data"]["task_id"].startswith("vid_")
    assert f"APIMALL_BASE_URL={base_url}" in advice


def test_the_help_lists_every_fault(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        arguments(["--help"])
    said = capsys.readouterr().out
    assert all(word in said for word in VOCABULARY)


@pytest.mark.parametrize("fault", ["create", "nowhere=503", "create=explode"])
def test_a_fault_that_cannot_be_read_is_said_at_the_start(fault: str, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="did not start"):
        main(["--port", "0", "--folder", str(tmp_path), "--fault", fault])


def test_two_gateways_on_one_folder_share_tasks_keys_and_credits(tmp_path: Path, gateway: RehearsalGateway) -> None:
    with RehearsalGateway(tmp_path / "gateway") as other:
        first, second = Caller(gateway), Caller(other)
        answer = first.create("key-1")
        assert second.create("key-1").content == answer.content
        assert (first.balance(), second.balance()) == (970, 970)
        second.task(key="key-2")
        assert (first.balance(), len(gateway.record.tasks)) == (940, 2)
