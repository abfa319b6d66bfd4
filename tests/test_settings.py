"""The environment and the key file: what is accepted, what is refused, and that the key stays hidden."""

from __future__ import annotations

import copy
import dataclasses
import json
import os
import pickle
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from nodes import settings
from nodes.gateway.errors import Charge, SetupError

KEY = "sk-canary0123456789abcdefWXYZ"
POSIX = pytest.mark.skipif(os.name != "posix", reason="Windows keeps no such permission bits")


def test_nothing_given_means_the_defaults_and_no_key(tmp_path: Path) -> None:
    found = settings.load(tmp_path, {})
    assert found == settings.Settings()
    assert (found.base_url, found.max_jobs, found.wait_minutes) == ("https://gateway.apimall.ai", 3, 60.0)
    assert (found.api_key, found.key_source, found.rehearsal) == (None, "none", False)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_key_is_a_setup_error_that_says_where_to_put_one(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="APIMALL_API_KEY") as caught:
        settings.load(tmp_path, {}).require_key()
    assert caught.value.charge is Charge.NOT_SENT


def test_the_key_of_the_environment_is_trimmed_and_wins_over_the_file(tmp_path: Path) -> None:
    settings.store_key(tmp_path, "sk-from-the-file-0001")
    found = settings.load(tmp_path, {"APIMALL_API_KEY": f"  {KEY}\n"})
    assert (found.api_key, found.key_source) == (KEY, "environment")
    assert found.require_key() == KEY


def test_a_blank_variable_counts_as_unset(tmp_path: Path) -> None:
    settings.store_key(tmp_path, KEY)
    found = settings.load(tmp_path, dict.fromkeys(_VARIABLES, "  "))
    assert (found.api_key, found.key_source, found.max_jobs) == (KEY, "file", 3)


_VARIABLES = (
    "APIMALL_API_KEY",
    "APIMALL_BASE_URL",
    "APIMALL_REHEARSAL",
    "APIMALL_MAX_JOBS",
    "APIMALL_WAIT_MINUTES",
)


