"""Proxies and certificates that this machine prescribes: what works is used, what cannot is named before sending."""

from __future__ import annotations

import ssl
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from nodes.gateway import network
from nodes.gateway.client import Gateway, Timeouts, open_session
from nodes.gateway.errors import APIMallError, Charge, NotReached, SetupError
from tests.support.elsewhere import CDN, GATEWAY, TLS, ConnectProxy, Front, SocksProxy, Tunnel, tunnel
from tests.support.gateway import ScriptedGateway, answer

__all__ = ["tunnel"]

PATIENT = Timeouts(connect_seconds=10.0, read_seconds=20.0, reply_seconds=30.0)
PASSWORD = "canary-4711"


def ask(name: str = GATEWAY) -> str:
    """One paid request to an https gateway; gives the task's id."""
    with open_session(f"https://{name}") as session:
        gateway = Gateway(f"https://{name}", "sk-test", session=lambda: session, timeouts=PATIENT)
        return gateway.create(b"{}", "key-1").task_id


def refused(name: str = GATEWAY) -> APIMallError:
    with pytest.raises(APIMallError) as caught:
        ask(name)
    assert caught.value.charge is Charge.NOT_SENT
    assert PASSWORD not in str(caught.value)
    return caught.value


@pytest.fixture
def gateway() -> Iterator[Front]:
    with ScriptedGateway(answer()) as scripted:
        front = Front(scripted.base_url)
        yield front
        front.close()


@pytest.fixture
def reached(gateway: Front, tunnel: Tunnel) -> Front:
    """A gateway that its name leads to."""
    tunnel.names = {GATEWAY: ["93.184.216.34"], "other.example": ["93.184.216.34"]}
    tunnel.ports = {"93.184.216.34": gateway.port}
    return gateway


# Proxies


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"])
@pytest.mark.parametrize("spelling", ["http://me:{0}@{1}", "HTTP://{1}/", "{1}", " {1} "])
def test_a_proxy_is_used_in_every_usual_spelling(
    variable: str, spelling: str, gateway: Front, tunnel: Tunnel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(TLS / "authority.pem"))
    between = ConnectProxy({GATEWAY: gateway.port})
    monkeypatch.setenv(variable, spelling.format(PASSWORD, between.address))
    assert ask() == "vid_1"
    assert between.asked == [GATEWAY]
    assert tunnel.asked == [], "the proxy looks names up"
    between.close()


def test_a_blank_variable_counts_as_unset(reached: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(TLS / "authority.pem"))
    monkeypatch.setenv("HTTPS_PROXY", "   ")
    assert ask() == "vid_1"


