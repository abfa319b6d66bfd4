"""A job brought as far as a test needs it."""

from __future__ import annotations

from nodes.gateway.contract import Accepted, Task
from nodes.gateway.errors import ResultGone
from nodes.journal.rows import Delivery, Job
from nodes.journal.verbs import Journal
from tests.support.harness import text_order

ACCEPTED = Accepted("vid_1", "req_1", "prov_1", 30.0)
COMPLETED = Task("vid_1", "completed", ("https://cdn/1.mp4",), credits_used=30.0)
DELIVERY = Delivery("f" * 32, "video_1.mp4", 10, 5, "ab" * 32)


GONE = ResultGone("The link has run out")


def sent(journal: Journal, take: int = 0) -> Job:
    job = journal.intend(text_order(take=take).intent("a"))
    assert journal.claim(job, "me", {"me"}) is not None
    posted = journal.begin_post(job, 100, {"me"})
    assert isinstance(posted, Job)
    return posted


def finished(journal: Journal, take: int = 0) -> Job:
    job = journal.completed(journal.accepted(sent(journal, take), ACCEPTED), COMPLETED)
    return journal.delivered(job, DELIVERY, "https://cdn/1.mp4")