@pytest.mark.parametrize(
    "wrong",
    [
        f'"{KEY}"',
        f"'{KEY}'",
        f"`{KEY}`",
        f"{KEY}\nsk-another",
        f"{KEY}\rX",
        f"{KEY} {KEY}",
        f"{KEY}\tX",
        f"{KEY}\x00",
        f"{KEY}\x1b[31m",
        f"{KEY}\u00e9",
        f"\u201c{KEY}\u201d",
        f"{KEY}\u200b",
        f"\uff53\uff4b-{KEY}",
        f"Bearer {KEY}",
        KEY * 30,
    ],
)
def test_a_malformed_key_is_refused_without_being_repeated(tmp_path: Path, wrong: str) -> None:
    for refuse in (
        lambda: settings.load(tmp_path, {"APIMALL_API_KEY": wrong}),
        lambda: settings.store_key(tmp_path, wrong),
    ):
        with pytest.raises(SetupError) as caught:
            refuse()
        assert "canary" not in _everything_said_by(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_malformed_key_in_the_file_is_refused_without_being_repeated(tmp_path: Path) -> None:
    for content in (f"{KEY}\n{KEY}\n".encode(), KEY.encode("utf-16"), KEY.encode() + b"\xff", b"x" * 100_000):
        _write_private(tmp_path / "api_key", content)
        with pytest.raises(SetupError) as caught:
            settings.load(tmp_path, {})
        assert "canary" not in _everything_said_by(caught.value)


def test_a_key_file_written_by_an_editor_is_read(tmp_path: Path) -> None:
    _write_private(tmp_path / "api_key", b"\xef\xbb\xbf" + KEY.encode() + b"\r\n")
    assert settings.load(tmp_path, {}).api_key == KEY
    _write_private(tmp_path / "api_key", b" \n")
    assert settings.load(tmp_path, {}).key_source == "none"


def test_nothing_prints_copies_or_stores_the_key(tmp_path: Path) -> None:
    found = settings.load(tmp_path, {"APIMALL_API_KEY": KEY})
    shown = [
        repr(found),
        str(found),
        f"{found}",
        repr(found.key),
        f"{found.key}",
        repr(dataclasses.asdict(found)),
        repr(dataclasses.astuple(found)),
        repr(vars(found)),
        repr(dataclasses.replace(found, max_jobs=9)),
        repr(copy.deepcopy(found)),
        json.dumps(dataclasses.asdict(found), default=str),
        found.account,
        str(found.masked_key),
    ]
    assert not [text for text in shown if "canary" in text]
    for write in (pickle.dumps, copy.copy):
        with pytest.raises(TypeError):
            write(found.key)
    assert copy.deepcopy(found) == found


def test_a_mask_shows_four_characters_of_a_long_key_and_none_of_a_short_one() -> None:
    assert settings.mask(KEY) == "...WXYZ"
    assert settings.mask("sk-12345678") == "..."
    assert settings.mask("") == "..."


def test_an_account_is_a_hash_of_base_url_and_key(tmp_path: Path) -> None:
    def account(**given: str) -> str:
        return settings.load(tmp_path, {f"APIMALL_{name}": value for name, value in given.items()}).account

    mine = account(API_KEY=KEY)
    assert mine == account(API_KEY=KEY, BASE_URL="https://Gateway.APIMall.ai:443/")
    assert len(mine) == 32
    others = {account(API_KEY=KEY + "1"), account(API_KEY=KEY, BASE_URL="https://other.example"), account()}
    assert mine not in others
    assert len(others) == 3
    assert account(API_KEY=KEY, REHEARSAL="1") == "rehearsal"


@pytest.mark.parametrize(
    ("given", "origin"),
    [
        ("https://gateway.apimall.ai", "https://gateway.apimall.ai"),
        ("https://gateway.apimall.ai/", "https://gateway.apimall.ai"),
        ("HTTPS://GATEWAY.APIMALL.AI:443", "https://gateway.apimall.ai"),
        ("https://gateway.apimall.ai.", "https://gateway.apimall.ai"),
        ("https://gateway.apimall.ai:8443/", "https://gateway.apimall.ai:8443"),
        ("https://10.0.0.5", "https://10.0.0.5"),
        ("https://[2001:4860::1]", "https://[2001:4860::1]"),
        ("http://127.0.0.1:8188", "http://127.0.0.1:8188"),
        ("http://localhost:80/", "http://localhost"),
        ("http://[::1]:9000", "http://[::1]:9000"),
        ("  https://gateway.apimall.ai\n", "https://gateway.apimall.ai"),
    ],
)
def test_a_base_url_becomes_its_origin(tmp_path: Path, given: str, origin: str) -> None:
    assert settings.load(tmp_path, {"APIMALL_BASE_URL": given}).base_url == origin


@pytest.mark.parametrize(
    "wrong",
    [
        "gateway.apimall.ai",
        "http://gateway.apimall.ai",
        "http://127.0.0.1.evil.example",
        "http://localhost.evil.example",
        "http://192.168.1.5",
        "http://127.1:80",
        "http://2130706433",
        "ftp://gateway.apimall.ai",
        "file:///etc/passwd",
        "https://",
        "https://.",
        "https://user:secret@gateway.apimall.ai",
        "https://secret@gateway.apimall.ai",
        "https://@gateway.apimall.ai",
        "https://gateway.apimall.ai/api/v1",
        "https://gateway.apimall.ai?x=1",
        "https://gateway.apimall.ai?",
        "https://gateway.apimall.ai#x",
        "https://gateway.apimall.ai:0",
        "https://gateway.apimall.ai:99999",
        "https://gateway.apimall.ai:port",
        "https://gateway.apimall.ai\\@evil.example",
        "https://gate way.apimall.ai",
        "https://gateway.apimall.ai\r\nHost: evil.example",
        "https://g\u0430teway.apimall.ai",
        "https://%67ateway.apimall.ai",
        "https://[::1",
        "https://[fe80::1%25eth0]",
        '"https://gateway.apimall.ai"',
        "https://" + "a" * 400,
    ],
)
def test_a_base_url_that_could_lead_the_key_astray_is_refused(tmp_path: Path, wrong: str) -> None:
    with pytest.raises(SetupError, match="APIMALL_BASE_URL") as caught:
        settings.load(tmp_path, {"APIMALL_BASE_URL": wrong, "APIMALL_API_KEY": KEY})
    said = _everything_said_by(caught.value)
    assert "secret" not in said
    assert "canary" not in said


def test_only_a_loopback_base_url_is_a_loopback_origin(tmp_path: Path) -> None:
    local = settings.load(tmp_path, {"APIMALL_BASE_URL": "http://127.0.0.1:5000"})
    assert local.loopback_origin == "http://127.0.0.1:5000"
    assert settings.load(tmp_path, {}).loopback_origin is None


@pytest.mark.parametrize(("given", "number"), [("1", 1), (" 12 ", 12), ("1000", 1000)])
def test_a_number_of_jobs_is_read(tmp_path: Path, given: str, number: int) -> None:
    assert settings.load(tmp_path, {"APIMALL_MAX_JOBS": given}).max_jobs == number


@pytest.mark.parametrize("wrong", ["0", "-1", "1.5", "three", "1001", "1e2", "1_0", "\u0663", "9" * 5000])
def test_a_number_of_jobs_that_is_none_names_its_variable(tmp_path: Path, wrong: str) -> None:
    with pytest.raises(SetupError, match="APIMALL_MAX_JOBS"):
        settings.load(tmp_path, {"APIMALL_MAX_JOBS": wrong})


@pytest.mark.parametrize(("given", "minutes"), [("1", 1.0), ("0.05", 0.05), ("10080", 10080.0)])
def test_minutes_to_wait_are_read(tmp_path: Path, given: str, minutes: float) -> None:
    assert settings.load(tmp_path, {"APIMALL_WAIT_MINUTES": given}).wait_minutes == minutes


@pytest.mark.parametrize("wrong", ["0", "0.0", "-5", "nan", "inf", "1e3", "10081", "an hour", "1,5", "9" * 5000])
def test_minutes_that_are_none_name_their_variable(tmp_path: Path, wrong: str) -> None:
    with pytest.raises(SetupError, match="APIMALL_WAIT_MINUTES"):
        settings.load(tmp_path, {"APIMALL_WAIT_MINUTES": wrong})


def test_the_rehearsal_switch_is_remembered_and_the_environment_wins(tmp_path: Path) -> None:
    settings.set_rehearsal(tmp_path, True)
    assert settings.load(tmp_path, {}).rehearsal
    assert settings.load(tmp_path, {}).rehearsal_source == "panel"
    assert not settings.load(tmp_path, {"APIMALL_REHEARSAL": "0"}).rehearsal
    settings.set_rehearsal(tmp_path, False)
    assert not settings.load(tmp_path, {}).rehearsal
    for word in ("1", "true", "YES", " on "):
        assert settings.load(tmp_path, {"APIMALL_REHEARSAL": word}).rehearsal


def test_rehearsal_never_reads_the_real_key(tmp_path: Path) -> None:
    found = settings.load(tmp_path, {"APIMALL_REHEARSAL": "1", "APIMALL_API_KEY": KEY})
    assert (found.api_key, found.require_key()) == (None, settings.REHEARSAL_KEY)


def test_a_rehearsal_word_nobody_knows_is_not_taken_for_off(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="APIMALL_REHEARSAL"):
        settings.load(tmp_path, {"APIMALL_REHEARSAL": "maybe"})
    (tmp_path / settings.REHEARSAL_FILE).write_bytes(b"")
    with pytest.raises(SetupError, match="rehearsal"):
        settings.load(tmp_path, {})


def test_a_stored_key_is_read_back_from_a_folder_that_did_not_exist(tmp_path: Path) -> None:
    folder = tmp_path / "user" / "__apimall_video"
    settings.store_key(folder, f" {KEY}\n")
    found = settings.load(folder, {})
    assert (found.api_key, found.key_source) == (KEY, "file")
    settings.store_key(folder, KEY + "2")
    assert settings.load(folder, {}).api_key == KEY + "2"
    assert [path.name for path in folder.iterdir()] == ["api_key"]


@POSIX
def test_a_key_file_is_private_from_its_first_byte_whatever_the_umask(tmp_path: Path) -> None:
    # In a process of its own: the audit hook sees every file at the moment it is opened, and a umask is process-wide.
    script = """
import os, stat, sys
from pathlib import Path
from nodes import settings

seen = []

def watch(event, args):
    if event == "open" and not isinstance(args[0], int) and args[2] & os.O_CREAT:
        seen.append((str(args[0]), args[2]))
    if event in ("os.chmod", "os.chown"):
        seen.append(("changed afterwards", 0))
    if event == "os.rename":
        seen.append((stat.S_IMODE(os.stat(args[0]).st_mode), 0))

os.umask(0)
sys.addaudithook(watch)
settings.store_key(Path(sys.argv[1]), "sk-canary0123456789")
(opened, flags), (mode, _) = seen
assert opened.endswith(".part"), seen
assert flags & os.O_EXCL, seen
assert mode == 0o600, oct(mode)
assert stat.S_IMODE(os.stat(Path(sys.argv[1]) / "api_key").st_mode) == 0o600
"""
    home = Path(__file__).parents[1]
    run = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], cwd=home, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr


