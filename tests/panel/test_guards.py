"""Every route of the panel in one table: its method, who may use it, and what is refused to everybody."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest

from nodes.panel import routes
from tests.support.panel import KEY, Client, Site

READ, ASK, WRITE = "anybody who reaches ComfyUI", "JSON only, reads", "this server's own page on this machine"
OWN = "this server's own page, on any machine; prints a code or marks a favourite"


@dataclass(frozen=True)
class Route:
    """`takes`: every name a request may give it; none of them is an address or a path."""

    method: str
    path: str
    guard: str
    takes: frozenset[str] = frozenset()


KIND = frozenset({"model", "type", "duration", "resolution"})
ROUTES = (
    Route("GET", "/apimall/jobs", READ, frozenset({"before", "limit", "only", "text", "type", "day"})),
    Route("GET", "/apimall/jobs/{id}", READ, frozenset({"id"})),
    Route("GET", "/apimall/jobs.csv", READ),
    Route("GET", "/apimall/totals", READ, frozenset({"minutes_east"})),
    Route("GET", "/apimall/posters/{id}", READ, frozenset({"id"})),
    Route("POST", "/apimall/standing", ASK, KIND | {"prompt", "take", "job", "client"}),
    Route("GET", "/apimall/account", READ),
    Route("GET", "/apimall/balance", READ),
    Route("POST", "/apimall/key", WRITE, frozenset({"key"})),
    Route("POST", "/apimall/rehearsal", WRITE, frozenset({"on"})),
    Route("POST", "/apimall/account/same", WRITE, frozenset({"other", "same"})),
    Route("POST", "/apimall/journal", WRITE, frozenset({"take"})),
    Route("POST", "/apimall/jobs/{id}/close", WRITE, frozenset({"id"})),
    Route("POST", "/apimall/jobs/{id}/answer", WRITE, frozenset({"id", "task_id"})),
    Route("POST", "/apimall/jobs/{id}/star", OWN, frozenset({"id", "on"})),
    Route("POST", "/apimall/code", OWN),
)
BODIES: dict[str, Any] = {
    "/apimall/key": {"key": "sk-of-somebody-else"},
    "/apimall/rehearsal": {"on": True},
    "/apimall/account/same": {"other": "0" * 32, "same": True},
    "/apimall/journal": {"take": True},
    "/apimall/jobs/1/close": {},
    "/apimall/jobs/1/answer": {"task_id": "vid_of_somebody_else"},
    "/apimall/jobs/1/star": {"on": True},
    "/apimall/code": {},
    "/apimall/standing": {
        "model": "wan2-6",
        "prompt": "x",
        "duration": "5",
        "resolution": "720p",
        "take": 0,
        "type": "x",
    },
}
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")
FORMS = ("", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/json5")
STRANGERS: dict[str, dict[str, str | None]] = {
    "no origin": {"Origin": None},
    "a file": {"Origin": "null"},
    "another site": {"Origin": "https://evil.example"},
    "another port": {"Origin": "http://127.0.0.1:1"},
    "another loopback name": {"Origin": "http://localhost:{port}"},
    "a name that was pointed here": {"Origin": "http://evil.example:{port}", "Host": "evil.example:{port}"},
    "a name that begins like ours": {"Origin": "http://127.0.0.1.evil.example", "Host": "127.0.0.1.evil.example"},
    "a name that ends like ours": {"Origin": "http://evil-localhost", "Host": "evil-localhost"},
    "somebody before the host": {"Origin": "http://127.0.0.1@evil.example", "Host": "127.0.0.1"},
    "this network": {"Origin": "http://192.168.1.7:8188", "Host": "192.168.1.7:8188"},
    "every address": {"Origin": "http://0.0.0.0:8188", "Host": "0.0.0.0:8188"},
    "two origins": {"Origin": "http://{host} https://evil.example"},
    "an extension": {"Origin": "chrome-extension://abcdef"},
    "a cross-site fetch": {"Sec-Fetch-Site": "cross-site"},
    "a same-site fetch": {"Sec-Fetch-Site": "same-site"},
    "a bookmark": {"Sec-Fetch-Site": "none"},
    "a proxy": {"X-Forwarded-For": "203.0.113.9"},
    "a proxy that says loopback": {"X-Forwarded-For": "127.0.0.1"},
    "a modern proxy": {"Forwarded": "for=203.0.113.9;host=127.0.0.1"},
    "a proxy's host": {"X-Forwarded-Host": "evil.example"},
    "a proxy's address": {"X-Real-IP": "203.0.113.9"},
}
ADDRESSES_ELSEWHERE = ("192.0.2.7", "10.0.0.5", "::ffff:192.0.2.7", "fe80::1", "2001:db8::1", "", None)
WRITING = [route.path.replace("{id}", "1") for route in ROUTES if route.guard == WRITE]
JSON_ROUTES = [route.path.replace("{id}", "1") for route in ROUTES if route.guard != READ]


def spoken(
    site: Site, method: str, path: str, body: bytes = b"", **headers: str | None
) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of an answer. A header that is None is not sent."""

    async def ask(client: Client) -> tuple[int, dict[str, str], bytes]:
        at = {"host": f"{client.host}:{client.port}", "port": str(client.port)}
        given: dict[str, str | None] = {"Origin": "http://{host}", "Content-Type": "application/json", **headers}
        sent = {name: value.format(**at) for name, value in given.items() if value is not None}
        async with client.request(method, path, data=body, headers=sent) as reply:
            return reply.status, dict(reply.headers), await reply.read()

    return site.talk(ask)


