"""What time it is, how old a job is by that, and how long the gateway is good for what it said."""

from __future__ import annotations

import math
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from ..gateway.errors import Unsettled
from ..gateway.retry import Pause
from ..journal.rows import Job
from ..remarks import remark
from ..troubles import Trouble
from .uptime import BOOT, seconds_up

REPLAY_SECONDS = 24 * 3600.0
"""How long an unanswered POST may be repeated with its key. The gateway does not say how long it remembers
keys; a day is what services of this kind promise at least (`docs/gateway.md`, "Idempotency-Key")."""

RESUME_SECONDS = 14 * 24 * 3600.0
"""Results are kept for two weeks at most (`docs/gateway.md`, "Result links"); older jobs are not followed unasked."""

LINK_SECONDS = 24 * 3600.0
"""As long as a link is good at the least (`docs/gateway.md`, "Result links"): one refused before that is no end."""

_CLOCKS_AGREE_SECONDS = 300.0


@dataclass(frozen=True)
class Clocks:
    """`wall`: seconds since the epoch, may jump. `monotonic`: seconds, never does; `wait` and `sleep` go by the same.
    `uptime`: seconds since the machine, in its life `boot`, was started, sleep included where the system can tell.
    `chance`: random in [0, 1).
    """

    wall: Callable[[], float] = time.time
    uptime: Callable[[], float] = seconds_up
    boot: str = BOOT
    monotonic: Callable[[], float] = time.monotonic
    wait: Callable[[threading.Condition, float], bool] = threading.Condition.wait
    sleep: Callable[[float], None] = time.sleep
    chance: Callable[[], float] = random.random

    def seconds(self, pause: Pause) -> float:
        """How long a pause is this time."""
        return pause.with_jitter(self.chance())

    def require_fresh(self, job: Job) -> None:
        """Raises Unsettled for a create that is too old to be repeated with its key (money rule 2)."""
        age = self._age(job)
        if age <= REPLAY_SECONDS:
            return
        long_ago = remark(Trouble.SENT_LONG_AGO, hours=f"{age / 3600:.0f}")
        what = long_ago if age < math.inf else remark(Trouble.SENT_AT_ODD_TIME)
        raise Unsettled(what, request_id=job.request_id)

    def _age(self, job: Job) -> float:
        """Seconds since the create was first sent, by the clock that says more; infinite where they cannot be right.

        The wall clock counts sleep and may be set, the machine's uptime is never set and may miss a sleep: a job is
        young only when neither says otherwise.
        """
        by_wall = self.wall() - (job.sent_at or 0.0)
        if by_wall < -_CLOCKS_AGREE_SECONDS:
            return math.inf
        if job.sent_uptime is None or job.sent_boot != self.boot:
            return by_wall
        return max(by_wall, self.uptime() - job.sent_uptime)
