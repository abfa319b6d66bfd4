"""What queueing a node would do and cost, told before it is queued; and which browsers show that on their nodes."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..gateway.contract import clean_text
from ..gateway.errors import InputError
from ..gateway.models import TEXT_TO_VIDEO
from ..jobs.order import Order
from ..journal.rows import Kind
from ..service import Service
from . import job_facts
from .guards import LARGEST_ID, LONGEST_WORD

if TYPE_CHECKING:
    from ..journal.reads import Records

_MOST_BROWSERS = 200

_with_node_text: deque[str] = deque(maxlen=_MOST_BROWSERS)
"""ComfyUI's ids of the browsers whose nodes show a line of ours."""


def remember_browser(client_id: object) -> None:
    """It asks on behalf of a node's line."""
    if isinstance(client_id, str) and len(client_id) <= LONGEST_WORD and client_id not in _with_node_text:
        _with_node_text.append(client_id)


def shows_node_text(client_id: str) -> bool:
    """Has this browser asked on behalf of a node's line? One without our scripts never does."""
    return client_id in _with_node_text


def standing_of(asked: Mapping[str, Any], records: Records, service: Service) -> dict[str, Any]:
    """What is known of a node with these widget values, and of `job`, which it ran last."""
    settings = service.settings()
    last = asked.get("job")
    known = records.job(settings.account, last) if isinstance(last, int) and 0 < last <= LARGEST_ID else None
    return {
        "standing": _standing(asked, records, service, settings.account),
        **asdict(records.estimate(settings.account, _kind(asked))),
        "rehearsal": settings.rehearsal,
        "ready": settings.rehearsal or settings.api_key is not None,
        "job": known and job_facts.card(known),
    }


def _standing(asked: Mapping[str, Any], records: Records, service: Service, account: str) -> str:
    try:
        order = _order(asked)
    except (InputError, KeyError, TypeError, ValueError):
        return "new"
    names = service.journal().members(account)
    job = records.latest(account, *map(order.identity, names))
    file = service.folders.results / Path(job.file).name if job is not None and job.file else None
    return job_facts.standing(job, on_disk=file is not None and file.is_file())


def _kind(asked: Mapping[str, Any]) -> Kind:
    return Kind(*(clean_text(asked.get(name), LONGEST_WORD) for name in ("model", "type", "duration", "resolution")))


def _order(asked: Mapping[str, Any]) -> Order:
    """The order that a text node with these widget values would make; KeyError, TypeError or InputError if none."""
    words = {name: asked[name] for name in ("model", "prompt", "duration", "resolution")}
    take = asked["take"]
    if asked["type"] != TEXT_TO_VIDEO:
        raise ValueError("what is linked to such a node is not known here")
    if not all(isinstance(word, str) for word in words.values()) or isinstance(take, bool) or not isinstance(take, int):
        raise TypeError("a widget's value of another type")
    return Order(type=TEXT_TO_VIDEO, take=take, **words)