def body_for(path: str) -> bytes:
    return json.dumps(BODIES[path]).encode()


def assert_nothing_changed(site: Site) -> None:
    assert not any(site.service.folders.state.glob("api_key*"))
    assert not site.service.settings().rehearsal
    assert site.service.settings().api_key == KEY


def test_the_table_is_all_there_is(site: Site) -> None:
    panel = routes.Panel(lambda: site.service, ask_balance=site.ask_balance)
    assert {(method, path) for method, path, _ in panel.table()} == {(route.method, route.path) for route in ROUTES}
    assert all(route.path.startswith("/apimall/") for route in ROUTES)


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.path)
def test_no_route_takes_an_address_or_a_path(route: Route) -> None:
    assert route.takes.isdisjoint({"url", "uri", "path", "file", "folder", "host", "base_url", "callback"})
    assert (route.method == "POST") == (route.guard in (ASK, WRITE, OWN))


@pytest.mark.parametrize("method", METHODS)
def test_each_path_answers_its_own_method_alone(site: Site, method: str) -> None:
    for route in ROUTES:
        if route.method != method:
            status, _, _ = spoken(site, method, route.path.replace("{id}", "1"), b"{}")
            assert status == 405, (method, route.path)
    assert_nothing_changed(site)


@pytest.mark.parametrize("stranger", STRANGERS)
@pytest.mark.parametrize("path", WRITING)
def test_strangers_change_nothing(site: Site, path: str, stranger: str) -> None:
    status, headers, answer = spoken(site, "POST", path, body_for(path), **STRANGERS[stranger])
    assert (status, list(json.loads(answer))) == (403, ["problem"])
    assert "Access-Control-Allow-Origin" not in headers
    assert_nothing_changed(site)


@pytest.mark.parametrize("address", ADDRESSES_ELSEWHERE)
@pytest.mark.parametrize("path", WRITING)
def test_other_machines_change_nothing(
    site: Site, path: str, address: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aiohttp.web.BaseRequest.remote", address)
    assert spoken(site, "POST", path, body_for(path))[0] == 403
    assert_nothing_changed(site)


@pytest.mark.parametrize("kind", FORMS)
@pytest.mark.parametrize("path", JSON_ROUTES)
def test_what_a_form_can_send_is_not_taken(site: Site, path: str, kind: str) -> None:
    assert spoken(site, "POST", path, body_for(path), **{"Content-Type": kind or "application/octet-stream"})[0] == 415
    assert_nothing_changed(site)


@pytest.mark.parametrize("path", JSON_ROUTES)
@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"[]", 400),
        (b"null", 400),
        (b"\xff\xfe", 400),
        (b"[" * 60_000, 400),
        (b'{"a":' * 10_000, 400),
        (b'{"key":"' + b"k" * 64_001 + b'"}', 413),
        (b" " * 5_000_000, 413),
    ],
    ids=["empty", "cut", "list", "null", "no text", "deep", "deep objects", "large", "very large"],
)
def test_only_a_small_json_object_is_read(site: Site, path: str, body: bytes, status: int) -> None:
    assert spoken(site, "POST", path, body)[0] == status
    assert_nothing_changed(site)


@pytest.mark.parametrize("path", ["/apimall/jobs", "/apimall/totals", "/apimall/jobs/1"])
def test_questions_of_any_size_and_kind_are_answered_as_json(site: Site, path: str) -> None:
    site.delivered()
    for query in ("before=%00", "limit=%F0%9F%A6%8A", "only=" + "x" * 4000, "minutes_east=9e9", "model=%3Cimg%3E" * 20):
        status, headers, answer = spoken(site, "GET", f"{path}?{query}")
        assert status in (200, 400), (query, status)
        assert headers["Content-Type"].startswith("application/json")
        assert b"<img>" not in answer
        json.loads(answer)


@pytest.mark.parametrize("number", ["0", "-1", "1e3", "..", "%2e%2e", "%00", "9" * 30, "1/../2", "one", "\u0661"])
def test_only_numbers_name_jobs(site: Site, number: str) -> None:
    site.delivered()
    status, _, _ = spoken(site, "GET", f"/apimall/jobs/{number}")
    assert status in (400, 404)


def test_every_answer_is_kept_out_of_caches_and_read_as_what_it_is(site: Site) -> None:
    site.delivered("<script>alert(1)</script>")
    for route in ROUTES:
        where = route.path.replace("{id}", "1")
        body = body_for(where) if route.method == "POST" else b""
        status, headers, _ = spoken(site, route.method, where + "?model=a&type=b&duration=5&resolution=c", body)
        # There is no other account, no job of the rehearsal, and the clip of this one is none: their absence is seen.
        absent = {"/apimall/posters/1", "/apimall/account/same"}
        absent |= {f"/apimall/jobs/1/{verb}" for verb in ("close", "answer", "star")}
        assert status == (404 if where in absent else 200), where
        assert headers["Cache-Control"] == "no-store"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Content-Type"].split(";")[0] in ("application/json", "text/csv")
        assert "Access-Control-Allow-Origin" not in headers


def test_reading_starts_no_job_and_sends_nothing_but_the_balance(site: Site) -> None:
    site.sent()
    for route in ROUTES:
        if route.guard == READ:
            spoken(site, "GET", route.path.replace("{id}", "1"))
    assert site.asked == 1
    assert not site.service._runners, "nobody was woken that could send a job"
