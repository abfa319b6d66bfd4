"""Who is wired to whom: a runner for each account, which follows what that account left."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as StillWaiting
from dataclasses import replace
from pathlib import Path

import pytest

from nodes.gateway.contract import Accepted
from nodes.gateway.errors import Charge, DatabaseAway, SetupError
from nodes.jobs.events import Event
from nodes.jobs.origin import Origin
from nodes.jobs.work import Ticket
from nodes.journal.errors import JournalAway, JournalError, JournalRefused
from nodes.journal.rows import Job, Parking
from nodes.rehearsal.server import RehearsalGateway
from nodes.service import Folders, Service
from nodes.settings import store_key
from tests.support import harness, postgres

KEYS = ("sk-test-0123456789.first", "sk-test-0123456789.second")
"""Two of one account, as the stand-in has it."""


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[RehearsalGateway]:
    with harness.rehearsal(tmp_path / "gateway") as server:
        yield server


@pytest.fixture
def service(tmp_path: Path, gateway: RehearsalGateway) -> Iterator[Service]:
    environ = {"APIMALL_API_KEY": KEYS[0], "APIMALL_BASE_URL": gateway.base_url}
    made = Service(Folders(tmp_path / "state", tmp_path / "results"), environ, clocks=harness.quick_clocks())
    yield made
    made.close()


def test_what_could_not_be_resumed_at_first_is_resumed_with_the_next_job(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = service.journal()
    sound = journal.resumable
    asked: list[str] = []

    def locked(account: str, since: float) -> list[Job]:
        raise JournalError("database is locked")

    def counted(account: str, since: float) -> list[Job]:
        asked.append(account)
        return sound(account, since)

    monkeypatch.setattr(journal, "resumable", locked)
    with pytest.raises(SetupError, match="locked"):
        service.runner()
    monkeypatch.setattr(journal, "resumable", counted)
    service.runner()
    service.runner()
    assert asked == [service.settings().account]


@pytest.mark.parametrize(
    ("in_settings", "in_environment", "counts"),
    [(0, "", 0), (9, "", 9), (0, "6", 6), (9, "6", 6), (3, "6", 3)],
)
def test_of_the_two_limits_of_a_day_the_smaller_counts(
    in_settings: float, in_environment: str, counts: float, tmp_path: Path
) -> None:
    environ = {"APIMALL_API_KEY": harness.KEY, "APIMALL_DAILY_CREDITS": in_environment}
    service = Service(Folders(tmp_path / "state", tmp_path / "results"), environ, daily_limit=lambda: in_settings)
    assert service._credits_a_day() == counts


# Retention


@pytest.mark.parametrize(
    ("days_of_jobs", "starts_on", "kept"),
    [
        ((0,), 30, (0,)),
        ((0, 30), 30, (0, 30)),
        ((0, 30, 32), 1, (0, 30, 32)),
        ((0, 12, 20), 20, (0, 12, 20)),
        ((0, 12, 20), 500, (0, 12, 20)),
        ((0, 30, 32), 32, (30, 32)),
    ],
)
def test_a_paid_job_is_forgotten_once_jobs_of_two_days_say_that_it_is_old_not_by_the_clock_alone(
    days_of_jobs: tuple[int, ...],
    starts_on: int,
    kept: tuple[int, ...],
    tmp_path: Path,
    gateway: RehearsalGateway,
) -> None:
    today = 0
    clocks = harness.quick_clocks(wall=lambda: 1_800_000_000.0 + today * 86_400.0)
    folders = Folders(tmp_path / "state", tmp_path / "results")
    environ = {"APIMALL_API_KEY": KEYS[0], "APIMALL_BASE_URL": gateway.base_url}
    for today in days_of_jobs:
        with contextlib.closing(Service(folders, environ, clocks=clocks)) as before:
            harness.ended(before.runner().submit(harness.text_order(take=today))).result()
    today = starts_on
    with contextlib.closing(Service(folders, {**environ, "APIMALL_KEEP_DAYS": "14"}, clocks=clocks)) as service:
        service.runner()
        for thread in threading.enumerate():
            if thread.name == "apimall-retention":
                thread.join()
        left = harness.jobs_of(service.journal(), service.settings().account)
        assert sorted(job.take for job in left) == list(kept)


# A new key of the same account


def rotated(service: Service, gateway: RehearsalGateway, **more: str) -> Service:
    """ComfyUI after a restart, with another key."""
    service.close()
    environ = {"APIMALL_API_KEY": KEYS[1], "APIMALL_BASE_URL": gateway.base_url, **more}
    return Service(service.folders, environ, clocks=harness.quick_clocks())


def test_with_a_new_key_an_equal_job_is_not_paid_before_its_owner_said_whose_the_old_ones_are(
    service: Service, gateway: RehearsalGateway
) -> None:
    paid = harness.ended(service.runner().submit(harness.text_order())).result()
    later = rotated(service, gateway)
    try:
        with pytest.raises(SetupError, match="1 jobs were made with other keys") as told:
            later.runner().submit(harness.text_order())
        assert told.value.charge is Charge.NOT_SENT
        harness.ended(later.runner().submit(harness.text_order(take=1))).result()
        posts = len(gateway.record.posts)
        [other] = later.journal().others(later.settings().account)
        later.same_account(other.account)
        again = harness.ended(later.runner().submit(harness.text_order())).result()
        assert (again.path, again.downloaded) == (paid.path, False)
        assert len(gateway.record.posts) == posts
    finally:
        later.close()


def test_a_job_that_ran_when_the_key_changed_goes_on_under_the_new_one(
    service: Service, gateway: RehearsalGateway
) -> None:
    gateway.always("poll", "status:processing")
    ticket = service.runner().submit(harness.text_order())
    harness.eventually(lambda: ticket.status().accepted, "accepted")
    later = rotated(service, gateway)
    gateway.faults.clear()
    try:
        later.runner()
        [other] = later.journal().others(later.settings().account)
        assert (other.jobs, other.unfinished) == (1, 1)
        later.same_account(other.account)
        harness.eventually(lambda: later.journal().get(1).delivered_at, "home")
        assert len(gateway.record.posts) == 1
    finally:
        later.close()


@pytest.mark.parametrize(("fault", "charged"), [("none", 30), ("429", 0)])
def test_a_create_under_way_when_its_owner_says_that_the_new_key_is_the_same_account_is_gone_on_with(
    fault: str, charged: float, rekeyed: Service, environ: dict[str, str], gateway: RehearsalGateway
) -> None:
    reached, go_on = threading.Event(), threading.Event()

    def held(event: Event, job: Job) -> None:
        if event is Event.SENT:
            reached.set()
            go_on.wait(harness.PATIENCE_SECONDS)

    rekeyed._observe = held
    gateway.script("create", fault)
    waiting = rekeyed.runner().submit(harness.text_order())
    assert reached.wait(harness.PATIENCE_SECONDS)
    before = rekeyed.settings().account
    environ["APIMALL_API_KEY"] = KEYS[1]
    rekeyed.same_account(before)
    assert "The job goes on" in str(waiting.work.error)
    go_on.set()
    if charged:
        harness.eventually(lambda: rekeyed.journal().get(1).delivered_at, "home")
    else:
        harness.eventually(lambda: rekeyed.journal().get(1).parked is Parking.WITHDRAWN, "not sent, and nobody's")
    assert gateway.record.charges() == charged


def test_what_waits_to_be_sent_under_one_key_is_not_paid_under_the_next(
    service: Service, gateway: RehearsalGateway
) -> None:
    gateway.always("create", "429")
    waiting = service.runner().submit(harness.text_order())
    harness.eventually(lambda: "again soon" in waiting.status().text, "it is not sent yet")
    environ = {"APIMALL_API_KEY": KEYS[1], "APIMALL_BASE_URL": gateway.base_url}
    beside = Service(service.folders, environ, clocks=harness.quick_clocks())
    try:
        with pytest.raises(SetupError, match="1 jobs were made with other keys"):
            beside.runner().submit(harness.text_order())
        gateway.faults.clear()
        harness.ended(waiting).result()
        assert len(gateway.record.tasks) == 1
    finally:
        beside.close()


def test_what_was_paid_under_the_old_key_while_it_waited_is_not_paid_once_both_are_one(
    service: Service, gateway: RehearsalGateway
) -> None:
    gateway.always("create", "429")
    environ = {"APIMALL_API_KEY": KEYS[1], "APIMALL_BASE_URL": gateway.base_url}
    beside = Service(service.folders, environ, clocks=harness.quick_clocks())
    try:
        waiting = beside.runner().submit(harness.text_order())
        harness.eventually(lambda: "again soon" in waiting.status().text, "it is not sent yet")
        # The old key did not know of the new one when it paid.
        journal, account = service.journal(), service.settings().account
        job = journal.begin_post(journal.intend(harness.text_order().intent(account)), 9, [])
        assert isinstance(job, Job)
        journal.accepted(job, Accepted("vid_1", credits_used=30.0))
        beside.journal().same_account(beside.settings().account, account)
        # The gateway goes on to turn it away: what had left before both were one must not be taken in. What was to be
        # sent just before that is told of the other key.
        with pytest.raises(SetupError, match=r"paid already|made with another key"):
            harness.ended(waiting).result()
        assert gateway.record.tasks == []
    finally:
        beside.close()


def test_what_was_gathered_under_the_accounts_name_is_not_paid_again_by_a_process_that_does_not_know_the_name(
    service: Service, gateway: RehearsalGateway
) -> None:
    paid = harness.ended(service.runner().submit(harness.text_order())).result()
    environ = {"APIMALL_API_KEY": KEYS[0], "APIMALL_BASE_URL": gateway.base_url, "APIMALL_ACCOUNT": "studio"}
    named = Service(service.folders, environ, clocks=harness.quick_clocks())
    try:
        harness.ended(named.runner().submit(harness.text_order(take=1))).result()
        again = harness.ended(service.runner().submit(harness.text_order())).result()
        assert (again.path, again.downloaded) == (paid.path, False)
        harness.ended(service.runner().submit(harness.text_order(take=1))).result()
        assert len(gateway.record.tasks) == 2
    finally:
        named.close()


def test_strangers_never_meet(service: Service, gateway: RehearsalGateway) -> None:
    harness.ended(service.runner().submit(harness.text_order())).result()
    later = rotated(service, gateway)
    try:
        account = later.settings().account
        later.runner()
        [other] = later.journal().others(account)
        later.journal().another_account(account, other.account)
        harness.ended(later.runner().submit(harness.text_order())).result()
        assert len(gateway.record.tasks) == 2
    finally:
        later.close()


def test_a_name_for_the_account_answers_for_servers_and_outlives_every_key(
    service: Service, gateway: RehearsalGateway
) -> None:
    name = {"APIMALL_ACCOUNT": "studio"}
    paid = harness.ended(service.runner().submit(harness.text_order())).result()
    # The name is given while the first key is still in use, then the key changes.
    service.close()
    environ = {"APIMALL_API_KEY": KEYS[0], "APIMALL_BASE_URL": gateway.base_url, **name}
    named = Service(service.folders, environ, clocks=harness.quick_clocks())
    named.runner()
    later = rotated(named, gateway, **name)
    try:
        again = harness.ended(later.runner().submit(harness.text_order())).result()
        assert (again.path, again.downloaded) == (paid.path, False)
        assert later.journal().others(later.settings().account) == []
    finally:
        later.close()
    assert len(gateway.record.posts) == 1


def back_to_the_first_key(service: Service, environ: dict[str, str], gateway: RehearsalGateway) -> Ticket:
    """A job that runs under the second key, of the same account by its owner's word; the first is in use again."""
    service.runner()
    first = service.settings().account
    environ["APIMALL_API_KEY"] = KEYS[1]
    service.same_account(first)
    gateway.always("poll", "status:processing")
    ticket = service.runner().submit(harness.text_order())
    harness.eventually(lambda: ticket.status().accepted, "the gateway has it")
    environ["APIMALL_API_KEY"] = KEYS[0]
    return ticket


