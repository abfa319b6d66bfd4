"""Which URLs and addresses may be fetched from; and that a refused one costs neither a look-up nor a connection."""

from __future__ import annotations

import ipaddress
import socket
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes.guard.allowed_hosts import is_public, made_up_ranges, parse_url, require_public
from nodes.guard.downloads import download
from nodes.guard.errors import DownloadForbidden, GuardError

ORIGIN = "http://127.0.0.1:5000"

WELCOME = [
    ("https://cdn.apimall.ai/a/b.mp4", "https://cdn.apimall.ai/a/b.mp4"),
    ("  https://cdn.apimall.ai/b.mp4\n", "https://cdn.apimall.ai/b.mp4"),
    ("HTTPS://CDN.APIMall.ai", "https://cdn.apimall.ai/"),
    ("https://cdn.apimall.ai.:443/b.mp4", "https://cdn.apimall.ai/b.mp4"),
    ("https://cdn.apimall.ai?x=1", "https://cdn.apimall.ai/?x=1"),
    ("https://cdn.apimall.ai/b.mp4?t=1#frag@10.0.0.1/", "https://cdn.apimall.ai/b.mp4?t=1"),
    (
        "https://x.r2.cloudflarestorage.com/b?X-Amz-Signature=aB%2Fc%3D&X-Amz-Date=20260101T000000Z",
        "https://x.r2.cloudflarestorage.com/b?X-Amz-Signature=aB%2Fc%3D&X-Amz-Date=20260101T000000Z",
    ),
    ("https://cdn.apimall.ai/\u89c6\u9891.mp4?q=\u00e9", "https://cdn.apimall.ai/%E8%A7%86%E9%A2%91.mp4?q=%C3%A9"),
    ("https://\u4f8b\u5b50.\u4e2d\u56fd/v.mp4", "https://xn--fsqu00a.xn--fiqs8s/v.mp4"),
    ("https://b\u00fccher.example/v.mp4", "https://xn--bcher-kva.example/v.mp4"),
    ("https://xn--bcher-kva.example/", "https://xn--bcher-kva.example/"),
    ("https://under_score.example.com/", "https://under_score.example.com/"),
    ("https://8.8.8.8/v.mp4", "https://8.8.8.8/v.mp4"),
    ("https://[2606:4700:0000::1111]/v.mp4", "https://[2606:4700::1111]/v.mp4"),
    ("https://example.com/a@b/c:d", "https://example.com/a@b/c:d"),
    ("https://localhost.example.com/", "https://localhost.example.com/"),
]

