"""Time and memory of all who read a clip, as one picture for the README."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from html import escape

from tests.bench.report import Bar

_WIDTH, _LINE, _TOP, _NAMES = 860, 30, 78, 262
_COLUMN, _GAP = 230, 72
_OURS, _OTHER, _FLOOR = "#2f6fde", "#9aa5b5", "#d5dae2"


def svg(title: str, bars: Sequence[Bar]) -> str:
    """Two columns of bars, on a ground of its own, so that it can be read on a dark page too."""
    high = _TOP + _LINE * len(bars) + 22
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {high}" width="{_WIDTH}" height="{high}"'
        ' font-family="system-ui, sans-serif" font-size="14" fill="#1c2430" role="img">',
        f"<title>{escape(title)}: time and memory</title>",
        f'<rect width="{_WIDTH}" height="{high}" rx="10" fill="#ffffff"/>',
        f'<text x="20" y="32" font-size="17" font-weight="600">{escape(title)}</text>',
        *_column("seconds", _NAMES, bars, lambda bar: bar.seconds, "{:.2f}"),
        *_column("peak of memory ÷ frames", _NAMES + _COLUMN + _GAP, bars, lambda bar: bar.memory, "{:.2f}"),
    ]
    for number, bar in enumerate(bars):
        weight = ' font-weight="600"' if _colour(bar) == _OURS else ""
        lines.append(
            f'<text x="{_NAMES - 12}" y="{_y(number) + 14}" text-anchor="end"{weight}>{escape(bar.name)}</text>'
        )
    return "\n".join([*lines, "</svg>", ""])


def _column(head: str, left: int, bars: Sequence[Bar], value: Callable[[Bar], float], form: str) -> Iterator[str]:
    most = max((value(bar) for bar in bars), default=0) or 1
    yield f'<text x="{left}" y="62" fill="#5a6675">{escape(head)}</text>'
    for number, bar in enumerate(bars):
        long = max(1, round(_COLUMN * value(bar) / most))
        yield f'<rect x="{left}" y="{_y(number)}" width="{long}" height="19" rx="3" fill="{_colour(bar)}"/>'
        yield f'<text x="{left + long + 7}" y="{_y(number) + 14}" fill="#5a6675">{form.format(value(bar))}</text>'


def _y(number: int) -> int:
    return _TOP + _LINE * number


def _colour(bar: Bar) -> str:
    if bar.name.startswith("floor"):
        return _FLOOR
    return _OURS if bar.name.startswith("API Mall") else _OTHER
