"""The script of faults: which is played at which step, written in Python, in words, in JSON, or left to the dice."""

from __future__ import annotations

import json
import random
import re
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from . import faults
from .faults import STEPS, Answer, Fault

FOR_EVER = -1


@dataclass(frozen=True)
class Word:
    """One word of the fault language: how to build its fault from what follows the colon, and what it does."""

    build: Callable[[str], Fault]
    argument: str
    help: str


def _seconds(kind: Callable[[float], Fault], usual: float) -> Callable[[str], Fault]:
    return lambda text: kind(float(text or usual))


WORDS: Mapping[str, Word] = {
    "drop-before": Word(lambda _: faults.DropBefore(), "", "connection closes, nothing was done"),
    "reset": Word(lambda _: faults.ResetUnread(), "", "connection is reset before the body is read"),
    "drop-after": Word(lambda _: faults.DropAfter(), "", "carried out, then the connection closes: a lost reply"),
    "reset-after": Word(lambda _: faults.DropAfter(reset=True), "", "carried out, then the connection is reset"),
    "stall": Word(_seconds(faults.Stall, 30), "seconds", "carried out at once, the reply comes late"),
    "stall-before": Word(_seconds(faults.StallBefore, 30), "seconds", "waits first; void when the client leaves"),
    "truncate": Word(lambda _: faults.TruncateJson(), "", "half of the JSON, well framed"),
    "cut": Word(lambda _: faults.CutReply(), "", "connection breaks in the middle of the reply"),
    "shape": Word(lambda text: faults.WrongShape(text or faults.WrongShape.text), "json", "wrong shape"),
    "not-success": Word(lambda text: faults.NotSuccess(text or "internal_error"), "code", "success:false with 200"),
    "nulls": Word(lambda _: faults.Nulls(), "", "every field null but task_id, status, video_url"),
    "fields": Word(lambda text: faults.Fields(text or "{}"), "json", "fields of data replaced or added"),
    "html": Word(lambda text: faults.Html(int(text or 502)), "status", "a proxy's HTML page (502)"),
    "huge": Word(lambda text: faults.HugeBody(int(text or 67108864)), "bytes", "reply padded with blanks (64 MiB)"),
    "slow": Word(_seconds(faults.SlowBody, 100_000), "bytes/s", "the reply arrives slowly (100000)"),
    "drip": Word(_seconds(faults.Drip, 20), "bytes/s", "the reply drips byte by byte (20)"),
    "redirect": Word(lambda text: faults.RedirectTo(text or "https://example.com/"), "url", "307 to another place"),
    "status": Word(lambda text: faults.StatusWord(text or "unknown"), "word", "query tells this status once (unknown)"),
    "no-url": Word(lambda _: faults.CompletedWithoutUrl(), "", "query says completed, names no file"),
    "only-result-urls": Word(lambda _: faults.OnlyResultUrls(), "", "query fills output.resultUrls only"),
    "expired": Word(lambda text: faults.ExpiredLink(int(text or 403)), "status", "query: dead links; download: 403"),
    "fail": Word(lambda text: faults.FailTask(text or "all"), "refund", "task fails; refund all, part, later, none"),
    "short": Word(lambda _: faults.ShortBody(), "", "half of the file under the whole length"),
    "cut-clip": Word(lambda _: faults.CutClip(), "", "half of the file, well framed"),
    "long": Word(lambda _: faults.LongBody(), "", "more bytes than stated"),
    "long-unstated": Word(lambda _: faults.LongBody(hide_length=True), "", "more bytes than the file, no length"),
    "no-length": Word(lambda _: faults.HideLength(), "", "proper reply without Content-Length"),
    "page": Word(
        lambda text: faults.NotAClip(text or faults.NotAClip.content_type), "type", "HTML instead of the file"
    ),
    "empty": Word(lambda _: faults.EmptyBody(), "", "200 with nothing in it"),
    "broken": Word(lambda _: faults.BrokenClip(), "", "an MP4 that does not decode"),
}

STATUS_HELP = (
    "503, 429, ...         this status in the gateway's envelope; 429:7 adds Retry-After: 7 (a date works too);\n"
    "                      503+accepted was carried out nevertheless; 409:task names the task in its body"
)