HOSTILE = [
    # loopback in every spelling
    "https://localhost/",
    "https://LOCALHOST/",
    "https://localhost./",
    "https://a.localhost/",
    "https://localhost.localdomain/",
    "https://127.0.0.1/",
    "https://127.0.0.1./",
    "https://127.255.255.254/",
    "https://127.1/",
    "https://127.0.1/",
    "https://2130706433/",
    "https://017700000001/",
    "https://0x7f000001/",
    "https://0x7f.0.0.1/",
    "https://0X7F.1/",
    "https://0177.0.0.1/",
    "https://127.0.0.0x1/",
    "https://127.0.0.01/",
    "https://0/",
    "https://0.0.0.0/",
    "https://00000000000/",
    "https://99999999999/",
    "https://1.2.3.256/",
    "https://[::1]/",
    "https://[::]/",
    "https://[0:0:0:0:0:0:0:1]/",
    "https://[0000:0000:0000:0000:0000:0000:0000:0001]/",
    "https://[::127.0.0.1]/",
    "https://[::ffff:127.0.0.1]/",
    "https://[::ffff:7f00:1]/",
    "https://[::ffff:0:127.0.0.1]/",
    "https://[64:ff9b::127.0.0.1]/",
    "https://[64:ff9b::a00:1]/",
    "https://[64:ff9b:1::127.0.0.1]/",
    "https://[2002:7f00:1::]/",
    "https://[2002:808:808::1]/",
    "https://[2001:0:53aa:64c:0:0:80ff:fffe]/",
    "https://[2606:4700::5efe:10.0.0.1]/",
    # private, link-local, metadata, shared, multicast, reserved
    "https://10.0.0.1/",
    "https://172.16.0.1/",
    "https://172.31.255.255/",
    "https://192.168.1.1/",
    "https://169.254.169.254/latest/meta-data/",
    "https://100.64.0.1/",
    "https://100.100.100.200/latest/meta-data/",
    "https://168.63.129.16/machine",
    "https://192.0.0.192/",
    "https://192.0.2.1/",
    "https://192.88.99.1/",
    "https://198.18.0.1/",
    "https://198.51.100.1/",
    "https://203.0.113.1/",
    "https://224.0.0.1/",
    "https://239.255.255.250/",
    "https://240.0.0.1/",
    "https://255.255.255.255/",
    "https://[fe80::1]/",
    "https://[fe80::1%25eth0]/",
    "https://[fe80::1%eth0]/",
    "https://[fc00::1]/",
    "https://[fd00:ec2::254]/latest/meta-data/",
    "https://[fec0::1]/",
    "https://[ff02::1]/",
    "https://[2001:db8::1]/",
    "https://[100::1]/",
    "https://[5f00::1]/",
    "https://[3fff::1]/",
    # names of a local network
    "https://router/",
    "https://nas.local/",
    "https://metadata.google.internal/computeMetadata/v1/",
    "https://intranet.corp/",
    "https://printer.lan/",
    "https://fritz.box.home.arpa/",
    "https://hidden.onion/",
    # user names, ports, schemes
    "https://user@example.com/",
    "https://user:secret@example.com/",
    "https://example.com@127.0.0.1/",
    "https://127.0.0.1#@example.com/",
    "https://@example.com/",
    "https://example.com%40127.0.0.1/",
    "https://example.com:22/",
    "https://example.com:8443/",
    "https://example.com:80/",
    "https://example.com:0/",
    "https://example.com:65536/",
    "https://example.com:-1/",
    "https://example.com:4 43/",
    "https://example.com:443:443/",
    "https://example.com:\u0664\u0664\u0663/",
    "https://example.com:/",
    "http://example.com/",
    "http://127.0.0.1/",
    "ftp://example.com/",
    "file:///etc/passwd",
    "gopher://example.com/",
    "data:video/mp4;base64,AAAA",
    "javascript:alert(1)",
    "//example.com/",
    "https:example.com",
    "https:/example.com",
    "https:///example.com/",
    "https://",
    "https://?x",
    "view-source:https://example.com/",
    "example.com/clip.mp4",
    # characters that parsers read in different ways
    "https://example.com\\@127.0.0.1/",
    "https:\\\\example.com/",
    "https://example.com/a\\b",
    "https://exam\tple.com/",
    "https://example.com/a\nb",
    "https://example.com/\r\nHost: 127.0.0.1",
    "https://example.com/\x00",
    "https://example.com /",
    "https://exa mple.com/",
    "https://example.com/a b",
    "https://example.com\u3000/",
    "https://example.com/\u202ecod.4pm",
    "https://exam\u200bple.com/",
    "https://exam\u00adple.com/",
    "https://example.com/\ud800",
    "https://ex%61mple.com/",
    "https://127%2e0%2e0%2e1/",
    "https://example..com/",
    "https://.example.com/",
    "https://-example.com/",
    "https://example.com|127.0.0.1/",
    "https://example.com;127.0.0.1/",
    "https://example.com,127.0.0.1/",
    "https://[::1/",
    "https://[example.com]/",
    "https://[127.0.0.1]/",
    "https://[v1.fe]/",
    "https://[::1]127.0.0.1/",
    "https://::1/",
    # look-alikes
    "https://\uff11\uff12\uff17.0.0.1/",
    "https://127\u3002\uff10\u30020\u30021/",
    "https://\u2460\u2461\u2466.0.0.1/",
    "https://\uff4c\uff4f\uff43\uff41\uff4c\uff48\uff4f\uff53\uff54/",
    "https://\u24d4xample.com/",
    "https://example\u2024com/",
    "https://example.com\u2215@127.0.0.1/",
    "https://example.com\uff0f127.0.0.1/",
    "https://example.com\uff20127.0.0.1/",
    "https://\u212a8s.local/",
    "https://xn--.127/",
    # sizes
    "",
    "   ",
    "https://" + "a" * 64 + ".com/",
    "https://" + "a." * 130 + "com/",
    "https://example.com/" + "a" * 9000,
]


class Network:
    """A name server that calls everything public, and dialling that reaches a trap: both must stay unused."""

    def __init__(self, trap: int) -> None:
        self.asked: list[str] = []
        self.dialled: list[str] = []
        self._trap = trap

    def resolve(self, host: str, port: int) -> list[str]:
        self.asked.append(host)
        return ["93.184.216.34"]

    def dial(self, address: str, port: int, seconds: float) -> socket.socket:
        self.dialled.append(address)
        return socket.create_connection(("127.0.0.1", self._trap), seconds)


