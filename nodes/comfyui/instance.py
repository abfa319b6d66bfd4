"""The one service that the nodes of this ComfyUI use."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from .. import settings
from ..service import Folders, Service
from . import host

if TYPE_CHECKING:
    from ..jobs.events import Event, Observer
    from ..journal.rows import Job

_log = logging.getLogger("apimall_video")

_in_use: list[Service] = []
_in_use_lock = threading.Lock()
_observers: list[Observer] = []


def current() -> Service:
    """The service in use; made when it is first asked for."""
    with _in_use_lock:
        if not _in_use:
            folders = Folders(settings.state_folder() or host.state_folder(), host.results_folder())
            _in_use.append(
                Service(folders, observe=_tell_observers, daily_limit=host.daily_limit, prompt_limit=host.prompt_limit)
            )
        return _in_use[0]


def follow_unfinished() -> None:
    """Go on with what was left unfinished, before any node of ours runs (rule 5 of `docs/rules.md`)."""
    from ..gateway.errors import APIMallError

    try:
        current().follow_unfinished()
    except APIMallError as problem:
        _log.warning("unfinished jobs are not followed yet: %s", problem)
    except Exception:  # noqa: BLE001
        # The boundary of the thread: ComfyUI starts all the same, and the first node tries again and says why.
        _log.exception("unfinished jobs are not followed yet")


def observed_by(observer: Observer) -> None:
    """Have `observer` told of every step of every job."""
    _observers.append(observer)


def _tell_observers(event: Event, job: Job) -> None:
    for observer in _observers:
        observer(event, job)


def use(service: Service) -> None:
    """Make this the service in use from now on. The one before is not closed."""
    with _in_use_lock:
        _in_use[:] = [service]
