"""The clips of accepted tasks, rendered in the background, one after the other."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from pathlib import Path

from ..files import whole
from .book import Book, Task
from .scenes import Scene, plan
from .storage import Files

log = logging.getLogger("apimall_video.rehearsal")

Render = Callable[[Scene, Path], None]


class Clips:
    """Owns one worker thread. A clip that is on disk is never made again; one that cannot be made fails its task."""

    def __init__(self, book: Book, files: Files, render: Render) -> None:
        self._book, self._files, self._render = book, files, render
        self._waiting: queue.Queue[Task | None] = queue.Queue()
        self._ordered: set[str] = set()
        self._changed = threading.Condition()

    def start(self) -> None:
        """Starts the worker, and with it whatever a former server left unfinished."""
        with self._changed:
            self._waiting, self._ordered = queue.Queue(), set()
        worker = threading.Thread(target=self._work, args=(self._waiting,), name="apimall-rehearsal-clips", daemon=True)
        worker.start()
        with self._book.open() as page:
            unfinished = page.running()
        for task in unfinished:
            self.order(task)

    def stop(self) -> None:
        """Lets the clip in work come to its end; what waits is made after the next start."""
        self._waiting.put(None)

    def order(self, task: Task) -> None:
        """Sees to it that a task's clip will be there; needs no waiting and may be repeated."""
        with self._changed:
            if task.fate is None and task.task_id not in self._ordered and not self.ready(task):
                self._ordered.add(task.task_id)
                self._waiting.put(task)

    def wait(self, timeout_seconds: float) -> bool:
        """Waits until no clip is ordered or in work; False when the time is up first."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._ordered, timeout_seconds)

    def ready(self, task: Task) -> bool:
        return self._files.result_path(task).is_file()

    def _work(self, waiting: queue.Queue[Task | None]) -> None:
        while (task := waiting.get()) is not None:
            try:
                if not self.ready(task):
                    self._make(task)
            except Exception as error:  # whatever a hostile upload provokes must end its task, not the worker
                log.warning("rehearsal task %s could not be rendered", task.task_id, exc_info=True)
                self._fail(task, "the reference media could not be read" if task.media else type(error).__name__)
            finally:
                with self._changed:
                    self._ordered.discard(task.task_id)
                    self._changed.notify_all()

    def _make(self, task: Task) -> None:
        with self._book.open() as page:
            media = tuple(self._files.find(page, url).path for url in task.media)
        scene = plan(task.type, task.prompt, int(task.duration), task.resolution, media, task.variation, task.model)
        with whole(self._files.result_path(task)) as part:
            self._render(scene, part)

    def _fail(self, task: Task, reason: str) -> None:
        with self._book.open() as page:
            now = page.task(task.task_id)
            if now is not None and now.running:
                page.end(now, "all", f"The rehearsal could not make this clip: {reason}")
