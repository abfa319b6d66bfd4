"""What a request must show before a route does anything: where it comes from, and fields of the kind that is taken."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import urlsplit

from aiohttp import web

from ..gateway.contract import is_loopback
from ..journal.rows import Only
from .codes import OneTimeCode

Answer = TypeVar("Answer")

LARGEST_ID = (1 << 63) - 1
LONGEST_WORD = 80
_LARGEST_BODY_BYTES = 64_000
_DEFAULT_PORTS = {"http": 80, "https": 443}
_FORWARDED = ("Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-IP")


class Forbidden(Exception):
    """A request that a writing route does not take; `status` is the HTTP status, the text is for its sender."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


CODE_HEADER = "X-APIMall-Code"
PLAIN_HTTP_HEADER = "X-APIMall-Plain-HTTP"
PLAIN_HTTP_IS_KNOWN = "known"


@contextlib.contextmanager
def writer(request: web.Request, code: OneTimeCode) -> Iterator[None]:
    """Only who may write gets into the block: this server's own page in a browser on this machine, or in another one
    that shows the code which was printed here, over https or after the user's own "I know".

    The code is spent if the block ends well. Raises Forbidden.
    """
    shown = request.headers.get(CODE_HEADER)
    if shown is None:
        require_own_page(request)
        yield
        return
    require_own_origin(request)
    is_plain = _origin(request.headers.get("Origin", ""))[0] != "https"
    if is_plain and request.headers.get(PLAIN_HTTP_HEADER) != PLAIN_HTTP_IS_KNOWN:
        raise Forbidden(
            403,
            "This page came over plain http: what you enter can be read on the way. Use https, or say that you know.",
        )
    with code.used(shown):
        yield


def require_own_page(request: web.Request) -> None:
    """Only a page that this server delivered to a browser on this machine. Raises Forbidden.

    The address of the other end says that it is this machine; a proxy's headers say that it only looks so. `Host`
    must be a loopback name, or another site's name could have been pointed here; `Origin` must be the same, or the
    page is another site's.
    """
    require_json(request)
    if not is_near(request):
        raise Forbidden(
            403, "In a browser on another machine this needs the one-time code that is printed where ComfyUI runs."
        )
    if not is_writable_for(request):
        raise Forbidden(403, "Open ComfyUI as 127.0.0.1 or localhost to change this.")
    require_own_origin(request, trusted_names=("Host",))


def require_own_origin(request: web.Request, trusted_names: Sequence[str] = ("Host", "X-Forwarded-Host")) -> None:
    """Only a page that this server delivered, to whichever browser. Raises Forbidden.

    A proxy in front of ComfyUI may put its own name into `Host` and what the browser asked for into a header beside.
    """
    require_json(request)
    origin = _origin(request.headers.get("Origin", ""))
    own = [_origin(f"{origin[0]}://{request.headers[name]}") for name in trusted_names if name in request.headers]
    if origin[0] not in _DEFAULT_PORTS or origin not in own:
        raise Forbidden(403, "Only ComfyUI's own page may change this.")
    if request.headers.get("Sec-Fetch-Site", "same-origin") != "same-origin":
        raise Forbidden(403, "Only ComfyUI's own page may change this.")


def is_near(request: web.Request) -> bool:
    """Whether the request comes from this machine, as far as can be seen."""
    return is_loopback(request.remote) and not any(name in request.headers for name in _FORWARDED)


def is_writable_for(request: web.Request) -> bool:
    """Whether a page that asks like this may write without a code. For a reading route, which is sent no Origin."""
    return is_near(request) and is_loopback(_origin(f"http://{request.headers.get('Host', '')}")[1])


def _origin(url: str) -> tuple[str, str, int]:
    """Scheme, host and port of an address; empty where there are none."""
    try:
        parts = urlsplit(url)
        return parts.scheme, parts.hostname or "", parts.port or _DEFAULT_PORTS.get(parts.scheme, 0)
    except ValueError:
        return "", "", 0


def require_json(request: web.Request) -> None:
    # A form of another site cannot send this type without being asked first.
    if request.content_type != "application/json":
        raise Forbidden(415, "Only JSON is taken here.")


async def json_object(request: web.Request) -> dict[str, Any]:
    if (request.content_length or 0) > _LARGEST_BODY_BYTES:
        raise Forbidden(413, "That is too much.")
    raw = bytearray()
    async for chunk in request.content.iter_chunked(8192):
        raw += chunk
        if len(raw) > _LARGEST_BODY_BYTES:
            raise Forbidden(413, "That is too much.")
    try:
        value = json.loads(bytes(raw))
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise Forbidden(400, "Only a JSON object is taken here.")
    return value


def only_field(fields: Mapping[str, Any], name: str, kind: type[Answer]) -> Answer:
    value = fields.get(name)
    if list(fields) != [name] or not isinstance(value, kind):
        raise Forbidden(400, f"Only the field {name!r} is taken here.")
    return value


def whole_number(given: Mapping[str, str], name: str, least: int, most: int, default: int | None) -> int | None:
    text = given.get(name)
    if text is None:
        return default
    if not re.fullmatch(r"-?[0-9]{1,19}", text) or not least <= int(text) <= most:
        raise Forbidden(400, f"{name!r} is a whole number from {least} to {most}.")
    return int(text)


def job_number(request: web.Request) -> int:
    """The job that an address names; 0, which none has, where it names none."""
    return whole_number(request.match_info, "id", 1, LARGEST_ID, None) or 0


def choice(given: Mapping[str, str], name: str, choices: type[Only]) -> Only:
    try:
        return choices(given.get(name, Only.ALL.value))
    except ValueError:
        raise Forbidden(400, f"{name!r} is one of {', '.join(choices)}.") from None