def test_a_host_in_no_proxy_is_asked_directly(reached: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(TLS / "authority.pem"))
    monkeypatch.setenv("ALL_PROXY", "socks://127.0.0.1:7890")
    monkeypatch.setenv("NO_PROXY", GATEWAY)
    assert ask() == "vid_1"


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "all_proxy"])
@pytest.mark.parametrize(
    "value",
    [
        f"socks://me:{PASSWORD}@127.0.0.1:7890",
        f"ftp://{PASSWORD}",
        f"trojan://{PASSWORD}@host:443?sni=x",
        "http://",
        "://",
        "http://127.0.0.1:port",
        "http://127.0.0.1:0",
        "http://127.0.0.1:99999",
        "http://[::1",
        '"http://127.0.0.1:7890"',
        "'127.0.0.1:7890'",
        f"http://us#{PASSWORD}@127.0.0.1:7890",
        "http://127.0.0.1:7890/path",
        "http://127.0.0.1 :7890",
        "http:127.0.0.1:7890",
        ":7890",
        "yes please",
        "http://\u4ee3\u7406:7890",
    ],
)
def test_a_proxy_that_cannot_work_is_named_before_anything_is_sent(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    failure = refused()
    assert type(failure) is SetupError
    assert variable.upper() in failure.what
    assert "socks5h://" in failure.advice


@pytest.mark.parametrize("kind", ["socks4", "socks4a", "socks5", "socks5h", "SOCKS5"])
def test_a_socks_proxy_without_its_package_says_what_is_missing(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "urllib3.contrib.socks", None)
    monkeypatch.delattr("urllib3.contrib.socks", raising=False)
    monkeypatch.setenv("ALL_PROXY", f"{kind}://me:{PASSWORD}@127.0.0.1:1080")
    failure = refused()
    assert type(failure) is SetupError
    assert "ALL_PROXY" in failure.what and "PySocks" in failure.what
    assert "PySocks" in failure.advice


@pytest.mark.parametrize("kind", ["socks5", "socks5h", "SOCKS5"])
def test_a_socks_proxy_is_used_and_looks_names_up_itself(
    kind: str, gateway: Front, tunnel: Tunnel, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("socks", reason="PySocks is not installed")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(TLS / "authority.pem"))
    between = SocksProxy({GATEWAY: gateway.port})
    monkeypatch.setenv("ALL_PROXY", f"{kind}://{between.address}")
    assert ask() == "vid_1"
    assert (between.asked, tunnel.asked) == ([GATEWAY], [])
    between.close()


# Certificates


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"])
def test_every_usual_variable_adds_an_authority(variable: str, reached: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, str(TLS / "authority.pem"))
    assert ask() == "vid_1"


def test_a_certificate_nobody_vouches_for_names_the_variables_that_help(reached: Front) -> None:
    failure = refused()
    assert type(failure) is NotReached
    assert "certificate" in failure.what
    assert "REQUESTS_CA_BUNDLE" in failure.advice and "SSL_CERT_FILE" in failure.advice
    assert reached.heads == []


def test_a_certificate_of_another_name_is_not_put_down_to_a_variable(
    reached: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(TLS / "authority.pem"))
    assert "another network" in refused("other.example").advice
    assert reached.heads == []


def test_a_certificate_of_another_time_points_at_the_clock() -> None:
    outdated = ssl.SSLCertVerificationError("certificate has expired")
    outdated.verify_code = 10
    wrapped = OSError(outdated)
    assert "clock" in (network.certificate_advice(wrapped) or "")
    assert network.certificate_advice(OSError("reset")) is None


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
@pytest.mark.parametrize("content", [None, b"", b"no certificate", b"-----BEGIN CERTIFICATE-----\nAAAA\n"])
def test_a_bundle_that_cannot_be_read_is_named_before_anything_is_sent(
    variable: str, content: bytes | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = tmp_path / "company.pem"
    if content is not None:
        bundle.write_bytes(content)
    monkeypatch.setenv(variable, str(bundle))
    failure = refused()
    assert type(failure) is SetupError
    assert variable in failure.what


def test_a_bundle_is_read_again_once_it_is_mended(
    reached: Front, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = tmp_path / "company.pem"
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(bundle))
    assert type(refused()) is SetupError
    bundle.write_bytes((TLS / "authority.pem").read_bytes())
    assert ask() == "vid_1"


def test_without_a_variable_the_usual_authorities_are_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(TLS / "authority.pem"))
    context = network.certificates()
    assert context.verify_mode is ssl.CERT_REQUIRED
    names = {certificate["subject"] for certificate in context.get_ca_certs()}
    assert len(names) > 100, "those that requests brings"
    assert network.certificates() is context, "read once"


def test_a_proxy_spoken_to_over_tls_is_held_to_the_same_certificates(
    gateway: Front, tunnel: Tunnel, monkeypatch: pytest.MonkeyPatch
) -> None:
    tunnel.names, tunnel.ports = {CDN: ["93.184.216.34"]}, {"93.184.216.34": gateway.port}
    monkeypatch.setenv("HTTPS_PROXY", f"https://{CDN}:8443")
    assert "REQUESTS_CA_BUNDLE" in refused("gateway.example").advice
    assert gateway.heads == []
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(TLS / "authority.pem"))
    refused("gateway.example")
    assert gateway.heads[0].startswith("CONNECT gateway.example:443 ")
