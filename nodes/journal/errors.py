"""What the journal's verbs and reads raise; nobody outside this room need know what it is written in."""

from __future__ import annotations

from ..gateway.errors import SetupError


class JournalError(Exception):
    """The journal cannot be read or written now. What it does not say yet is not done."""

    advice = "Check free space and rights of ComfyUI's user folder, then queue again."


class DatabaseAway(SetupError):
    """The shared journal cannot be opened, because its database cannot be reached now."""


class JournalDamaged(JournalError):
    """The file is not what was written into it."""


class JournalAway(JournalError):
    """The database that machines share cannot be reached now. It may be back at any moment."""

    advice = (
        "Nothing new is sent without it, and what was sent is followed once it is back. See that the database of "
        "APIMALL_JOURNAL runs and can be reached from this machine, then queue again."
    )
