"""Which process has a job in hand, told by a lock that the operating system drops when the process dies."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import uuid
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Protocol

from ..remarks import Remark, remark
from ..troubles import Trouble
from .location import lacks_locks, lock, without_locks

_MOST_TRIES = 100

Tell = Callable[["int | None"], None]
"""Hears the id of a job that another process changed, or None where any may have changed."""


class Presence(Protocol):
    """The processes at work on one journal."""

    @property
    def own(self) -> str:
        """This one."""

    @property
    def watched_seconds(self) -> float:
        """How often to look at a job that another one has in hand."""

    @property
    def tells(self) -> bool:
        """Whether those who `watch` are told of every change that another one makes."""

    def alive(self) -> frozenset[str]:
        """Those that live now, this one included."""

    def alive_lately(self) -> frozenset[str]:
        """The same as it was seen a moment ago, for somebody who is told when one of them dies."""

    def watch(self, tell: Tell, is_watching: Callable[[], bool]) -> None:
        """Have `tell` called when another one changed a job or died, as long as `is_watching` says that it matters."""

    def close(self) -> None:
        """Give up everything held, as dying would."""


class Holders:
    """The processes at work on one journal. A lock needs no clock, so neither a jump of it nor a long sleep
    of the machine makes a living holder look dead, and a killed one is known to be dead at once.
    """

    watched_seconds = 0.5
    tells = False

    def __init__(self, folder: Path) -> None:
        """Raises SetupError where the disk has no locks."""
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self.own, self._file = self._enter()
        _open_here.add(self)

    def alive(self) -> frozenset[str]:
        """The holders that live now, this one included; files of dead ones are removed."""
        return frozenset(
            path.stem for path in self._folder.glob("*.lock") if path.stem == self.own or self._is_held(path)
        )

    def alive_lately(self) -> frozenset[str]:
        """Nobody tells of deaths here."""
        return self.alive()

    def watch(self, tell: Tell, is_watching: Callable[[], bool]) -> None:
        """Files tell nobody anything: whoever waits looks often."""

    def close(self) -> None:
        """Give up everything held, as dying would."""
        self._file.close()
        self._path(self.own).unlink(missing_ok=True)

    def leave_to_parent(self) -> None:
        """In a forked child: what it inherited must not keep alive what its parent held."""
        self._file.close()

    def _enter(self) -> tuple[str, BinaryIO]:
        for _ in range(_MOST_TRIES):
            name = f"{os.getpid()}-{machine()}-{uuid.uuid4().hex}"
            file = self._path(name).open("wb")
            try:
                lock(file)
            except OSError as refusal:
                file.close()
                if lacks_locks(refusal):
                    self._remove(name)
                    break
                # Another process looked at the new file before it was locked; it may remove it.
                continue
            if self._path(name).exists():
                return name, file
            file.close()
        raise without_locks(self._folder)

    def _remove(self, holder: str) -> None:
        with contextlib.suppress(OSError):
            self._path(holder).unlink()

    def _path(self, holder: str) -> Path:
        return self._folder / f"{holder}.lock"

    @staticmethod
    def _is_held(path: Path) -> bool:
        try:
            with path.open("r+b") as file:
                lock(file)
        except FileNotFoundError:
            return False
        except OSError:
            return True
        path.unlink(missing_ok=True)
        return False


def machine_of(holder: str) -> str:
    """The name of a holder's machine, empty where the holder does not tell."""
    return holder.partition("-")[2].rpartition("-")[0]


def whose(holder: str) -> Remark:
    """A holder in words."""
    process, machine = holder.partition("-")[0], machine_of(holder)
    if machine:
        return remark(Trouble.PROCESS_ON, process=process, machine=machine)
    return remark(Trouble.PROCESS, process=process)


def machine() -> str:
    """This machine's name, as far as it is plain letters."""
    return re.sub(r"[^A-Za-z0-9.]", "_", platform.node())[:40] or "this_machine"


_open_here: weakref.WeakSet[Holders] = weakref.WeakSet()


def _forked() -> None:
    for holders in _open_here:
        holders.leave_to_parent()
    _open_here.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
