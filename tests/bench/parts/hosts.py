"""Inside a real ComfyUI: what the pack adds to its start, what unlinked frames cost, many nodes beside one."""

from __future__ import annotations

import json
import os
import statistics
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nodes.rehearsal.server import RehearsalGateway
from tests.bench.bench import Bench
from tests.bench.contest import Others
from tests.bench.parts.jobs import JOBS, gateway
from tests.bench.report import Goal, Part, Table, at_most, no_figure
from tests.host.real_host import PACK_NAME, REPOSITORY, Install, RealHost

_PROBE = Path(__file__).resolve().parents[1] / "probe"
_TASK_SECONDS = 20.0
_STARTS_BEFORE = 1
_SETTLE_SECONDS = 5.0
_CPU_SECONDS = 30.0
_NEVER_SECONDS = 1e6
_CROWD_SECONDS = 1200.0
_FIVE = 5
_KNOWN_RUNS = 3


def measure(bench: Bench) -> Part:
    """The part `host`."""
    goals: list[Goal] = []
    tables: list[Table] = []
    with Others() as others:
        if not bench.hosts:
            goals += [no_figure(name, goal, "no ComfyUI here") for name, goal in _GOALS.items()]
        else:
            tables = [_starts(bench, goals), _prompts(bench, goals)]
    return bench.part("host", goals, tables, others.share)


_START, _UNLINKED, _FIVE_NODES = "added to ComfyUI's start", "nothing linked to frames: picture decodes", "5 nodes ÷ 1"
_GOALS = {_START: "<= 60 ms", _UNLINKED: "0", _FIVE_NODES: "<= 1.1"}


def crowd(bench: Bench) -> Part:
    """The part `crowd`."""
    with Others() as others:
        tables = [_crowd(bench)] if bench.hosts else []
    return bench.part("crowd", [], tables, others.share)


@contextmanager
def _host(
    bench: Bench, install: Install, started: RehearsalGateway | None = None, name: str = "host", **more: str
) -> Iterator[RealHost]:
    base = bench.scratch / f"{name}-{install.version}"
    environ = {"BENCH_PACK": PACK_NAME, "BENCH_OUT": str(base / "start.json"), **more}
    if started is not None:
        environ |= {"APIMALL_BASE_URL": started.base_url, "APIMALL_API_KEY": "sk-bench"}
    packs = {PACK_NAME: REPOSITORY, "bench-probe": _PROBE}
    with RealHost(install, base, environ=environ, packs=packs) as host:
        yield host


def _starts(bench: Bench, goals: list[Goal]) -> Table:
    """Time from before to after ComfyUI loads the pack, in its own process, less that of a pack without nodes."""
    rows = []
    for install in bench.hosts:
        found = []
        # The first start of all compiles; that is a matter of the installation.
        for number in range(_STARTS_BEFORE + bench.rounds):
            with _host(bench, install) as host:
                found.append(json.loads((host.base / "start.json").read_text(encoding="utf-8")))
            bench.tell(f"  start {number} of {install.version}: {found[-1]['pack'] * 1000:.0f} ms")
        later = found[_STARTS_BEFORE:]
        each = [(start["pack"] - start["garbage"] - start["empty"]) * 1000 for start in found]
        compiled, added, most = each[0], statistics.median(each[_STARTS_BEFORE:]), max(each[_STARTS_BEFORE:])
        new = later[0]["new"]
        heavy = [name for name in ("requests", "imageio", "av", "numpy", "torch", "sqlite3") if name in new]
        there = [name for name in ("requests", "imageio") if name in later[0]["there"]]
        own = sum(1 for name in new if PACK_NAME in name)
        rows.append(
            (
                f"ComfyUI {install.version}",
                f"{added:.0f} (worst {most:.0f})",
                f"{statistics.median(start['cpu'] - start['garbage'] for start in later) * 1000:.0f}",
                f"{statistics.median(start['garbage'] for start in later) * 1000:.0f}",
                f"{compiled:.0f}",
                f"{own} of the pack, {len(new) - own} others",
                ", ".join(heavy) or "none of them",
                ", ".join(there) or "none",
            )
        )
        goals.append(at_most(f"{_START}, {install.version}", added, 60, unit=" ms", digits=0))
    head = (
        "host",
        "added ms, median",
        "of that CPU",
        "host's garbage collected, beside it",
        "the very first time (compiles)",
        "modules imported",
        "of requests, imageio, av, numpy, torch, sqlite3",
        "of requests, imageio there before",
    )
    note = (
        "From before to after ComfyUI loads the pack (import, entry point, schemas), less that of a pack without "
        "nodes. Python's collector may find just then that a look at all objects of ComfyUI is due; the pack's own few "
        "are not what takes that time, so it has a column of its own."
    )
    return Table("What the pack adds to the start", head, tuple(rows), (note,), bench.rounds)


def _prompts(bench: Bench, goals: list[Goal]) -> Table:
    """In all hosts at the same time: they mostly wait."""

    def measured(install: Install) -> tuple[list[tuple[str, ...]], list[Goal]]:
        own: list[Goal] = []
        with gateway(bench, seconds_per_task=_TASK_SECONDS) as started:
            return list(_prompts_of(bench, install, started, own)), own

    rows: list[tuple[str, ...]] = []
    with ThreadPoolExecutor(len(bench.hosts)) as pool:
        for found, own in pool.map(measured, bench.hosts):
            rows += found
            goals += own
    head = ("prompt", "s, median", "÷ one node", "requests", "pictures decoded")
    note = (
        f"Jobs of {_TASK_SECONDS:g} s at the rehearsal gateway, APIMALL_MAX_JOBS={_FIVE}; {_KNOWN_RUNS} of the kind "
        "were made before. After a download the first picture of the file is decoded, to make sure that it is a video; "
        "that is the one of each new job."
    )
    return Table("Prompts in a real ComfyUI", head, tuple(rows), (note,), bench.rounds)


