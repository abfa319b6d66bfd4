"""What is written into a row of `jobs`: by whole rows, and by what the gateway or a failure tells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from ..gateway.contract import Task
from ..gateway.errors import APIMallError
from .rows import COLUMNS, PROBLEM_COLUMNS, Job, Problem

NO_ENDING = {f"ending_{name}": None for name in PROBLEM_COLUMNS}


def new(columns: Mapping[str, object]) -> dict[str, object]:
    """Values to be written, under the names they have in a statement beside those that are asked for."""
    return {f"new_{name}": value for name, value in columns.items()}


def columns_of(job: Job) -> dict[str, Any]:
    """All that a row says."""
    plain = {each.name: getattr(job, each.name) for each in fields(Job) if each.name in COLUMNS}
    for what, told in (("problem", job.problem), ("ending", job.ending)):
        plain |= {f"{what}_{name}": told and getattr(told, name) for name in PROBLEM_COLUMNS}
    return plain


def is_behind(now: Job, job: Job) -> bool:
    """Whether a row tells less than a job that somebody has in hand: only another file, of before, can do so."""
    return now.posts < job.posts or (now.task_id is None and job.accepted_at is not None)


def problem_columns(what: str, failure: APIMallError, at: float) -> dict[str, Any]:
    """Of a problem or of an ending (`what`), from the failure its user is told."""
    problem = Problem(type(failure).__name__, failure.what, failure.status, failure.code, failure.request_id, at)
    return {f"{what}_{name}": getattr(problem, name) for name in PROBLEM_COLUMNS}


def completed_columns(now: Job, task: Task, at: float) -> dict[str, Any]:
    """Of a job that the gateway finished; it is known `at` (seconds since the epoch)."""
    ended_at = now.ended_at or at
    if now.accepted_at and task.run_seconds:
        # We may have looked hours later: what later jobs are expected to take is learned from this.
        ended_at = now.accepted_at + task.run_seconds
    return {"ended_at": ended_at, **credits_columns(now, task)}


def credits_columns(job: Job, task: Task) -> dict[str, Any]:
    """Credits as last told; the create's figure stands where a query says nothing."""
    return {
        "credits_used": job.credits_used if task.credits_used is None else task.credits_used,
        "credits_refunded": job.credits_refunded if task.credits_refunded is None else task.credits_refunded,
    }
