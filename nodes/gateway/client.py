"""One request to the gateway at a time: sent exactly, read within bounds, its failure named.

Nothing here repeats a request; `retry.may_repeat` decides that and `jobs` carries it out.
"""

from __future__ import annotations

import contextlib
import email.utils
import http.client
import io
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.cookiejar import DefaultCookiePolicy
from typing import Any
from urllib.parse import quote, urlsplit

import requests
import urllib3

from ..remarks import remark
from ..troubles import Trouble
from . import contract, deadlines, network
from .errors import (
    AccessRefused,
    APIMallError,
    BadRequest,
    CreditsMissing,
    GatewayBroken,
    KeyConflict,
    KeyRefused,
    NotReached,
    PromptBlocked,
    ProviderBusy,
    ReplyLost,
    TaskUnknown,
    Throttled,
    Unreadable,
)

_LARGEST_REPLY_BYTES = 4_000_000
_CHUNK_BYTES = 65_536

# 444, 460 and 499 are words of proxies: who asked has gone. What the gateway did meanwhile they do not say.
_BY_STATUS: dict[int, type[APIMallError]] = {
    401: KeyRefused,
    402: CreditsMissing,
    403: AccessRefused,
    404: TaskUnknown,
    408: GatewayBroken,
    409: KeyConflict,
    425: Throttled,
    429: Throttled,
    444: GatewayBroken,
    451: PromptBlocked,
    460: GatewayBroken,
    499: GatewayBroken,
    503: ProviderBusy,
}
# `success: false` under HTTP 200: the code is all there is to go by.
_STATUS_OF_CODE = {
    "unauthorized": 401,
    "insufficient_credits": 402,
    "forbidden": 403,
    "not_found": 404,
    "invalid_request": 400,
    "rate_limited": 429,
    "internal_error": 500,
}
_MEANING = {
    400: Trouble.HTTP_400,
    401: Trouble.HTTP_401,
    402: Trouble.HTTP_402,
    403: Trouble.HTTP_403,
    404: Trouble.HTTP_404,
    408: Trouble.HTTP_408,
    409: Trouble.HTTP_409,
    425: Trouble.HTTP_425,
    429: Trouble.HTTP_429,
    451: Trouble.HTTP_451,
    500: Trouble.HTTP_500,
    503: Trouble.HTTP_503,
}


@dataclass(frozen=True)
class Timeouts:
    """Seconds: to connect, between two bytes of a reply, and for a whole reply."""

    connect_seconds: float = 15.0
    read_seconds: float = 60.0
    reply_seconds: float = 120.0


class Bearer(requests.auth.AuthBase):
    """Puts the key on a request. Being an `auth`, it also keeps a .netrc entry from replacing it."""

    def __init__(self, api_key: str) -> None:
        self._api_key = api_key

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._api_key}"
        return request


class Body(io.BytesIO):
    """A request body that knows whether its first byte was asked for.

    http.client reads a body only after connection, TLS handshake and headers. A body never read
    is therefore proof that the gateway cannot have acted on the request.
    """

    was_read = False

    def read(self, size: int | None = -1, /) -> bytes:
        self.was_read = True
        return super().read(size)


class _Beneath:
    """For urllib3 before 2.2, whose `read` waits for all it is asked for and may take a reply cut short for whole."""

    def __init__(self, raw: Any) -> None:
        self._reply: http.client.HTTPResponse = raw._original_response

    def read1(self, largest: int) -> bytes:
        """What has come, b"" at the end; ConnectionResetError if that is no end."""
        with contextlib.suppress(http.client.IncompleteRead):
            piece = self._reply.read1(largest)
            if piece or not self._reply.length:
                return piece
        raise ConnectionResetError