@POSIX
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660, 0o620, 0o602, 0o610, 0o601, 0o777])
def test_a_key_file_that_others_can_touch_is_refused(tmp_path: Path, mode: int) -> None:
    settings.store_key(tmp_path, KEY)
    (tmp_path / "api_key").chmod(mode)
    with pytest.raises(SetupError, match="chmod 600") as caught:
        settings.load(tmp_path, {})
    assert "canary" not in _everything_said_by(caught.value)
    settings.store_key(tmp_path, KEY)
    assert settings.load(tmp_path, {}).api_key == KEY


@POSIX
def test_what_is_no_file_is_refused_and_hangs_nobody(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "api_key", 0o600)
    with pytest.raises(SetupError, match="not a file"):
        settings.load(tmp_path, {})
    (tmp_path / "api_key").unlink()
    (tmp_path / "api_key").mkdir(0o700)
    with pytest.raises(SetupError, match="api_key"):
        settings.load(tmp_path, {})


@POSIX
def test_storing_replaces_a_link_instead_of_writing_through_it(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("untouched", encoding="ascii")
    state = tmp_path / "state"
    state.mkdir()
    (state / "api_key").symlink_to(elsewhere)
    settings.store_key(state, KEY)
    assert elsewhere.read_text(encoding="ascii") == "untouched"
    assert not (state / "api_key").is_symlink()
    assert stat.S_IMODE((state / "api_key").stat().st_mode) == 0o600


@POSIX
@pytest.mark.parametrize("mode", [0o777, 0o755, 0o644, 0o640])
def test_a_disk_that_keeps_no_access_rights_gets_no_key_and_the_variable_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int
) -> None:
    """exFAT, some shares, Windows drives inside of WSL: every file shows the same rights, whatever it was made with."""
    fstat, seen = os.fstat, []

    def shown(handle: int) -> os.stat_result:
        told = list(fstat(handle))
        seen.append(told[6])
        told[0] = stat.S_IFREG | mode
        return os.stat_result(told)

    monkeypatch.setattr("nodes.settings.os.fstat", shown)
    with pytest.raises(SetupError, match="was not stored") as caught:
        settings.store_key(tmp_path, KEY)
    assert "APIMALL_API_KEY" in caught.value.advice and "APIMALL_STATE_DIR" in caught.value.advice
    assert KEY not in str(caught.value)
    assert list(tmp_path.iterdir()) == []
    assert seen == [0], "not a byte of the key was written there"
    settings.set_rehearsal(tmp_path, True)
    assert settings.load(tmp_path, {}).rehearsal, "the switch is no secret"
    assert settings.load(tmp_path, {"APIMALL_REHEARSAL": "0", "APIMALL_API_KEY": KEY}).api_key == KEY


