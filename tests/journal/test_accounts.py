"""Which accounts are one and the same, by their owner's word alone."""

from __future__ import annotations

from nodes.gateway.contract import Accepted
from nodes.gateway.errors import PromptBlocked
from nodes.journal.rows import Allowance, Held, Hindrance, Job
from nodes.journal.verbs import Journal
from tests.support.harness import text_order

GATEWAY = "https://gateway.example"


def running(journal: Journal, account: str, take: int = 0) -> Job:
    job = journal.begin_post(journal.intend(text_order(take=take).intent(account)), 99, [])
    assert isinstance(job, Job)
    return journal.accepted(job, Accepted(f"vid_{account}_{take}", credits_used=30.0))


def test_another_account_of_the_same_gateway_with_jobs_is_asked_about(journal: Journal) -> None:
    for account in ("old", "new"):
        journal.know_account(account, GATEWAY)
    assert journal.others("new") == []
    running(journal, "old")
    [other] = journal.others("new")
    assert (other.account, other.jobs, other.unfinished) == ("old", 1, 1)
    assert other.newest_at > 0


def test_accounts_of_another_gateway_and_strangers_are_not_asked_about(journal: Journal) -> None:
    journal.know_account("new", GATEWAY)
    journal.know_account("elsewhere", "https://another.example")
    journal.know_account("theirs", GATEWAY)
    running(journal, "elsewhere")
    running(journal, "theirs")
    journal.another_account("new", "theirs")
    assert journal.others("new") == []
    assert journal.others("theirs") == []


def test_once_they_are_the_same_the_jobs_of_both_are_known_under_the_one_in_use(journal: Journal) -> None:
    for account in ("old", "new"):
        journal.know_account(account, GATEWAY)
    job = running(journal, "old")
    journal.same_account("new", "old")
    assert journal.members("new") == ["new", "old"]
    assert journal.others("new") == []
    again = journal.intend(text_order().intent(*journal.members("new")))
    assert (again.id, again.task_id) == (job.id, job.task_id)
    assert journal.by_task("new", str(job.task_id)) is not None


def test_what_another_process_still_writes_under_the_old_key_comes_along_the_next_time(journal: Journal) -> None:
    for account in ("old", "new"):
        journal.know_account(account, GATEWAY)
    running(journal, "old")
    journal.same_account("new", "old")
    running(journal, "old", take=1)
    journal.know_account("new", GATEWAY)
    assert len(journal.resumable("new", 0.0)) == 2


def test_a_third_key_joins_the_two(journal: Journal) -> None:
    for account in ("first", "second", "third"):
        journal.know_account(account, GATEWAY)
    running(journal, "first")
    journal.same_account("second", "first")
    journal.same_account("third", "second")
    assert journal.members("third") == ["third", "first", "second"]
    assert journal.intend(text_order().intent(*journal.members("third"))).task_id == "vid_first_0"


def test_of_two_attempts_at_one_job_under_two_names_the_paid_one_counts(journal: Journal) -> None:
    for account in ("old", "new"):
        journal.know_account(account, GATEWAY)
    paid = running(journal, "old")
    unsent = journal.intend(text_order().intent("new"))
    journal.same_account("new", "old")
    assert unsent.id > paid.id
    assert journal.intend(text_order().intent("new", "old")).id == paid.id


def test_attempts_under_two_names_are_counted_on_from_the_highest(journal: Journal) -> None:
    for account in ("old", "new"):
        journal.know_account(account, GATEWAY)
    for account, times in (("new", 3), ("old", 1)):
        for _ in range(times):
            job = journal.begin_post(journal.intend(text_order().intent(account)), 99, [])
            assert isinstance(job, Job)
            journal.rejected(job, PromptBlocked("no"))
    journal.same_account("new", "old")
    assert journal.intend(text_order().intent("new", "old")).attempt == 4


def test_slots_and_limits_are_one_for_all_names_of_an_account(journal: Journal) -> None:
    for account in ("old", "new"):
        journal.know_account(account, GATEWAY)
    running(journal, "old")
    journal.same_account("new", "old")
    # A process that was started with the old key goes on to use it.
    late = journal.intend(text_order(take=1).intent("old"))
    journal.claim(journal.get(1), "another", ["another"])
    held = journal.begin_post(late, 1, ["another"])
    assert held == Held(Hindrance.SLOT)
    held = journal.begin_post(late, 99, [], Allowance(30.0, 0.0, 1e12))
    assert isinstance(held, Held)
    assert held.spent == 30.0


def test_a_task_is_known_under_every_name_of_its_account(journal: Journal) -> None:
    for account in ("old", "new"):
        journal.know_account(account, GATEWAY)
    job = running(journal, "old")
    journal.same_account("new", "old")
    assert journal.adopt_task("old", str(job.task_id)).id == job.id
    newest = journal.newest_uncollected("old")
    assert newest is not None
    assert newest.id == job.id
