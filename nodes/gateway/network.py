"""What this machine prescribes for every request: its proxy, and the certificates that vouch for the other end.

requests would read the same variables; here they are read before anything is sent, and a variable that cannot work is
named. Certificates come from `REQUESTS_CA_BUNDLE` (or `CURL_CA_BUNDLE`) alone where it is set, else from the list that
requests brings, the system's own store and `SSL_CERT_FILE` together: a company's proxy is vouched for in the latter.
"""

from __future__ import annotations

import contextlib
import functools
import re
import ssl
import warnings
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.util.ssl_ import create_urllib3_context
from urllib3.util.ssl_match_hostname import CertificateError  # urllib3 1.26 compares names itself

from ..remarks import Remark, remark
from ..troubles import Trouble
from .errors import SetupError

_VARIABLES = (("https", "HTTPS_PROXY"), ("all", "ALL_PROXY"))
# The proxy looks the names up: what this machine's own resolver says of them may be made up, or nothing at all.
_KINDS = {
    "http": "http",
    "https": "https",
    "socks4": "socks4",
    "socks4a": "socks4a",
    "socks5": "socks5h",
    "socks5h": "socks5h",
}
_HOST = re.compile(r"[A-Za-z0-9_.-]+|[0-9A-Fa-f:.]+")
# OpenSSL's numbers, X509_V_ERR_...: not yet valid, expired; another name, another address.
_WRONG_TIME = (9, 10)
_WRONG_NAME = (62, 64)
_MOST_LINKS = 20


def proxies_for(url: str) -> dict[str, str]:
    """The proxy for an https address, as requests takes it; empty for none. Raises SetupError for one that cannot work.

    Taken from the environment, from the system's settings where they hold one, and from `NO_PROXY`.
    """
    found = requests.utils.get_environ_proxies(url)
    for scheme, variable in _VARIABLES:
        if given := found.get(scheme, "").strip():
            return {"https": _usable(given, variable)}
    return {}


def certificates() -> ssl.SSLContext:
    """Who is believed, made once and shared. Raises SetupError when the list that is prescribed cannot be read."""
    with requests.Session() as session:
        chosen = session.merge_environment_settings("https://", {}, None, None, None)["verify"]
    if not isinstance(chosen, str):
        return _usual(ssl.get_default_verify_paths())
    name = remark(Trouble.EITHER, one="REQUESTS_CA_BUNDLE", other="CURL_CA_BUNDLE")
    try:
        return _only(chosen, Path(chosen).stat().st_mtime_ns)
    except ssl.SSLError:
        problem = remark(Trouble.NAMED_FILE_NO_CERTIFICATES, name=name)
    except OSError as missing:
        problem = remark(Trouble.NAMED_FILE_UNREADABLE, name=name, reason=str(missing.strerror))
    raise SetupError(problem, advice=remark(Trouble.CORRECT_AND_RESTART))


class VerifyingAdapter(HTTPAdapter):
    """requests with the certificates of `context` (None: plain http only) and no others; repeats no failed request."""

    def __init__(self, context: ssl.SSLContext | None) -> None:
        self._context = context
        super().__init__(max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Connections without a proxy."""
        super().init_poolmanager(*args, ssl_context=self._context, **kwargs)

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        """Connections through a proxy; one that is itself spoken to over TLS is held to the same certificates."""
        if not proxy.lower().startswith("socks"):
            kwargs["proxy_ssl_context"] = self._context
        return super().proxy_manager_for(proxy, ssl_context=self._context, **kwargs)

    def send(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        """As every adapter does it. Told to verify, some releases of requests would bring a list of their own."""
        return super().send(request, *args, **{**kwargs, "verify": None})

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        """Always and by the context alone; this is where older releases would add their list."""
        conn.cert_reqs, conn.ca_certs, conn.ca_cert_dir = "CERT_REQUIRED", None, None


def certificate_advice(problem: BaseException) -> Remark | None:
    """What helps when the other end's certificate was not accepted; None when that is not what happened."""
    for link in chain(problem):
        if isinstance(link, (ssl.SSLCertVerificationError, CertificateError)):
            if getattr(link, "verify_code", None) in _WRONG_TIME:
                return remark(Trouble.SET_CLOCK)
            if isinstance(link, CertificateError) or link.verify_code in _WRONG_NAME:
                return remark(Trouble.ANSWERED_IN_PLACE)
            return remark(Trouble.SET_BUNDLE)
    return None


def chain(problem: BaseException) -> list[BaseException]:
    """An exception and all those behind it."""
    found: list[BaseException] = []
    waiting: list[object] = [problem]
    while waiting and len(found) < _MOST_LINKS:
        link = waiting.pop()
        if not isinstance(link, BaseException) or link in found:
            continue
        found.append(link)
        waiting += [link.__cause__, link.__context__, getattr(link, "reason", None), *link.args]
    return found


def _usable(text: str, variable: str) -> str:
    """A proxy's address in full. The value stays out of every message: it may hold a password."""
    address = text if "://" in text else f"http://{text}"
    kind, separator, rest = address.partition("://")
    try:
        parts = urlsplit(f"//{rest}")
        sound = _HOST.fullmatch(parts.hostname or "") and parts.port != 0 and parts.path in ("", "/")
        sound = sound and not parts.query and not parts.fragment and rest.isprintable() and " " not in rest
    except ValueError:
        sound = False
    advice = remark(Trouble.WRITE_PROXY)
    where = remark(Trouble.EITHER, one=variable, other=remark(Trouble.SYSTEM_PROXY))
    if not sound or not re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]{0,15}", kind):
        raise SetupError(remark(Trouble.NO_PROXY_ADDRESS, where=where), advice=advice)
    known = _KINDS.get(kind.lower())
    if known is None:
        raise SetupError(remark(Trouble.NO_PROXY_KIND, where=where, kind=f"{kind.lower()}://"), advice=advice)
    if known.startswith("socks") and not _speaks_socks():
        raise SetupError(remark(Trouble.NO_PYSOCKS, where=where), advice=remark(Trouble.INSTALL_PYSOCKS))
    return f"{known}{separator}{rest}"


def _speaks_socks() -> bool:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", urllib3.exceptions.DependencyWarning)
            from urllib3.contrib import socks
    except ImportError:
        return False
    return bool(socks)


@functools.lru_cache(maxsize=4)
def _usual(paths: ssl.DefaultVerifyPaths) -> ssl.SSLContext:
    context = _empty()
    with contextlib.suppress(OSError):
        # One certificate of the system's store that cannot be read must not cost the others.
        context.load_default_certs()
    context.load_verify_locations(requests.utils.DEFAULT_CA_BUNDLE_PATH)
    return context


@functools.lru_cache(maxsize=4)
def _only(bundle: str, changed_ns: int) -> ssl.SSLContext:
    context = _empty()
    if Path(bundle).is_dir():
        context.load_verify_locations(capath=bundle)
    else:
        context.load_verify_locations(cafile=bundle)
    return context


def _empty() -> ssl.SSLContext:
    context = create_urllib3_context()
    # Python 3.13 began to insist on extensions that the certificates of company proxies often lack.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context
