"""A look at the addresses that a user gave, before anything is paid: whether they lead to a file at all.

The gateway fetches them by itself, and takes the job first. What plainly cannot work is refused here: a page where a
picture should be, a login, an address of a local network, nothing at all. What cannot be asked, or answers in a way
that could be meant for us alone, is the gateway's to judge.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from urllib.parse import urlsplit

from ..gateway.errors import InputError
from ..gateway.models import VIDEO_TO_VIDEO
from ..guard.downloads import Glance
from ..guard.errors import DownloadError, LinkGone, NotPublic
from ..media import kinds
from ..remarks import Remark, remark
from ..stopping import Stop
from ..troubles import Trouble

_CLOSED = (401, 403, 404, 410)
_KEPT_SECONDS = 600.0
_REFUSED_SECONDS = 10.0
_FOR_PEOPLE = ("text/", "application/json", "application/xml", "application/xhtml+xml")

Look = Callable[[str, Stop], Glance]
"""An address to its first bytes. Raises DownloadError, Stopped."""


class GivenUrls:
    """The addresses of one account's jobs. Thread-safe.

    Nodes of one prompt name the same one: it is asked once, and what came of it is believed for a while.
    """

    def __init__(self, look: Look, clock: Callable[[], float] = time.monotonic) -> None:
        self._look = look
        self._clock = clock
        self._lock = threading.Lock()
        self._of_address: dict[str, _Url] = {}

    def require_file(self, url: str, job_type: str, stop: Stop) -> None:
        """Raises InputError where the address plainly gives out nothing that such a job could use; Stopped."""
        known = self._known(url)
        with known.lock:
            if known.found is None or self._clock() >= known.good_until:
                known.found = self._glance(url, stop)
                fine = _problem(url, known.found, job_type) is None
                known.good_until = self._clock() + (_KEPT_SECONDS if fine else _REFUSED_SECONDS)
            problem = _problem(url, known.found, job_type)
        if problem is not None:
            raise InputError(problem, advice=remark(Trouble.OPEN_PRIVATELY))

    def _known(self, url: str) -> _Url:
        with self._lock:
            now = self._clock()
            self._of_address = {each: known for each, known in self._of_address.items() if known.good_until > now}
            return self._of_address.setdefault(url, _Url())

    def _glance(self, url: str, stop: Stop) -> Glance | DownloadError:
        try:
            return self._look(url, stop)
        except DownloadError as problem:
            return problem


class _Url:
    """What is known of one address, and until when; `lock` is held while it is asked."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.found: Glance | DownloadError | None = None
        self.good_until = math.inf


def _problem(url: str, found: Glance | DownloadError, job_type: str) -> Remark | None:
    """What is wrong with the address; None if nothing plainly is."""
    host = str(urlsplit(url).hostname)
    if isinstance(found, NotPublic):
        return remark(Trouble.URL_IS_LOCAL, host=host)
    if isinstance(found, LinkGone) and found.status in _CLOSED:
        return remark(Trouble.URL_IS_CLOSED, host=host, status=str(found.status))
    if not isinstance(found, Glance):
        return None
    film = job_type == VIDEO_TO_VIDEO
    is_wanted, is_other = (kinds.is_video, kinds.is_picture) if film else (kinds.is_picture, kinds.is_video)
    beginning, told = found.beginning, found.content_type
    if is_wanted(beginning) or (film and beginning.startswith(b"GIF8")):
        return None  # whatever it is called
    if is_other(beginning):
        return remark(Trouble.URL_IS_PICTURE if film else Trouble.URL_IS_VIDEO, host=host)
    if kinds.is_page(beginning) or told.startswith(_FOR_PEOPLE):
        return remark(Trouble.URL_IS_PAGE, host=host, type=told or "text")
    return None
