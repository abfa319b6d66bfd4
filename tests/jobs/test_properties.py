"""Any history of gateways, clocks, keys, folders, limits and users, against a model of what may come of it.

A random walk over `tests.support.simulation`: real runners in one or two ComfyUIs, on a time of their own. Whatever
happens: no job and take is charged more than once; what lies on a disk is served from it; no node waits without an end;
no limit is passed; and every word about money is what the gateway's own book says.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from nodes import settings as settings_room
from nodes.gateway.errors import (
    APIMallError,
    Charge,
    NotDownloaded,
    ResultGone,
    TaskFailed,
    Unsettled,
)
from nodes.gateway.models import TEXT_TO_VIDEO
from nodes.jobs.events import Event
from nodes.jobs.order import Order
from nodes.jobs.work import Phase, Result
from nodes.journal.reads import Records
from nodes.journal.rows import Job, State
from nodes.panel.job_facts import card
from tests.support import harness
from tests.support.simulated_gateway import (
    CREATES,
    DAY,
    FATES,
    FETCHES,
    HOUR,
    LINK_SECONDS,
    POLLS,
    SPOILT,
    Book,
    Charged,
    clip_of,
)
from tests.support.simulation import ComfyUI, Node, World

ORDERS = {
    "text": harness.text_order(),
    "another take": harness.text_order(take=1),
    "another text": harness.text_order("a harbour"),
    "long": Order("wan2-6", TEXT_TO_VIDEO, "a long walk", "10", "720p", 0),
    "picture": harness.picture_order(),
}
NAMES = st.sampled_from(sorted(ORDERS))
PROCESSES = st.sampled_from(("A", "B"))
SHARED_MEMORY = Path("/dev/shm")


def _some_of(words: Sequence[str]) -> st.SearchStrategy[list[str]]:
    """A mixture, or one and the same again and again."""
    one = st.sampled_from(words)
    return st.lists(one, max_size=6) | st.builds(lambda word: [word] * 8, one)


class MoneyRules(RuleBasedStateMachine):
    """Queues, kills, sleeps, rotates keys, loses folders, sets limits and clocks; checks the money after each."""

    @initialize(counts_sleep=st.booleans(), seed=st.integers(0, 2**16), slots=st.integers(1, 3), plan=st.integers(1, 4))
    def begin(self, counts_sleep: bool, seed: int, slots: int, plan: int) -> None:
        shared = SHARED_MEMORY if SHARED_MEMORY.is_dir() else None
        self.folder = Path(tempfile.mkdtemp(prefix="rules-", dir=shared))
        self.world = World(self.folder, uptime_counts_sleep=counts_sleep, seed=seed, slots=slots)
        self.force = self.world.in_force()
        self.force.__enter__()
        self.world.hear = self._hear
        self.world.real.plan = plan
        self.world.real.audits.append(self._passes_the_limit)
        self.asked: set[str] = set()
        self.charged_under: dict[str, float] = {}
        self.accounts = ["rehearsal"]
        self.clock_was_set = self.clock_was_set_back = self.rebooted = False
        self._know_account()

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        try:
            self._all_comes_home()
        finally:
            self.world.close()
            self.force.__exit__(None, None, None)
            shutil.rmtree(self.folder)

    # What users do

    @rule(process=PROCESSES, names=st.lists(NAMES, min_size=1, max_size=3), begin=st.booleans())
    def queue(self, process: str, names: list[str], begin: bool) -> None:
        comfyui = self.world.process(process)
        comfyui.queue(*(ORDERS[name] for name in names))
        if not comfyui.service.settings().rehearsal:
            self.asked.update(names)
        for _ in names if begin else ():
            self._begin_next(process)

    @rule(process=PROCESSES)
    def begin_a_queued_node(self, process: str) -> None:
        self._begin_next(process)

    @rule(process=PROCESSES)
    def collect_the_newest(self, process: str) -> None:
        comfyui = self.world.process(process)
        comfyui.queue(None)
        comfyui.queued.rotate(1)
        self._begin_next(process)

    @rule(process=PROCESSES)
    def stop_the_wait(self, process: str) -> None:
        comfyui = self.world.process(process)
        for node in comfyui.nodes[:1]:
            comfyui.leave(node, "You stopped the wait")

    @rule(process=PROCESSES, settle=st.sampled_from(("close", "answer")))
    def settle_what_is_on_hold(self, process: str, settle: str) -> None:
        comfyui = self.world.process(process)
        account = comfyui.service.settings().account
        for job in self._rows(account):
            if job.parked is None:
                continue
            task = next((task for task in self._book(account).tasks if task.key == job.idempotency_key), None)
            try:
                if settle == "close":
                    self.world.run(comfyui, lambda job=job: comfyui.service.runner().close_job(job))  # type: ignore[misc]
                elif task is not None:
                    answer = lambda job=job, task=task: comfyui.service.runner().answer(job, task.task_id)  # noqa: E731
                    self.world.run(comfyui, answer)
            except APIMallError as refused:
                assert str(refused)
            return

    @rule(credits=st.sampled_from((0.0, 30.0, 70.0, 100.0)))
    def limit_the_day(self, credits: float) -> None:
        self.world.daily_limit = credits

    @rule(credits=st.sampled_from((0.0, 40.0, 100.0)))
    def limit_a_prompt(self, credits: float) -> None:
        self.world.prompt_limit = credits

    @rule(on=st.booleans())
    def switch_rehearsal(self, on: bool) -> None:
        settings_room.set_rehearsal(self.world.state, on)

    @rule(old_is_refused=st.booleans())
    def make_a_new_key(self, old_is_refused: bool) -> None:
        self.world.new_key(old_is_refused=old_is_refused)
        self._know_account()

    @rule(process=PROCESSES)
    def say_that_it_is_the_same_account(self, process: str) -> None:
        comfyui = self.world.process(process)
        current = comfyui.service.settings()
        if not current.rehearsal:
            for other in comfyui.service.journal().others(current.account):
                self.world.run(comfyui, lambda other=other: comfyui.service.same_account(other.account))  # type: ignore[misc]

    # What happens to them

    @rule(
        creates=_some_of(CREATES),
        polls=_some_of(POLLS),
        fetches=_some_of(FETCHES),
        fates=st.lists(st.sampled_from(FATES), max_size=4),
    )
    def have_the_gateway_misbehave(
        self, creates: list[str], polls: list[str], fetches: list[str], fates: list[str]
    ) -> None:
        book = self.world.real
        for queue, more in ((book.creates, creates), (book.polls, polls), (book.fetches, fetches), (book.fates, fates)):
            queue.clear()
            queue.extend(more)

    # Stories that chance alone would seldom tell to their end.

    @rule(process=PROCESSES, name=NAMES, word=st.sampled_from(CREATES), hours=st.sampled_from((2.0, 26.0)))
    def close_the_lid_on_a_job_that_gets_no_answer(self, process: str, name: str, word: str, hours: float) -> None:
        self.have_the_gateway_misbehave([word] * 8, [], [], [])
        self.queue(process, [name], begin=True)
        self.world.pass_time(200.0)
        self.sleep(hours)
        self.world.real.creates.clear()
        self.queue(process, [name], begin=True)

    @rule(process=PROCESSES, name=NAMES, hours=st.sampled_from((2.0, 90.0)))
    def queue_again_while_the_folder_is_away(self, process: str, name: str, hours: float) -> None:
        self.queue(process, [name], begin=True)
        self.world.pass_time(700.0)
        self.take_the_folder_away_or_bring_it_back(process)
        self.sleep(hours)
        self.queue(process, [name], begin=True)
        self.world.pass_time(700.0)
        self._bring_back(process)

    @rule(process=PROCESSES, names=st.lists(NAMES, min_size=2, max_size=3), fate=st.sampled_from(FATES))
    def queue_under_a_small_limit(self, process: str, names: list[str], fate: str) -> None:
        self.limit_the_day(70.0)
        self.world.real.fates.extend([fate] * 2)
        self.queue(process, names, begin=True)
        self.queue("B", names[::-1], begin=True)
        self.world.pass_time(200.0)

    @rule(seconds=st.sampled_from((1.0, 30.0, 200.0, 700.0, HOUR)))
    def pass_time(self, seconds: float) -> None:
        self.world.pass_time(seconds)

    @rule(process=PROCESSES, event=st.sampled_from(tuple(Event)))
    def die_at(self, process: str, event: Event) -> None:
        self.world.process(process).die_at = event

    @rule(process=PROCESSES, gently=st.booleans(), starts_again=st.booleans(), follows=st.booleans())
    def end_a_process(self, process: str, gently: bool, starts_again: bool, follows: bool) -> None:
        comfyui = self.world.process(process)
        if not gently:
            self.world.run(comfyui, comfyui.die)
        comfyui.close()
        del self.world.processes[process]
        if starts_again:
            again = self.world.process(process)
            if follows:
                self.world.run(again, again.service.follow_unfinished)

    @rule(hours=st.sampled_from((2.0, 26.0, 90.0)))
    def sleep(self, hours: float) -> None:
        if self.world.machine.uptime_counts_sleep or not self.clock_was_set_back:
            self.world.machine.sleep(hours * HOUR)

    @rule(days=st.sampled_from((-400, -2, 2, 400)))
    def set_the_clock(self, days: int) -> None:
        # Where no clock counts sleep, or the machine was started anew, nothing could tell that it is wrong.
        if days < 0 and (not self.world.machine.uptime_counts_sleep or self.rebooted):
            return
        self.clock_was_set = True
        self.clock_was_set_back |= days < 0
        self.world.machine.set_by_user += days * DAY

    @rule()
    def start_the_machine_anew(self) -> None:
        if self.clock_was_set_back:
            return
        self.rebooted = True
        for process in list(self.world.processes.values()):
            self.world.run(process, process.die)
        self.world.bury()
        self.world.machine.boot()

    @rule(process=PROCESSES, spoil=st.booleans(), every=st.integers(1, 3))
    def lose_files(self, process: str, spoil: bool, every: int) -> None:
        for path in sorted((self.folder / f"results {process}").glob("*.mp4"))[::every]:
            path.write_bytes(SPOILT) if spoil else path.unlink()

    @rule(process=PROCESSES)
    def take_the_folder_away_or_bring_it_back(self, process: str) -> None:
        here, away = self.folder / f"results {process}", self.folder / f"away {process}"
        if away.exists():
            self._bring_back(process)
        elif here.exists():
            here.rename(away)

    def _bring_back(self, process: str) -> None:
        here, away = self.folder / f"results {process}", self.folder / f"away {process}"
        if away.exists():
            shutil.rmtree(here, ignore_errors=True)
            away.rename(here)

    # What holds all the time

    @invariant()
    def one_job_is_charged_once(self) -> None:
        if not hasattr(self, "world"):
            return
        now = self.world.machine.now
        for book in self.world.books.values():
            kept = [task for task in book.tasks if task.kept(now) > 0]
            jobs = Counter(self._job_of(task) for task in kept)
            assert all(count == 1 for count in jobs.values()), kept

    @invariant()
    def the_gateway_saw_nothing_wrong(self) -> None:
        if hasattr(self, "world"):
            assert [wrong for book in self.world.books.values() for wrong in book.wrongs] == []

    def _passes_the_limit(self, key: str, price: float) -> str | None:
        """Asked by the gateway when it is about to charge.

        A job is held against what was sent before it. What comes to the gateway late is held against nothing sent
        after it, but what was sent after it must have left room for it.
        """
        limit = self.charged_under[key] = self.world.daily_limit
        if not limit:
            return None
        rows = {row.idempotency_key: row for account in self.accounts for row in self._rows(account)}
        row = rows[key]
        counted = [(row, price)]
        for task in self.world.real.tasks:
            other = rows[task.key]
            settled_unseen = other.state is State.CLOSED and other.task_id is None
            if other.account == row.account and _day(other.sent_at) == _day(row.sent_at) and not settled_unseen:
                counted.append((other, task.kept(self.world.machine.now)))
        spent = 0.0
        for each, cost in sorted(counted, key=lambda each: self._when_sent(each[0])):
            own = cost if _had_a_price(each, rows.values()) else 0.0
            asked = self._when_sent(each) >= self._when_sent(row) and self.charged_under[each.idempotency_key] == limit
            if asked and (spent + own > limit or spent >= limit):
                return f"the limit of a day was passed: {spent} and {cost} of {limit}"
            spent += cost
        return None

    def _when_sent(self, row: Job) -> float:
        """By the clock that tells what was first: one that was set back lives a day again, and the machine's uptime
        goes on (it counts sleep then, and the machine is not started anew).
        """
        return (row.sent_uptime if self.clock_was_set_back else row.sent_at) or 0.0

    # What users are told

    def _begin_next(self, process: str) -> None:
        comfyui = self.world.process(process)
        if not comfyui.queued:
            return
        node = comfyui.queued[0]
        served = self._lies_there(comfyui, node)
        before = sum(book.requests for book in self.world.books.values())
        self.world.run(comfyui, comfyui.run_next)
        if served is None or comfyui.dead:
            return
        assert isinstance(node.told, Result), f"not served from disk: {node.told or node.ticket}"
        assert node.told.path == served and not node.told.downloaded
        assert before == sum(book.requests for book in self.world.books.values())

    def _lies_there(self, comfyui: ComfyUI, node: Node) -> Path | None:
        """The clip of what a node asks for, if it lies whole on a disk that its process sees."""
        account = "rehearsal" if node.rehearses else _real_account(comfyui)
        if node.order is None or account is None or not comfyui.results.is_dir():
            return None
        contents = {path.read_bytes(): path for path in sorted(comfyui.results.glob("*.mp4"))}
        for row in self._rows(account):
            task = self._book(account).task(row.task_id or "")
            if _asks_for(row, node.order) and task is not None and not row.may_be_attempted_anew:
                return contents.get(clip_of(self._book(account).url(task)))
        return None

    def _hear(self, comfyui: ComfyUI, node: Node, told: Result | APIMallError) -> None:
        if node.ticket is None:
            assert isinstance(told, APIMallError) and told.charge is Charge.NOT_SENT, told
            return
        job = node.ticket.work.job
        assert (job.account == "rehearsal") == node.rehearses, "bound when it was queued"
        book, now = self._book(job.account), self.world.machine.now
        task = next((task for task in book.tasks if task.key == job.idempotency_key), None)
        if isinstance(told, Result):
            assert task is not None and task.status == "completed"
            assert told.path.read_bytes() == clip_of(book.url(task))
            return
        assert str(told) and type(told) is not APIMallError, f"unforeseen: {told}"
        used, back = told.credits_used, told.credits_refunded
        if told.charge in (Charge.NOT_SENT, Charge.REJECTED):
            assert task is None, f"told as not charged, but it was: {told}"
        elif told.charge is Charge.UNCERTAIN:
            # Of what another process has in hand nobody here can say that it is not sent.
            elsewhere = node.ticket.status().phase is Phase.ELSEWHERE
            assert job.posts or elsewhere, f"uncertain, though nothing was ever sent: {told}"
            assert job.task_id is None or job.state is State.CLOSED, f"uncertain, though there is a task: {told}"
        else:
            assert task is not None, f"told as charged, but it was not: {told}"
            assert used in (None, task.credits)
            assert told.charge is not Charge.CHARGED or task.status == "completed", told
            assert told.charge is not Charge.REFUNDED or task.status == "failed", told
            assert not isinstance(told, TaskFailed) or task.status == "failed", told
            assert back is None or back <= (task.refunded(now) or 0.0), told

    # What holds in the end

    def _all_comes_home(self) -> None:
        """With all well again whatever was asked for is delivered, or there is an honest reason why not."""
        world = self.world
        world.daily_limit = world.prompt_limit = 0.0
        settings_room.set_rehearsal(world.state, False)
        for book in world.books.values():
            book.heal()
        for name in ("A", "B"):
            self._bring_back(name)
            world.process(name).die_at = None
            world.process(name).queued.clear()
        world.pass_time(HOUR)
        comfyui = world.process("A")
        for other in comfyui.service.journal().others(comfyui.service.settings().account):
            comfyui.service.same_account(other.account)
        world.run(comfyui, comfyui.service.runner)
        world.pass_time(2 * HOUR)
        for name in sorted(self.asked):
            self._comes_home(name)
        world.pass_time(2 * HOUR)
        self.one_job_is_charged_once()
        self.the_gateway_saw_nothing_wrong()
        self._books_agree()

    def _comes_home(self, name: str) -> None:
        comfyui = self.world.process("A")
        for _ in range(3):
            comfyui.queue(ORDERS[name])
            node = comfyui.queued[0]
            self._begin_next("A")
            self.world.pass_time(700.0)
            if isinstance(node.told, Result):
                return
            if isinstance(node.told, NotDownloaded):
                # What has run out is given up only after an hour of refusals.
                self.world.pass_time(2 * HOUR)
        told = node.told
        job = node.ticket.work.job if node.ticket else None
        assert job is not None and isinstance(told, APIMallError), told
        gone = isinstance(told, ResultGone) or (isinstance(told, NotDownloaded) and self.clock_was_set)
        spent = isinstance(told, TaskFailed) and 0 < (told.credits_refunded or 0) < (told.credits_used or 0)
        uncertain = isinstance(told, Unsettled) and job.state is State.SENT
        closed = job.state is State.CLOSED
        task = self.world.real.task(job.task_id or "")
        assert not gone or (task is not None and self.world.machine.now > (task.ended_at or 0.0) + LINK_SECONDS), told
        assert gone or spent or uncertain or closed, (name, told, job)

    def _books_agree(self) -> None:
        """Rows, sums, days and cards against what the gateway charged and gave back."""
        now = self.world.machine.now
        account = _real_account(self.world.process("A"))
        assert account is not None
        rows = {row.idempotency_key: row for row in self._rows(account)}
        told = [task for task in self.world.real.tasks if rows[task.key].task_id is not None]
        for task in self.world.real.tasks:
            row = rows[task.key]
            if row.task_id is None:
                assert card(row)["charge"] == Charge.UNCERTAIN.value, "charged, and nobody is told that it may be"
            elif row.state is not State.CLOSED:
                assert (row.credits_used, row.credits_refunded or 0.0) == (task.credits, task.refunded(now)), row
                truth = Charge.REFUNDED if task.status == "failed" else Charge.CHARGED
                assert card(row)["charge"] == truth.value, row
        for row in rows.values():
            charged = any(task.key == row.idempotency_key for task in self.world.real.tasks)
            assert charged or row.charge in (Charge.NOT_SENT, Charge.REJECTED, Charge.UNCERTAIN), row
        if any(row.state is State.CLOSED for row in rows.values()):
            return
        used, back = sum(task.credits for task in told), sum(task.refunded(now) or 0.0 for task in told)
        sums = Records(self._journal).sum_since(account, -1e12)
        assert (sums.credits, sums.refunded, sums.jobs) == (used - back, back, len(told))

    # Small questions

    @property
    def _journal(self) -> Path:
        return self.world.state / "journal.sqlite3"

    def _know_account(self) -> None:
        self.accounts.append(settings_room.load(self.world.state, self.world.environ, bound_to_rehearsal=False).account)

    def _rows(self, account: str) -> list[Job]:
        if not self._journal.exists():
            return []
        return [job for jobs in Records(self._journal).chunks(account) for job in jobs]

    def _book(self, account: str) -> Book:
        return self.world.books["rehearsal" if account == "rehearsal" else "real"]

    def _job_of(self, task: Charged) -> tuple[object, ...]:
        """What a task was charged for; two takes differ in their rows, not in their bodies."""
        for account in self.accounts:
            for row in self._rows(account):
                if row.idempotency_key == task.key:
                    return (row.type, row.prompt, row.duration, row.take)
        raise AssertionError("a charge without a row")


def _real_account(comfyui: ComfyUI) -> str | None:
    """The account in use, None where it is not clear whose jobs others are."""
    service = comfyui.service
    account = settings_room.load(service.folders.state, comfyui.world.environ, bound_to_rehearsal=False).account
    return None if service.journal().others(account) else account


def _asks_for(row: Job, order: Order) -> bool:
    return (row.type, row.prompt, row.duration, row.take) == (order.type, order.prompt, order.duration, order.take)


def _had_a_price(row: Job, rows: Iterable[Job]) -> bool:
    """Whether a job like it had ended well when it was sent."""
    return any(
        other.kind == row.kind
        and other.account == row.account
        and other.state in (State.COMPLETED, State.EXPIRED)
        and (other.ended_at or 0.0) <= (row.sent_at or 0.0)
        for other in rows
    )


def _day(moment: float | None) -> tuple[int, int]:
    there = time.localtime(moment or 0.0)
    return there.tm_year, there.tm_yday


def obey(examples: int, steps: int) -> None:
    run_state_machine_as_test(
        MoneyRules,
        settings=settings(
            max_examples=examples, stateful_step_count=steps, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )


def test_the_money_rules_hold_whatever_happens() -> None:
    obey(examples=25, steps=15)


@pytest.mark.parametrize("days", [400, -400])
def test_a_clip_comes_home_though_the_clock_was_wrong_while_the_gateway_did_not_know_its_task(days: int) -> None:
    """A walk that was found once: what another ComfyUI has of it is not on this disk, and was given up for lost."""
    walk = MoneyRules()
    walk.begin(counts_sleep=True, seed=208, plan=2, slots=2)
    try:
        walk.queue("B", ["another take"], begin=True)
        walk.pass_time(700.0)
        walk.sleep(26.0)
        walk.have_the_gateway_misbehave([], ["unknown"] * 8, [], [])
        walk.set_the_clock(days)
        walk.queue("A", ["another take"], begin=True)
        walk.pass_time(30.0)
        walk.set_the_clock(-days)
        walk.one_job_is_charged_once()
        walk.the_gateway_saw_nothing_wrong()
    finally:
        walk.teardown()


@pytest.mark.soak
def test_the_money_rules_hold_at_length() -> None:
    obey(examples=1000, steps=30)
