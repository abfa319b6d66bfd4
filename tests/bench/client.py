"""The pack's half of the job measurements: a Service as ComfyUI wires it, in a process of its own."""

from __future__ import annotations

import asyncio
import functools
import statistics
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from nodes.gateway.models import IMAGE_TO_VIDEO, TEXT_TO_VIDEO
from nodes.jobs.order import Order
from nodes.jobs.work import Ticket
from nodes.service import Folders, Service

KEY = "sk-bench-0123456789"
_PATIENCE_SECONDS = 900.0
_SAMPLE_SECONDS = 0.5
_TICK_SECONDS = 0.2  # of nodes.comfyui.waiting


def service(base_url: str, folder: str, max_jobs: int = 3, journal: str = "") -> Service:
    """As inside ComfyUI, on folders of its own; `journal`: the address of a shared one."""
    environ = {"APIMALL_BASE_URL": base_url, "APIMALL_API_KEY": KEY, "APIMALL_MAX_JOBS": str(max_jobs)}
    if journal:
        environ["APIMALL_JOURNAL"] = journal
    home = Path(folder)
    return Service(Folders(home / "state", home / "output"), environ)


def text_order(take: int) -> Order:
    """A job without media."""
    return Order("wan2-6", TEXT_TO_VIDEO, "a lighthouse in a storm", "5", "720p", take)


def picture_order() -> Order:
    """A job with one 1080p picture, as a node makes it: its pixels are what names it."""
    from nodes.jobs import order_media

    return Order(
        "wan2-6", IMAGE_TO_VIDEO, "it moves", "5", "720p", references=(order_media.of_picture(_pixels(), "wan2-6"),)
    )


@functools.cache
def _pixels() -> Any:
    import numpy as np

    from tests.bench.clips import FULL_HD_5, plain_still

    return np.divide(plain_still(FULL_HD_5), np.float32(255))


def unfinished(base_url: str, folder: str, jobs: int, seconds: float) -> dict[str, Any]:
    """Submit so many jobs that do not end, and see what it takes to wait for them.

    Three spans of time (epoch seconds): until all are accepted, waiting, and waiting with as many nodes that look at
    their ticket five times a second.
    """
    running = service(base_url, folder, jobs)
    began = time.time()
    with _Watch() as submitting:
        tickets = [running.runner().submit(text_order(take)) for take in range(jobs)]
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while not all(ticket.status().accepted for ticket in tickets):
            if time.monotonic() > deadline:
                raise RuntimeError("not all jobs were accepted in time")
            time.sleep(1.0)
    with _Watch() as waiting:
        time.sleep(seconds)
    with _Watch() as followed:
        asyncio.run(_follow(tickets, seconds))
    spans = {"submitting": submitting, "waiting": waiting, "followed": followed}
    return {"wall": time.time() - began, "spans": {name: watch.found() for name, watch in spans.items()}}


async def _follow(tickets: Sequence[Ticket], seconds: float) -> None:
    end = time.monotonic() + seconds

    async def node(ticket: Ticket) -> None:
        while time.monotonic() < end:
            ticket.status()
            await asyncio.sleep(_TICK_SECONDS)

    await asyncio.gather(*(node(ticket) for ticket in tickets))


class _Watch:
    """CPU time and threads over a span of time."""

    def __enter__(self) -> _Watch:
        self._began, self._clock, self._cpu = time.time(), time.monotonic(), time.process_time()
        self._threads: list[list[str]] = []
        self._over = threading.Event()
        self._sampler = threading.Thread(target=self._sample, name="bench-watch", daemon=True)
        self._sampler.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._sampler.join()
        self._ended = time.time()
        self._share = (time.process_time() - self._cpu) / (time.monotonic() - self._clock)

    def _sample(self) -> None:
        ours = {"bench-watch", "MainThread"}
        while not self._over.wait(_SAMPLE_SECONDS):
            self._threads.append([thread.name for thread in threading.enumerate() if thread.name not in ours])

    def found(self) -> dict[str, Any]:
        most = max(self._threads, key=len, default=[])
        return {
            "from": self._began,
            "to": self._ended,
            "cpu_share": self._share,
            "most_threads": len(most),
            "names": sorted({name.rstrip("0123456789-_") for name in most}),
        }


def make(base_url: str, folder: str, journal: str = "") -> dict[str, Any]:
    """One job of each kind, to its end."""
    running = service(base_url, folder, journal=journal)
    try:
        for order in (text_order(0), picture_order()):
            ticket = running.runner().submit(order)
            if not ticket.wait(_PATIENCE_SECONDS):
                raise RuntimeError(f"still {ticket.status().text}")
            ticket.result()
    finally:
        running.close()
    return {"wall": 0.0}


def again(base_url: str, folder: str, times: int, journal: str = "") -> dict[str, Any]:
    """The same jobs in a new process: milliseconds from the order to the file, the first time and from then on."""
    began = time.perf_counter()
    running = service(base_url, folder, journal=journal)
    first_path = _served(running, text_order(0))
    first = time.perf_counter() - began
    try:
        text = [_seconds(lambda: _served(running, text_order(0))) for _ in range(times)]
        _pixels()
        # A node makes its order anew each time, and that is where the pixels are looked at.
        picture = [_seconds(lambda: _served(running, picture_order())) for _ in range(times)]
    finally:
        running.close()
    if not first_path.is_file():
        raise RuntimeError("what was served is not there")
    return {
        "wall": first,
        "first_ms": first * 1000,
        "text_ms": statistics.median(text) * 1000,
        "text_worst_ms": max(text) * 1000,
        "picture_ms": statistics.median(picture) * 1000,
    }


def _served(running: Service, order: Order) -> Path:
    ticket = running.runner().submit(order)
    if not ticket.status().done:
        raise RuntimeError("a finished job was not served at once")
    return ticket.result().path


def _seconds(work: Any) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
