"""What the jobs of an account are seen through with: the one object that is handed to each part of a runner."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..gateway.client import Gateway
from ..journal.presence import Presence
from ..journal.rows import Allowance, Job
from ..journal.verbs import Journal
from .clocks import Clocks
from .events import Observer
from .given_urls import GivenUrls
from .results import Results
from .scheduler import Scheduler
from .uploads import Uploads


@dataclass(frozen=True, eq=False)
class Means:
    """`gateway`, `allowance`, `hand_on`: as in `runner.Runner`. `max_jobs()`: slots of the plan as they are set now.
    `pace`: seconds until the next poll, as `pace.next_poll`.
    """

    account: str
    journal: Journal
    holders: Presence
    gateway: Callable[[], Gateway]
    results: Results
    uploads: Uploads
    urls: GivenUrls
    scheduler: Scheduler
    clocks: Clocks
    max_jobs: Callable[[], int]
    pace: Callable[..., float]
    allowance: Callable[[], Allowance | None]
    observe: Observer
    hand_on: Callable[[Job], None]
