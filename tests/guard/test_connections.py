"""The guarded connection against name servers that lie, certificates of others, and proxies."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from nodes.guard.allowed_hosts import parse_url
from nodes.guard.connections import GuardedConnection
from nodes.guard.downloads import download
from nodes.guard.errors import DownloadFailed, DownloadForbidden
from tests.support.internet import (
    CLIP,
    PUBLIC,
    URL,
    Answer,
    Internet,
    Proxy,
    Server,
    Talk,
    assert_fit_to_be_shown,
    download_local,
    redirect,
    serve_clip,
)

FORBIDDEN_ADDRESSES = [
    "127.0.0.1",
    "127.8.8.8",
    "0.0.0.0",
    "10.0.0.1",
    "172.16.5.5",
    "192.168.0.10",
    "169.254.169.254",
    "100.64.0.1",
    "100.100.100.200",
    "168.63.129.16",
    "192.0.0.192",
    "198.18.0.7",
    "203.0.113.9",
    "224.0.0.251",
    "255.255.255.255",
    "::1",
    "::",
    "fe80::1",
    "fe80::1%2",
    "fd00:ec2::254",
    "fec0::1",
    "ff02::fb",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::a00:1",
    "2002:a00:1::1",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    "2001:db8::1",
    "2606:4700::5efe:a00:1",
    "not an address",
    "",
]


@pytest.mark.parametrize("address", FORBIDDEN_ADDRESSES)
@pytest.mark.parametrize("beside", [[], [PUBLIC]], ids=["alone", "behind a public one"])
def test_a_name_that_leads_inside_is_not_connected_to(
    internet: Internet, part: Path, address: str, beside: list[str]
) -> None:
    server = internet.serve(serve_clip)
    internet.names["cdn.example.com"] = [[*beside, address]]
    with pytest.raises(DownloadForbidden):
        internet.download(part)
    assert internet.dialled == []
    assert (internet.trap.connections, server.connections) == (0, 0)
    assert not part.exists()


def test_a_name_is_looked_up_once_and_the_checked_address_is_the_one_connected_to(
    internet: Internet, part: Path
) -> None:
    internet.serve(serve_clip)
    internet.names["cdn.example.com"] = [[PUBLIC], ["127.0.0.1"], ["10.0.0.1"]]
    assert internet.download(part) == CLIP
    assert (internet.asked, internet.dialled) == (["cdn.example.com"], [PUBLIC])


def test_a_name_that_changes_its_mind_between_two_redirects_is_refused(internet: Internet, part: Path) -> None:
    internet.serve(redirect("https://cdn.example.com/two"))
    internet.names["cdn.example.com"] = [[PUBLIC], ["169.254.169.254"]]
    with pytest.raises(DownloadForbidden):
        internet.download(part)
    assert (internet.dialled, internet.trap.connections) == ([PUBLIC], 0)


@pytest.mark.parametrize("answers", [[], [[]]], ids=["unknown", "without an address"])
def test_a_name_without_an_address_may_be_tried_again(internet: Internet, part: Path, answers: list[list[str]]) -> None:
    internet.names["cdn.example.com"] = answers
    with pytest.raises(DownloadFailed, match=r"cdn\.example\.com"):
        internet.download(part)
    assert internet.dialled == []


MADE_UP = ["198.18.0.7", "198.19.255.254", "fc00::7", "fdfe:dcba:9876::7"]


@pytest.mark.parametrize("address", MADE_UP)
def test_a_made_up_address_is_believed_where_the_gateways_name_has_one_too(
    internet: Internet, part: Path, address: str
) -> None:
    internet.serve(serve_clip, address=address)
    internet.names["gateway.example"] = [["198.18.0.1"] if "." in address else ["198.18.0.1", "fc00::1"]]
    assert internet.download(part) == CLIP
    assert internet.dialled == [address]


@pytest.mark.parametrize("address", MADE_UP)
@pytest.mark.parametrize("gateway", [[PUBLIC], ["10.0.0.1"], ["127.0.0.1"], None], ids=str)
def test_a_made_up_address_is_not_believed_where_the_gateways_name_has_none(
    internet: Internet, part: Path, address: str, gateway: list[str] | None
) -> None:
    internet.serve(serve_clip, address=address)
    if gateway:
        internet.names["gateway.example"] = [gateway]
    with pytest.raises(DownloadForbidden, match="HTTPS_PROXY"):
        internet.download(part)
    assert internet.dialled == []


@pytest.mark.parametrize(
    "found", [["198.18.0.7", "10.0.0.1"], ["10.0.0.1"], ["127.0.0.1"], ["169.254.169.254"], ["fc00::7"], ["fe80::1"]]
)
def test_where_addresses_are_made_up_every_other_inner_one_stays_forbidden(
    internet: Internet, part: Path, found: list[str]
) -> None:
    internet.names |= {"cdn.example.com": [found], "gateway.example": [["198.18.0.1"]]}
    with pytest.raises(DownloadForbidden):
        internet.download(part)
    assert internet.dialled == []


@pytest.mark.parametrize("host", ["198.18.0.7", "[fc00::7]", "[::ffff:198.18.0.7]"])
def test_a_made_up_address_that_somebody_wrote_is_refused_unasked(internet: Internet, part: Path, host: str) -> None:
    internet.names["gateway.example"] = [["198.18.0.1", "fc00::1"]]
    with pytest.raises(DownloadForbidden):
        internet.download(part, f"https://{host}/clip.mp4")
    assert (internet.asked, internet.dialled) == ([], [])


def test_a_redirect_to_a_made_up_address_is_refused_and_one_to_a_name_that_has_one_is_not(
    internet: Internet, part: Path
) -> None:
    internet.names["gateway.example"] = [["198.18.0.1"]]
    internet.serve(redirect("https://media.example.net/"), address="198.18.0.7")
    internet.serve(redirect("https://198.18.0.7/"), name="media.example.net", address="198.18.0.8")
    with pytest.raises(DownloadForbidden, match="redirects to an address that is not fetched"):
        internet.download(part)
    assert internet.dialled == ["198.18.0.7", "198.18.0.8"]


def test_the_gateway_is_looked_up_only_where_that_decides_something(internet: Internet, part: Path) -> None:
    internet.serve(serve_clip)
    internet.download(part)
    assert internet.asked == ["cdn.example.com"]


def test_fake_addresses_of_proxy_programs_are_named_in_the_refusal(internet: Internet, part: Path) -> None:
    internet.names["cdn.example.com"] = [["198.18.0.7"]]
    with pytest.raises(DownloadForbidden, match="HTTPS_PROXY"):
        internet.download(part)


@pytest.mark.parametrize("address", [PUBLIC, "10.0.0.1", "fe80::1"])
def test_a_loopback_origin_by_name_must_lead_to_this_machine(internet: Internet, part: Path, address: str) -> None:
    internet.names["localhost"] = [["127.0.0.1", address]]
    with pytest.raises(DownloadForbidden):
        download(
            "http://localhost:5000/clip.mp4",
            part,
            loopback_origin="http://localhost:5000",
            resolver=internet.resolve,
            dial=internet.dial,
        )
    assert internet.dialled == []


def test_a_certificate_for_another_name_is_not_accepted(internet: Internet, part: Path) -> None:
    server = internet.serve(serve_clip, name="www.example.com")
    with pytest.raises(DownloadFailed, match="certificate"):
        internet.download(part, "https://www.example.com/clip.mp4")
    assert server.heads == []


def test_a_certificate_nobody_vouches_for_is_not_accepted(
    internet: Internet, part: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    server = internet.serve(serve_clip)
    with pytest.raises(DownloadFailed, match="certificate"):
        internet.download(part)
    assert server.heads == []


# Requests that are no downloads.


@pytest.mark.parametrize("piece", ["HTTP/1.1 100 Continue\r\n\r\n", "H"], ids=["interim answers", "a drip"])
def test_a_request_without_a_watcher_ends_by_its_deadline(serve: Callable[[Answer], Server], piece: str) -> None:
    def drip(talk: Talk) -> None:
        while not talk.server.over.wait(0.02):
            talk.send(piece)

    server = serve(drip)
    target = parse_url(server.origin, server.origin)
    with pytest.raises(OSError), GuardedConnection().ask(target, {}, deadline_seconds=0.3):
        pass


def test_a_request_with_a_body_leaves_by_the_same_guarded_way(internet: Internet, tmp_path: Path) -> None:
    def answer(talk: Talk) -> None:
        while not talk.head.endswith(b"\r\n\r\nclip"):
            talk.head += talk.line.recv(4096)
        talk.send("HTTP/1.1 403 x\r\nContent-Length: 0\r\n\r\n")

    server = internet.serve(answer)
    (tmp_path / "clip").write_bytes(b"clip")
    line = GuardedConnection((), internet.resolve, internet.dial)
    with (tmp_path / "clip").open("rb") as body, line.ask(parse_url(URL), {}, method="PUT", body=body) as response:
        assert response.status_code == 403
    assert "content-length: 4\r\n" in server.heads[0].lower()
    internet.names["cdn.example.com"] = [["10.0.0.1"]]
    with pytest.raises(DownloadForbidden), line.ask(parse_url(URL), {}, method="PUT", body=None):
        pass
    assert internet.dialled == [PUBLIC]


# Proxies.


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Proxy]]:
    started: list[Proxy] = []

    def start(*, status: str = "200 Connected") -> Proxy:
        started.append(Proxy(serve_clip, status))
        monkeypatch.setenv("HTTPS_PROXY", f"http://me:canary@127.0.0.1:{started[-1].port}")
        monkeypatch.setenv("HTTP_PROXY", f"http://me:canary@127.0.0.1:{started[-1].port}")
        return started[-1]

    yield start
    for server in started:
        server.close()


@pytest.mark.parametrize("found", [[PUBLIC], None, ["198.18.0.7"], ["10.0.0.9"], ["127.0.0.1", "fc00::7"]], ids=str)
def test_a_proxy_from_the_environment_is_used_whatever_the_look_up_here_says(
    internet: Internet, proxy: Callable[..., Proxy], part: Path, found: list[str] | None
) -> None:
    between = proxy()
    internet.servers["127.0.0.1"] = between
    if found:
        internet.names["cdn.example.com"] = [found]
    assert internet.download(part) == CLIP
    assert internet.dialled == ["127.0.0.1"]
    assert between.heads[0].startswith("CONNECT cdn.example.com:443 ")
    assert "proxy-authorization" not in between.behind.heads[0].lower()


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "169.254.169.254", "localhost", "nas.local", "10.0.0.9", "198.18.0.7", "[fc00::7]"]
)
def test_a_proxy_is_not_asked_for_a_forbidden_host(
    internet: Internet, proxy: Callable[..., Proxy], part: Path, host: str
) -> None:
    between = proxy()
    internet.servers["127.0.0.1"] = between
    with pytest.raises(DownloadForbidden):
        internet.download(part, f"https://{host}/clip.mp4")
    assert (between.connections, internet.trap.connections) == (0, 0)


@pytest.mark.parametrize("location", ["https://10.0.0.9/", "https://198.18.0.7/", "http://cdn.example.com/", "//nas/"])
def test_a_redirect_behind_a_proxy_is_checked_too(
    internet: Internet, proxy: Callable[..., Proxy], part: Path, location: str
) -> None:
    between = proxy()
    between.behind.answer = redirect(location)
    internet.servers["127.0.0.1"] = between
    with pytest.raises(DownloadForbidden):
        internet.download(part)
    assert (between.connections, internet.trap.connections) == (1, 0)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("ALL_PROXY", "socks://me:canary@127.0.0.1:7890"),
        ("HTTPS_PROXY", "no proxy canary"),
        ("REQUESTS_CA_BUNDLE", "/nowhere/canary.pem"),
    ],
)
def test_a_variable_that_cannot_work_is_named(
    internet: Internet, part: Path, variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    internet.serve(serve_clip)
    monkeypatch.setenv(variable, value)
    with pytest.raises(DownloadForbidden, match=variable) as caught:
        internet.download(part)
    assert_fit_to_be_shown(caught.value)
    assert internet.dialled == []


def test_variables_that_cannot_work_do_not_touch_the_loopback_origin(
    serve: Callable[[Answer], Server], part: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks://127.0.0.1:7890")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere/company.pem")
    download_local(serve(serve_clip), part)


@pytest.mark.parametrize("status", ["407 Proxy Authentication Required", "502 Bad Gateway", "403 <b>canary</b>"])
def test_a_proxy_that_refuses_is_named_without_its_password(
    internet: Internet, proxy: Callable[..., Proxy], part: Path, status: str
) -> None:
    internet.servers["127.0.0.1"] = proxy(status=status)
    with pytest.raises(DownloadFailed, match="proxy") as caught:
        internet.download(part)
    assert_fit_to_be_shown(caught.value)


def test_a_proxy_is_never_asked_for_the_loopback_origin(
    serve: Callable[[Answer], Server], proxy: Callable[..., Proxy], part: Path
) -> None:
    between = proxy()
    download_local(serve(serve_clip), part)
    assert between.connections == 0


def test_a_host_that_is_excepted_from_the_proxy_is_guarded_as_usual(
    internet: Internet, proxy: Callable[..., Proxy], part: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    between = proxy()
    monkeypatch.setenv("NO_PROXY", "cdn.example.com")
    internet.serve(serve_clip)
    assert internet.download(part) == CLIP
    internet.names["cdn.example.com"] = [["10.0.0.1"]]
    with pytest.raises(DownloadForbidden):
        internet.download(part)
    assert (between.connections, internet.dialled) == (0, [PUBLIC])


def test_the_table_is_as_large_as_promised() -> None:
    assert len(FORBIDDEN_ADDRESSES) >= 30