# Where the state lies


def test_the_state_folder_is_the_one_that_the_variable_names_made_private(tmp_path: Path) -> None:
    named = tmp_path / "volume" / "apimall"
    assert settings.state_folder({"APIMALL_STATE_DIR": f" {named} "}) == named
    assert named.is_dir()
    if os.name == "posix":
        assert stat.S_IMODE(named.stat().st_mode) == 0o700


@pytest.mark.parametrize("environ", [{}, {"APIMALL_STATE_DIR": ""}, {"APIMALL_STATE_DIR": "  "}])
def test_without_the_variable_the_host_says_where(environ: dict[str, str]) -> None:
    assert settings.state_folder(environ) is None


@pytest.mark.parametrize("value", ["state", "./state", "~/state", "C:state", "\\state", "state\0"])
def test_a_state_folder_that_is_no_full_path_is_refused(
    value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SetupError, match="APIMALL_STATE_DIR"):
        settings.state_folder({"APIMALL_STATE_DIR": value})
    assert list(tmp_path.iterdir()) == []


def test_a_state_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(SetupError, match="APIMALL_STATE_DIR names a folder that cannot be made"):
        settings.state_folder({"APIMALL_STATE_DIR": str(tmp_path / "file" / "state")})


def test_a_failed_write_keeps_the_old_key_and_leaves_nothing_behind(tmp_path: Path) -> None:
    settings.store_key(tmp_path, KEY)
    with pytest.raises(SetupError):
        settings.store_key(tmp_path, "two words")
    assert settings.load(tmp_path, {}).api_key == KEY
    (tmp_path / "file").write_text("", encoding="ascii")
    with pytest.raises(SetupError, match="cannot be written"):
        settings.store_key(tmp_path / "file" / "state", KEY)
    (tmp_path / "taken" / "api_key" / "in the way").mkdir(parents=True)
    with pytest.raises(SetupError, match="cannot be written") as caught:
        settings.store_key(tmp_path / "taken", KEY)
    assert "canary" not in _everything_said_by(caught.value)
    assert [path.name for path in (tmp_path / "taken").iterdir()] == ["api_key"]


