"""Run by ComfyUI before it imports its nodes: has the loading of the pack under test timed, where it happens."""

from __future__ import annotations

import gc
import importlib.abc
import importlib.util
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

_PACK = os.environ["BENCH_PACK"]
_OUT = Path(os.environ["BENCH_OUT"])
_EMPTY = Path(__file__).parent / "empty"
_WATCHED = ("requests", "imageio", "torch", "numpy", "av", "aiohttp", "sqlite3")


class _Finder(importlib.abc.MetaPathFinder):
    """Stands in the way of `import nodes` once, to wrap what loads packs."""

    def find_spec(self, name: str, path: object, target: object = None) -> Any:
        if name != "nodes":
            return None
        sys.meta_path.remove(self)
        spec: Any = importlib.util.find_spec(name)
        run = spec.loader.exec_module

        def exec_module(module: Any) -> None:
            run(module)
            module.load_custom_node = _timed(module.load_custom_node)

        spec.loader.exec_module = exec_module
        return spec


def _timed(load: Any) -> Any:
    async def cost(path: str, *rest: Any, **more: Any) -> tuple[float, float, bool]:
        began, cpu = time.perf_counter(), time.thread_time()
        done = await load(path, *rest, **more)
        return time.perf_counter() - began, time.thread_time() - cpu, done

    async def timed(path: str, *rest: Any, **more: Any) -> bool:
        if Path(path).name != _PACK:
            return bool(await load(path, *rest, **more))
        # Twice: the first load of any pack also imports what ComfyUI reads manifests with.
        empty = [(await cost(str(_EMPTY), *rest, **more))[0] for _ in range(2)][-1]
        before = set(sys.modules)
        there = [name for name in _WATCHED if name in before]
        # The test's host keeps no compiled modules; a user's does.
        kept, sys.dont_write_bytecode = sys.dont_write_bytecode, False
        with _Collections() as collections:
            taken, cpu, done = await cost(path, *rest, **more)
        sys.dont_write_bytecode = kept
        new = sorted(set(sys.modules) - before)
        found = {"empty": empty, "pack": taken, "cpu": cpu, "garbage": collections.seconds, "loaded": done}
        _write({**found, "there": there, "new": new})
        return done

    return timed


class _Collections:
    """Seconds that Python's garbage collector takes: once in a while it looks at every object of the process."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._began = 0.0

    def __enter__(self) -> _Collections:
        gc.callbacks.append(self._told)
        return self

    def __exit__(self, *problem: object) -> None:
        gc.callbacks.remove(self._told)

    def _told(self, phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            self._began = time.perf_counter()
        else:
            self.seconds += time.perf_counter() - self._began


def _write(found: dict[str, Any]) -> None:
    _OUT.write_text(json.dumps(found), encoding="utf-8")


sys.meta_path.insert(0, _Finder())
