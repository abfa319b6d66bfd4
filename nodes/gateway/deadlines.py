"""A whole reply by its deadline, headers included: a server that sends a byte now and then holds no thread for ever."""

from __future__ import annotations

import contextlib
import http.client
import io
import socket
import time
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

from requests.adapters import HTTPAdapter

from .network import VerifyingAdapter

_reply_seconds: ContextVar[float | None] = ContextVar("reply_seconds", default=None)


@contextlib.contextmanager
def reply_within(seconds: float) -> Iterator[None]:
    """What is asked in this block has so long to be answered, from the end of the request on. Raises TimeoutError."""
    token = _reply_seconds.set(seconds)
    try:
        yield
    finally:
        _reply_seconds.reset(token)


class PlainAdapter(HTTPAdapter):
    """requests on this machine, with deadlines."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        _bound(self.poolmanager)


class SecureAdapter(VerifyingAdapter):
    """requests over TLS and through proxies, with deadlines."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        _bound(self.poolmanager)

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        known = proxy in self.proxy_manager
        manager = super().proxy_manager_for(proxy, **kwargs)
        if not known:
            _bound(manager)
        return manager


class _Timed(io.RawIOBase):
    """The bytes of a connection up to a moment."""

    def __init__(self, raw: io.RawIOBase, handle: socket.socket, deadline: float) -> None:
        self._raw = raw
        self._handle = handle
        self._silence_seconds = handle.gettimeout()
        self._deadline = deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the reply takes too long")
        self._handle.settimeout(left if self._silence_seconds is None else min(left, self._silence_seconds))
        return self._raw.readinto(buffer)

    def close(self) -> None:
        if not self.closed:
            # The connection may carry another request.
            with contextlib.suppress(OSError):
                self._handle.settimeout(self._silence_seconds)
            self._raw.close()
        super().close()


class _Reply(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        seconds = _reply_seconds.get()
        if seconds is not None:
            self.fp = io.BufferedReader(_Timed(self.fp.detach(), sock, time.monotonic() + seconds))


def _bound(manager: Any) -> None:
    manager.pool_classes_by_scheme = {name: _bounded(pool) for name, pool in manager.pool_classes_by_scheme.items()}


def _bounded(pool: Any) -> Any:
    class Connection(pool.ConnectionCls):  # type: ignore[misc]
        response_class = _Reply

    class Pool(pool):  # type: ignore[misc]
        ConnectionCls = Connection

    return Pool
