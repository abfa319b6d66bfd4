"""Frames of a clip: time beside core and others, beside the floor, memory at its peak, parts of a clip."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from tests.bench.bench import Bench, ffmpeg_programs
from tests.bench.clips import FULL_HD_5, FULL_HD_15, HD_5, TINY, ClipKind
from tests.bench.contest import Entrant, Outcome, Score, compete
from tests.bench.report import Goal, Part, Table, at_most, no_figure

OURS = "**ours**: accurate frames, and sound"
FLOOR = "floor: decode + RGB + first touch, CPU / cores"
DECODE_ONLY = "limit: decode only, pictures dropped"
WITH_THREADS = "core 0.38 (0.33's code with its thread_type line)"
_GIB = 1 << 30
_ROOM_BYTES = 12 * _GIB
_LONG_ROUNDS = 3
_TIME_GOALS = {FULL_HD_5.name: 0.40, HD_5.name: 0.45}


def measure(bench: Bench) -> Part:
    """The part `decode`."""
    goals: list[Goal] = []
    tables = []
    shares = []
    for kind in (FULL_HD_5, HD_5):
        warm = 2 * kind.frames_bytes + _GIB
        readers = [replace(reader, warm_bytes=warm) for reader in _readers(bench, kind)]
        outcome = compete(readers, bench.rounds, bench.tell)
        newest = _newest_core(outcome, bench)
        goals += _goals(outcome, kind, newest)
        tables.append(_table(outcome, kind, newest))
        shares.append(outcome.others_share)
    long, share = _long(bench, goals)
    tables.append(long)
    parts, other_share = _parts_of_a_clip(bench, goals)
    tables.append(parts)
    return bench.part("decode", goals, tables, max(*shares, share, other_share), bench.rounds)


def _readers(bench: Bench, kind: ClipKind) -> Iterator[Entrant]:
    path = str(bench.clip(kind))
    clips = {"path": path, "tiny": str(bench.clip(TINY))}
    shape = [kind.frames, kind.height, kind.width, 3]
    yield bench.ours(OURS, "readers", "ours", **clips)
    yield bench.ours(FLOOR, "readers", "floor", **clips)
    yield bench.ours(DECODE_ONLY, "readers", "decode_only", **clips)
    for host in bench.hosts:
        where = {"host": str(host.path), **clips}
        yield Entrant(f"core {host.version}", "core", "components", where, host.python)
        if Entrant("", "core", "lacks_threads", {"host": str(host.path)}, host.python).run().get("lacks"):
            yield Entrant(WITH_THREADS, "core", "components", {**where, "threads": True}, host.python)
    for plugin, python in (("pyav", bench.python), ("FFMPEG", Path(sys.executable))):
        if plugin == "FFMPEG" and importlib.util.find_spec("imageio_ffmpeg") is None:
            continue
        arguments = {**clips, "plugin": plugin}
        yield Entrant(f"imageio imread, {plugin}", "readers", "imageio_imread", arguments, python)
        piecewise = {**arguments, "shape": shape}
        yield Entrant(f"imageio imiter into an array, {plugin}", "readers", "imageio_imiter", piecewise, python)
    if importlib.util.find_spec("cv2") is not None:
        yield Entrant("OpenCV into an array", "readers", "opencv", {**clips, "shape": shape})
    for name, program in ffmpeg_programs().items():
        yield Entrant(f"{name}, 8 bit, to nowhere", "readers", "ffmpeg", {"path": path, "program": program})


def _newest_core(outcome: Outcome, bench: Bench) -> Score | None:
    names = [WITH_THREADS, *(f"core {host.version}" for host in bench.hosts)]
    return next((outcome[name] for name in names if outcome.has(name)), None)


def _goals(outcome: Outcome, kind: ClipKind, newest: Score | None) -> Iterator[Goal]:
    measure = f"accurate frames of {kind.name}, time ÷ newest core"
    if not outcome.has(OURS):
        yield Goal(measure, f"<= {_TIME_GOALS[kind.name]}", f"failed: {outcome[OURS].failed}", False)
        return
    ours = outcome[OURS]
    if newest is None:
        yield no_figure(measure, f"<= {_TIME_GOALS[kind.name]}", "no ComfyUI here")
    else:
        yield at_most(measure, ours.over(newest), _TIME_GOALS[kind.name])
    over_floor = ours.median("frames_wall") / outcome[FLOOR].median("wall")
    yield at_most(f"the same ÷ CPU floor, {kind.name}", over_floor, 1.2)
    if kind is FULL_HD_5 and ours.samples[0]["peak_bytes"] is not None:
        extra = ours.median("peak_bytes") / kind.frames_bytes
        yield at_most(f"peak extra memory ÷ frames array, {kind.name}", extra, 1.01, digits=3)


def _table(outcome: Outcome, kind: ClipKind, newest: Score | None) -> Table:
    rows = []
    for score in sorted(outcome.scores.values(), key=_place):
        if score.failed is not None:
            rows.append((score.entrant.name, f"failed: {score.failed}", "", "", "", "", ""))
            continue
        name, wall = score.entrant.name, score.median("wall")
        low, high = score.spread("wall")
        ratio = f"{score.over(newest):.2f}" if newest else ""
        best = f"{low / newest.spread('wall')[0]:.2f}" if newest else ""
        if name == FLOOR:
            rows.append((name, f"{wall:.2f} ({low:.2f} to {high:.2f})", _floor_parts(score), "", ratio, best, ""))
            continue
        peak = score.samples[0]["peak_bytes"]
        memory = f"{score.median('peak_bytes') / kind.frames_bytes:.3f}" if peak is not None else ""
        cpu = f"{score.median('user'):.2f}", f"{score.median('system'):.2f}"
        rows.append((name, f"{wall:.2f} ({low:.2f} to {high:.2f})", *cpu, ratio, best, memory))
    head = (
        "reader",
        "s, median (least to most)",
        "user CPU s",
        "system CPU s",
        "÷ newest core",
        "best ÷ best",
        "peak ÷ frames",
    )
    size = f"{kind.frames_bytes / _GIB:.2f} GiB"
    title = f"{kind.name}: {kind.frames} frames of {kind.width}x{kind.height}, {size} of float32"
    return Table(title, head, tuple(rows))


def _place(score: Score) -> float:
    return float("inf") if score.failed is not None else score.median("wall")


def _floor_parts(score: Score) -> str:
    parts = (f"{score.median(part):.2f} {part}" for part in ("decoding", "converting", "filling"))
    return " + ".join(parts)


def _long(bench: Bench, goals: list[Goal]) -> tuple[Table, float]:
    """15 s of 1080p in 12 GiB of address space: what cannot be had there is refused, not killed."""
    kind, goal = FULL_HD_15, "1080p 15 s in 12 GiB"
    clips = {"path": str(bench.clip(kind)), "tiny": str(bench.clip(TINY))}
    entrants = [
        Entrant(OURS, "readers", "ours", {**clips, "room": _ROOM_BYTES}, bench.python, _ROOM_BYTES),
        *(
            Entrant(
                f"core {host.version}",
                "core",
                "components",
                {"host": str(host.path), **clips},
                host.python,
                _ROOM_BYTES,
            )
            for host in bench.hosts
        ),
    ]
    warmed = [replace(entrant, warm_bytes=kind.frames_bytes) for entrant in entrants]
    outcome = compete(warmed, min(bench.rounds, _LONG_ROUNDS), bench.tell)
    rows = []
    for score in outcome.scores.values():
        if score.failed is not None:
            rows.append((score.entrant.name, f"not done: {score.failed}", "", ""))
            continue
        peak = score.median("peak_bytes") if score.samples[0]["peak_bytes"] is not None else 0.0
        of_frames = f"{peak / kind.frames_bytes:.3f}" if peak else ""
        rows.append((score.entrant.name, f"{score.median('wall'):.2f} s", f"{peak / _GIB:.2f} GiB", of_frames))
    done = outcome.has(OURS)
    failed = outcome[OURS].failed or ""
    goals.append(Goal(goal, "done", f"{outcome[OURS].median('wall'):.1f} s" if done else failed, done))
    if done and outcome[OURS].samples[0]["peak_bytes"] is not None:
        extra = outcome[OURS].median("peak_bytes") / kind.frames_bytes
        goals.append(at_most(f"peak extra memory ÷ frames array, {kind.name}", extra, 1.01, digits=3))
    note = (
        "Every process may have 12 GiB of address space (RLIMIT_AS), libraries and all, which is stricter than 12 GiB "
        "of memory; our forecast is told that 12 GiB are free. Core needs about twice the frames."
    )
    title = f"{kind.name} in 12 GiB: {kind.frames_bytes / _GIB:.2f} GiB of frames"
    return Table(title, ("reader", "time", "peak", "÷ frames"), tuple(rows), (note,)), outcome.others_share


def _parts_of_a_clip(bench: Bench, goals: list[Goal]) -> tuple[Table, float]:
    tiny = str(bench.clip(TINY))
    clips = {"path": str(bench.clip(FULL_HD_5)), "tiny": tiny}
    short = {"path": str(bench.clip(HD_5)), "tiny": tiny}
    spans: dict[str, dict[str, float]] = {
        "all of it": {},
        "every_nth 10": {"every_nth": 10},
        "start 4 s": {"start_seconds": 4.0},
        "max_frames 24": {"max_frames": 24},
        "max_side 640": {"max_side": 640},
    }
    entrants = [bench.ours(name, "readers", "ours", **clips, span=span, sound=False) for name, span in spans.items()]
    last = "last frame of 720p 5 s"
    entrants.append(bench.ours(last, "readers", "last_frame", **short))
    warmed = [replace(entrant, warm_bytes=FULL_HD_5.frames_bytes) for entrant in entrants]
    outcome = compete(warmed, bench.rounds, bench.tell)
    whole = outcome["all of it"]
    rows = [
        (name, f"{outcome[name].median('wall'):.3f}", f"{outcome[name].over(whole):.2f}", _counts(outcome[name]))
        for name in spans
    ]
    score = outcome[last]
    seeks, decoded, group = (int(score.median(name)) for name in ("seeks", "pictures", "last_group"))
    found = f"{seeks} seek, {decoded} pictures decoded of a last group of {group}"
    rows.append((last, f"{score.median('wall'):.3f}", "", found))
    seconds = score.median("wall")
    goals.append(
        Goal(last, "<= 1 seek + 1 GOP, <= 0.25 s", f"{found}, {seconds:.2f} s", _cheap(seeks, decoded, group, seconds))
    )
    head = ("1080p 5 s", "s", "÷ all of it", "what it gives")
    return Table("Parts of a clip, without sound", head, tuple(rows)), outcome.others_share


def _cheap(seeks: int, decoded: int, group: int, seconds: float) -> bool:
    return seeks <= 1 and decoded <= group and seconds <= 0.25


def _counts(score: Score) -> str:
    frames, height, width, _ = score.samples[0]["shape"]
    return f"{frames} frames of {width}x{height}"
