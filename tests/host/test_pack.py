"""The pack in a real ComfyUI, as a user has it there, against the rehearsal gateway in this process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import pytest

from nodes.rehearsal.server import RehearsalGateway

if TYPE_CHECKING:
    from tests.host.conftest import StartHost
    from tests.host.real_host import RealHost

pytestmark = pytest.mark.host

NODES = {
    "APIMall_TextToVideo",
    "APIMall_ImageToVideo",
    "APIMall_VideoToVideo",
    "APIMall_PollResult",
    "APIMall_LoadVideo",
}
CANARY = "sk-canary-7f3e9d1c5b"


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[RehearsalGateway]:
    with RehearsalGateway(tmp_path / "gateway", seconds_per_task=2.0) as started:
        yield started


def start(start_host: StartHost, gateway: RehearsalGateway) -> RealHost:
    return start_host(environ={"APIMALL_BASE_URL": gateway.base_url, "APIMALL_API_KEY": CANARY})


def shot(take: int = 0) -> dict[str, Any]:
    widgets = {"prompt": "a lighthouse in a storm", "model": "wan2-6", "duration": "5", "resolution": "720p"}
    saving = {"filename_prefix": "video/shot", "format": "auto", "codec": "auto"}
    return {
        "1": {"class_type": "APIMall_TextToVideo", "inputs": {**widgets, "take": take, "wait": True}},
        "2": {"class_type": "SaveVideo", "inputs": {"video": ["1", 0], **saving}},
    }


def saved_by(host: RealHost, history: dict[str, Any]) -> Path:
    assert history["status"]["status_str"] == "success", history["status"]
    (clip,) = history["outputs"]["2"]["images"]
    return host.base / "output" / str(clip["subfolder"]) / str(clip["filename"])


def packets(path: Path) -> list[bytes]:
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(video=0) if packet.size]


def test_the_pack_loads_without_a_word_in_the_log(start_host: StartHost) -> None:
    host = start_host()
    info = host.get("/object_info")
    assert {node_id for node_id in info if node_id.startswith("APIMall_")} == NODES
    assert all(info[node_id]["category"] == "API Mall" for node_id in NODES)
    assert host.log_about("apimall") == []


def test_a_clip_is_saved_as_the_gateway_made_it_and_is_free_from_then_on(
    start_host: StartHost, gateway: RehearsalGateway, tmp_path: Path
) -> None:
    host = start(start_host, gateway)
    saved = saved_by(host, host.run(shot()))
    (made,) = (tmp_path / "gateway").rglob("*.mp4")
    assert packets(saved) == packets(made)

    host.restart()
    before = gateway.record.count()
    saved_by(host, host.run(shot()))
    assert gateway.record.count() == before

    saved_by(host, host.run(shot(take=1)))
    assert len(gateway.record.posts) == 2


def test_a_killed_comfyui_goes_on_with_its_job_and_pays_once(start_host: StartHost, gateway: RehearsalGateway) -> None:
    host = start(start_host, gateway)
    host.queue(shot())
    host.await_text("1", "task ")
    host.kill()
    host.start()
    saved_by(host, host.run(shot()))
    assert len(gateway.record.posts) == len(gateway.record.tasks) == 1


def test_the_key_is_nowhere_but_in_the_requests(start_host: StartHost, gateway: RehearsalGateway) -> None:
    host = start(start_host, gateway)
    history = host.run(shot())
    assert CANARY not in str(history) + str(host.sent())
    host.stop()
    holders = [path for path in host.base.rglob("*") if path.is_file() and CANARY.encode() in path.read_bytes()]
    assert holders == []
    assert all(CANARY in str(post.headers) for post in gateway.record.posts)
