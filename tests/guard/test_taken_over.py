"""A machine whose traffic a proxy program takes over, from the order to the clip: the whole service, over real TLS.

Every name gets an address that the program made up, and the gateway is reached through it (`elsewhere.Tunnel`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from nodes.gateway.errors import Charge, NotDownloaded, NotReached, SetupError
from nodes.guard.connections import require_network
from nodes.journal.rows import State
from nodes.rehearsal.server import RehearsalGateway
from nodes.service import Folders, Service
from tests.support import harness
from tests.support.elsewhere import CDN, GATEWAY, TLS, ConnectProxy, Front, SocksProxy, Tunnel, tunnel

__all__ = ["tunnel"]

KEY = "sk-test-0123456789abcdef"


class PublicGateway(RehearsalGateway):
    """The stand-in, out on the internet: its results lie at a public name."""

    @property
    def base_url(self) -> str:
        return f"https://{CDN}"

    @property
    def behind(self) -> str:
        """Where it listens, for who plays the internet."""
        return f"http://127.0.0.1:{self._port}"


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[PublicGateway]:
    made = PublicGateway(tmp_path / "gateway", seconds_per_task=0.0, render=harness.render_tiny)
    with made:
        yield made


@pytest.fixture
def front(gateway: PublicGateway) -> Iterator[Front]:
    made = Front(gateway.behind)
    yield made
    made.close()


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(TLS / "authority.pem"))
    environ = {"APIMALL_API_KEY": KEY, "APIMALL_BASE_URL": f"https://{GATEWAY}"}
    made = Service(Folders(tmp_path / "state", tmp_path / "results"), environ, clocks=harness.quick_clocks())
    yield made
    made.close()


def lead(tunnel: Tunnel, front: Front, addresses: dict[str, str]) -> None:
    """What the program answers for names; all addresses come out at the gateway's front."""
    tunnel.names = {name: [address] for name, address in addresses.items()}
    tunnel.ports = dict.fromkeys(addresses.values(), front.port)


@pytest.mark.parametrize("range_", ["198.18.0.", "fdfe:dcba:9876::"])
def test_a_job_is_paid_and_comes_home_where_every_address_is_made_up(
    range_: str, tunnel: Tunnel, gateway: PublicGateway, front: Front, service: Service
) -> None:
    lead(tunnel, front, {GATEWAY: f"{range_}5", CDN: f"{range_}9"})
    for order in (harness.text_order(), harness.picture_order()):
        result = harness.ended(service.runner().submit(order)).result()
        assert result.path.is_file()
    assert len(gateway.record.of("create")) == 2
    assert len(gateway.record.of("put")) == 1, "the picture was uploaded by the same way"
    assert set(tunnel.dialled) == {f"{range_}5", f"{range_}9"}


def test_what_could_not_be_brought_home_is_not_bought(
    tunnel: Tunnel, gateway: PublicGateway, front: Front, service: Service
) -> None:
    inner = dict.fromkeys((GATEWAY, CDN, "gateway.apimall.ai"), "10.20.0.5")
    lead(tunnel, front, inner)
    for order in (harness.text_order(), harness.picture_order()):
        with pytest.raises(SetupError, match="not public") as caught:
            harness.ended(service.runner().submit(order)).result()
        assert caught.value.charge is Charge.NOT_SENT
        assert "HTTPS_PROXY" in caught.value.advice
    assert front.heads == []


def test_queued_again_on_a_better_network_the_job_goes_on(
    tunnel: Tunnel, gateway: PublicGateway, front: Front, service: Service
) -> None:
    lead(tunnel, front, {GATEWAY: "10.20.0.5", CDN: "10.20.0.6", "gateway.apimall.ai": "10.20.0.7"})
    ticket = harness.ended(service.runner().submit(harness.text_order()))
    with pytest.raises(SetupError):
        ticket.result()
    lead(tunnel, front, {GATEWAY: "198.18.0.5", CDN: "198.18.0.6"})
    assert harness.ended(service.runner().submit(harness.text_order())).result().path.is_file()
    assert len(gateway.record.of("create")) == 1


def test_a_result_at_a_name_that_leads_inside_is_kept_for_later_and_said_to_be_charged(
    tunnel: Tunnel, gateway: PublicGateway, front: Front, service: Service
) -> None:
    lead(tunnel, front, {GATEWAY: "198.18.0.5", CDN: "10.20.0.5"})
    with pytest.raises(NotDownloaded, match="not public") as caught:
        harness.ended(service.runner().submit(harness.text_order())).result()
    assert caught.value.charge is Charge.CHARGED


