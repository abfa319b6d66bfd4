"""Guarded connections: requests over https that can only reach public addresses, whatever a URL or name server says.

Every name is looked up once, every address of the answer is checked, and the connection goes to a checked address: a
name server that changes its mind in between changes nothing. Nothing of the user's goes along: no key, cookie or
.netrc entry. Redirects are not followed here.

Proxy programs that take over all of a machine's traffic answer every look-up with a made-up address. That is believed
of a name only where the gateway's own name is answered in the same way.

With a proxy set up for https the proxy looks the name up: what this machine's name servers say decides nothing then.
What is checked is the URL itself, of every redirect too; where the proxy really connects to is the proxy's matter.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import IO, Any

import requests
import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from ..gateway import network
from ..gateway.errors import SetupError, ended
from ..remarks import remark
from ..troubles import Trouble
from .allowed_hosts import IPNetwork, Target, is_number, made_up_ranges, require_loopback, require_public
from .errors import DownloadFailed, DownloadForbidden

CONNECT_SECONDS = 10.0
SILENCE_SECONDS = 30.0
DEADLINE_SECONDS = 1800.0
_MOST_ADDRESSES_TRIED = 6
_HTTPS_PORT = 443
_LINGER_FORMAT = "hh" if os.name == "nt" else "ii"

Resolver = Callable[[str, int], list[str]]
"""Host and port to IP addresses. Raises OSError."""

Dial = Callable[[str, int, float], socket.socket]
"""IP address, port and seconds to a connected socket. Raises OSError."""


_asking = threading.local()


def _is_not_ours(record: logging.LogRecord) -> bool:
    return not getattr(_asking, "now", False)


# urllib3 logs whole URLs, at WARNING when a server sends an odd header. Ours may be signed: good for any reader.
for _name in ("urllib3.connection", "urllib3.connectionpool", "urllib3.response"):
    logging.getLogger(_name).addFilter(_is_not_ours)


def resolve(host: str, port: int) -> list[str]:
    """The addresses the system finds for a host."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def dial(address: str, port: int, seconds: float) -> socket.socket:
    """A TCP connection to exactly this IP address."""
    handle = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
    try:
        handle.settimeout(seconds)
        handle.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        handle.connect((address, port))
    except BaseException:
        handle.close()
        raise
    return handle


@contextlib.contextmanager
def _unlogged() -> Iterator[None]:
    _asking.now = True
    try:
        yield
    finally:
        _asking.now = False


def require_network(gateway_hosts: Sequence[str], resolver: Resolver = resolve) -> None:
    """Raises SetupError where no name could be fetched from: what the gateway makes would be paid for in vain.

    One of `gateway_hosts` may be a relay inside of a company, then another says how names are answered here. A name
    without an address says nothing, and a proxy looks names up by itself.
    """
    refusal = None
    for host in gateway_hosts:
        if network.proxies_for(f"https://{host}/"):
            return
        try:
            addresses = resolver(host, _HTTPS_PORT)
            require_public(host, addresses, made_up_ranges(addresses))
        except OSError:
            continue
        except DownloadForbidden as refused:
            refusal = refusal or refused
        else:
            return
    if refusal is not None:
        raise SetupError(remark(Trouble.NETWORK_UNFIT, refusal=refusal.what), advice=remark(Trouble.SET_HTTPS_PROXY))


