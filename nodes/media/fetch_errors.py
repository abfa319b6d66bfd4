"""What can go wrong with a guarded download.

    FetchError              root, itself a MediaError
     |- FetchRefused        we will not fetch this: forbidden address or scheme, too large, compressed
     |- FetchGone           the server says no: the link has expired or was never right; a fresh one may work
     |- FetchFailed         worth trying again: network, TLS, server trouble, cut short, too slow
     |- NotModified         the validators still hold: what was fetched earlier is current

Messages name the host at most, never the whole URL: its query may be a signature that anybody could use.
"""

from __future__ import annotations

from .errors import MediaError


class FetchError(MediaError):
    """A download did not come about. `status` is the HTTP status, when there was an answer."""

    def __init__(self, message: str, *, status: int | None = None, retry_after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after_seconds = retry_after_seconds


class FetchRefused(FetchError):
    """The address, or what it answers with, is not one to fetch. Trying again changes nothing."""


class FetchGone(FetchError):
    """The server refuses this link: expired, removed or not allowed."""


class FetchFailed(FetchError):
    """It did not work this time."""


class NotModified(FetchError):
    """304: the file fetched earlier, with the validators that were given, is still current."""
