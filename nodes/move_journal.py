"""Moves a machine's jobs into the journal that several share, or back: `python -m nodes.move_journal import|export`.

Run it in the folder of the pack, with APIMALL_JOURNAL set as for ComfyUI. Nothing is deleted, and whatever is there
already stays as it is, so it may be run again at any time.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from pathlib import Path

from .gateway.errors import APIMallError
from .journal.errors import JournalError
from .journal.postgres import Address
from .journal.verbs import Journal
from .service import JOURNAL_FILE
from .settings import JOURNAL_VARIABLE, STATE_DIR_VARIABLE, journal_address, state_folder


def main(arguments: list[str]) -> int:
    """Gives the exit status."""
    parser = argparse.ArgumentParser(prog="python -m nodes.move_journal", description=__doc__)
    parser.add_argument("direction", choices=("import", "export"))
    parser.add_argument("--state", type=Path, help=f"the state folder, where {STATE_DIR_VARIABLE} does not name it")
    asked = parser.parse_args(arguments)
    try:
        folder, address = asked.state or state_folder(), journal_address()
        if folder is None or address is None:
            parser.error(f"set {JOURNAL_VARIABLE}, and {STATE_DIR_VARIABLE} or --state")
        with (
            contextlib.closing(Journal(folder / JOURNAL_FILE)) as own,
            contextlib.closing(Journal(Address(address.reveal()))) as shared,
        ):
            source, target = (own, shared) if asked.direction == "import" else (shared, own)
            print(f"{target.take_along(source)} jobs were new")
    except (APIMallError, JournalError) as problem:
        print(problem, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
