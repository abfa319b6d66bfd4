"""What a user interface is told of a job: a card, an account of what went wrong, a report fit for strangers."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any
from urllib.parse import urlsplit

from ..gateway.contract import parse_object
from ..jobs import failures
from ..journal.presence import machine
from ..journal.rows import Delivery, Job, Problem, State

Card = dict[str, Any]

CSV_COLUMNS = (
    "created", "type", "model", "prompt", "duration", "resolution", "take", "attempt", "state", "charge",
    "credits_used", "credits_refunded", "seconds", "task_id", "request_id", "file", "error", "reason",
)  # fmt: skip

_TELLING_CHARACTERS = 8
_FORMULA_SIGNS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""What a spreadsheet begins a formula at, in both widths that East Asian keyboards have."""


def card(job: Job) -> Card:
    """What the panel shows of a job. Holds no key, no Idempotency-Key, no request body, no account."""
    return {
        "id": job.id,
        "series": series(job),
        "model": job.model,
        "type": job.type,
        "prompt": job.prompt,
        "duration": job.duration,
        "resolution": job.resolution,
        "take": job.take,
        "attempt": job.attempt,
        "state": shown_state(job),
        "parked": job.parked and job.parked.value,
        "charge": job.charge.value,
        "credits_used": job.credits_used,
        "credits_refunded": job.credits_refunded,
        "task_id": job.task_id,
        "file": job.file if job.delivered_at is not None else None,
        "seconds": seconds_taken(job),
        "created_at": job.created_at,
        "accepted_at": job.accepted_at,
        "unfinished": job.unfinished,
        "starred": job.starred_at is not None,
        "machine": job.machine if job.machine != machine() else None,
        "error": told.kind if (told := _told(job)) else None,
    }


def shown_state(job: Job) -> str:
    """How far a job has come, in one word; a clip that was downloaded once is delivered."""
    return "delivered" if job.delivered_at is not None else job.state.value


def _told(job: Job) -> Problem | None:
    """What its user should know of: why it ended, or why nobody goes on with it. Problems that passed are history."""
    if job.delivered_at is not None:
        return None
    told = job.ending or (job.problem if job.parked is not None else None)
    return told and replace(told, kind=failures.kind_of(told))


def seconds_taken(job: Job) -> float | None:
    """From the gateway's yes to its end of the job."""
    if job.accepted_at is None or job.ended_at is None or job.ended_at < job.accepted_at:
        return None
    return job.ended_at - job.accepted_at


def trouble(job: Job) -> Card | None:
    """What happened, whether credits were spent, and what to do, for a job that has an error; else None."""
    told = _told(job)
    if told is None:
        return None
    return {**failures.recall(job).facts(), "kind": told.kind}


def series(job: Job) -> str:
    """What the takes of one thing have in common: all but the take. Media count by where they were uploaded to."""
    parts = (job.type, job.model, job.prompt, job.duration, job.resolution, references(job))
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16] if job.type else f"job {job.id}"


def references(job: Job) -> tuple[str, ...]:
    """The addresses that the job's request named: the user's own and those of uploads."""
    fields = parse_object(job.body or b"") or {}
    listed = fields.get("image_urls")
    named = [*(listed if isinstance(listed, list) else []), fields.get("video_url")]
    return tuple(url for url in named if isinstance(url, str))


def report(
    job: Job,
    deliveries: Sequence[Delivery],
    steps: Sequence[tuple[float, str, str]],
    versions: Sequence[str],
    secrets: Iterable[str],
) -> str:
    """All that helps to find a fault, and nothing that its user would not show: no key, no prompt, no addresses."""
    lines = [
        " / ".join(versions),
        f"job {job.id}, attempt {job.attempt}: {job.type or 'collected by its id'}, model {job.model or 'unknown'}, "
        f"{job.duration or '?'} s, {job.resolution or '?'}, take {job.take}, prompt of {len(job.prompt)} characters",
        f"state: {job.state.value}, charge: {job.charge.value}, credits used: {_shown(job.credits_used)}, "
        f"refunded: {_shown(job.credits_refunded)}, posts: {job.posts}",
        f"task: {job.task_id or '-'}, request: {job.request_id or '-'}, "
        f"provider request: {job.provider_request_id or '-'}",
        f"Idempotency-Key: {job.idempotency_key}",
    ]
    if job.parked is not None:
        lines.append(f"parked: {job.parked.value}")
    lines += [
        _told_of(what, problem)
        for what, problem in (("ended by", job.ending), ("last problem", job.problem))
        if problem
    ]
    lines += [
        f"file: {each.size_bytes} bytes, sha256 {each.sha256}, in folder {each.folder or '?'} of {each.machine or '?'}"
        for each in deliveries
    ]
    lines.append(f"request: {_outline(job)}")
    lines.append("history:")
    lines += [_history_line(at, steps[0][0], step, detail) for at, step, detail in steps]
    # The gateway's words may repeat the prompt. One of a few letters is no secret, and is part of other words.
    return redact("\n".join(lines), [*secrets, job.prompt if len(job.prompt) >= _TELLING_CHARACTERS else ""])


