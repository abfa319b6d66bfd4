"""Who has a job in hand: told by locks that die with their process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from nodes.journal.presence import Holders, whose

ROOT = Path(__file__).resolve().parents[2]
CHILD = """
import sys
from pathlib import Path
from nodes.journal.presence import Holders
holders = Holders(Path(sys.argv[1]))
print(holders.own, flush=True)
sys.stdin.read()
"""


def child(folder: Path) -> tuple[subprocess.Popen[str], str]:
    process = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(folder)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


def test_two_holders_see_each_other(tmp_path: Path) -> None:
    first, second = Holders(tmp_path), Holders(tmp_path)
    assert first.alive() == second.alive() == {first.own, second.own}
    second.close()
    assert first.alive() == {first.own}


def test_a_process_lives_until_it_is_killed(tmp_path: Path) -> None:
    ours = Holders(tmp_path)
    process, theirs = child(tmp_path)
    assert ours.alive() == {ours.own, theirs}
    process.kill()
    process.communicate()
    assert ours.alive() == {ours.own}


def test_files_of_the_dead_are_cleared_away(tmp_path: Path) -> None:
    process, theirs = child(tmp_path)
    process.kill()
    process.communicate()
    assert (tmp_path / f"{theirs}.lock").exists()
    Holders(tmp_path).alive()
    assert not (tmp_path / f"{theirs}.lock").exists()


def test_being_looked_at_does_not_end_a_holder(tmp_path: Path) -> None:
    first, second = Holders(tmp_path), Holders(tmp_path)
    for _ in range(3):
        assert second.own in first.alive()


FORKS = """
import os, sys
from pathlib import Path
from nodes.journal.presence import Holders
holders = Holders(Path(sys.argv[1]))
if os.fork() == 0:
    print(holders.own, flush=True)
    sys.stdin.read()
else:
    os.wait()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are not forked here")
def test_a_forked_child_keeps_no_dead_parent_alive(tmp_path: Path) -> None:
    ours = Holders(tmp_path)
    parent = subprocess.Popen(
        [sys.executable, "-c", FORKS, str(tmp_path)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    theirs = parent.stdout.readline().strip()
    assert ours.alive() == {ours.own, theirs}, "the parent lives"
    parent.kill()
    parent.wait()
    assert ours.alive() == {ours.own}
    parent.communicate()


def test_a_holder_is_told_as_a_process_on_a_machine(tmp_path: Path) -> None:
    assert whose(Holders(tmp_path).own).startswith(f"process {os.getpid()} on ")
    assert whose("4711-0123456789abcdef") == "process 4711", "as versions before wrote them"
