"""What can go wrong between this machine and what nobody vouches for.

    GuardError               root; the message is complete for a user: what is wrong, then what to do
     |- PathForbidden        a file name or path that leads nowhere, or where nothing may be read
     |- DiskFailed           the disk refused the file that was being written
     |- DownloadError        a download did not come about
         |- DownloadForbidden we will not download this: forbidden address or scheme, too large, compressed
         |   |- NotPublic    the address itself says that it leads into a local network
         |- LinkGone         the server says no: the link has expired or was never right; a fresh one may work
         |- DownloadFailed   worth trying again: network, TLS, server trouble, cut short, too slow
         |- NotModified      the validators still hold: what was downloaded earlier is current

Messages name the host at most, never the whole URL: its query may be a signature that anybody could use. None of
these spends credits by itself: whoever catches one knows the job and says what it cost.
"""

from __future__ import annotations

from ..troubles import PlainError


class GuardError(PlainError):
    """The root of this room's errors. str(error) is the whole message for a user."""


class PathForbidden(GuardError):
    """A file name or path that leads nowhere, or where nothing may be read."""


class DiskFailed(GuardError):
    """The file could not be written: no space, no permission, path gone."""


class DownloadError(GuardError):
    """A download did not come about. `status` is the HTTP status, when there was an answer."""

    def __init__(self, message: str, *, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class DownloadForbidden(DownloadError):
    """The address, or what it answers with, is not one to download from. Trying again changes nothing."""


class NotPublic(DownloadForbidden):
    """The address names this machine or one in a local network: nobody out there can fetch it either."""


class LinkGone(DownloadError):
    """The server refuses this link: expired, removed or not allowed."""


class DownloadFailed(DownloadError):
    """It did not work this time."""


class NotModified(DownloadError):
    """304: the file downloaded earlier, with the validators that were given, is still current."""
