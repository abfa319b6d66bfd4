"""The steps that a job is seen through by: in which states each may be taken, where, and who goes first."""

from __future__ import annotations

from dataclasses import dataclass

from ..journal.rows import State
from .budget import Share
from .order import Order
from .scheduler import Lane


@dataclass(frozen=True)
class Step:
    """One thing to do for a job in one of `states`. `rank`: who goes first; `share`: of the request it sends.

    `safe`: nothing is lost when somebody else has the job by then: whatever it pays or writes looks at the row again.
    """

    name: str
    states: tuple[State, ...]
    lane: Lane
    rank: int
    share: Share | None = None
    safe: bool = False


# Ranks: creates before all other calls, and what is paid for is downloaded before anything new is uploaded. All else is
# done in the order it is due: were polls to stand behind the many that wait for a slot, no slot would become free.
BEGIN = Step("begin", tuple(State), Lane.CALL, 1)
LOOK = Step("look", (State.INTENDED,), Lane.TRANSFER, 1)
UPLOAD = Step("upload", (State.INTENDED,), Lane.TRANSFER, 1)
SLOT = Step("slot", (State.INTENDED,), Lane.CALL, 1, safe=True)
POST = Step("post", (State.INTENDED, State.SENT), Lane.CALL, 0, Share.CREATE, safe=True)
POLL = Step("poll", (State.RUNNING, State.COMPLETED, State.EXPIRED), Lane.CALL, 1, Share.POLL, safe=True)
REFUND = Step("refund", (State.FAILED,), Lane.CALL, 1, Share.POLL)
DOWNLOAD = Step("download", (State.COMPLETED,), Lane.TRANSFER, 0, safe=True)
TRY = Step("try", (State.RUNNING,), Lane.TRANSFER, 1)


def first_of(order: Order | None) -> Step:
    """What is done for an order whose addresses are in order."""
    return UPLOAD if order is not None and order.media else SLOT
