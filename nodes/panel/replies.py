"""What a route answers: JSON that no browser keeps, also where something went wrong."""

from __future__ import annotations

import functools
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aiohttp import web

from ..gateway.errors import APIMallError
from ..journal.errors import JournalError
from .codes import WrongCode
from .guards import Forbidden

_log = logging.getLogger("apimall_video.routes")

NOT_KEPT = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def as_json(answer: Mapping[str, Any], status: int = 200) -> web.Response:
    return web.json_response(answer, status=status, headers=NOT_KEPT)


def answered(handler: Handler) -> Handler:
    """`handler`, with what it raises told as JSON: `{"problem": ...}`."""

    @functools.wraps(handler)
    async def answer(request: web.Request) -> web.StreamResponse:
        try:
            return await handler(request)
        except Forbidden as refusal:
            return as_json({"problem": str(refusal)}, status=refusal.status)
        except WrongCode as refusal:
            return as_json({"problem": str(refusal)}, status=403)
        except APIMallError as failure:
            return as_json({"problem": str(failure)}, status=409)
        except JournalError as damage:
            _log.warning("the panel could not read the journal: %s", damage)
            return as_json({"problem": f"The journal cannot be read ({damage})."}, status=503)

    return answer
