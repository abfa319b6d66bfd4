"""Key and password that must not sing: where they may be looked for, and a process that dies with them in its hands.

python -m tests.security.canary '{"state": ..., "results": ..., "environ": {...}, "die_at": ...}'
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

from sqlalchemy.engine import make_url

from nodes.jobs.events import Event
from nodes.journal.rows import Job
from nodes.service import Folders, Service
from tests.support import harness
from tests.support.child import die

KEY = "sk-canary-Zq7+9d/2f4=1c8e3b5a"
PASSWORD = "pw-canary-Xu3+@6e/5b0=9f1d7c2e"
"""Of a database; some of its characters must be written as %XX in an address."""
_PARTS = 12
"""So many characters of a secret in a row give it away as well."""


def songs() -> dict[str, bytes]:
    """Key and password in every dress that they could slip out in."""
    return {
        **_dresses("", KEY),
        "basic": base64.b64encode(b"Bearer " + KEY.encode())[9:32],
        **_dresses("password, ", PASSWORD),
    }


def _dresses(whose: str, secret: str) -> dict[str, bytes]:
    raw = secret.encode()
    return {
        f"{whose}plain": raw,
        f"{whose}first half": raw[: len(raw) // 2 + 1],
        f"{whose}second half": raw[-_PARTS:],
        f"{whose}quoted": quote(secret, safe="").encode(),
        f"{whose}in JSON": json.dumps(secret)[1:-1].replace("/", "\\/").encode(),
        f"{whose}base64": base64.b64encode(raw)[:24],
        f"{whose}hex": raw.hex().encode(),
        f"{whose}wide": secret.encode("utf-16-le"),
        f"{whose}backwards": raw[::-1],
    }


def with_password(database: str) -> str:
    """An address with the password in it, as it is written there."""
    return make_url(database).set(password=PASSWORD).render_as_string(hide_password=False)


def sings(content: bytes | str) -> list[str]:
    """In which dresses key and password are in `content`."""
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
    folders = Folders(Path(told["state"]), Path(told["results"]))
    service = Service(folders, told["environ"], observe=observe, clocks=harness.quick_clocks())
    harness.ended(service.runner().submit(harness.text_order("dies")))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
