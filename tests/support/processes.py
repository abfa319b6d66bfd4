"""Work in a process of its own, so that a crash or a hang in it is a finding and not the end of the tests."""

from __future__ import annotations

import json
import queue
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
SILENCE_SECONDS = 60.0


def listen(command: list[str], silence_seconds: float = SILENCE_SECONDS) -> Iterator[dict[str, Any]]:
    """The lines that a process prints, read as JSON. Fails when it says nothing for so long, or dies."""
    lines: queue.Queue[str | None] = queue.Queue()
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def forward() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            lines.put(line)
        lines.put(None)

    complaints: list[str] = []
    threading.Thread(target=forward, daemon=True).start()
    assert process.stderr is not None
    # FFmpeg complains at length; a pipe that nobody empties would stop the process.
    threading.Thread(target=lambda: complaints.extend(process.stderr or ()), daemon=True).start()
    last = "nothing"
    try:
        while True:
            try:
                line = lines.get(timeout=silence_seconds)
            except queue.Empty:
                raise AssertionError(f"hangs at {last}") from None
            if line is None:
                break
            found = json.loads(line)
            last = found.get("begun", last)
            yield found
        code = process.wait(silence_seconds)
        assert code == 0, f"died at {last} ({_named(code)}): {''.join(complaints[-20:])}"
    finally:
        process.kill()
        process.wait()


def _named(code: int) -> str:
    """An exit code in words: a signal by its name."""
    return signal.Signals(-code).name if code < 0 else f"exit {code}"
