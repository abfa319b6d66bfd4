"""What the journal's verbs and reads raise; nobody outside this room need know what it is written in."""

from __future__ import annotations

from ..gateway.errors import DatabaseAway, SetupError


class JournalError(Exception):
    """The journal cannot be read or written now. What it does not say yet is not done."""

    advice = "Check free space and rights of ComfyUI's user folder, then queue again."


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
            raise told(f"The journal cannot be written ({problem})", advice=problem.advice) from None


class JournalRefused(JournalError):
    """The database that machines share says no, and would again."""

    advice = (
        "See that the user of APIMALL_JOURNAL may read and write the tables of the schema apimall, and make them where "
        "they are not there yet, then queue again."
    )