def _prompts_of(
    bench: Bench, install: Install, started: RehearsalGateway, goals: list[Goal]
) -> Iterator[tuple[str, ...]]:
    takes = iter(range(10_000))
    with _host(bench, install, started, APIMALL_MAX_JOBS=str(_FIVE)) as host:
        # From three runs of a kind on the pack knows when to look; who has made no clip yet waits a little longer.
        host.run(_prompt([next(takes) for _ in range(_KNOWN_RUNS)]))
        first = next(takes)
        host.get("/apimall-bench")
        samples: dict[int, list[dict[str, float]]] = {1: [], _FIVE: []}
        for number in range(bench.rounds):
            for count in (1, _FIVE) if number % 2 else (_FIVE, 1):
                wanted = [first if (number, count) == (0, 1) else next(takes) for _ in range(count)]
                samples[count].append(_run(host, started, _prompt(wanted)))
                bench.tell(f"  {install.version}, {count} nodes: {samples[count][-1]['seconds']:.1f} s")
        host.restart()
        host.get("/apimall-bench")
        served = _run(host, started, _prompt([first]))
    one, five = (statistics.median(sample["seconds"] for sample in samples[count]) for count in (1, _FIVE))
    goals.append(at_most(f"{_FIVE_NODES}, {install.version}", five / one, 1.1))
    told = f"{served['pictures']:.0f} for a job on disk, {samples[1][0]['pictures']:.0f} after a download"
    goals.append(Goal(f"{_UNLINKED}, {install.version}", "0", told, served["pictures"] == 0))
    for count, seconds in ((1, one), (_FIVE, five)):
        sample = samples[count][0]
        name = f"{install.version}: {count} new {'job' if count == 1 else 'jobs'}"
        yield (name, f"{seconds:.1f}", f"{seconds / one:.2f}", f"{sample['requests']:.0f}", f"{sample['pictures']:.0f}")
    name = f"{install.version}: a finished job after a restart"
    figures = f"{served['requests']:.0f}", f"{served['pictures']:.0f}"
    yield (name, f"{served['seconds']:.2f}", f"{served['seconds'] / one:.3f}", *figures)


def _run(host: RealHost, started: RehearsalGateway, prompt: Mapping[str, Any]) -> dict[str, float]:
    pictures, requests = host.get("/apimall-bench")["pictures"], started.record.count()
    history = host.run(prompt)
    if history["status"]["status_str"] != "success":
        raise RuntimeError(str(history["status"]))
    at = {name: data["timestamp"] for name, data in history["status"]["messages"] if "timestamp" in data}
    return {
        "seconds": (at["execution_success"] - at["execution_start"]) / 1000,
        "pictures": host.get("/apimall-bench")["pictures"] - pictures,
        "requests": started.record.count() - requests,
    }


def _prompt(takes: list[int]) -> dict[str, Any]:
    """Nodes that each make a clip, and save it as it came."""
    prompt: dict[str, Any] = {}
    widgets = {"prompt": "a lighthouse in a storm", "model": "wan2-6", "duration": "5", "resolution": "720p"}
    for take in takes:
        inputs = {**widgets, "take": take, "wait": True}
        prompt[f"make-{take}"] = {"class_type": "APIMall_TextToVideo", "inputs": inputs}
        saving = {"video": [f"make-{take}", 0], "filename_prefix": "bench/shot", "format": "auto", "codec": "auto"}
        prompt[f"save-{take}"] = {"class_type": "SaveVideo", "inputs": saving}
    return prompt


def _crowd(bench: Bench) -> Table:
    """200 nodes of one prompt that all wait: what the whole ComfyUI process needs, before and meanwhile."""
    install = bench.hosts[0]
    with (
        gateway(bench, seconds_per_task=_NEVER_SECONDS, render=_draw_nothing) as started,
        _host(bench, install, started, "crowd", APIMALL_MAX_JOBS=str(JOBS)) as host,
    ):
        time.sleep(_SETTLE_SECONDS)
        idle, before = _cpu_share(host.pid), set(host.get("/apimall-bench")["threads"])
        host.queue(_prompt(list(range(JOBS))))
        if not started.record.wait_for("create", JOBS, _CROWD_SECONDS):
            raise RuntimeError(f"only {len(started.record.posts)} jobs were created; log:\n{host.log[-2000:]}")
        time.sleep(_SETTLE_SECONDS)
        busy, threads = _cpu_share(host.pid), host.get("/apimall-bench")["threads"]
        ours = [name for name in threads if name.startswith("apimall")]
        new = len(threads) - len(before)
        host.interrupt()
    rows = (
        ("idle", f"{idle:.1%}", str(len(before)), ""),
        (f"{JOBS} nodes wait", f"{busy:.1%}", f"{len(threads)} ({new} more)", str(len(ours))),
    )
    head = (f"ComfyUI {install.version}", "CPU of a core, whole process", "threads", "of them the pack's")
    return Table(f"{JOBS} nodes in one prompt", head, rows)


def _draw_nothing(scene: object, path: Path) -> None:
    path.write_bytes(b"")


def _cpu_share(pid: int) -> float:
    began, cpu = time.monotonic(), _cpu_seconds(pid)
    time.sleep(_CPU_SECONDS)
    return (_cpu_seconds(pid) - cpu) / (time.monotonic() - began)


def _cpu_seconds(pid: int) -> float:
    """CPU seconds of a process so far (Linux; elsewhere 0)."""
    stat = Path(f"/proc/{pid}/stat")
    if not stat.exists():
        return 0.0
    fields = stat.read_text(encoding="utf-8").rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
