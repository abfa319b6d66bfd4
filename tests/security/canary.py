"""A key that must not sing: where it may be looked for, and a process that dies with it in its hands.

python -m tests.security.canary '{"state": ..., "results": ..., "base_url": ..., "die_at": ...}'
"""

from __future__ import annotations

import base64
import gc
import json
import logging
import sys
import traceback
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from nodes.jobs.events import Event
from nodes.journal.rows import Job
from nodes.service import Folders, Service
from tests.support import harness
from tests.support.child import die

KEY = "sk-canary-Zq7+9d/2f4=1c8e3b5a"
_PARTS = 12
"""So many characters of the key in a row give it away as well."""


def songs() -> dict[str, bytes]:
    """The key in every dress that it could slip out in."""
    raw = KEY.encode()
    return {
        "plain": raw,
        "first half": raw[: len(raw) // 2 + 1],
        "second half": raw[-_PARTS:],
        "quoted": quote(KEY, safe="").encode(),
        "in JSON": json.dumps(KEY)[1:-1].replace("/", "\\/").encode(),
        "base64": base64.b64encode(raw)[:24],
        "basic": base64.b64encode(b"Bearer " + raw)[9:32],
        "hex": raw.hex().encode(),
        "wide": KEY.encode("utf-16-le"),
        "backwards": raw[::-1],
    }


def sings(content: bytes | str) -> list[str]:
    """In which dresses the key is in `content`."""
    raw = content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content
    return [name for name, song in songs().items() if song in raw]


class Ear(logging.Handler):
    """Hears everything that anybody logs, tracebacks included, as it would be written."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.heard: list[str] = []
        self.setFormatter(logging.Formatter("%(asctime)s %(name)s %(levelname)s %(threadName)s %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        self.heard.append(self.format(record))

    def names(self) -> set[str]:
        """Who spoke."""
        return {line.split()[2] for line in self.heard if len(line.split()) > 2}


def files(*folders: Path) -> Iterator[tuple[Path, bytes]]:
    """Every file below the folders, write-ahead logs and hidden ones included, with its name as part of it."""
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            yield path, str(path).encode() + (path.read_bytes() if path.is_file() else b"")


def told_by(failures: Iterable[BaseException]) -> list[str]:
    """Tracebacks with everything chained to them, as loggers and ComfyUI write them, and with locals as tools do."""
    return [
        "".join(traceback.TracebackException.from_exception(failure, capture_locals=locals_too).format())
        + repr(failure) + repr(vars(failure))
        for failure in failures
        for locals_too in (False, True)
    ]  # fmt: skip


def reprs() -> dict[str, str]:
    """What every living object of the pack says of itself, by class.

    The test's own script of faults is left out, and with it the record of requests that met them.
    """
    scripted = ("nodes.rehearsal.faults.", "nodes.rehearsal.messages.Request")
    gc.collect()
    found: dict[str, str] = {}
    for each in gc.get_objects():
        name = f"{type(each).__module__}.{type(each).__qualname__}"
        if name.startswith("nodes.") and not name.startswith(scripted):
            found[name] = found.get(name, "") + repr(each) + str(each)
    return found


def main(told: dict[str, Any]) -> None:
    def observe(event: Event, job: Job) -> None:
        if event == told["die_at"]:
            die()

    logging.basicConfig(level=logging.DEBUG, stream=sys.stderr)
    environ = {"APIMALL_BASE_URL": told["base_url"]}
    folders = Folders(Path(told["state"]), Path(told["results"]))
    service = Service(folders, environ, observe=observe, clocks=harness.quick_clocks())
    harness.ended(service.runner().submit(harness.text_order("dies")))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
