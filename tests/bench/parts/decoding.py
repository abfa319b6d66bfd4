"""Frames of a clip: time beside core and others, beside the floor, memory at its peak, parts of a clip."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Sequence
from dataclasses import replace

from tests.bench.bench import Bench, ffmpeg_programs
from tests.bench.clips import DEEP_5, FULL_HD_5, FULL_HD_15, HD_5, HLG_5, TINY, VARIABLE_5, ClipKind, repeated
from tests.bench.contest import Entrant, Outcome, Score, compete
from tests.bench.report import Bar, Goal, Part, Table, at_most, no_figure

OURS = "**ours**: accurate frames, and sound"
FLOOR = "floor: decode + RGB + first touch, CPU / cores"
DECODE_ONLY = "limit: decode only, pictures dropped"
WITH_THREADS = "core 0.38 (0.33's code with its thread_type line)"
GATHERED = "OpenCV as VideoHelperSuite uses it"
_GIB = 1 << 30
_ROOM_BYTES = 12 * _GIB
_PART_WARM_BYTES = _GIB
_LONG_CLIP_HOURS = 3
_TIME_GOALS = {FULL_HD_5.name: 0.38, HD_5.name: 0.45}
_SPARSE_GOAL = 0.35
_MEMORY_GOAL = 1.02
_FAR_GOAL = 1.0
_BRIGHT_GOAL = 2.5
_CHART_NAMES = {
    OURS: "API Mall Video, with sound",
    WITH_THREADS: "newest core's VIDEO, with sound",
    "imageio imread, pyav": "imageio, imread",
    "imageio imiter into an array, pyav": "imageio, picture by picture",
    "OpenCV into an array": "OpenCV into one array",
    GATHERED: "OpenCV, as VideoHelperSuite",
    DECODE_ONLY: "floor: PyAV decodes, nothing kept",
}


def measure(bench: Bench) -> Part:
    """The part `decode`."""
    goals: list[Goal] = []
    tables = []
    shares = []
    bars: tuple[Bar, ...] = ()
    for kind in (FULL_HD_5, HD_5):
        # Core holds its frames twice.
        readers = [
            replace(reader, warm_bytes=kind.frames_bytes * (2 if reader.module == "core" else 1) + _GIB)
            for reader in _readers(bench, kind)
        ]
        outcome = compete(readers, bench.rounds, bench.tell)
        newest = _newest_core(outcome, bench)
        goals += _goals(outcome, kind, newest)
        tables.append(_table(outcome, kind, newest))
        bars = bars or _bars(outcome, kind, newest)
        shares.append(outcome.others_share)
    long, share = _long(bench, goals)
    tables.append(long)
    more, more_share = _parts_and_kinds(bench, goals)
    tables += more
    far, far_share = _part_of_a_long_clip(bench, goals)
    tables.append(far)
    part = bench.part("decode", goals, tables, max(*shares, share, more_share, far_share))
    title = f"{FULL_HD_5.frames} frames of {FULL_HD_5.width}x{FULL_HD_5.height} as float32"
    return replace(part, bars=bars, chart_title=title)


def _bars(outcome: Outcome, kind: ClipKind, newest: Score | None) -> tuple[Bar, ...]:
    """What the chart shows, the quickest first."""
    scores = [score for score in outcome.scores.values() if score.failed is None]
    found = []
    for score in sorted(scores, key=_place):
        name = score.entrant.name
        shown = "newest core's VIDEO, with sound" if score is newest else _CHART_NAMES.get(name, "")
        shown = shown or (name if name.startswith("core ") and name != WITH_THREADS else "")
        if shown:
            peak = score.median("peak_bytes") if score.samples[0]["peak_bytes"] is not None else 0.0
            found.append(Bar(shown, score.median("wall"), peak / kind.frames_bytes))
    return tuple(found)


def _readers(bench: Bench, kind: ClipKind) -> Iterator[Entrant]:
    path = str(bench.clip(kind))
    clips = {"path": path, "tiny": str(bench.clip(TINY))}
    shape = [kind.frames, kind.height, kind.width, 3]
    yield bench.ours(OURS, "readers", "ours", **clips)
    yield bench.ours(FLOOR, "readers", "floor", **clips)
    for host in bench.hosts:
        where = {"host": str(host.path), **clips}
        yield Entrant(f"core {host.version}", "core", "components", where, host.python)
        if Entrant("", "core", "lacks_threads", {"host": str(host.path)}, host.python).run().get("lacks"):
            yield Entrant(WITH_THREADS, "core", "components", {**where, "threads": True}, host.python)
    if importlib.util.find_spec("cv2") is not None:
        yield Entrant(GATHERED, "readers", "opencv_gathered", {**clips, "shape": shape})
    if kind is not FULL_HD_5:
        return
    yield bench.ours(DECODE_ONLY, "readers", "decode_only", **clips)
    arguments = {**clips, "plugin": "pyav"}
    yield Entrant("imageio imread, pyav", "readers", "imageio_imread", arguments, bench.python)
    piecewise = {**arguments, "shape": shape}
    yield Entrant("imageio imiter into an array, pyav", "readers", "imageio_imiter", piecewise, bench.python)
    if importlib.util.find_spec("cv2") is not None:
        yield Entrant("OpenCV into an array", "readers", "opencv", {**clips, "shape": shape})
    for name, program in list(ffmpeg_programs().items())[:1]:
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
        yield at_most(f"peak extra memory ÷ frames array, {kind.name}", extra, _MEMORY_GOAL, digits=3)


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
    return Table(title, head, tuple(rows), (), len(outcome[OURS].samples))


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
    outcome = compete(warmed, bench.rounds, bench.tell)
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
        goals.append(at_most(f"peak extra memory ÷ frames array, {kind.name}", extra, _MEMORY_GOAL, digits=3))
    note = (
        "Every process may have 12 GiB of address space (RLIMIT_AS), libraries and all, which is stricter than 12 GiB "
        "of memory; our forecast is told that 12 GiB are free. Core needs about twice the frames."
    )
    title = f"{kind.name} in 12 GiB: {kind.frames_bytes / _GIB:.2f} GiB of frames"
    return Table(
        title, ("reader", "time", "peak", "÷ frames"), tuple(rows), (note,), bench.rounds
    ), outcome.others_share


def _parts_and_kinds(bench: Bench, goals: list[Goal]) -> tuple[list[Table], float]:
    """Parts of a clip beside all of it; other kinds of clips beside it."""
    tiny = str(bench.clip(TINY))
    spans: dict[str, dict[str, float]] = {
        "every_nth 10": {"every_nth": 10},
        "start 4 s": {"start_seconds": 4.0},
        "max_frames 24": {"max_frames": 24},
        "max_side 640": {"max_side": 640},
    }

    def reader(name: str, kind: ClipKind, warm: int, **span: float) -> Entrant:
        entrant = bench.ours(name, "readers", "ours", path=str(bench.clip(kind)), tiny=tiny, span=span, as_node=False)
        return replace(entrant, warm_bytes=warm)

    constant = f"{VARIABLE_5.name}, at a constant 24"
    entrants = [
        *(reader(kind.name, kind, kind.frames_bytes) for kind in (FULL_HD_5, VARIABLE_5, DEEP_5, HLG_5)),
        reader(constant, VARIABLE_5, VARIABLE_5.frames_bytes, fps=24.0),
        *(reader(name, FULL_HD_5, _PART_WARM_BYTES, **span) for name, span in spans.items()),
        bench.ours(_LAST, "readers", "last_frame", path=str(bench.clip(HD_5)), tiny=tiny),
        bench.ours(_SPARSE_LIMIT, "readers", "needed_only", path=str(bench.clip(FULL_HD_5)), tiny=tiny, every_nth=10),
        bench.ours(_LAST_LIMIT, "readers", "needed_only", path=str(bench.clip(HD_5)), tiny=tiny),
    ]
    outcome = compete(entrants, bench.rounds, bench.tell)
    tables = [_parts(outcome, list(spans), bench, goals), _kinds(outcome, constant, bench, goals)]
    return tables, outcome.others_share


_LAST = "last frame of 720p 5 s"
_SPARSE_LIMIT = "limit of every_nth 10: what those pictures refer to, decoded alone"
_LAST_LIMIT = "limit of the last frame: what it refers to, decoded alone"


def _parts(outcome: Outcome, spans: Sequence[str], bench: Bench, goals: list[Goal]) -> Table:
    whole = outcome[FULL_HD_5.name]
    rows = [
        (name, f"{outcome[name].median('wall'):.3f}", f"{outcome[name].over(whole):.2f}", _counts(outcome[name]))
        for name in (FULL_HD_5.name, *spans)
    ]
    score = outcome[_LAST]
    seeks, decoded, group = (int(score.median(name)) for name in ("seeks", "pictures", "last_group"))
    found = f"{seeks} seek, {decoded} pictures decoded of a last group of {group}"
    seconds = score.median("wall")
    rows.append((_LAST, f"{seconds:.3f}", "", found))
    sparse, alone = outcome[_SPARSE_LIMIT], outcome[_LAST_LIMIT]
    rows.append((_SPARSE_LIMIT, f"{sparse.median('wall'):.3f}", f"{sparse.over(whole):.2f}", _decoded(sparse)))
    rows.append((_LAST_LIMIT, f"{alone.median('wall'):.3f}", "", _decoded(alone)))
    told = f"{found}, {seconds:.2f} s; decoding alone {alone.median('wall'):.2f} s"
    goals.append(Goal(_LAST, "<= 1 seek + 1 GOP, <= 0.25 s", told, _cheap(seeks, decoded, group, seconds)))
    measure, limit = "every_nth 10 of 1080p 5 s ÷ all of it", f"decoding alone {sparse.over(whole):.2f}"
    goals.append(at_most(measure, outcome["every_nth 10"].over(whole), _SPARSE_GOAL, note=limit))
    head = ("part", "s", "÷ all of it", "what it gives")
    note = (
        "Pictures that others refer to have to be decoded, wanted or not: the limits are what a decoder takes for "
        "them (PyAV, pictures dropped, none brought to RGB). The clips are one group of pictures each, half of which "
        "others refer to."
    )
    return Table("Parts of a clip, without sound", head, tuple(rows), (note,), bench.rounds)


def _decoded(score: Score) -> str:
    return f"{score.median('count'):.0f} pictures decoded"


def _cheap(seeks: int, decoded: int, group: int, seconds: float) -> bool:
    return seeks <= 1 and decoded <= group and seconds <= 0.25


def _counts(score: Score) -> str:
    frames, height, width, _ = score.samples[0]["shape"]
    return f"{frames} frames of {width}x{height}"


def _kinds(outcome: Outcome, constant: str, bench: Bench, goals: list[Goal]) -> Table:
    """Clips for bright displays beside the same packets called SDR; times that vary beside those that do not."""
    rows = []
    for name in (FULL_HD_5.name, VARIABLE_5.name, constant, DEEP_5.name, HLG_5.name):
        score, base = outcome[name], DEEP_5.name if name in (DEEP_5.name, HLG_5.name) else FULL_HD_5.name
        if score.failed is not None:
            rows.append((name, f"failed: {score.failed}", "", ""))
            continue
        ratio = f"{score.over(outcome[base]):.2f} of {base}" if outcome.has(base) else ""
        rows.append((name, f"{score.median('wall'):.3f}", ratio, _counts(score)))
    if outcome.has(HLG_5.name) and outcome.has(DEEP_5.name):
        goals.append(at_most("1080p HDR ÷ SDR of 10 bit", outcome[HLG_5.name].over(outcome[DEEP_5.name]), _BRIGHT_GOAL))
    note = "HLG and SDR of 10 bit are HEVC of the same numbers; toning down to BT.709 is all the difference."
    head = ("clip", "s", "÷", "what it gives")
    return Table("Other kinds of clips", head, tuple(rows), (note,), bench.rounds)


def _part_of_a_long_clip(bench: Bench, goals: list[Goal]) -> tuple[Table, float]:
    """Two seconds out of the middle of hours."""
    bench.tell(f"  a clip of {_LONG_CLIP_HOURS} h")
    path = str(repeated(TINY, _LONG_CLIP_HOURS * 3600 // TINY.seconds, bench.folder))
    clips = {"path": path, "tiny": str(bench.clip(TINY)), "start_seconds": _LONG_CLIP_HOURS * 1800.0}
    out = {"out": str(bench.scratch / "part.mp4")}
    names = {"frames": "its frames", "frames_at_rate": "its frames at 16 a second", "cut": "a clip of it, with sound"}
    entrants = [bench.ours(name, "readers", "part_of_long", **clips, **out, what=what) for what, name in names.items()]
    outcome = compete(entrants, bench.rounds, bench.tell)
    rows = []
    for name in names.values():
        score = outcome[name]
        if score.failed is not None:
            rows.append((name, f"failed: {score.failed}", ""))
            continue
        rows.append((name, f"{score.median('wall'):.2f}", f"{score.median('packets'):.0f}"))
        goals.append(at_most(f"2 s out of {_LONG_CLIP_HOURS} h: {name}", score.median("wall"), _FAR_GOAL, unit=" s"))
    title = f"2 s from the middle of a small MP4 of {_LONG_CLIP_HOURS} h"
    return Table(title, ("what", "s", "packets read"), tuple(rows), (), bench.rounds), outcome.others_share
