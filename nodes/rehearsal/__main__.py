"""Runs the stand-in by itself: python -m nodes.rehearsal"""

from __future__ import annotations

import argparse
import threading
from collections.abc import Sequence
from pathlib import Path

from . import contract
from .faults import STEPS, vocabulary
from .script import load, parse_line
from .server import RehearsalGateway

EPILOG = f"""\
faults: --fault STEP=FAULT,FAULT,... plays them in order at that step, then all is well again.
steps:  {" ".join(STEPS)}
'none' is one proper answer, 'FAULT*3' three times, 'FAULT*' for ever, 'FAULT~60' for a
minute, 'FAULT+done' although the request was carried out:

{vocabulary()}

a script file holds the same as JSON: {{"create": ["503", "none", "drop-after"], "poll": "status:unknown*"}}
keys:   any is accepted but {contract.REFUSED_KEY} (401) and {contract.UNAPPROVED_KEY} (403)
prompts that hold {contract.BLOCKED_WORD} are refused (451);
{", ".join(contract.FATE_WORDS)} end badly later
"""


def arguments(line: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m nodes.rehearsal",
        description="A stand-in for the API Mall gateway on this machine: same contract, real MP4s, no money.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--port", type=int, default=8190, help="port on 127.0.0.1 (8190; 0 = any free one)")
    parser.add_argument("--folder", type=Path, default=Path("rehearsal"), help="where its book and files are kept")
    parser.add_argument("--credits", type=int, default=1000, help="what every key begins with (1000)")
    parser.add_argument("--seconds", type=float, default=6.0, help="how long a task takes (6)")
    parser.add_argument("--most-running", type=int, default=5, help="unfinished tasks per key before 429 (5)")
    parser.add_argument("--requests-per-minute", type=int, default=None, help="requests per key before 429 (no limit)")
    parser.add_argument("--fault", action="append", default=[], metavar="STEP=FAULT,...", help="may be repeated")
    parser.add_argument("--script", type=Path, default=None, help="a JSON file of faults")
    return parser.parse_args(line)


def main(line: Sequence[str] | None = None) -> None:
    """Serves until Ctrl+C."""
    asked = arguments(line)
    try:
        gateway = RehearsalGateway(
            asked.folder,
            credits=asked.credits,
            seconds_per_task=asked.seconds,
            port=asked.port,
            most_running=asked.most_running,
            requests_per_minute=asked.requests_per_minute,
        )
        if asked.script is not None:
            gateway.read_script(load(asked.script.read_text("utf-8")))
        for faults in asked.fault:
            gateway.read_script(parse_line(faults))
        base_url = gateway.start()
    except (OSError, ValueError) as error:
        raise SystemExit(f"The rehearsal gateway did not start: {error}") from None
    print(f"Rehearsal gateway: {base_url}", flush=True)
    print(f"Point the pack at it:  APIMALL_BASE_URL={base_url} APIMALL_API_KEY=sk-rehearsal", flush=True)
    print(f"What it was asked:     {base_url}/rehearsal/record      (Ctrl+C stops it)", flush=True)
    never = threading.Event()
    try:
        # Waiting without an end would keep Ctrl+C from getting through on Windows.
        while not never.wait(1.0):
            pass
    except KeyboardInterrupt:
        print("Stopped; its book is kept.", flush=True)
    finally:
        gateway.stop()


if __name__ == "__main__":
    main()
