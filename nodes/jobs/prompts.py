"""What a prompt may newly cost: held against its limit when it is queued, and again as its jobs are sent (rule 11)."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..gateway.errors import Charge, InputError
from ..journal.rows import MOST_PAGE_JOBS, Kind
from .limits import PromptBudget, over_prompt_limit
from .order import Order

if TYPE_CHECKING:
    from ..journal.reads import Records

_MOST_PROMPTS = 100


@dataclass(frozen=True)
class Planned:
    """What a queued node will ask for. `prompt`: None when it is linked. `written`: its kind is.

    `media`: it shows something, of which nobody knows the content before the node runs.
    """

    type: str
    model: str
    duration: str
    resolution: str
    prompt: str | None
    take: int
    written: bool
    media: bool

    @property
    def kind(self) -> Kind:
        return Kind(self.model, self.type, self.duration, self.resolution)

    def order(self) -> Order | None:
        """The very job, where it is known. Raises InputError where what is known makes it none."""
        if not self.written:
            return None
        prompt = "not known yet" if self.prompt is None else self.prompt
        order = Order(self.model, self.type, prompt, self.duration, self.resolution, self.take)
        return None if self.prompt is None or self.media else order


class PromptLimit:
    """`limit()`: credits a prompt, 0 for any number; may raise SetupError. Thread-safe."""

    def __init__(self, limit: Callable[[], float]) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._budgets: dict[str, PromptBudget] = {}

    def budget(self, prompt_id: str) -> PromptBudget | None:
        """What a running prompt may still newly cost; None for anything."""
        limit = self._limit()
        if not limit or not prompt_id:
            return None
        with self._lock:
            budget = self._budgets.pop(prompt_id, None) or PromptBudget(limit)
            # The newest are kept: prompts run one after the other.
            self._budgets[prompt_id] = budget
            while len(self._budgets) > _MOST_PROMPTS:
                del self._budgets[next(iter(self._budgets))]
            return budget

    def passed(self, planned: Sequence[Planned], account: str, records: Callable[[], Records | None]) -> str | None:
        """Why a prompt that asks for all this may not pay, with the sum; None when it may.

        Jobs that were paid already cost nothing in the sum, and neither do those that may be: like a paid one in all
        but media that nobody knows yet. What they, and the copies that lists and loops make of a node, cost after all
        is held against the limit when each is sent (`budget`). `records()`: None where there is no journal yet.
        """
        limit = self._limit()
        if not limit:
            return None
        known = records()
        prices: dict[object, float | None] = {}
        for number, each in enumerate(planned):
            try:
                order = each.order()
            except InputError:
                continue  # It is no job: its own node says why.
            if known is not None and _may_be_paid(known, account, each, order):
                continue
            priced = known.estimate(account, each.kind).credits if known is not None and each.written else None
            prices[order or number] = priced  # two equal nodes are one job
        return over_prompt_limit(limit, list(prices.values()))


def _may_be_paid(records: Records, account: str, planned: Planned, order: Order | None) -> bool:
    if planned.prompt is None:
        return False
    known = [] if order is None else [records.latest(account, order.identity(account))]
    # Also what has another name, of the time before its account got another key.
    alike = records.page(account, type=planned.type, limit=MOST_PAGE_JOBS).jobs
    return any(
        job is not None
        and (job.kind, job.prompt, job.take) == (planned.kind, planned.prompt, planned.take)
        and job.charge is not Charge.NOT_SENT
        and not job.may_be_attempted_anew
        for job in (*known, *alike)
    )