@pytest.fixture
def environ(gateway: RehearsalGateway) -> dict[str, str]:
    return {"APIMALL_API_KEY": KEYS[0], "APIMALL_BASE_URL": gateway.base_url}


@pytest.fixture
def rekeyed(tmp_path: Path, environ: dict[str, str]) -> Iterator[Service]:
    """Its `environ` can be changed while it runs."""
    made = Service(Folders(tmp_path / "state", tmp_path / "results"), environ, clocks=harness.quick_clocks())
    yield made
    made.close()


def test_a_key_that_had_jobs_before_the_account_had_a_name_joins_it_as_soon_as_it_is_set(
    rekeyed: Service, environ: dict[str, str], gateway: RehearsalGateway
) -> None:
    paid = harness.ended(rekeyed.runner().submit(harness.text_order())).result()
    rekeyed.close()
    environ |= {"APIMALL_API_KEY": KEYS[1], "APIMALL_ACCOUNT": "studio"}
    rekeyed.runner()
    environ["APIMALL_API_KEY"] = KEYS[0]
    again = harness.ended(rekeyed.runner().submit(harness.text_order())).result()
    assert (again.path, again.downloaded) == (paid.path, False)
    assert len(gateway.record.posts) == 1


@pytest.mark.parametrize("by", ["a node", "the panel"])
def test_with_the_earlier_key_back_in_use_the_jobs_of_the_later_one_are_followed_and_shown(
    by: str, rekeyed: Service, environ: dict[str, str], gateway: RehearsalGateway
) -> None:
    back_to_the_first_key(rekeyed, environ, gateway)
    if by == "a node":
        rekeyed.runner()
    else:
        rekeyed.journal()
    [shown] = rekeyed.records().page(rekeyed.settings().account).jobs
    gateway.faults.clear()
    harness.eventually(lambda: rekeyed.journal().get(shown.id).delivered_at, "home")
    assert gateway.record.of("poll")[-1].headers["Authorization"] == f"Bearer {KEYS[0]}"
    assert len(gateway.record.tasks) == 1


