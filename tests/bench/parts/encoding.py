"""Frames into a clip, beside core's save_to; pictures into files for upload."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from tests.bench.bench import Bench
from tests.bench.clips import FULL_HD_5, HD_3, TINY, ClipKind, repeated, stored_pictures
from tests.bench.contest import Entrant, Outcome, Score, compete
from tests.bench.report import Goal, Part, Table, at_most, no_figure

OURS = "**ours** as it comes: crf 18"
_STILL_ROUNDS = 5
_REPEATED = 7
_CORE_CRFS = (None, 20, 18)
_KIND: ClipKind = HD_3


def measure(bench: Bench) -> Part:
    """The part `encode`."""
    outcome = compete(list(_writers(bench)), bench.rounds, bench.tell)
    quality = {name: _quality(score, bench) for name, score in outcome.scores.items() if score.failed is None}
    newest = next((score for name, score in outcome.scores.items() if name.startswith("core ")), None)
    rows = tuple(_row(score, quality, newest) for score in outcome.scores.values())
    curve = sorted(
        (outcome[name].median("bytes"), outcome[name].median("wall"), quality[name].luma)
        for name in quality
        if bench.hosts and name.startswith(f"core {bench.hosts[0].version}")
    )
    head = (
        "writer",
        "s, median (least to most)",
        "÷ newest core",
        "MB",
        "luma dB",
        "RGB dB",
        "bias",
        "peak over frames MiB",
    )
    note = (
        "PSNR and bias (8 bit levels) are those of the file against the frames it was made of, read by the file's own "
        "tag in float64 arithmetic. RGB is held down by what 4:2:0 loses at the edges of the chart, in all files alike."
    )
    table = Table(f"{_KIND.frames} frames of {_KIND.width}x{_KIND.height} to H.264", head, rows, (note,), bench.rounds)
    goals = list(_goals(outcome, quality, curve))
    return bench.part("encode", goals, [table], outcome.others_share)


def stills(bench: Bench) -> Part:
    """The part `upload`."""
    outcome = compete([bench.ours("stills", "writers", "stills")], 1, lambda line: None)
    found = outcome["stills"].samples[0]
    rows = []
    for content in ("rendered", "with grain"):
        for name, form in found[content].items():
            told = f"{form['psnr']:.1f} dB" if "psnr" in form else "exact"
            size = f"{form['bytes'] / 1e6:.2f}" if not name.startswith("digest") else ""
            rows.append((content, name, f"{form['ms']:.0f}", size, told if size else ""))
    notes = (
        "A picture goes as PNG level 1 while that is small enough for the gateway, because it is exact and about as "
        "quick as the network is at best; beyond, as JPEG quality 95 with full chroma. WebP is quicker and smaller, "
        "but the gateway's page does not promise to take it.",
    )
    head = ("1080p picture", "form", "ms", "MB", "to the 8 bit original")
    tables = [Table("Stills for upload", head, tuple(rows), notes, _STILL_ROUNDS)]
    goals: list[Goal] = []
    tables.append(_clips(bench, goals))
    return bench.part("upload", goals, tables, outcome.others_share)


def _clips(bench: Bench, goals: list[Goal]) -> Table:
    """A clip that goes as it is, up to where its first byte could be sent."""
    clip = repeated(FULL_HD_5, _REPEATED, bench.folder)
    arguments = {"path": str(clip), "tiny": str(bench.clip(TINY)), "out": _out(bench, "bare")}
    name = f"H.264 with sound, {clip.stat().st_size / 1e6:.0f} MB"
    outcome = compete([bench.ours(name, "readers", "bare_copy", **arguments)], bench.rounds, bench.tell)
    score = outcome[name]
    goal = "upload of a 60 MB clip: packets looked at and copied"
    if score.failed is not None:
        goals.append(Goal(goal, "<= 1 s", f"failed: {score.failed}", False))
        return Table("Clips for upload", ("clip", "s"), ((name, "failed"),))
    seconds = score.median("wall")
    goals.append(at_most(goal, seconds, 1, unit=" s"))
    low, high = score.spread("wall")
    row = (name, f"{seconds:.2f} ({low:.2f} to {high:.2f})", f"{score.median('bytes') / 1e6:.0f}")
    return Table("Clips for upload", ("clip", "s, median (least to most)", "MB sent"), (row,), (), bench.rounds)


def _writers(bench: Bench) -> Iterator[Entrant]:
    frames = {"kind": _KIND.name, "pictures": _pictures(bench)}
    yield bench.ours(OURS, "writers", "ours", **frames, out=_out(bench, "ours"), settings={})
    for number, host in enumerate(bench.hosts):
        where = {"host": str(host.path), **frames}
        takes = Entrant("", "core", "takes_crf", {"host": str(host.path)}, host.python).run().get("crf")
        for crf in _CORE_CRFS if takes and not number else (None,):
            name = f"core {host.version} save_to" + (f", crf {crf}" if crf else ", as it comes")
            out = _out(bench, f"core-{host.version}-{crf}")
            yield Entrant(name, "core", "save", {**where, "out": out, "crf": crf}, host.python)


def _pictures(bench: Bench) -> str:
    return str(stored_pictures(_KIND, bench.folder))


def _out(bench: Bench, name: str) -> str:
    return str(bench.scratch / f"{name}.mp4")


@dataclass(frozen=True)
class _Quality:
    """Decibels, and levels of 8 bits."""

    luma: float
    rgb: float
    bias: float


def _quality(score: Score, bench: Bench) -> _Quality:
    path = score.entrant.arguments["out"]
    found = bench.ours("psnr", "writers", "psnr", pictures=_pictures(bench), path=path).run()
    if "failed" in found:
        raise RuntimeError(f"{score.entrant.name}: {found['failed']}")
    return _Quality(found["luma"], found["rgb"], found["bias"])


def _row(score: Score, quality: Mapping[str, _Quality], newest: Score | None) -> tuple[str, ...]:
    name = score.entrant.name
    if score.failed is not None:
        return (name, f"failed: {score.failed}", "", "", "", "", "", "")
    low, high = score.spread("wall")
    peak = score.samples[0]["peak_bytes"]
    return (
        name,
        f"{score.median('wall'):.2f} ({low:.2f} to {high:.2f})",
        f"{score.over(newest):.2f}" if newest is not None else "",
        f"{score.median('bytes') / 1e6:.2f}",
        f"{quality[name].luma:.2f}",
        f"{quality[name].rgb:.2f}",
        f"{quality[name].bias:+.2f}",
        f"{score.median('peak_bytes') / 2**20:.0f}" if peak is not None else "",
    )


def _goals(
    outcome: Outcome, quality: Mapping[str, _Quality], curve: Sequence[tuple[float, float, float]]
) -> Iterator[Goal]:
    """Beside a core that writes as many bytes: its default writes a fifth of ours, at 2 dB less."""
    faster = "frames to H.264, times as fast as core's save_to at as many bytes", ">= 2"
    better = "the same, luma PSNR over core's at as many bytes", ">= 0 dB"
    if len(curve) < 2:
        yield no_figure(*faster, "no ComfyUI here that can be told how good to encode")
        return
    size, ours = outcome[OURS].median("bytes"), outcome[OURS].median("wall")
    speed = _along([(bytes_, wall) for bytes_, wall, _ in curve], size) / ours
    yield Goal(*faster, f"{speed:.2f}", speed >= 2)
    ahead = quality[OURS].luma - _along([(bytes_, luma) for bytes_, _, luma in curve], size)
    yield Goal(*better, f"{ahead:+.2f} dB", ahead >= 0)


def _along(curve: Sequence[tuple[float, float]], size: float) -> float:
    """A value on a curve of (bytes, value), straight between its points over the logarithm of the size, and beyond."""
    lower = [point for point in curve if point[0] <= size]
    left = min(max(0, len(lower) - 1), len(curve) - 2)
    (x0, y0), (x1, y1) = curve[left], curve[left + 1]
    share = (math.log(size) - math.log(x0)) / (math.log(x1) - math.log(x0))
    return y0 + share * (y1 - y0)
