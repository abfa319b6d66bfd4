"""Files are written whole or not at all, whatever happens on the way."""

from __future__ import annotations

import errno
import hashlib
import os
from pathlib import Path

import pytest

from nodes.files import rename, require_writable, sha256_of, sync_folder, whole
from nodes.stopping import Stopped


def write(path: Path, text: str) -> None:
    with whole(path) as part:
        part.write_text(text, "utf-8")


def test_a_file_takes_its_name_when_it_is_written_whole(tmp_path: Path) -> None:
    write(tmp_path / "clip", "old")
    with whole(tmp_path / "clip") as part:
        part.write_text("new", "utf-8")
        assert (tmp_path / "clip").read_text("utf-8") == "old"
    assert (tmp_path / "clip").read_text("utf-8") == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["clip"]


def test_a_writer_that_fails_leaves_the_old_file_and_nothing_beside_it(tmp_path: Path) -> None:
    write(tmp_path / "clip", "old")
    with pytest.raises(RuntimeError, match="half-way"), whole(tmp_path / "clip") as part:
        part.write_text("ne", "utf-8")
        raise RuntimeError("half-way")
    assert (tmp_path / "clip").read_text("utf-8") == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["clip"]


def test_a_writer_that_wrote_nothing_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), whole(tmp_path / "clip"):
        pass
    assert not list(tmp_path.iterdir())


def test_two_writers_at_once_do_not_share_a_half_written_file(tmp_path: Path) -> None:
    with whole(tmp_path / "clip") as one, whole(tmp_path / "clip") as other:
        one.write_text("one", "utf-8")
        other.write_text("other", "utf-8")
        assert one.read_text("utf-8") == "one"
    assert (tmp_path / "clip").read_text("utf-8") == "one"


def test_parts_left_by_a_killed_writer_are_cleared_when_old(tmp_path: Path) -> None:
    old, young = tmp_path / ".clip.aa.part", tmp_path / ".clip.bb.part"
    for part in (old, young):
        part.write_text("half", "utf-8")
    os.utime(old, (1_000_000_000, 1_000_000_000))
    write(tmp_path / "clip", "whole")
    assert not old.exists()
    assert young.exists()


def test_the_file_is_synced_before_it_is_renamed_and_its_folder_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    sync = os.fsync

    def watched(handle: int) -> None:
        seen.append("renamed" if (tmp_path / "clip").exists() else "not yet")
        sync(handle)

    monkeypatch.setattr("nodes.files.os.fsync", watched)
    write(tmp_path / "clip", "whole")
    assert seen == (["not yet"] if os.name == "nt" else ["not yet", "renamed"])


class Scanner:
    """Holds the file that is renamed, so that Windows refuses this many times."""

    def __init__(self, refusals: int, monkeypatch: pytest.MonkeyPatch) -> None:
        self.left = refusals
        self.waited: list[float] = []
        replace = Path.replace

        def held(part: Path, path: Path) -> Path:
            if self.left:
                self.left -= 1
                raise PermissionError(errno.EACCES, "The process cannot access the file")
            return replace(part, path)

        monkeypatch.setattr(Path, "replace", held)
        monkeypatch.setattr("nodes.files.time.sleep", self.waited.append)


@pytest.mark.parametrize("refusals", [1, 3, 9])
def test_a_rename_that_a_scanner_holds_up_is_tried_again_for_some_seconds(
    refusals: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scanner = Scanner(refusals, monkeypatch)
    write(tmp_path / "clip", "paid for")
    assert (tmp_path / "clip").read_text("utf-8") == "paid for"
    assert len(scanner.waited) == refusals
    assert 0 < sum(scanner.waited) < 10


def test_a_rename_that_is_refused_for_good_ends_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scanner = Scanner(10_000, monkeypatch)
    with pytest.raises(PermissionError):
        write(tmp_path / "clip", "paid for")
    assert 3 < sum(scanner.waited) < 10
    assert not list(tmp_path.iterdir())


def test_what_waiting_cannot_help_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scanner = Scanner(0, monkeypatch)
    with pytest.raises(FileNotFoundError):
        rename(tmp_path / "not there", tmp_path / "clip")
    assert scanner.waited == []


def test_whether_a_file_can_be_written_is_tried_and_leaves_nothing(tmp_path: Path) -> None:
    require_writable(tmp_path / "results", "clip.part")
    assert list((tmp_path / "results").iterdir()) == []
    with pytest.raises(OSError):
        require_writable(tmp_path / "results", "x" * 5000)


@pytest.mark.parametrize("refusal", [errno.EINVAL, errno.ENOTSUP, errno.EACCES])
def test_a_file_system_that_syncs_no_folders_is_no_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refusal: int
) -> None:
    def refusing(handle: int) -> None:
        raise OSError(refusal, "refused")

    monkeypatch.setattr("nodes.files.os.fsync", refusing)
    sync_folder(tmp_path)


@pytest.mark.skipif(os.name == "nt", reason="Windows opens no folders")
def test_a_broken_disk_is_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(handle: int) -> None:
        raise OSError(errno.EIO, "broken")

    monkeypatch.setattr("nodes.files.os.fsync", failing)
    with pytest.raises(OSError, match="broken"):
        sync_folder(tmp_path)


def test_a_file_is_known_by_its_content_and_the_reading_can_be_stopped(tmp_path: Path) -> None:
    (tmp_path / "clip").write_bytes(b"clip" * 1_000_000)
    assert sha256_of(tmp_path / "clip") == hashlib.sha256(b"clip" * 1_000_000).hexdigest()
    with pytest.raises(Stopped):
        sha256_of(tmp_path / "clip", lambda: True)
