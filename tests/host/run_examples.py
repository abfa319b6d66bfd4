"""`python -m tests.host.run_examples`: each example workflow through each ComfyUI of COMFYUI_PATH, in rehearsal.

Prints a line for each and copies what was saved to `demo-output/<version>/`. Ends with 1 if any failed.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from pathlib import Path

from tests.host import examples
from tests.host.real_host import NO_HOST, REPOSITORY, Install, RealHost, installs


def main() -> int:
    found = installs()
    if not found:
        sys.stdout.write(f"{NO_HOST}\n")
        return 1
    return max([_run_all(install) for install in found])


def _run_all(install: Install) -> int:
    worst = 0
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        RealHost(install, Path(folder), environ={"APIMALL_REHEARSAL": "1"}) as host,
    ):
        examples.give_inputs(host)
        for name in examples.names():
            if missing := examples.missing(host, name):
                sys.stdout.write(f"ComfyUI {install.version}  {name}: left out, there is no {', '.join(missing)}\n")
                continue
            begun = time.monotonic()
            history = host.run(examples.api_prompt(host, name))
            state = history["status"]["status_str"]
            worst = max(worst, int(state != "success"))
            kept = _keep(install, examples.saved_files(host, history))
            seconds = time.monotonic() - begun
            sys.stdout.write(f"ComfyUI {install.version}  {name}: {state}, {seconds:.1f} s, {', '.join(kept)}\n")
            sys.stdout.flush()
    return worst


def _keep(install: Install, saved: list[Path]) -> list[str]:
    folder = REPOSITORY / "demo-output" / install.version
    folder.mkdir(parents=True, exist_ok=True)
    for path in saved:
        shutil.copyfile(path, folder / path.name)
    return sorted({path.name for path in saved})


if __name__ == "__main__":
    sys.exit(main())
