"""A stand-in gateway per test, whose clips are a few bytes, and a client that is nothing but requests."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import requests

from nodes.rehearsal.book import What
from nodes.rehearsal.scenes import Scene
from nodes.rehearsal.server import RehearsalGateway

KEY = "sk-rehearsal-tests"
T2V: Mapping[str, Any] = {
    "model": "wan2-6",
    "type": "text-to-video",
    "prompt": "A racing yacht slicing through bright turquoise water.",
    "duration": "5",
    "resolution": "720p",
}
CLIP = b"\x00\x00\x00\x18ftypisom" + b"\x00" * 100 + b"mdat" + bytes(range(256)) * 8


def tiny(scene: Scene, path: Path) -> None:
    path.write_bytes(CLIP + scene.prompt.encode() + bytes([scene.variation]))


class Caller:
    """Calls a gateway as a customer would, one key per caller."""

    def __init__(self, gateway: RehearsalGateway, key: str = KEY) -> None:
        self.gateway = gateway
        self.session = requests.Session()
        self.session.headers["Authorization"] = f"Bearer {key}"

    def get(self, path: str, **options: Any) -> requests.Response:
        return self.session.get(self.gateway.base_url + path, timeout=10, **options)

    def post(self, path: str, body: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> requests.Response:
        return self.session.post(self.gateway.base_url + path, json=body, headers=headers, timeout=10)

    def create(self, key: str | None = None, **changes: Any) -> requests.Response:
        """Text to video, with some fields changed (None: left out)."""
        body = {name: value for name, value in {**T2V, **changes}.items() if value is not None}
        return self.post("/api/v1/videos/generate", body, {"Idempotency-Key": key} if key else None)

    def task(self, **changes: Any) -> str:
        return str(self.create(**changes).json()["data"]["task_id"])

    def look(self, task_id: str) -> dict[str, Any]:
        data: dict[str, Any] = self.get(f"/api/v1/videos/{task_id}").json()["data"]
        return data

    def refunds(self) -> int:
        """Credits refunded so far, by the book."""
        return sum(entry.credits for entry in self.gateway.record.entries if entry.what is What.REFUND)

    def balance(self) -> int:
        return int(self.get("/api/v1/account/balances").json()["data"]["api_credits"])

    def uploaded(self, data: bytes, content_type: str = "image/png", name: str = "a.png") -> str:
        """Uploads by a presigned address; gives the public URL."""
        asked = {"filename": name, "content_type": content_type, "file_size": len(data)}
        told = self.post("/api/v1/files/upload-url", asked).json()["data"]
        sent = requests.put(told["upload_url"], data=data, headers={"Content-Type": content_type}, timeout=10)
        assert sent.status_code == 200, sent.text
        return str(told["public_url"])


class Clock:
    """A clock that only moves when told to."""

    def __init__(self) -> None:
        self.now = 1_790_000_000.0

    def __call__(self) -> float:
        return self.now


Build = Callable[..., RehearsalGateway]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def build(tmp_path: Path, clock: Clock) -> Iterator[Build]:
    """Builds started gateways, all on one folder and one clock; stops them at the end."""
    built: list[RehearsalGateway] = []

    def build(**options: Any) -> RehearsalGateway:
        gateway = RehearsalGateway(tmp_path / "gateway", **{"render": tiny, "clock": clock, **options})
        gateway.start()
        built.append(gateway)
        return gateway

    yield build
    for gateway in built:
        gateway.stop()


@pytest.fixture
def gateway(build: Build) -> RehearsalGateway:
    return build()


@pytest.fixture
def caller(gateway: RehearsalGateway) -> Caller:
    return Caller(gateway)