def _told_of(what: str, problem: Problem) -> str:
    return (
        f"{what}: {problem.kind} at {_moment(problem.at)}, HTTP {problem.status or '-'}, code {problem.code or '-'}, "
        f"request {problem.request_id or '-'}: {problem.text or '-'}"
    )


def redact(text: str, secrets: Iterable[str]) -> str:
    """`text` without any of `secrets`, bearer tokens, or the path and query of a web address."""
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = text.replace(secret, "[removed]")
    text = re.sub(r"(?i)bearer\s+[^\s\"']+", "Bearer [removed]", text)
    return re.sub(r"(?i)\b(https?://)(?:[^\s/\"'<>@]*@)?([^\s/\"'<>@?#]+)[^\s\"'<>]*", r"\1\2/[removed]", text)


def csv_lines(jobs: Iterable[Job]) -> str:
    """Rows of the export, without the heading. A cell that a spreadsheet would run is made plain text."""
    out = io.StringIO()
    writer = csv.writer(out)
    for job in jobs:
        writer.writerow([_cell(value) for value in _row(job)])
    return out.getvalue()


def csv_heading() -> str:
    """The first row of the export. The mark in front tells spreadsheets that it is UTF-8."""
    return "\ufeff" + ",".join(CSV_COLUMNS) + "\r\n"


def _row(job: Job) -> tuple[object, ...]:
    seconds, told = seconds_taken(job), _told(job)
    return (
        _moment(job.created_at), job.type, job.model, job.prompt, job.duration, job.resolution, job.take, job.attempt,
        shown_state(job), job.charge.value, job.credits_used, job.credits_refunded,
        None if seconds is None else round(seconds, 1), job.task_id, job.request_id, job.file,
        told and told.kind, told and told.text,
    )  # fmt: skip


def _cell(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA_SIGNS) else value


def _outline(job: Job) -> str:
    fields = parse_object(job.body or b"")
    if fields is None:
        return "not made"
    prompt = fields.get("prompt")
    if isinstance(prompt, str):
        fields["prompt"] = f"[{len(prompt)} characters]"
    for name in ("image_urls", "video_url"):
        if name in fields:
            urls = fields[name] if isinstance(fields[name], list) else [fields[name]]
            fields[name] = [f"[address at {urlsplit(str(url)).hostname}]" for url in urls]
    return json.dumps(fields, ensure_ascii=True)


def _history_line(at: float, begin: float, step: str, detail: str) -> str:
    return f"  {_moment(at)} +{at - begin:.1f} s {step}" + (f": {detail}" if detail else "")


def _moment(at: float) -> str:
    return datetime.fromtimestamp(at, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def _shown(credits: float | None) -> str:
    return "not stated" if credits is None else f"{credits:g}"


def standing(job: Job | None, *, on_disk: bool) -> str:
    """What queueing the very same job again would do: `new`, `paid`, `fetch`, `running`, `sent`, `ended` (nothing)."""
    if job is None or job.may_be_attempted_anew:
        return "new"
    if job.state in (State.COMPLETED, State.EXPIRED) and on_disk:
        return "paid"
    if job.state in (State.EXPIRED, State.FAILED, State.CLOSED):
        return "ended"
    if job.state is State.COMPLETED:
        return "fetch"
    if job.state is State.SENT:
        return "sent"
    return "running" if job.task_id else "new"
