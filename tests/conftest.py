"""What every test gets: a clean environment and no way to reach anything but this machine."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.support import postgres

# A busy machine is no failure of ours.
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")

_LOOPBACK = ("127.", "::1", "localhost")
_OF_THE_NETWORK = {
    *("http_proxy", "https_proxy", "all_proxy", "no_proxy"),
    *("requests_ca_bundle", "curl_ca_bundle", "ssl_cert_file", "ssl_cert_dir"),
}


def _refuse_the_outside(event: str, args: tuple[object, ...]) -> None:
    # The real gateway takes real credits: a test that could reach it is a test that could spend them.
    if event != "socket.connect":
        return
    address = args[1]
    if isinstance(address, tuple) and not str(address[0]).startswith(_LOOPBACK):
        raise PermissionError(f"a test tried to connect to {address[0]}: only loopback is allowed in tests")


sys.addaudithook(_refuse_the_outside)


@pytest.fixture(autouse=True)
def _no_settings_of_the_developer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key, base URL, proxy or certificate in the developer's shell changes no test."""
    for name in list(os.environ):
        if name.startswith("APIMALL_") or name.lower() in _OF_THE_NETWORK:
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def _databases_are_given_back() -> Iterator[None]:
    """But those of a whole file's fixtures, which are there before this one."""
    with postgres.given_back():
        yield
