"""What ComfyUI waits for when it loads the pack."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_START = """
import asyncio, importlib.util, sys, threading
sys.path.insert(0, sys.argv[3])
import server, comfy_api.latest, folder_paths, comfy_execution  # as in ComfyUI, which imports its packs last
spec = importlib.util.spec_from_file_location("a_pack", sys.argv[1], submodule_search_locations=[sys.argv[2]])
pack = sys.modules["a_pack"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(pack)
threading.Thread.start = lambda thread: None  # what goes on beside the start is not waited for
asyncio.run(pack.comfy_entrypoint())
print(*sorted(name.removeprefix("a_pack.nodes.") for name in sys.modules))
"""


def test_what_comfyui_waits_for_at_its_start_is_little() -> None:
    told = subprocess.run(
        [sys.executable, "-c", _START, str(ROOT / "__init__.py"), str(ROOT), str(ROOT / "tests" / "standin")],
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert told.returncode == 0, told.stderr
    loaded = set(told.stdout.split())
    assert "panel.routes" in loaded
    assert not loaded & {"sqlalchemy", "psycopg", "requests", "jobs.runner", "journal.store", "media.source"}
