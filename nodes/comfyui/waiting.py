"""From a ticket to a node's outputs: wait where the user can see it, then hand over what is linked.

order -> Ticket -> wait (status, progress, interrupt, deadline) -> Result -> video, frames, ...
"""

from __future__ import annotations

import asyncio
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from comfy_api.latest import io

from ..gateway.errors import APIMallError, InputError, NotDecoded, SetupError
from ..journal.rows import State
from ..media.errors import MediaError
from ..remarks import Remark, Sentence, remark
from ..stopping import Stop, Stopped
from ..troubles import Trouble
from . import handed_out, host, instance, queued
from .node_text import NodeText
from .outputs import decoded

if TYPE_CHECKING:
    from ..jobs.order import Medium, MediumFile, Order
    from ..jobs.runner import Runner
    from ..jobs.work import Result, Status, Ticket

T = TypeVar("T")

_FIRST_TICK_SECONDS = 0.01
_TICK_SECONDS = 0.2
_LAST_POLL_SECONDS = 90.0
_PEEK_SECONDS = 10.0


async def make(hidden: Any, order: Callable[[Stop], Order], wait: bool) -> io.NodeOutput:
    """Have an order made, or go on with it, and deliver its clip; without `wait` only its task id."""
    node_text = NodeText(hidden)
    with reported(node_text):
        with before_sending():
            wanted = await off_loop(lambda stop: _with_origin(order(stop), hidden))
        remarks = list(wanted.warnings)
        wanted = _noting_uploads(wanted, remarks)
        bound = queued.binding(hidden)
        prompt_id = host.prompt_id()

        def submit(stop: Stop) -> Ticket:
            _require_take_of(host.undeclared(hidden, queued.TAKE_OF_INPUT), wanted)
            budget = instance.current().prompt_budget(prompt_id)
            return _runner(bound).submit(wanted, bound.over_limit, budget)

        ticket = await off_loop(submit, unwanted=_leave)
        remarks += filter(None, [await off_loop(lambda stop: instance.current().journal().notice)])
        await follow(ticket, node_text, until=_done if wait else _accepted, remarks=remarks)
        return await _outputs(ticket, hidden, node_text, remarks)


async def collect(hidden: Any, task_id: str, wait: bool) -> io.NodeOutput:
    """Deliver the clip of a task; without `wait` poll once and never fail."""
    try:
        return await _collect(hidden, task_id, wait)
    except APIMallError as problem:
        if wait:
            raise
        return _blocked(problem.task_id or _given_id(task_id), "")


def collected(task_id: object) -> str:
    """A fingerprint of a task: constant once its clip lies on this disk, else one that never comes again. Total.

    None is an id that is linked, and not known yet; no text is none. Asks the journal only.
    """
    from ..journal.errors import JournalError

    with suppress(APIMallError, OSError, JournalError, UnicodeError):
        current = instance.current()
        # Not the journal itself: whoever writes it holds up nobody who only reads.
        records = current.records()
        job = records.by_task(current.settings().account, _given_id(task_id if isinstance(task_id, str) else ""))
        if job is not None and job.file and (current.folders.results / Path(job.file).name).is_file():
            return "".join(sorted({delivery.sha256 for delivery in records.deliveries(job)}))
    return uuid.uuid4().hex


async def _collect(hidden: Any, task_id: str, wait: bool) -> io.NodeOutput:
    node_text = NodeText(hidden)
    with reported(node_text):
        wanted = task_id_of(task_id)
        bound = queued.binding(hidden)
        ticket = await off_loop(lambda stop: _runner(bound).collect(wanted), unwanted=_leave)
        if ticket is None:
            raise InputError(remark(Trouble.NOTHING_TO_COLLECT), advice=remark(Trouble.PASTE_TASK_ID))
        newest = remark(Sentence.NEWEST, task=ticket.status().job.task_id or "")
        remarks = [] if wanted else [newest]
        await follow(
            ticket, node_text, until=_done if wait else _polled(time.monotonic() + _PEEK_SECONDS), remarks=remarks
        )
        return await _outputs(ticket, hidden, node_text, remarks)