def test_a_start_with_the_earlier_key_follows_the_jobs_of_the_later_one(
    rekeyed: Service, environ: dict[str, str], gateway: RehearsalGateway
) -> None:
    back_to_the_first_key(rekeyed, environ, gateway)
    rekeyed.close()
    gateway.faults.clear()
    rekeyed.follow_unfinished()
    harness.eventually(lambda: rekeyed.journal().get(1).delivered_at, "home")


def test_a_job_is_never_in_hand_twice_when_keys_of_one_account_are_swapped(
    rekeyed: Service, environ: dict[str, str], gateway: RehearsalGateway
) -> None:
    before = back_to_the_first_key(rekeyed, environ, gateway)
    later = rekeyed.runner().submit(harness.text_order())
    assert before.wait(harness.PATIENCE_SECONDS)
    assert "new key" in str(before.work.error), "who waited under the other key is told"
    gateway.faults.clear()
    assert harness.ended(later).result().downloaded
    assert gateway.record.count("download") == 1
    assert list(rekeyed._runners) == [rekeyed.settings().account]
    again = harness.ended(rekeyed.runner().submit(harness.text_order())).result()
    assert not again.downloaded
    assert len(gateway.record.tasks) == 1


def test_a_download_that_a_swap_of_keys_interrupts_is_continued_under_the_other_one(
    rekeyed: Service, environ: dict[str, str], gateway: RehearsalGateway
) -> None:
    ticket = back_to_the_first_key(rekeyed, environ, gateway)
    gateway.always("download", "drip:500")
    gateway.always("poll", "none")
    ticket.poll_now()
    harness.eventually(lambda: ticket.status().fraction, "it comes in drops")
    later = rekeyed.runner().submit(harness.text_order())
    gateway.faults.clear()
    result = harness.ended(later).result()
    assert result.path.read_bytes().startswith(harness.tiny_clip())


