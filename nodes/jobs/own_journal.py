"""A state folder's own journal beside the one that machines share: which of its jobs the shared one is to know.

Until somebody has said so, nothing is paid again that it knows as paid (`docs/studio.md`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ..gateway.errors import Charge
from .failures import left_behind
from .order import Order

if TYPE_CHECKING:
    from ..journal.verbs import Journal

_log = logging.getLogger("apimall_video.jobs")


class OwnJournal:
    """`file()`: None where there is but one journal. `said()`: up to which of its jobs it was said whether the shared
    one is to know them; `say()` keeps that. All may raise SetupError.
    """

    def __init__(self, file: Callable[[], Path | None], said: Callable[[], int], say: Callable[[int], None]) -> None:
        self._file = file
        self._said = said
        self._say = say

    def left_behind(self) -> int:
        """How many of its jobs there are of which nobody said anything yet."""
        with self._opened() as own:
            return 0 if own is None else own.beyond(self._said())[0]

    def require_said(self, account: str, order: Order) -> None:
        """Before an order is paid: raises SetupError when it is known as paid here, and nobody said anything yet."""
        with self._opened() as own:
            if own is None:
                return
            said, known = self._said(), own.standing(order.intent(*own.members(account)))
            if known is not None and known.id > said and known.charge is not Charge.NOT_SENT:
                raise left_behind(own.beyond(said)[0])

    def move_into(self, shared: Callable[[], Journal], take: bool) -> None:
        """Have the shared journal know its jobs, or leave them here for good. Raises JournalError."""
        with self._opened() as own:
            if own is None:
                return
            newest = own.beyond(0)[1]
            if take:
                _log.info("%s jobs are known to the shared journal now", shared().take_along(own))
            self._say(newest)

    @contextmanager
    def _opened(self) -> Iterator[Journal | None]:
        from ..journal.verbs import Journal

        file = self._file()
        if file is None:
            yield None
            return
        with closing(Journal(file)) as own:
            yield own