def test_writers_at_the_same_time_leave_one_whole_key(tmp_path: Path) -> None:
    keys = [f"sk-writer-{number}-" + str(number) * 300 for number in range(8)]
    start = threading.Barrier(len(keys))

    def write(key: str) -> None:
        start.wait()
        settings.store_key(tmp_path, key)

    writers = [threading.Thread(target=write, args=(key,)) for key in keys]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert settings.load(tmp_path, {}).api_key in keys
    assert [path.name for path in tmp_path.iterdir()] == ["api_key"]


def _write_private(path: Path, data: bytes) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(data)


def _everything_said_by(error: BaseException) -> str:
    """The error and all that is chained to it, with their arguments and attributes."""
    said = []
    link: BaseException | None = error
    while link is not None:
        said.append(f"{link!s} {link!r} {link.args!r} {vars(link)!r}")
        link = link.__cause__ or link.__context__
    return "\n".join(said)


@pytest.mark.parametrize("text", ["0", "-1", "much", "1e3", "nan"])
def test_a_limit_that_makes_no_sense_is_refused_instead_of_guessed(text: str, tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="APIMALL_DAILY_CREDITS"):
        settings.load(tmp_path, {"APIMALL_DAILY_CREDITS": text})


@pytest.mark.parametrize("content", [b"", b"no certificate", b"-----BEGIN CERTIFICATE-----\nAAAA\n", b"\0" * 99])
def test_a_list_of_certificates_that_holds_none_is_named(tmp_path: Path, content: bytes) -> None:
    """OpenSSL would go on without it, and a company's proxy be refused with the advice to set what is set."""
    path = tmp_path / "company.pem"
    path.write_bytes(content)
    with pytest.raises(SetupError, match="SSL_CERT_FILE names a file that holds no certificates"):
        settings.check_certificates({"SSL_CERT_FILE": str(path)})


def test_a_list_of_certificates_is_taken_and_none_is_needed() -> None:
    authority = Path(__file__).parent / "support" / "tls" / "authority.pem"
    settings.check_certificates({"SSL_CERT_FILE": f" {authority} "})
    settings.check_certificates({"SSL_CERT_FILE": "  "})
    settings.check_certificates({})
