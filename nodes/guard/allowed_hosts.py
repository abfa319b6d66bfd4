"""Which URLs and which network addresses may be fetched from: rules only, nothing here touches the network.

A URL from a widget, a workflow or the gateway may be hostile: it must not make this machine talk to itself, to its
neighbours or to a cloud's metadata service. So only https on its usual port to public addresses passes. The one
exception is the loopback origin: the rehearsal, or a base URL that is on this machine.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import quote

from ..gateway.contract import is_loopback, is_seen
from ..remarks import Remark, remark
from ..troubles import Trouble
from .errors import DownloadForbidden, NotPublic

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

_LONGEST_URL_CHARACTERS = 8192
_LONGEST_HOST_CHARACTERS = 253
_USUAL_PORTS = {"https": 443, "http": 80}
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMERIC_LABEL = re.compile(r"[0-9]+|0x[0-9a-f]*")
# Names that mean another machine on every network: RFC 6761, 6762, 8375, 9476, and what routers and clouds hand out.
_LOCAL_SUFFIXES = (
    "localhost",
    "localdomain",
    "local",
    "internal",
    "intranet",
    "private",
    "corp",
    "home",
    "lan",
    "home.arpa",
    "onion",
    "alt",
)
# is_global has changed between Python releases; these never pass, whatever the release thinks of them.
_CLOSED_IPV4 = tuple(
    ipaddress.IPv4Network(network)
    for network in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",  # shared by carriers (CGNAT); also a cloud's metadata service
        "127.0.0.0/8",
        "168.63.129.16/32",  # public by the registry, but a cloud's own control address
        "169.254.0.0/16",  # link-local, with most metadata services
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
    )
)
# Where proxy programs that take over a machine's traffic make up an address for every name, and resolve it themselves.
_MADE_UP = (ipaddress.IPv4Network("198.18.0.0/15"), ipaddress.IPv6Network("fc00::/7"))
_GLOBAL_IPV6 = ipaddress.IPv6Network("2000::/3")
_CLOSED_IPV6 = tuple(
    ipaddress.IPv6Network(network)
    for network in (
        "2001::/23",  # protocol assignments, Teredo and ORCHID among them
        "2001:db8::/32",
        "2002::/16",  # 6to4: an IPv4 address in disguise, and out of use
        "3fff::/20",
    )
)
# Both carry an IPv4 address in their last 32 bits, and hosts do hand them out for public ones (DNS64, dual-stack).
_CARRIES_IPV4 = (ipaddress.IPv6Network("::ffff:0:0/96"), ipaddress.IPv6Network("64:ff9b::/96"))
_ISATAP_MARK = 0x5EFE


@dataclass(frozen=True)
class Target:
    """A checked URL in its plainest spelling.

    `host` is ASCII, lower case, without brackets; `url` is ASCII and has no fragment; `on_loopback` marks the one
    origin that may be this machine.
    """

    scheme: str
    host: str
    port: int
    url: str
    on_loopback: bool = False


def parse_url(url: str, loopback_origin: str | None = None) -> Target:
    """A URL as a Target. Raises DownloadForbidden, whose message does not repeat the URL (it may hold a signature)."""
    target = _parse(url)
    if loopback_origin is not None and _origin(target) == _loopback(loopback_origin):
        return Target(target.scheme, target.host, target.port, target.url, on_loopback=True)
    if target.scheme != "https":
        raise DownloadForbidden(remark(Trouble.ADDRESS_PLAIN_HTTP))
    if target.port != _USUAL_PORTS["https"]:
        raise DownloadForbidden(remark(Trouble.ADDRESS_OF_PORT))
    _require_public_host(target.host)
    return target


def require_public(host: str, addresses: list[str], made_up: tuple[IPNetwork, ...] = ()) -> None:
    """Every address a name stands for must be public; one that is not spoils all. Raises DownloadForbidden.

    `made_up`: ranges from which this network makes up an address for any name. A host that is itself an address of
    them is still refused: nobody made that up.
    """
    for address in addresses:
        number = _number(address)
        if number is None or not (is_public(number) or (not is_number(host) and _within(number, made_up))):
            raise DownloadForbidden(_not_public(host, number))


def made_up_ranges(addresses: list[str]) -> tuple[IPNetwork, ...]:
    """The ranges of made-up addresses that any of these lies in."""
    numbers = [number for number in map(_number, addresses) if number is not None]
    return tuple(network for network in _MADE_UP if any(_within(number, (network,)) for number in numbers))


def require_loopback(host: str, addresses: list[str]) -> None:
    """The loopback origin may be on this machine and nowhere else. Raises DownloadForbidden."""
    for address in addresses:
        if not is_loopback(address):
            raise DownloadForbidden(remark(Trouble.HOST_NOT_HERE, host=host))


def is_number(host: str) -> bool:
    """Whether a host is an IP address already, with nothing to look up."""
    return _number(host) is not None


def is_public(address: IPAddress) -> bool:
    """Whether an address is out on the public internet, by the IANA special-purpose registries and what they miss."""
    if isinstance(address, ipaddress.IPv4Address):
        return address.is_global and not any(address in network for network in _CLOSED_IPV4)
    if address.scope_id is not None:
        return False
    if any(address in network for network in _CARRIES_IPV4):
        return is_public(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    if (int(address) >> 32) & 0xFCFFFFFF == _ISATAP_MARK:
        return False
    return address in _GLOBAL_IPV6 and address.is_global and not any(address in network for network in _CLOSED_IPV6)


def _parse(url: str) -> Target:
    text = url.strip()
    if not text:
        raise DownloadForbidden(remark(Trouble.ADDRESS_EMPTY))
    if len(text) > _LONGEST_URL_CHARACTERS:
        raise DownloadForbidden(remark(Trouble.ADDRESS_TOO_LONG, most=_LONGEST_URL_CHARACTERS))
    if "\\" in text or not all(is_seen(character) and not character.isspace() for character in text):
        raise DownloadForbidden(remark(Trouble.ADDRESS_OF_BLANKS))
    match = re.match(r"(?i)(https?)://([^/?#]*)([^?#]*)(\?[^#]*)?", text)
    if not match:
        raise DownloadForbidden(remark(Trouble.NOT_WEB))
    scheme, authority = match[1].lower(), match[2]
    if "@" in authority:
        raise DownloadForbidden(remark(Trouble.ADDRESS_OF_USER))
    host, port = _host_and_port(authority, scheme)
    shown = f"[{host}]" if ":" in host else host
    where = shown if port == _USUAL_PORTS[scheme] else f"{shown}:{port}"
    # quote() leaves ASCII that may stand in a URL, and existing %xx, as they are: signatures survive.
    path = quote(match[3] or "/", safe="/%:@!$&'()*+,;=-._~")
    query = quote(match[4] or "", safe="/%:@!$&'()*+,;=-._~?")
    return Target(scheme, host, port, f"{scheme}://{where}{path}{query}")


def _host_and_port(authority: str, scheme: str) -> tuple[str, int]:
    if authority.startswith("["):
        literal, closed, rest = authority[1:].partition("]")
        host = _ipv6_host(literal) if closed else ""
        colon, port = rest[:1], rest[1:]
        well_formed = bool(host) and (not rest or colon == ":")
    else:
        name, colon, port = authority.partition(":")
        host = _named_host(name)
        well_formed = bool(host)
    if not well_formed:
        raise DownloadForbidden(remark(Trouble.ADDRESS_OF_NO_HOST))
    if not colon:
        return host, _USUAL_PORTS[scheme]
    if not re.fullmatch(r"[0-9]{1,5}", port) or not 0 < int(port) < 65536:
        raise DownloadForbidden(remark(Trouble.ADDRESS_OF_NO_PORT))
    return host, int(port)


def _ipv6_host(literal: str) -> str:
    # A zone (fe80::1%eth0) is not matched: it names a network card of this machine.
    if not re.fullmatch(r"[0-9A-Fa-f:.]{2,45}", literal):
        return ""
    try:
        return str(ipaddress.IPv6Address(literal))
    except ValueError:
        return ""


def _named_host(name: str) -> str:
    """A host name or IPv4 address in ASCII; empty when it is neither."""
    if not name.isascii():
        name = _ascii_of(name)
    host = name.lower().removesuffix(".")
    labels = host.split(".")
    if len(host) > _LONGEST_HOST_CHARACTERS or not all(_LABEL.fullmatch(label) for label in labels):
        return ""
    if not _NUMERIC_LABEL.fullmatch(labels[-1]):
        return host
    # 127.1, 0x7f000001, 0177.0.0.1, 2130706433: resolvers read these as addresses, people do not.
    try:
        return str(ipaddress.IPv4Address(host))
    except ValueError:
        raise DownloadForbidden(remark(Trouble.ADDRESS_OF_ODD_NUMBER)) from None


def _ascii_of(name: str) -> str:
    import idna

    try:
        ascii_name = idna.encode(name, uts46=True, std3_rules=True).decode("ascii")
    except (idna.IDNAError, UnicodeError):
        return ""
    # Full-width digits and circled letters turn into plain ones here: a name that was no longer one is a trick.
    return ascii_name if "xn--" in ascii_name.lower() else ""


def _require_public_host(host: str) -> None:
    number = _number(host)
    if number is not None:
        if not is_public(number):
            raise NotPublic(_not_public(host, number))
        return
    if "." not in host or any(host == suffix or host.endswith(f".{suffix}") for suffix in _LOCAL_SUFFIXES):
        raise NotPublic(remark(Trouble.HOST_IS_LOCAL, host=host))


def _within(number: IPAddress, networks: tuple[IPNetwork, ...]) -> bool:
    return any(number.version == network.version and number in network for network in networks)


def _number(address: str) -> IPAddress | None:
    try:
        return ipaddress.ip_address(address)
    except ValueError:
        return None


def _not_public(host: str, number: IPAddress | None) -> Remark:
    if number is not None and not is_number(host) and _within(number, _MADE_UP):
        return remark(Trouble.HOST_MADE_UP, host=host, address=str(number))
    return remark(Trouble.HOST_NOT_PUBLIC, host=host)


def _loopback(origin: str) -> tuple[str, str, int]:
    target = _parse(origin)
    if not is_loopback(target.host):
        raise ValueError("a loopback origin has to be on this machine")
    return _origin(target)


def _origin(target: Target) -> tuple[str, str, int]:
    return target.scheme, target.host, target.port
