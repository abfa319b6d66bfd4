"""One measurement in a process of its own: `python -m tests.bench.child <JSON>`; the answer is the last line printed.

The JSON names a function of this package, its arguments and, if wanted, a limit of address space.
"""

from __future__ import annotations

import importlib
import json
import re
import sys
from typing import Any

from tests.bench.meter import Warmth


def main(task: dict[str, Any]) -> dict[str, Any]:
    """Run the task; an answer of `{"failed": ...}` is a result too: that it cannot be done."""
    Warmth.size_bytes = task["warm_bytes"]
    function = getattr(importlib.import_module(task["module"]), task["function"])
    if task["address_bytes"]:
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (task["address_bytes"], task["address_bytes"]))
    try:
        sample: dict[str, Any] = function(**task["arguments"])
    except (MemoryError, RuntimeError) as failure:  # torch says the first by the second
        return {"failed": _told(failure)}
    return sample


def _told(failure: Exception) -> str:
    """In a few words; torch's are many."""
    refused = re.search(r"tried to allocate (\d+) bytes", str(failure))
    if refused:
        return f"out of memory, {int(refused[1]) / 2**30:.2f} GiB more were refused"
    return f"{type(failure).__name__}: {(str(failure).splitlines() or [''])[0]}"


if __name__ == "__main__":
    answer = main(json.loads(sys.argv[1]))
    sys.stdout.write("\n" + json.dumps(answer) + "\n")
