"""The panel's routes in a real ComfyUI that was opened to everybody: our guards do not rest on its own."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pytest

from tests.host.place import save, text_to_video

if TYPE_CHECKING:
    from tests.host.conftest import StartHost
    from tests.host.real_host import RealHost

pytestmark = pytest.mark.host

CANARY = "sk-canary-7f3e9d1c5b"
NEW_KEY = "sk-canary-of-the-panel-41"
# A process of its own: the tests' own may connect to loopback only.
_ASK_FROM_OUTSIDE = """
import json, sys, urllib.error, urllib.request
told = json.loads(sys.argv[1])
request = urllib.request.Request(told["url"], told["body"].encode(), told["headers"], method="POST")
try:
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=20) as reply:
        print(reply.status)
except urllib.error.HTTPError as refusal:
    print(refusal.code)
"""

# From which address a packet would leave; none is sent.
_OWN_ADDRESS = """
import socket
line = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
line.connect(("198.51.100.1", 9))
print(line.getsockname()[0])
"""


def ask(host: RealHost, path: str, body: object = None, headers: Mapping[str, str] | None = None) -> tuple[int, str]:
    """Status and text of an answer; a POST if there is a body."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(host.url + path, data, dict(headers or {}))
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30) as reply:
            return reply.status, reply.read().decode()
    except urllib.error.HTTPError as refusal:
        return refusal.code, refusal.read().decode(errors="replace")


def own_page(host: RealHost) -> dict[str, str]:
    return {"Origin": host.url, "Content-Type": "application/json", "comfy-user": "somebody"}


def outside_address() -> str:
    """An address of this machine that is not loopback. Skips where there is none."""
    told = subprocess.run([sys.executable, "-c", _OWN_ADDRESS], capture_output=True, text=True, timeout=30, check=False)
    address = told.stdout.strip()
    if not address or address.startswith("127."):
        pytest.skip("this machine has no address but loopback")
    return address


def changed(host: RealHost) -> tuple[str, bool]:
    account = json.loads(ask(host, "/apimall/account")[1])
    return account["key_source"], account["rehearsal"]


def start(start_host: StartHost, *arguments: str) -> RealHost:
    return start_host(environ={"APIMALL_BASE_URL": "http://127.0.0.1:9"}, arguments=arguments)


def test_a_host_open_to_everybody_lets_nobody_else_write(start_host: StartHost) -> None:
    host = start(start_host, "--listen", "0.0.0.0", "--enable-cors-header", "--multi-user")
    own = own_page(host)
    strangers: list[dict[str, str]] = [
        {**own, "Origin": "https://evil.example"},
        {**own, "Origin": "null"},
        {**own, "Host": f"evil.example:{host.port}", "Origin": f"http://evil.example:{host.port}"},
        {**own, "Content-Type": "text/plain"},
        {**own, "X-Forwarded-For": "203.0.113.9"},
        {**own, "Sec-Fetch-Site": "cross-site"},
        {"Content-Type": "application/json"},
    ]
    for prefix in ("", "/api"):
        for stranger in strangers:
            assert ask(host, f"{prefix}/apimall/key", {"key": CANARY}, stranger)[0] in (403, 415), stranger
            assert ask(host, f"{prefix}/apimall/rehearsal", {"on": True}, stranger)[0] in (403, 415), stranger
    assert changed(host) == ("none", False)

    status, told = ask(host, "/api/apimall/key", {"key": NEW_KEY}, own)
    assert (status, NEW_KEY in told) == (200, False)
    assert changed(host) == ("file", False)
    asked = (
        *("/apimall/jobs", "/apimall/jobs.csv", "/apimall/totals", "/apimall/account", "/apimall/balance"),
        *("/settings", "/users", "/userdata?dir=.", "/userdata/api_key", "/userdata/..%2F__apimall_video%2Fapi_key"),
        *("/queue", "/history", "/prompt", "/system_stats", "/object_info", "/internal/logs", "/internal/logs/raw"),
        *("/view?filename=api_key&subfolder=../user/__apimall_video", "/view?filename=../user/__apimall_video/api_key"),
        "/extensions/apimall-video/../../../user/__apimall_video/api_key",
    )
    read: list[Any] = [ask(host, path, headers={"comfy-user": "../__apimall_video"}) for path in asked]
    read += [ask(host, path) for path in asked]
    assert not [told for _, told in read if NEW_KEY in told]
    assert NEW_KEY not in host.log


def test_where_users_are_kept_apart_others_are_sent_no_prompts(start_host: StartHost) -> None:
    host = start_host(environ={"APIMALL_REHEARSAL": "1"}, arguments=["--multi-user"])
    host.listen("bob")
    host.run({"1": text_to_video("a secret of Ann"), "2": save("1")})
    pushed = [data for event, data in host.sent("bob") if event == "apimallvideo.jobs"]
    assert [told["job"]["state"] for told in pushed][-1] == "delivered"
    assert "secret" not in json.dumps([data for _, data in host.sent("bob")])
    assert json.loads(ask(host, "/apimall/account")[1])["shared"] is True


def test_another_machine_may_not_write(start_host: StartHost) -> None:
    outside = outside_address()
    host = start(start_host, "--listen", "0.0.0.0")
    for name, origin in ((outside, outside), ("127.0.0.1", "127.0.0.1"), ("localhost", "localhost")):
        told = {
            "url": f"http://{outside}:{host.port}/apimall/key",
            "body": json.dumps({"key": CANARY}),
            "headers": {
                "Host": f"{name}:{host.port}",
                "Origin": f"http://{origin}:{host.port}",
                "Content-Type": "application/json",
            },
        }
        command = [sys.executable, "-c", _ASK_FROM_OUTSIDE, json.dumps(told)]
        answer = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
        assert answer.stdout.strip() == "403", (name, answer.stdout)
    assert changed(host) == ("none", False)