def _with_origin(order: Order, hidden: Any) -> Order:
    from ..jobs.origin import Origin

    if not host.clips_hold_workflows():
        return order
    return replace(order, origin=Origin(*host.workflow_texts(hidden)))


def _require_take_of(asked: object, order: Order) -> None:
    """Raises InputError where more takes of a job were asked for, and what is linked by now makes another thing."""
    if not isinstance(asked, int):
        return
    current = instance.current()
    job = current.records().job(current.settings().account, asked)
    if job is None or replace(order, take=job.take).identity(job.account) != job.identity:
        raise InputError(remark(Trouble.OTHER_THING), advice=remark(Trouble.LINK_THE_SAME))


def _runner(bound: queued.Binding) -> Runner:
    return instance.current().runner(bound_to_rehearsal=bound.rehearsal)


def _leave(ticket: Ticket | None) -> None:
    if ticket is not None:
        ticket.leave("The node was gone before its job was taken up")


def _noting_uploads(order: Order, remarks: list[Remark]) -> Order:
    """The same order, whose media put what was done to them for the upload among `remarks`."""
    from ..jobs.order import Medium

    def noting(medium: Medium) -> Medium:
        def write(folder: Path, stop: Stop) -> MediumFile:
            made = medium.write(folder, stop)
            remarks.extend(remark(Sentence.UPLOAD, what=note) for note in made.notes)
            return made

        return replace(medium, write=write)

    references = tuple(noting(each) if isinstance(each, Medium) else each for each in order.references)
    return replace(order, references=references)


@contextmanager
def reported(node_text: NodeText) -> Iterator[None]:
    """Puts the short reason of a failure on the node before it goes on its way: newer front ends show no other."""
    try:
        yield
    except APIMallError as problem:
        node_text.failed(problem)
        raise


@contextmanager
def before_sending() -> Iterator[None]:
    """A disk that is full, or may not be read or written, in words. Raises SetupError: nothing was sent yet."""
    try:
        yield
    except OSError as refusal:
        where = f": {refusal.filename}" if refusal.filename else ""
        raise SetupError(
            remark(Trouble.DISK_REFUSES, reason=f"{refusal.strerror or type(refusal).__name__}{where}"),
            advice=remark(Trouble.CHECK_COMFYUI_FOLDERS),
        ) from None


def task_id_of(text: str) -> str | None:
    """The id in what a user pasted: blanks, quotes and a URL around it are forgiven. None: nothing was given."""
    bare = _given_id(text)
    if " " in bare or not bare.isprintable() or len(bare) > 200:
        raise InputError(remark(Trouble.NO_TASK_ID), advice=remark(Trouble.PASTE_ID_ALONE))
    return bare or None


def _given_id(text: str) -> str:
    bare = text.strip().strip("\"'`").strip()
    return bare.split("?", 1)[0].rstrip("/").rsplit("/", 1)[-1] if "://" in bare else bare


async def follow(
    ticket: Ticket, node_text: NodeText, *, until: Callable[[Status], bool], remarks: Sequence[Remark] = ()
) -> None:
    """Wait until the job is done or `until` is satisfied; shows how it stands, sees interrupts and the deadline.

    `remarks` stay below the status as long as it is shown, since a node has one text only. Raises Detached (the job
    goes on) at the deadline, and ComfyUI's interrupt when the user asked for it.
    """
    from ..jobs.work import Patience

    minutes = instance.current().settings().wait_minutes
    patience = Patience(minutes * 60, time.monotonic)
    tick = _FIRST_TICK_SECONDS
    try:
        while not (status := ticket.status()).done and not until(status):
            if host.interrupted():
                node_text.left(ticket, remark(Trouble.WAIT_STOPPED))
                raise host.interrupt_exception()
            if patience.ends(status) and not await _one_more_poll(ticket):
                raise ticket.leave(_no_result(status, minutes))
            node_text.status(status, remarks)
            if status.fraction is not None:
                host.show_progress(node_text.node_id, status.fraction, 1.0)
            await asyncio.sleep(tick)
            tick = min(tick * 2, _TICK_SECONDS)
    except asyncio.CancelledError:
        # The first node to see an interrupt, or to fail, has ComfyUI cancel the others before they can look.
        ended = Trouble.WAIT_STOPPED if host.interrupted() else Trouble.WAIT_CANCELLED
        node_text.left(ticket, remark(ended))
        raise
    finally:
        ticket.leave("The node stopped waiting")