class GuardedConnection:
    """Looks up, checks and connects, for one request after the other; another thread can cut it at any time.

    `gateway_hosts` are the gateway's names: where they lead tells whether this network makes addresses up.
    """

    def __init__(self, gateway_hosts: Sequence[str] = (), resolver: Resolver = resolve, dial: Dial = dial) -> None:
        self.stage = Trouble.PREPARATION
        self.target: Target | None = None
        self._gateway_hosts = gateway_hosts
        self._resolver = resolver
        self._dial = dial
        self._lock = threading.Lock()
        self._handles: list[socket.socket] = []
        self._closed = False

    @contextlib.contextmanager
    def ask(
        self,
        target: Target,
        headers: Mapping[str, str],
        *,
        method: str = "GET",
        body: IO[bytes] | None = None,
        deadline_seconds: float | None = DEADLINE_SECONDS,
    ) -> Iterator[requests.Response]:
        """Send one request and give its answer, body unread; the connection ends with the block.

        `deadline_seconds` ends the exchange however slowly bytes still come; None leaves that to whoever calls `cut`.
        Raises DownloadForbidden, also for proxies and certificates that cannot work, and what requests raises.
        """
        self.target = target
        self.stage = Trouble.PREPARATION
        # Prepared and sent by hand: a session would add cookies and .netrc, and read the whole body of a redirect.
        request = requests.Request(method, target.url, headers=dict(headers), data=body).prepare()
        try:
            proxies = {} if target.on_loopback else network.proxies_for(target.url)
            certificates = network.certificates() if target.scheme == "https" else None
        except SetupError as obstacle:
            raise DownloadForbidden(
                remark(Trouble.AND_ADVICE, what=ended(obstacle.what), advice=obstacle.advice)
            ) from None
        adapter = _GuardedAdapter(self, certificates)
        with contextlib.closing(adapter), self._until(deadline_seconds), _unlogged():
            response = adapter.send(
                request,
                stream=True,
                timeout=(CONNECT_SECONDS, SILENCE_SECONDS),
                verify=True,
                cert=None,
                proxies=proxies,
            )
            with response:
                yield response

    def look_up(self, host: str, port: int) -> list[str]:
        self.stage = Trouble.LOOK_UP
        return [host] if is_number(host) else self._resolver(host, port)

    def to_target(self, host: str, port: int) -> socket.socket:
        """A connection to a checked address of the target; no other host is ever asked for."""
        target = self.target
        if target is None or (host, port) != (target.host, target.port):
            raise DownloadForbidden(remark(Trouble.READ_TWO_WAYS))
        addresses = self.look_up(host, port)
        if target.on_loopback:
            require_loopback(host, addresses)
        else:
            require_public(host, addresses, self._made_up(addresses))
        return self._connect(addresses, port)

    def to_proxy(self, host: str, port: int) -> socket.socket:
        """A connection to the proxy that the user set up: it may well be on this machine."""
        return self._connect(self.look_up(host, port), port)

    def explain(self, problem: Exception, host: str) -> DownloadFailed:
        """Network trouble in words, without its text: that holds the whole URL, proxy password and all."""
        if isinstance(problem, requests.exceptions.ProxyError):
            return DownloadFailed(remark(Trouble.PROXY_FAILED, host=host))
        if isinstance(problem, requests.exceptions.SSLError):
            advice = network.certificate_advice(problem) or remark(Trouble.ANOTHER_NETWORK)
            return DownloadFailed(remark(Trouble.NO_VALID_CERTIFICATE, host=host, advice=advice))
        how = Trouble.STEP_SLOW if isinstance(problem, (requests.Timeout, TimeoutError)) else Trouble.STEP_FAILED
        return DownloadFailed(remark(how, host=host, step=remark(self.stage)))

    def cut(self) -> None:
        """End the connection now, whatever any thread is waiting for on it, and make no other."""
        with self._lock:
            self._closed = True
        for handle in self._hand_back():
            with contextlib.suppress(OSError):
                # Without lingering a server in full flow is told at once, instead of when its patience ends.
                handle.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack(_LINGER_FORMAT, 1, 0))
                handle.shutdown(socket.SHUT_RDWR)
            handle.close()

    @contextlib.contextmanager
    def _until(self, deadline_seconds: float | None) -> Iterator[None]:
        timer = threading.Timer(deadline_seconds or 0.0, self.cut)
        timer.daemon = True
        if deadline_seconds is not None:
            timer.start()
        try:
            yield
        finally:
            timer.cancel()
            for handle in self._hand_back():
                handle.close()

    def _hand_back(self) -> list[socket.socket]:
        with self._lock:
            handles, self._handles = self._handles, []
        return handles

    def _made_up(self, addresses: list[str]) -> tuple[IPNetwork, ...]:
        """The ranges of made-up addresses to believe in. The gateway is looked up only where that decides something."""
        if not made_up_ranges(addresses):
            return ()
        found: list[str] = []
        for host in self._gateway_hosts:
            with contextlib.suppress(OSError):
                found += self.look_up(host, _HTTPS_PORT)
        return made_up_ranges(found)

    def _connect(self, addresses: list[str], port: int) -> socket.socket:
        self.stage = Trouble.CONNECTION
        failure = OSError("the name has no address")
        for address in addresses[:_MOST_ADDRESSES_TRIED]:
            try:
                handle = self._dial(address, port, CONNECT_SECONDS)
            except OSError as problem:
                failure = problem
                continue
            self._remember(handle)
            self.stage = Trouble.ANSWER
            return handle
        raise failure

    def _remember(self, handle: socket.socket) -> None:
        # A second handle on the same connection: TLS takes the first one over, and shutting down works through both.
        with self._lock:
            if self._closed:
                handle.close()
                raise OSError("nobody waits for this any more")
            self._handles.append(handle.dup())


class _GuardedAdapter(network.VerifyingAdapter):
    """requests, with every connection made by a `GuardedConnection`."""

    def __init__(self, connection: GuardedConnection, certificates: ssl.SSLContext | None) -> None:
        self._connection = connection
        super().__init__(certificates)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = _pool_classes(self._connection.to_target)

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **kwargs)
        if isinstance(manager, urllib3.ProxyManager):  # a SOCKS one connects in its own way
            manager.pool_classes_by_scheme = _pool_classes(self._connection.to_proxy)
        return manager


def _pool_classes(connect: Callable[[str, int], socket.socket]) -> dict[str, type[HTTPConnectionPool]]:
    class PlainConnection(HTTPConnection):
        def _new_conn(self) -> socket.socket:
            return connect(self.host.strip("[]"), self.port)

    class SecureConnection(HTTPSConnection):
        def _new_conn(self) -> socket.socket:
            return connect(self.host.strip("[]"), self.port)

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = PlainConnection

    class SecurePool(HTTPSConnectionPool):
        ConnectionCls = SecureConnection

    return {"http": PlainPool, "https": SecurePool}
