"""Where a journal may lie; that a share, a disk without locks and one that is full or read-only are told apart."""

from __future__ import annotations

import errno
import os
import sqlite3
from pathlib import Path

import pytest

from nodes.gateway.errors import Charge, SetupError
from nodes.journal import location
from nodes.journal.location import file_system_of, is_share
from nodes.journal.presence import Holders
from nodes.journal.verbs import Journal

MOUNTS = """\
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
31 22 0:26 / /home rw - nfs4 server:/export/home rw,vers=4.2
32 31 254:1 / /home/local rw - xfs /dev/vdb rw
33 22 0:27 / /mnt/my\\040share rw - cifs //nas/share rw
34 22 0:28 /data /workspace rw master:1 - fuse.mfs mfs#pool rw
35 22 0:29 / /over rw - nfs server:/a rw
36 22 0:30 / /over rw - ext4 /dev/vdc rw
a line that is no mount
37 22 0:31 / /short
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", "ext4"),
        ("/home", "nfs4"),
        ("/home/me/ComfyUI/user", "nfs4"),
        ("/homestead", "ext4"),
        ("/home/local/ComfyUI", "xfs"),
        ("/mnt/my share/ComfyUI", "cifs"),
        ("/mnt/my", "ext4"),
        ("/workspace/ComfyUI", "fuse.mfs"),
        ("/over/ComfyUI", "ext4"),
        ("/short/ComfyUI", "ext4"),
    ],
)
def test_the_file_system_of_a_folder_is_that_of_the_nearest_mount(path: str, kind: str) -> None:
    assert file_system_of(path, MOUNTS) == kind


@pytest.mark.parametrize("mounts", ["", "nonsense", "1 2 3 / - ext4", "\n\n"])
def test_a_list_of_mounts_that_says_nothing_forbids_nothing(mounts: str) -> None:
    assert file_system_of("/home/me", mounts) == ""


@pytest.mark.parametrize(
    ("path", "share"),
    [
        ("\\\\nas\\comfy\\user", True),
        ("//nas/comfy/user", False),  # as POSIX has it: the root, twice
        ("\\\\?\\UNC\\nas\\comfy\\user", True),
        ("\\\\wsl.localhost\\Ubuntu\\home", True),
        ("\\\\?\\C:\\ComfyUI", False),
        ("\\\\.\\C:\\ComfyUI", False),
        ("C:\\ComfyUI\\user", False),
        ("C:user", False),
        ("/home/me", False),
        ("", False),
    ],
)
def test_windows_shares_are_known_by_their_names(path: str, share: bool) -> None:
    assert is_share(path) is share


@pytest.fixture
def mounts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    table = tmp_path / "mountinfo"
    monkeypatch.setattr(location, "MOUNTS", table)
    return table


@pytest.mark.parametrize("kind", ["nfs", "nfs4", "cifs", "smb3", "lustre", "ceph", "fuse.sshfs", "fuse.gcsfuse"])
def test_a_journal_on_a_network_drive_is_refused_with_what_to_do_and_nothing_is_written(
    kind: str, mounts: Path, tmp_path: Path
) -> None:
    mounts.write_text(f"1 0 0:1 / / rw - ext4 /dev/vda rw\n2 1 0:2 / {tmp_path / 'user'} rw - {kind} nas:/x rw\n")
    with pytest.raises(SetupError, match="network drive") as caught:
        Journal(tmp_path / "user" / "state" / "journal.sqlite3")
    assert caught.value.charge is Charge.NOT_SENT
    assert "APIMALL_STATE_DIR" in caught.value.advice and "database" in caught.value.advice
    assert list((tmp_path / "user" / "state").iterdir()) == []


def test_a_link_that_leads_to_a_network_drive_is_followed(mounts: Path, tmp_path: Path) -> None:
    (tmp_path / "share").mkdir()
    (tmp_path / "user").symlink_to(tmp_path / "share")
    mounts.write_text(f"1 0 0:2 / {tmp_path / 'share'} rw - nfs4 nas:/x rw\n")
    with pytest.raises(SetupError, match="network drive"):
        Journal(tmp_path / "user" / "journal.sqlite3")


@pytest.mark.parametrize("kind", ["ext4", "overlay", "tmpfs", "btrfs", "zfs", "virtiofs", "9p", "fuse.fuse-overlayfs"])
def test_a_journal_on_any_other_disk_opens(kind: str, mounts: Path, tmp_path: Path) -> None:
    mounts.write_text(f"1 0 0:2 / {tmp_path} rw - {kind} x rw\n")
    Journal(tmp_path / "user" / "journal.sqlite3").close()


def test_where_the_system_lists_no_mounts_a_journal_opens(mounts: Path, tmp_path: Path) -> None:
    Journal(tmp_path / "user" / "journal.sqlite3").close()


def _refused_by_sqlite(path: Path) -> sqlite3.Connection:
    raise sqlite3.OperationalError("disk I/O error")


def test_a_disk_that_a_database_cannot_use_is_told_without_sqlites_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("nodes.journal.sqlite_file._open", _refused_by_sqlite)
    with pytest.raises(SetupError, match="as network drives") as caught:
        Journal(tmp_path / "user" / "journal.sqlite3")
    assert "disk I/O error" not in str(caught.value)
    assert "APIMALL_STATE_DIR" in caught.value.advice
    assert "disk I/O error" in caplog.text, "for whoever has to find out"
    assert [path.name for path in (tmp_path / "user").iterdir()] == ["journal.lock"]


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        (errno.ENOSPC, "No space left"),
        (errno.EROFS, "Read-only"),
        (errno.ENOLCK, "no file locks"),
        (errno.ENOSYS, "no file locks"),
    ],
)
def test_the_true_reason_is_found_on_the_spot(
    reason: int, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refusing(file: object) -> None:
        raise OSError(reason, os.strerror(reason))

    monkeypatch.setattr("nodes.journal.sqlite_file._open", _refused_by_sqlite)
    monkeypatch.setattr(location, "lock", refusing)
    with pytest.raises(SetupError, match=words):
        Journal(tmp_path / "user" / "journal.sqlite3")


def test_a_folder_that_cannot_be_made_is_told_with_the_variable(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(SetupError, match="cannot be made") as caught:
        Journal(tmp_path / "file" / "state" / "journal.sqlite3")
    assert "APIMALL_STATE_DIR" in caught.value.advice


# Presence


@pytest.mark.parametrize("reason", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL])
def test_a_disk_without_locks_is_said_once_and_leaves_no_files(
    reason: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[int] = []

    def refusing(file: object) -> None:
        tries.append(reason)
        raise OSError(reason, "refused")

    monkeypatch.setattr("nodes.journal.presence.lock", refusing)
    with pytest.raises(SetupError, match="no file locks"):
        Holders(tmp_path / "holders")
    assert len(tries) == 1
    assert list((tmp_path / "holders").iterdir()) == []


def test_a_lock_that_is_never_to_be_had_ends_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def held(file: object) -> None:
        raise BlockingIOError(errno.EAGAIN, "held")

    monkeypatch.setattr("nodes.journal.presence.lock", held)
    with pytest.raises(SetupError):
        Holders(tmp_path / "holders")