def _no_result(status: Status, minutes: float) -> str:
    from ..journal.presence import whose

    if status.slots is None or not status.slots.holders:
        return remark(Trouble.NO_RESULT_YET, minutes=f"{minutes:g}")
    holders = tuple(
        remark(Trouble.JOB_AND_TASK_OF, job=job_id, task=task_id, machine=whose(holder))
        if task_id
        else remark(Trouble.JOB_OF, job=job_id, machine=whose(holder))
        for job_id, task_id, holder in status.slots.holders
    )
    return remark(Trouble.NO_SLOT_YET, minutes=f"{minutes:g}", holders=holders)


async def _one_more_poll(ticket: Ticket) -> bool:
    """Ask once more before giving up: a frozen loop may have eaten the time. True when the job is done."""
    before = ticket.status()
    if not before.accepted:
        return before.done
    patience = time.monotonic() + _LAST_POLL_SECONDS
    ticket.poll_now()
    while (status := ticket.status()).polls == before.polls and not status.done and time.monotonic() < patience:
        if host.interrupted():
            break
        await asyncio.sleep(_TICK_SECONDS)
    # What the poll found may still have to be downloaded; that is progress, not silence.
    return status.done or status.job.state is State.COMPLETED


def _done(status: Status) -> bool:
    return status.done


def _accepted(status: Status) -> bool:
    return status.accepted


def _polled(patience: float) -> Callable[[Status], bool]:
    """Satisfied by the first answer about the task, unless that found it finished: then its file is downloaded."""

    def until(status: Status) -> bool:
        polled = status.polls > 0 and status.job.state is State.RUNNING
        return polled or time.monotonic() > patience

    return until


async def _outputs(ticket: Ticket, hidden: Any, node_text: NodeText, remarks: Sequence[Remark]) -> io.NodeOutput:
    status = ticket.status()
    if not status.done:
        node_text.status(status, remarks)
        return _blocked(status.job.task_id or "", status.job.video_url or "")
    result = ticket.result()
    linked = host.linked_outputs(hidden)
    try:
        frames, last_frame, audio = await off_loop(lambda stop: decoded(result.path, linked, hidden.unique_id, stop))
    except MediaError as problem:
        raise _not_decoded(result, problem.what) from None
    node_text.done(status, result, remarks)
    handed_out.remember(hidden, result.path)
    return io.NodeOutput(
        host.as_video(result.path),
        frames,
        last_frame,
        audio,
        result.task_id,
        result.video_url,
        ui=host.preview(result.path),
    )


def _blocked(task_id: str, video_url: str) -> io.NodeOutput:
    """No clip today: what needs one is skipped, the id is given."""
    nothing = host.blocked()
    return io.NodeOutput(nothing, nothing, nothing, nothing, task_id, video_url)


async def off_loop(work: Callable[[Stop], T], *, unwanted: Callable[[T], object] = lambda result: None) -> T:
    """Run blocking `work` in a thread; its stop check turns true on interrupt and when the node is cancelled.

    A result that comes when the node is gone is given to `unwanted`.
    """
    handover = threading.Lock()
    left = threading.Event()
    made: list[T] = []

    def run() -> None:
        result = work(lambda: left.is_set() or host.interrupted())
        with handover:
            made.append(result)
            if left.is_set():
                unwanted(made.pop())

    try:
        await asyncio.to_thread(run)
        return made.pop()
    except Stopped:
        raise host.interrupt_exception() from None
    finally:
        with handover:
            left.set()
            if made:
                unwanted(made.pop())


def _not_decoded(result: Result, problem: str) -> NotDecoded:
    from ..jobs.failures import about

    return about(NotDecoded, remark(Trouble.SAFE_ON_DISK, problem=problem, file=result.path.name), result.job)