@pytest.mark.parametrize("rehearses", [False, True])
def test_no_key_that_is_set_goes_into_a_clip_whichever_is_in_use(
    rehearses: bool, rekeyed: Service, environ: dict[str, str], gateway: RehearsalGateway, tmp_path: Path
) -> None:
    environ |= {"APIMALL_ACCOUNT": "studio"}
    rekeyed.runner()
    store_key(tmp_path / "state", KEYS[1])
    environ |= {"APIMALL_REHEARSAL": "1"} if rehearses else {"APIMALL_API_KEY": ""}
    for key in KEYS:
        workflow = json.dumps({"nodes": [{"note": key}]})
        order = replace(harness.text_order(key[-6:]), origin=Origin('{"1": {}}', workflow))
        ticket = rekeyed.runner().submit(order)
        assert not list((tmp_path / "state" / "origins").glob("*.gz"))
        ticket.leave("enough")


def test_unfinished_jobs_are_followed_before_anything_is_asked_of_the_pack(
    service: Service, gateway: RehearsalGateway, tmp_path: Path
) -> None:
    gateway.always("poll", "status:processing")
    ticket = service.runner().submit(harness.text_order())
    harness.eventually(lambda: ticket.status().accepted, "the gateway has it")
    service.close()
    gateway.faults.clear()
    service.follow_unfinished()
    harness.eventually(lambda: service.journal().get(1).delivered_at, "home")
    assert len(gateway.record.tasks) == 1


