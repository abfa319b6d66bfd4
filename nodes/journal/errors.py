"""What the journal's verbs and reads raise; nobody outside this room need know what it is written in."""

from __future__ import annotations


class JournalError(Exception):
    """The journal cannot be read or written now. What it does not say yet is not done."""


class JournalDamaged(JournalError):
    """The file is not what was written into it."""