@pytest.mark.parametrize("url", HOSTILE, ids=[ascii(url)[:50] for url in HOSTILE])
def test_a_hostile_url_is_refused_before_anything_is_asked_or_connected_to(url: str, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as trap:
        network = Network(trap.getsockname()[1])
        with pytest.raises(DownloadForbidden) as caught:
            download(url, tmp_path / "part", resolver=network.resolve, dial=network.dial)
        trap.settimeout(0)
        with pytest.raises(BlockingIOError):
            trap.accept()
    assert (network.asked, network.dialled) == ([], [])
    assert list(tmp_path.iterdir()) == []
    _assert_fit_to_be_shown(str(caught.value))


def test_the_table_is_as_large_as_promised() -> None:
    assert len(set(HOSTILE)) == len(HOSTILE) >= 60


@pytest.mark.parametrize(("url", "plain"), WELCOME)
def test_a_public_https_url_is_read_in_its_plainest_spelling(url: str, plain: str) -> None:
    assert parse_url(url).url == plain


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:5001/",
        "http://127.0.0.1/",
        "https://127.0.0.1:5000/",
        "http://localhost:5000/",
        "http://127.0.0.2:5000/",
        "http://127.1:5000/",
        "http://2130706433:5000/",
        "http://[::1]:5000/",
        "http://[::ffff:127.0.0.1]:5000/",
        "http://127.0.0.1:5000@example.com/",
        "http://user@127.0.0.1:5000/",
        "http://127.0.0.1:5000\\@example.com/",
        "http://127.0.0.1.example.com:5000/",
        "http://example.com:5000/",
        "http://10.0.0.1:5000/",
    ],
)
def test_the_loopback_exception_is_for_one_origin_only(url: str) -> None:
    with pytest.raises(DownloadForbidden):
        parse_url(url, ORIGIN)


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("http://127.0.0.1:5000/v.mp4", ORIGIN),
        ("HTTP://127.0.0.1:05000/v.mp4", ORIGIN),
        ("http://localhost/v.mp4", "http://localhost:80"),
        ("https://[::1]:8443/v.mp4", "https://[0::1]:8443/"),
        ("https://cdn.apimall.ai/v.mp4", ORIGIN),
    ],
)
def test_the_loopback_origin_and_the_public_internet_are_welcome(url: str, origin: str) -> None:
    parse_url(url, origin)


@pytest.mark.parametrize("origin", ["https://example.com", "http://10.0.0.1:5000", "http://localhost.example.com"])
def test_an_origin_elsewhere_is_no_loopback_origin(origin: str) -> None:
    with pytest.raises(ValueError, match="this machine"):
        parse_url("https://example.com/", origin)


@pytest.mark.parametrize(
    "address",
    [
        "1.1.1.1",
        "8.8.8.8",
        "93.184.216.34",
        "100.63.255.255",
        "100.128.0.1",
        "172.15.255.255",
        "172.32.0.0",
        "192.167.255.255",
        "198.17.255.255",
        "198.20.0.0",
        "223.255.255.255",
        "2606:4700::1111",
        "2a00:1450:4001:830::200e",
        "240e:c0::1",
        "::ffff:8.8.8.8",
        "64:ff9b::8.8.8.8",
    ],
)
def test_public_addresses_are_public(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))


@given(st.integers(0, 2**32 - 1).map(ipaddress.IPv4Address))
def test_no_disguise_makes_an_ipv4_address_public_that_is_not(address: ipaddress.IPv4Address) -> None:
    number = int(address)
    for prefix in ("::ffff:0:0", "64:ff9b::"):
        assert is_public(ipaddress.IPv6Address(int(ipaddress.IPv6Address(prefix)) + number)) == is_public(address)
    if address.is_private or address.is_multicast or address.is_reserved or address.is_loopback:
        assert not is_public(address)
    for disguise in (f"::{address}", f"2002:{number >> 16:x}:{number & 0xFFFF:x}::1", f"64:ff9b:1::{address}"):
        assert not is_public(ipaddress.ip_address(disguise))


@given(st.text(max_size=80) | st.text(st.sampled_from("htps:/@[]#?.%\\ 127xab\u3002\uff10"), max_size=40))
def test_whatever_is_typed_in_is_refused_or_read_as_public_https(text: str) -> None:
    for url in (text, f"https://{text}"):
        try:
            target = parse_url(url)
        except GuardError as refusal:
            _assert_fit_to_be_shown(str(refusal))
        else:
            assert target.url.isascii()
            assert target.url.startswith("https://")
            assert target.port == 443
            assert "." in target.host or ":" in target.host
            assert parse_url(target.url) == target


def _assert_fit_to_be_shown(message: str) -> None:
    assert "secret" not in message
    assert len(message) < 400
    assert not [character for character in message if unicodedata.category(character) in ("Cc", "Cf", "Cs")]
    assert message.endswith(".")


def test_a_made_up_range_is_for_names_alone() -> None:
    ranges = made_up_ranges(["198.18.0.1", "fc00::1"])
    require_public("cdn.example.com", ["198.18.0.7", "fc00::7", "8.8.8.8"], ranges)
    for literal in ("198.18.0.7", "fc00::7"):
        with pytest.raises(DownloadForbidden):
            require_public(literal, [literal], ranges)
    with pytest.raises(DownloadForbidden):
        require_public("cdn.example.com", ["fc00::7"], made_up_ranges(["198.18.0.1"]))


@pytest.mark.parametrize(
    "addresses", [[], ["8.8.8.8"], ["10.0.0.1"], ["127.0.0.1", "::1"], ["no address"], ["fe80::1"]]
)
def test_other_addresses_are_no_sign_of_made_up_ones(addresses: list[str]) -> None:
    assert made_up_ranges(addresses) == ()