class Faults:
    """Faults by step, consumed in order, one per request of the step. Thread-safe."""

    steps = STEPS

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._queues: dict[str, deque[Fault | None]] = {step: deque() for step in STEPS}
        self._standing: dict[str, Fault | None] = {}

    def script(self, step: str, *played: Fault | None) -> None:
        """Appends to a step's script; None is one proper answer."""
        with self._lock:
            self._queue(step).extend(played)

    def always(self, step: str, fault: Fault | None) -> None:
        """What a step plays whenever its script is empty; None makes it proper again."""
        with self._lock:
            self._queue(step)
            self._standing[step] = fault

    def take(self, step: str | None) -> Fault | None:
        """The fault to play now."""
        if step is None:
            return None
        with self._lock:
            queue = self._queue(step)
            return queue.popleft() if queue else self._standing.get(step)

    def left(self, step: str) -> int:
        """How many entries of a step's script have not been played."""
        with self._lock:
            return len(self._queue(step))

    def clear(self) -> None:
        with self._lock:
            self._standing.clear()
            for queue in self._queues.values():
                queue.clear()

    def read(self, script: Mapping[str, Any]) -> None:
        """Takes a script in words: {"create": ["503", "none", "drop-after*2"], "query": "status:unknown*"}."""
        for step, words in script.items():
            for word in [words] if isinstance(words, str) else words:
                fault, times = parse(word)
                if times == FOR_EVER:
                    self.always(step, fault)
                else:
                    self.script(step, *[fault] * times)

    def _queue(self, step: str) -> deque[Fault | None]:
        if step not in self._queues:
            raise ValueError(f"There is no step {step!r}; the steps are {', '.join(STEPS)}.")
        return self._queues[step]


class DiceFaults(Faults):
    """A script that, where it is empty, plays one of `choices[step]` with a probability; repeatable by its seed."""

    def __init__(self, choices: Mapping[str, Sequence[Fault]], probability: float, seed: int = 0) -> None:
        super().__init__()
        self._choices, self._probability, self._dice = choices, probability, random.Random(seed)

    def take(self, step: str | None) -> Fault | None:
        fault = super().take(step)
        if fault is None and step is not None and step in self._choices:
            with self._lock:
                if self._dice.random() < self._probability:
                    return self._dice.choice(self._choices[step])
        return fault


def parse(word: str) -> tuple[Fault | None, int]:
    """A fault in words and how often it is played: `503`, `429:7`, `stall:2.5*3`, `status:unknown*` (for ever)."""
    repeated = re.fullmatch(r"(.*?)\*(\d*)", word.strip(), re.DOTALL)
    spoken, times = (repeated[1], int(repeated[2] or FOR_EVER)) if repeated else (word.strip(), 1)
    name, _, argument = spoken.partition(":")
    if name in ("none", "ok", ""):
        return None, times
    if status := re.fullmatch(r"(\d{3})(\+accepted)?", name):
        return _answer(int(status[1]), argument, accepted=bool(status[2])), times
    if name not in WORDS:
        raise ValueError(f"There is no fault {name!r}; the faults are a status code, {', '.join(WORDS)}.")
    return WORDS[name].build(argument), times


def _answer(status: int, argument: str, *, accepted: bool) -> Answer:
    if argument == "task":
        return Answer(status, names_task=True)
    headers = (("Retry-After", argument),) if argument else ()
    return Answer(status, headers=headers, accepted=accepted)


def parse_line(line: str) -> tuple[str, list[str]]:
    """One --fault of the command line: `create=503,503,drop-after`. A JSON argument may not hold a comma here."""
    step, separator, words = line.partition("=")
    if not separator:
        raise ValueError(f"{line!r} is not step=fault,fault,...")
    return step.strip(), [word for word in words.split(",") if word.strip()]


def vocabulary(names: Iterable[str] = tuple(WORDS)) -> str:
    """The fault language as a table for people."""
    spoken = {name: f"{name}:{WORDS[name].argument}".rstrip(":") for name in names}
    return "\n".join([*(f"{spoken[name]:<22}{WORDS[name].help}" for name in names), STATUS_HELP])


def load(text: str) -> Mapping[str, Any]:
    """A script file's text (JSON) as a mapping. Raises ValueError."""
    value = json.loads(text)
    if not isinstance(value, dict):
        raise ValueError("A fault script is a JSON object: step -> list of faults.")
    return value
