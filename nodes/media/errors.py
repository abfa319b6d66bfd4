"""What can go wrong between bytes and arrays.

    MediaError          root; the message is complete for a user: what is wrong, then what to do
     |- NotAClip        cannot be opened or decoded as a video
     |- TooLarge        the forecast says that it would not fit into memory
     |- EmptySpan       the part of the clip asked for holds no picture
     |- BadPicture      a picture of the wrong rank, size or range (NaN included)
     |- NoEncoder       this PyAV has nothing to write such a clip with
     |- NoRoom          the disk refused the file that was being written

A media error spends no credits by itself: whoever catches it knows the job and says what it cost.
"""

from __future__ import annotations

from ..troubles import PlainError


class MediaError(PlainError):
    """The root of this room's errors. str(error) is the whole message for a user."""


class NotAClip(MediaError):
    """The bytes cannot be opened or decoded as a video."""


class TooLarge(MediaError):
    """The forecast says that the pictures would not fit into free memory."""


class EmptySpan(MediaError):
    """The part of the clip asked for holds no picture, or cannot be meant."""


class BadPicture(MediaError):
    """A picture has the wrong rank, size or range."""


class NoEncoder(MediaError):
    """This PyAV has nothing to write such a clip with."""


class NoRoom(MediaError):
    """The file being written could not be written: no space, no permission, path gone."""
