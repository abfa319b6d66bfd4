"""Several processes that open a journal which is not there yet, at the same moment."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PROCESSES, ROUNDS = 3, 40


def test_processes_that_open_a_new_journal_at_once_all_succeed_and_share_it(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.journal.opener"]
    openers = [
        subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(PROCESSES)
    ]
    pipes = [(opener.stdin, opener.stdout) for opener in openers]
    try:
        assert [told.readline() for _, told in pipes if told] == ["ready\n"] * PROCESSES
        for number in range(ROUNDS):
            path = tmp_path / str(number) / "journal.sqlite3"
            for ask, _ in pipes:
                assert ask is not None
                ask.write(f"{path}\n")
                ask.flush()
            answers = [told.readline().strip() for _, told in pipes if told]
            # The same order: one row, whoever was first.
            assert answers == ["1"] * PROCESSES, f"round {number}: {answers}"
            assert not list(path.parent.glob("*damaged*"))
    finally:
        for opener in openers:
            opener.kill()
            opener.communicate()
