"""What a fault is: a frozen value that turns the gateway's proper reply into the one that is sent."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from .replies import Reply, as_json

HTML = b"<!DOCTYPE html><html><head><title>Error</title></head><body><h1>Something went wrong</h1></body></html>"


@dataclass(frozen=True)
class Fault:
    """One misbehaviour, on its own a proper answer."""

    @property
    def carries_out(self) -> bool:
        """Whether the request has its effect (a task is created and charged, a file is stored)."""
        return True

    @property
    def waits_first(self) -> float:
        """Seconds to wait before the request is carried out; a client that leaves meanwhile is not served."""
        return 0.0

    def play(self, reply: Reply, step: str) -> Reply:
        """The reply to send. `reply` is the proper one, or an empty one if the request was not carried out."""
        return reply


def data_of(reply: Reply) -> Mapping[str, Any]:
    """The `data` of a reply in the gateway's envelope, empty if it is none."""
    try:
        value = json.loads(reply.body)
    except ValueError:
        return {}
    data = value.get("data") if isinstance(value, dict) else None
    return data if isinstance(data, dict) else {}


def edit_data(reply: Reply, changes: Mapping[str, Any]) -> Reply:
    """The reply with some fields of `data` changed; a refusal stays as it is."""
    if reply.status != 200 or not data_of(reply):
        return reply
    document = json.loads(reply.body)
    document["data"].update(changes)
    return replace(reply, body=as_json(document))