def test_a_start_asks_nothing_when_nothing_is_unfinished_or_there_is_no_key(
    service: Service, gateway: RehearsalGateway, tmp_path: Path
) -> None:
    service.follow_unfinished()
    assert not (tmp_path / "state").exists(), "nothing is even opened"
    harness.ended(service.runner().submit(harness.text_order())).result()
    service.close()
    before = gateway.record.count()
    service.follow_unfinished()
    Service(Folders(tmp_path / "state", tmp_path / "results"), {}).follow_unfinished()
    assert service._runners == {}
    assert gateway.record.count() == before


def test_what_the_gateway_refused_to_speak_of_is_asked_again_when_settings_change(
    tmp_path: Path, gateway: RehearsalGateway
) -> None:
    environ = {"APIMALL_API_KEY": KEYS[0], "APIMALL_BASE_URL": gateway.base_url, "APIMALL_ACCOUNT": "ours"}
    service = Service(Folders(tmp_path / "state", tmp_path / "results"), environ, clocks=harness.quick_clocks())
    gateway.always("poll", "403")
    ticket = harness.ended(service.runner().submit(harness.text_order()))
    assert ticket.work.error is not None
    gateway.faults.clear()
    service.runner()
    assert gateway.record.count("poll") == 3, "nothing has changed"
    environ["APIMALL_API_KEY"] = KEYS[1]
    service.runner()
    harness.eventually(lambda: service.journal().get(1).delivered_at, "home")
    last = gateway.record.of("poll")[-1].headers["Authorization"]
    assert last == f"Bearer {KEYS[1]}"
    service.close()


def test_a_ticket_answers_at_once_while_the_journal_is_locked(service: Service, gateway: RehearsalGateway) -> None:
    gateway.always("poll", "status:processing")
    ticket = service.runner().submit(harness.text_order())
    harness.eventually(lambda: ticket.status().accepted, "the gateway has it")
    with (
        sqlite3.connect(harness.file_of(service.journal()), isolation_level=None) as other,
        ThreadPoolExecutor(1) as stuck,
    ):
        other.execute("BEGIN IMMEDIATE")
        waits = stuck.submit(service.runner().submit, harness.text_order(take=1))
        with pytest.raises(StillWaiting):
            waits.result(0.2)
        for ask in (ticket.status, ticket.poll_now, lambda: ticket.leave("enough")):
            with ThreadPoolExecutor(1) as loop:
                loop.submit(ask).result(5)
        assert not waits.done(), "and the journal is locked still"
        other.execute("ROLLBACK")
        waits.result(30).leave("enough")


def test_the_password_of_a_journals_address_is_in_nothing_that_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    password = "pw-canary-61f0c2"
    caplog.set_level("DEBUG")
    told: list[str] = []
    for address in (
        f"mysql://u:{password}@h/d",
        f"postgresql://u:{password}@127.0.0.1:1/d",
        f"postgresql://{password}%",
    ):
        environ = {"APIMALL_API_KEY": harness.KEY, "APIMALL_JOURNAL": address}
        with contextlib.closing(Service(Folders(tmp_path / "state", tmp_path / "results"), environ)) as service:
            with pytest.raises(SetupError) as caught:
                service.runner()
            told += [str(caught.value), repr(caught.value.__context__), repr(service.settings())]
    told += [f"{record.getMessage()} {record.exc_text}" for record in caplog.records]
    assert not [text for text in told if password in text]


