"""Who has a job in hand: told by locks that die with their process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from nodes.journal.presence import Holders

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
