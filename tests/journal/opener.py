"""Opens the journals that it is told of, one a line, as soon as it is told; prints what came of each.

python -m tests.journal.opener
"""

from __future__ import annotations

import sys
from pathlib import Path

from nodes.gateway.errors import APIMallError
from nodes.journal.errors import JournalError
from nodes.journal.verbs import Journal
from tests.support.harness import text_order


def main() -> None:
    print("ready", flush=True)  # noqa: T201 - read by the test
    for line in sys.stdin:
        try:
            journal = Journal(Path(line.strip()))
            told = str(journal.intend(text_order().intent("a")).id)
            journal.close()
        except (APIMallError, JournalError) as problem:
            told = repr(problem)
        print(told, flush=True)  # noqa: T201 - read by the test


if __name__ == "__main__":
    main()