def test_the_jobs_of_a_machines_own_journal_come_along_when_that_is_wanted(tmp_path: Path) -> None:
    folders = Folders(tmp_path / "state", tmp_path / "results")
    with contextlib.closing(Service(folders, {})) as alone:
        job = alone.journal().intend(harness.text_order().intent("a"))
    environ = {"APIMALL_JOURNAL": postgres.new_database(), "APIMALL_JOURNAL_IMPORT": "1"}
    for _ in range(2):
        with contextlib.closing(Service(folders, environ)) as shared:
            [known] = harness.jobs_of(shared.journal(), "a")
            assert (known.idempotency_key, known.body) == (job.idempotency_key, job.body)
    assert (folders.state / "journal.sqlite3").is_file()


def test_what_a_machine_paid_before_it_shared_a_journal_is_not_paid_again_while_nobody_said_whether_it_is_known(
    tmp_path: Path, gateway: RehearsalGateway
) -> None:
    folders = Folders(tmp_path / "state", tmp_path / "results")
    alone = {"APIMALL_API_KEY": KEYS[0], "APIMALL_BASE_URL": gateway.base_url}
    with contextlib.closing(Service(folders, alone, clocks=harness.quick_clocks())) as service:
        paid = harness.ended(service.runner().submit(harness.text_order())).result()
    shared = {**alone, "APIMALL_JOURNAL": postgres.new_database()}
    with contextlib.closing(Service(folders, shared, clocks=harness.quick_clocks())) as service:
        with pytest.raises(SetupError, match=r"before this machine shared.*APIMALL_JOURNAL_IMPORT=1"):
            service.runner().submit(harness.text_order())
        harness.ended(service.runner().submit(harness.text_order("another"))).result()
        service.move_in(True)
        assert harness.ended(service.runner().submit(harness.text_order())).result().path == paid.path
    assert len(gateway.record.tasks) == 2


def test_what_was_said_to_stay_in_the_machines_own_journal_may_be_paid_again(
    tmp_path: Path, gateway: RehearsalGateway
) -> None:
    folders = Folders(tmp_path / "state", tmp_path / "results")
    alone = {"APIMALL_API_KEY": KEYS[0], "APIMALL_BASE_URL": gateway.base_url}
    with contextlib.closing(Service(folders, alone, clocks=harness.quick_clocks())) as service:
        harness.ended(service.runner().submit(harness.text_order())).result()
    shared = {**alone, "APIMALL_JOURNAL": postgres.new_database()}
    with contextlib.closing(Service(folders, shared, clocks=harness.quick_clocks())) as service:
        service.move_in(False)
        harness.ended(service.runner().submit(harness.text_order())).result()
    assert len(gateway.record.tasks) == 2


def test_a_shared_journal_that_may_not_be_written_is_told_as_what_has_to_be_set_up(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = service.journal()

    def away(account: str, base_url: str) -> None:
        raise JournalAway("nothing answers there")

    def refused(account: str, base_url: str) -> None:
        raise JournalRefused("its database says: permission denied for table accounts")

    service._introduced = None
    monkeypatch.setattr(journal, "know_account", refused)
    with pytest.raises(SetupError, match=r"permission denied.*the user of APIMALL_JOURNAL"):
        service.runner()
    monkeypatch.setattr(journal, "know_account", away)
    with pytest.raises(DatabaseAway, match="nothing answers there"):
        service.runner()


def test_two_machines_rehearse_each_for_itself(tmp_path: Path) -> None:
    environ = {"APIMALL_REHEARSAL": "1", "APIMALL_JOURNAL": "postgresql://u@h/d"}
    accounts = {Service(Folders(tmp_path / name, tmp_path), environ).settings().account for name in ("one", "two")}
    assert len(accounts) == 2