def open_session(base_url: str) -> requests.Session:
    """A session without cookies or automatic repeats, with the proxy and the certificates that this machine prescribes.

    A loopback gateway (the rehearsal) is never asked through a proxy. Raises SetupError for what cannot work.
    """
    session = requests.Session()
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    # What it would read by itself was read, and checked, by `network`.
    session.trust_env = False
    if not contract.is_loopback(urlsplit(base_url).hostname):
        session.proxies = network.proxies_for(base_url)
        session.mount("https://", deadlines.SecureAdapter(network.certificates()))
    session.mount("http://", deadlines.PlainAdapter())
    return session


class Gateway:
    """API Mall for one account. Every method sends one request and raises an `APIMallError` on failure.

    The key goes to `base_url`'s origin only: redirects are not followed, and no other address is asked here.
    Safe to share between threads as long as `session` gives each thread its own session.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str,
        *,
        session: Callable[[], requests.Session],
        timeouts: Timeouts = Timeouts(),
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self._api_key = api_key
        self._session = session
        self._timeouts = timeouts
        self._clock = clock

    def __repr__(self) -> str:
        return f"Gateway({self.base_url!r})"

    def create(self, body: bytes, idempotency_key: str) -> contract.Accepted:
        """The paid request: `POST /api/v1/videos/generate` with an Idempotency-Key."""
        envelope = self._post(contract.CREATE_PATH, body, {"Idempotency-Key": idempotency_key})
        accepted = contract.parse_accepted(envelope)
        if accepted is None:
            request_id = contract.parse_refusal(envelope).request_id
            raise Unreadable(remark(Trouble.REPLY_WITHOUT_TASK), request_id=request_id)
        return accepted

    def query(self, task_id: str) -> contract.Task:
        """One look at a task: `GET /api/v1/videos/{task_id}`."""
        envelope = self._request("GET", contract.QUERY_PATH + quote(task_id, safe=""), task_id=task_id)
        task = contract.parse_task(envelope, task_id)
        if task is None:
            raise Unreadable(remark(Trouble.REPLY_WITHOUT_STATUS), task_id=task_id)
        return task

    def balance(self) -> contract.Balance:
        """What the account can spend: `GET /api/v1/account/balances`."""
        return contract.parse_balance(self._request("GET", contract.BALANCE_PATH))

    def upload_address(self, filename: str, content_type: str, size_bytes: int) -> contract.UploadAddress:
        """Where one file may be uploaded to: `POST /api/v1/files/upload-url`."""
        fields = {"filename": filename, "content_type": content_type, "file_size": size_bytes}
        found = contract.parse_upload_address(self._post(contract.UPLOAD_URL_PATH, _json(fields)), content_type)
        if found is None:
            raise Unreadable(remark(Trouble.REPLY_WITHOUT_UPLOAD))
        return found

    def upload_base64(self, data: str, filename: str, content_type: str) -> str:
        """A small file inside JSON: `POST /api/v1/files/base64`; gives its public URL."""
        fields = {"data": data, "filename": filename, "content_type": content_type}
        url = contract.parse_file_url(self._post(contract.BASE64_PATH, _json(fields)))
        if url is None:
            raise Unreadable(remark(Trouble.REPLY_WITHOUT_FILE))
        return url

    def _post(self, path: str, body: bytes, headers: dict[str, str] | None = None) -> dict[str, Any]:
        return self._request("POST", path, Body(body), {"Content-Type": "application/json", **(headers or {})})

    def _request(
        self,
        method: str,
        path: str,
        body: Body | None = None,
        headers: dict[str, str] | None = None,
        task_id: str | None = None,
    ) -> dict[str, Any]:
        try:
            with (
                deadlines.reply_within(self._timeouts.reply_seconds),
                self._session().request(
                    method,
                    self.base_url + path,
                    data=body,
                    headers={"Accept": "application/json", "Accept-Encoding": "identity", **(headers or {})},
                    auth=Bearer(self._api_key),
                    timeout=(self._timeouts.connect_seconds, self._timeouts.read_seconds),
                    allow_redirects=False,
                    stream=True,
                ) as response,
            ):
                # Read in one go: a gateway may repeat the key, and locals are what error reporters collect.
                envelope = contract.parse_object(self._read(response), secret=self._api_key)
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError) as problem:
            failure = self._describe(problem, sent=body.was_read if body else not _never_connected(problem))
        else:
            if 200 <= response.status_code < 300 and envelope is not None and envelope.get("success") is not False:
                return envelope
            failure = self._refusal(response, envelope, task_id)
        # Raised outside the handler: the exceptions of requests, chained, would name addresses and headers.
        raise failure

    def _read(self, response: requests.Response) -> bytes:
        read = getattr(response.raw, "read1", None) or _Beneath(response.raw).read1
        received = bytearray()
        while chunk := read(_CHUNK_BYTES):
            received += chunk
            if len(received) > _LARGEST_REPLY_BYTES:
                raise Unreadable(remark(Trouble.REPLY_TOO_LARGE))
        return bytes(received)

    def _describe(self, problem: Exception, *, sent: bool) -> APIMallError:
        host = urlsplit(self.base_url).netloc
        step = _step(problem)
        if sent:
            return ReplyLost(remark(Trouble.ANSWER_LOST, host=host, step=step))
        what = remark(Trouble.NOT_CONNECTED, host=host, step=step)
        return NotReached(what, advice=network.certificate_advice(problem))

    def _refusal(
        self, response: requests.Response, envelope: dict[str, Any] | None, task_id: str | None
    ) -> APIMallError:
        status = response.status_code
        refusal = contract.parse_refusal(envelope or {})
        told = status if status >= 300 else _STATUS_OF_CODE.get(refusal.code or "", 0)
        kind = _BY_STATUS.get(told) or _kind_by_family(told)
        meaning = remark(_MEANING[told]) if told in _MEANING else remark(Trouble.HTTP_OTHER, status=status)
        return kind(
            remark(Trouble.WITH_MESSAGE, what=meaning, message=refusal.message) if refusal.message else meaning,
            status=status,
            code=refusal.code,
            request_id=refusal.request_id,
            task_id=task_id or refusal.task_id,
            retry_after_seconds=parse_retry_after(response.headers.get("Retry-After"), self._clock()),
        )


def _kind_by_family(status: int) -> type[APIMallError]:
    if 400 <= status < 500:
        return BadRequest
    return GatewayBroken if status >= 500 else Unreadable


def _json(fields: dict[str, Any]) -> bytes:
    return json.dumps(fields, separators=(",", ":")).encode()


def _never_connected(problem: BaseException) -> bool:
    names = {type(link).__name__ for link in network.chain(problem)}
    return bool(names & {"NewConnectionError", "NameResolutionError", "ConnectTimeout", "ProxyError", "SSLError"})


def _step(problem: BaseException) -> str:
    """Which step of the way failed, in words that name no URL."""
    names = {type(link).__name__ for link in network.chain(problem)}
    for step, signs in (
        (Trouble.BY_PROXY, {"ProxyError"}),
        (Trouble.BY_TLS, {"SSLError", "SSLCertVerificationError"}),
        (Trouble.BY_NAME, {"NameResolutionError", "gaierror"}),
        (Trouble.BY_SLOW_CONNECTION, {"ConnectTimeout", "ConnectTimeoutError"}),
        (Trouble.BY_SILENCE, {"ReadTimeout", "ReadTimeoutError", "TimeoutError"}),
        (Trouble.BY_REFUSAL, {"ConnectionRefusedError"}),
        (Trouble.BY_RESET, {"ConnectionResetError", "RemoteDisconnected", "BrokenPipeError", "IncompleteRead"}),
    ):
        if names & signs:
            return remark(step)
    return type(problem).__name__


def parse_retry_after(value: str | None, now: float) -> float | None:
    """Seconds to wait by a `Retry-After` header (delta or HTTP date); None when absent or absurd. `now`: epoch."""
    if not value:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        moment = email.utils.parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
    return max(moment - now, 0.0)
