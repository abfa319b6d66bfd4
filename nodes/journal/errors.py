"""What the journal's verbs and reads raise; nobody outside this room need know what it is written in."""

from __future__ import annotations

from ..gateway.errors import DatabaseAway, SetupError
from ..remarks import remark
from ..troubles import PlainError, Trouble


class JournalError(PlainError):
    """The journal cannot be read or written now. What it does not say yet is not done."""

    advice: str = remark(Trouble.CHECK_USER_FOLDER)


class JournalDamaged(JournalError):
    """The file is not what was written into it."""


class JournalAway(JournalError):
    """The database that machines share cannot be reached now. It may be back at any moment."""

    advice = DatabaseAway.default_advice


class journal_errors:
    """The journal must be written before anything is paid; when it cannot be, nothing is sent: raises SetupError."""

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, problem: BaseException | None, trace: object) -> None:
        if isinstance(problem, JournalError):
            told = DatabaseAway if isinstance(problem, JournalAway) else SetupError
            what = remark(Trouble.JOURNAL_NOT_WRITTEN, problem=problem.what)
            raise told(what, advice=problem.advice) from None


class JournalRefused(JournalError):
    """The database that machines share says no, and would again."""

    advice = remark(Trouble.MAY_READ_AND_WRITE)
