"""How late clips come home under a plan that is smaller than the pack believes, or that others fill."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from nodes.settings import DEFAULT_WAIT_MINUTES
from tests.support.harness import text_order
from tests.support.simulation import World

BELIEVED_SLOTS = 5
_SHORTEST_RUN_SECONDS, _LONGEST_RUN_SECONDS = 60, 160


def nobody(now: float) -> int:
    """All of the plan is ours."""
    return 0


def neighbours(now: float) -> int:
    """Another client of the plan: one slot or two are always its own, and for four minutes in ten it takes four."""
    return 4 if now % 600 < 240 else 1 + int(now // 60) % 2


def lateness(
    folder: Path, *, plan: int, others: Callable[[float], int] = nobody, jobs: int = 40, seed: int = 1
) -> list[float]:
    """Seconds from the end of each job at the gateway to the beginning of its download, shortest first.

    The real runner, journal, scheduler and budget on simulated time: the same for the same `seed`.
    """
    world = World(folder, uptime_counts_sleep=True, seed=seed, slots=BELIEVED_SLOTS)
    world.wait_minutes = DEFAULT_WAIT_MINUTES
    book = world.real
    book.plan, book.others = plan, others
    book.fates.extend(str(world.chance.randint(_SHORTEST_RUN_SECONDS, _LONGEST_RUN_SECONDS)) for _ in range(jobs))
    with world.in_force(pause_seconds=0.5):
        comfyui = world.process("A")
        comfyui.queue(*(text_order(f"shot {number}") for number in range(jobs)))
        while comfyui.queued:
            comfyui.run_next()
        while len(book.noticed) < jobs:
            assert comfyui.nodes, f"{len(book.noticed)} of {jobs} came home"
            world.pass_time(60.0)
        world.close()
    assert len(book.tasks) == jobs, "one job, one charge"
    return sorted(book.noticed[task.task_id] - task.ends_at for task in book.tasks)