@pytest.mark.parametrize("kind", ["http", "socks5"])
def test_with_a_proxy_the_whole_way_goes_through_it_whatever_look_ups_say(
    kind: str, tunnel: Tunnel, gateway: PublicGateway, front: Front, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    if kind == "socks5":
        pytest.importorskip("socks", reason="PySocks is not installed")
    lead(tunnel, front, {GATEWAY: "10.20.0.5", CDN: "10.20.0.6"})
    between = (ConnectProxy if kind == "http" else SocksProxy)({GATEWAY: front.port, CDN: front.port})
    monkeypatch.setenv("ALL_PROXY", f"{kind}://{between.address}")
    assert harness.ended(service.runner().submit(harness.picture_order())).result().path.is_file()
    assert (tunnel.asked, tunnel.dialled) == ([], [])
    assert set(between.asked) == {GATEWAY, CDN}
    between.close()


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("ALL_PROXY", "socks://127.0.0.1:7890"),
        ("HTTPS_PROXY", "http://127.0.0.1:port"),
        ("REQUESTS_CA_BUNDLE", "/nowhere/company.pem"),
        ("SSL_CERT_FILE", "/nowhere/company.pem"),
    ],
)
def test_a_variable_that_cannot_work_leaves_the_job_unsent(
    variable: str, value: str, tunnel: Tunnel, front: Front, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    lead(tunnel, front, {GATEWAY: "198.18.0.5", CDN: "198.18.0.6"})
    monkeypatch.setenv(variable, value)
    service._environ = {**service._environ, variable: value}
    steps: list[str] = []
    service._observe = lambda step, job: steps.append(step)
    ticket = harness.ended(service.runner().submit(harness.text_order()))
    with pytest.raises(SetupError, match=variable) as caught:
        ticket.result()
    assert caught.value.charge is Charge.NOT_SENT
    assert "sent" not in steps
    row = service.journal().get(ticket.work.job.id)
    assert (row.state, row.posts) == (State.INTENDED, 0)
    assert front.heads == []


def test_a_company_proxy_that_looks_into_tls_is_not_sent_to_and_the_variable_is_named(
    tunnel: Tunnel, front: Front, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    lead(tunnel, front, {GATEWAY: "198.18.0.5", CDN: "198.18.0.6"})
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    with pytest.raises(NotReached, match="REQUESTS_CA_BUNDLE"):
        harness.ended(service.runner().submit(harness.text_order())).result()
    assert front.heads == []


# Is there a way home? Names and what they lead to, None for nothing.

RELAY = "relay.company.example"
USUAL = "gateway.apimall.ai"


def answers(**found: list[str]) -> Callable[[str, int], list[str]]:
    names = {RELAY: found.get("relay", []), USUAL: found.get("usual", [])}

    def resolve(host: str, port: int) -> list[str]:
        if not names[host]:
            raise OSError("unknown")
        return names[host]

    return resolve


@pytest.mark.parametrize(
    "found",
    [
        {"usual": ["93.184.216.34"]},
        {"usual": ["198.18.0.1"]},
        {"usual": ["198.18.0.1", "fc00::1"]},
        {"usual": ["2606:4700::1111"]},
        {"relay": ["10.0.0.4"], "usual": ["93.184.216.34"]},
        {"relay": ["10.0.0.4"], "usual": ["198.18.0.4"]},
        {"relay": ["93.184.216.34"], "usual": ["10.0.0.4"]},
        {},
    ],
    ids=str,
)
def test_there_is_a_way_home_where_one_name_of_the_gateway_could_be_fetched_from(found: dict[str, list[str]]) -> None:
    require_network([RELAY, USUAL], answers(**found))


@pytest.mark.parametrize(
    "found",
    [
        {"usual": ["10.0.0.4"]},
        {"usual": ["127.0.0.1"]},
        {"usual": ["93.184.216.34", "192.168.0.4"]},
        {"usual": ["198.18.0.1", "10.0.0.1"]},
        {"relay": ["10.0.0.4"]},
        {"relay": ["100.64.0.4"], "usual": ["100.64.0.5"]},
    ],
    ids=str,
)
def test_there_is_none_where_every_name_leads_inside(found: dict[str, list[str]]) -> None:
    with pytest.raises(SetupError, match="not public"):
        require_network([RELAY, USUAL], answers(**found))
