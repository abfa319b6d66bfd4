"""The studio: renders the clips of accepted tasks in the background, one after the other."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from pathlib import Path

from .ledger import Fate, Ledger, Task
from .scenes import Scene, plan
from .shelf import Shelf, write_whole

log = logging.getLogger("apimall_video.rehearsal")

Render = Callable[[Scene, Path], None]


class Studio:
    """Owns one worker thread. A clip that is on disk is never made again; one that cannot be made fails its task."""

    def __init__(self, ledger: Ledger, shelf: Shelf, render: Render, clock: Callable[[], float]) -> None:
        self._ledger, self._shelf, self._render, self._clock = ledger, shelf, render, clock
        self._waiting: queue.Queue[Task | None] = queue.Queue()
        self._ordered: set[str] = set()
        self._lock = threading.Condition()
        self._worker: threading.Thread | None = None

    def start(self) -> None:
        """Starts the worker, and with it whatever a former server left unfinished."""
        with self._lock:
            self._waiting, self._ordered = queue.Queue(), set()
            self._worker = threading.Thread(
                target=self._work, args=(self._waiting,), name="apimall-rehearsal-studio", daemon=True
            )
            self._worker.start()
        with self._ledger.open() as book:
            unfinished = book.unfinished()
        for task in unfinished:
            self.order(task)

    def stop(self) -> None:
        """Lets the clip in work come to its end; what waits is made after the next start."""
        with self._lock:
            self._waiting.put(None)

    def order(self, task: Task) -> None:
        """Sees to it that a task's clip will be there; needs no waiting and may be repeated."""
        with self._lock:
            if task.fate is None and task.task_id not in self._ordered and not self.ready(task):
                self._ordered.add(task.task_id)
                self._waiting.put(task)

    def wait(self, timeout_seconds: float) -> bool:
        """Waits until no clip is ordered or in work; False when the time is up first."""
        with self._lock:
            return self._lock.wait_for(lambda: not self._ordered, timeout_seconds)

    def ready(self, task: Task) -> bool:
        return self._shelf.result_path(task).is_file()

    def _work(self, waiting: queue.Queue[Task | None]) -> None:
        while (task := waiting.get()) is not None:
            try:
                if not self.ready(task):
                    self._make(task)
            except Exception as error:  # whatever a hostile upload provokes must end its task, not the worker
                log.warning("rehearsal task %s could not be rendered", task.task_id, exc_info=True)
                self._fail(task, error)
            finally:
                with self._lock:
                    self._ordered.discard(task.task_id)
                    self._lock.notify_all()

    def _make(self, task: Task) -> None:
        with self._ledger.open() as book:
            media = tuple(self._shelf.find(book, url).path for url in task.media)
        scene = plan(task.type, task.prompt, int(task.duration), task.resolution, media, task.variation)
        write_whole(self._shelf.result_path(task), lambda part: self._render(scene, part))

    def _fail(self, task: Task, error: Exception) -> None:
        reason = "the reference media could not be read" if task.media else type(error).__name__
        with self._ledger.open() as book:
            if book.tasks[task.task_id].running:
                book.end(task, self._clock(), Fate("all", f"The rehearsal could not make this clip: {reason}"))
