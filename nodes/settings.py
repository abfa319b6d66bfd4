"""Environment and key file: the only reader of either.

The key lives in the environment or in the file `api_key` of the state folder, never anywhere else.

On POSIX the file is created with mode 0600 and refused when group or others can read it. Windows has no such bits:
there the file inherits the permissions of the user's own folder, which other plain users cannot read, and no check is
made. Whoever shares a Windows folder with others should set APIMALL_API_KEY instead.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import os
import platform
import re
import secrets
import ssl
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from .files import whole
from .gateway.contract import is_loopback
from .gateway.errors import KeyMissing, SetupError
from .remarks import remark
from .troubles import Trouble

DEFAULT_BASE_URL = "https://gateway.apimall.ai"
DEFAULT_MAX_JOBS = 3
DEFAULT_WAIT_MINUTES = 60.0
REHEARSAL_KEY = "rehearsal"

KEY_VARIABLE = "APIMALL_API_KEY"
BASE_URL_VARIABLE = "APIMALL_BASE_URL"
REHEARSAL_VARIABLE = "APIMALL_REHEARSAL"
MAX_JOBS_VARIABLE = "APIMALL_MAX_JOBS"
STATE_DIR_VARIABLE = "APIMALL_STATE_DIR"
CERTIFICATES_VARIABLE = "SSL_CERT_FILE"
WAIT_MINUTES_VARIABLE = "APIMALL_WAIT_MINUTES"
DAILY_CREDITS_VARIABLE = "APIMALL_DAILY_CREDITS"
PROMPT_CREDITS_VARIABLE = "APIMALL_PROMPT_CREDITS"
ACCOUNT_VARIABLE = "APIMALL_ACCOUNT"
KEEP_DAYS_VARIABLE = "APIMALL_KEEP_DAYS"
JOURNAL_VARIABLE = "APIMALL_JOURNAL"
JOURNAL_IMPORT_VARIABLE = "APIMALL_JOURNAL_IMPORT"

ENVIRON: Mapping[str, str] = os.environ
"""The process's own environment, for whoever hands it on: nobody else reads it."""

KEY_FILE = "api_key"
REHEARSAL_FILE = "rehearsal_switch"
MOVED_FILE = "journal_moved"

KeySource = Literal["environment", "file", "none"]
SwitchSource = Literal["environment", "panel", "default"]

_LARGEST_KEY_CHARACTERS = 512
_LARGEST_KEY_FILE_BYTES = 4096
_LARGEST_NAME_CHARACTERS = 80
_FEWEST_KEEP_DAYS = 14
"""For as long a gateway may keep results (`docs/gateway.md`, "Result links"): before that, no job is history."""
_SHORTEST_MASKED_KEY = 12
_LARGEST_MAX_JOBS = 1000
_LARGEST_WAIT_MINUTES = 7 * 24 * 60.0
_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_ON_WORDS = ("1", "true", "yes", "on")
_OFF_WORDS = ("0", "false", "no", "off")


class Secret:
    """An API key, or an address with a password: no repr, str, format, pickle, `vars` or `asdict` gives it away."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The text itself. A key's is for the Authorization header and the account's hash, nothing else."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(hidden)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and secrets.compare_digest(self._value.encode(), other._value.encode())

    def __hash__(self) -> int:
        return hash((Secret, self._value))

    def __deepcopy__(self, memo: object) -> Secret:
        return self

    def __reduce_ex__(self, protocol: object) -> str:
        raise TypeError("a secret is not written anywhere")


@dataclass(frozen=True)
class Settings:
    """What the pack was told by its surroundings. Read anew for every job, so that a change needs no restart."""

    key: Secret | None = None
    key_source: KeySource = "none"
    base_url: str = DEFAULT_BASE_URL
    rehearsal: bool = False
    max_jobs: int = DEFAULT_MAX_JOBS
    wait_minutes: float = DEFAULT_WAIT_MINUTES
    daily_credits: float = 0.0
    prompt_credits: float = 0.0
    account_name: str = ""
    rehearsal_name: str = "rehearsal"
    keep_days: float = math.inf
    rehearsal_source: SwitchSource = field(default="default", compare=False)

    @property
    def api_key(self) -> str | None:
        """The key in the clear, None when there is none."""
        return self.key.reveal() if self.key else None

    @property
    def masked_key(self) -> str | None:
        """What a user interface may show of the key."""
        return mask(self.key.reveal()) if self.key else None

    @property
    def account(self) -> str:
        """Which account's jobs these are: `rehearsal`, `no key`, or 32 hex digits of base URL and key, or name."""
        if self.key is None or self.rehearsal or not self.account_name:
            return self.account_of_key
        # No key has a line break in it: a name is never taken for one.
        return hashlib.sha256(f"{self.base_url}\nname\n{self.account_name}".encode()).hexdigest()[:32]

    @property
    def account_of_key(self) -> str:
        """What the account is called when its owner gives it no name; another with each key."""
        if self.rehearsal:
            return self.rehearsal_name
        if self.key is None:
            return "no key"
        return hashlib.sha256(f"{self.base_url}\n{self.key.reveal()}".encode()).hexdigest()[:32]

    @property
    def loopback_origin(self) -> str | None:
        """The base URL when it is on this machine: the one plain-http origin that may be fetched from."""
        return self.base_url if is_loopback(urlsplit(self.base_url).hostname) else None

    @property
    def gateway_hosts(self) -> tuple[str, ...]:
        """The gateway's public names: that of the base URL, if it is not on this machine, and the usual one."""
        named = () if self.loopback_origin else (urlsplit(self.base_url).hostname or "",)
        return tuple(dict.fromkeys((*named, urlsplit(DEFAULT_BASE_URL).hostname or "")))

    def require_key(self) -> str:
        """The key to send; in rehearsal one that is worth nothing. Raises KeyMissing."""
        if self.rehearsal:
            return REHEARSAL_KEY
        if self.key is None:
            raise KeyMissing(remark(Trouble.NO_KEY))
        return self.key.reveal()


_NO_KEY: tuple[Secret | None, KeySource] = (None, "none")


def load(
    state_folder: Path, environ: Mapping[str, str] = ENVIRON, *, bound_to_rehearsal: bool | None = None
) -> Settings:
    """Everything the pack is told from outside; the environment wins over the state folder.

    `bound_to_rehearsal`: what counts for a prompt instead of the switch (rule 12).
    In rehearsal the real key is not read at all. Raises SetupError, naming the variable or file, for what is wrong.
    """
    base_url = check_base_url(_given(environ, BASE_URL_VARIABLE) or DEFAULT_BASE_URL)
    max_jobs = _read_max_jobs(_given(environ, MAX_JOBS_VARIABLE))
    wait_minutes = _read_wait_minutes(_given(environ, WAIT_MINUTES_VARIABLE))
    daily_credits = _read_credits(DAILY_CREDITS_VARIABLE, environ)
    prompt_credits = _read_credits(PROMPT_CREDITS_VARIABLE, environ)
    rehearsal, rehearsal_source = _read_rehearsal(state_folder, _given(environ, REHEARSAL_VARIABLE))
    rehearsal = rehearsal if bound_to_rehearsal is None else bound_to_rehearsal
    key, key_source = _NO_KEY if rehearsal else read_key(state_folder, environ)
    return Settings(
        key=key,
        key_source=key_source,
        base_url=base_url,
        rehearsal=rehearsal,
        max_jobs=max_jobs,
        wait_minutes=wait_minutes,
        daily_credits=daily_credits,
        prompt_credits=prompt_credits,
        keep_days=_read_keep_days(_given(environ, KEEP_DAYS_VARIABLE)),
        rehearsal_name=_rehearsal_name(state_folder, environ),
        account_name=_read_account_name(_given(environ, ACCOUNT_VARIABLE)),
        rehearsal_source=rehearsal_source,
    )


def read_key(state_folder: Path, environ: Mapping[str, str] = ENVIRON) -> tuple[Secret | None, KeySource]:
    """The key and where it came from: environment first, then the key file. Raises SetupError for a bad one."""
    if given := _given(environ, KEY_VARIABLE):
        return check_key(given, remark(Trouble.KEY_IN, where=KEY_VARIABLE)), "environment"
    path = state_folder / KEY_FILE
    raw = _read_private(path)
    if raw is None or not raw.strip():
        return _NO_KEY
    # Editors on Windows put a byte order mark in front.
    text = raw.removeprefix(b"\xef\xbb\xbf").decode("utf-8", errors="replace")
    return check_key(text, remark(Trouble.KEY_IN, where=str(path))), "file"


def known_keys(state_folder: Path, environ: Mapping[str, str] = ENVIRON) -> list[str]:
    """All keys that are set anywhere, in use or not, for who makes sure that none is written down. Total."""
    found = []
    for surroundings in (environ, {}):
        with contextlib.suppress(SetupError):
            key, _ = read_key(state_folder, surroundings)
            found += [key.reveal()] if key else []
    return found


def store_key(state_folder: Path, key: str) -> None:
    """Keep the key in the state folder: mode 0600 from the first byte, on disk, then swapped in at once.

    Raises SetupError when it is not a key, cannot be written or could be read by others; a key stored earlier is then
    still in place.
    """
    checked = check_key(key, remark(Trouble.KEY_ENTERED))
    _write_private(state_folder / KEY_FILE, checked.reveal().encode("ascii") + b"\n", secret=True)


def set_rehearsal(state_folder: Path, on: bool) -> None:
    """Remember the rehearsal switch. APIMALL_REHEARSAL, when set, wins over it. Raises SetupError."""
    _write_private(state_folder / REHEARSAL_FILE, b"on\n" if on else b"off\n")


def state_folder(environ: Mapping[str, str] = ENVIRON) -> Path | None:
    """The folder that APIMALL_STATE_DIR names, made private when it is new; None where that is not set.

    Raises SetupError: what was paid for must not be looked for in two places because one of them was misspelt.
    """
    given = _given(environ, STATE_DIR_VARIABLE)
    if not given:
        return None
    folder = Path(given)
    problem = None
    if not folder.is_absolute():
        problem = remark(Trouble.NO_FULL_PATH, name=STATE_DIR_VARIABLE)
    else:
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as refusal:
            reason = str(refusal.strerror)
            problem = remark(Trouble.NAMED_FOLDER_NOT_MADE, name=STATE_DIR_VARIABLE, reason=reason)
    if problem:
        raise SetupError(problem, advice=remark(Trouble.GIVE_LASTING_FOLDER))
    return folder


def journal_address(environ: Mapping[str, str] = ENVIRON) -> Secret | None:
    """Where the journal is that several machines share, perhaps with a password; None where each has a file of its own.

    Raises SetupError.
    """
    given = Secret(_given(environ, JOURNAL_VARIABLE))
    if not given.reveal():
        return None
    if not given.reveal().startswith(("postgresql://", "postgres://")):
        raise SetupError(
            remark(Trouble.NO_DATABASE_ADDRESS, name=JOURNAL_VARIABLE), advice=remark(Trouble.WRITE_DATABASE_OR_UNSET)
        )
    return given


def is_import_wanted(environ: Mapping[str, str] = ENVIRON) -> bool:
    """Whether the jobs of the state folder's own journal are to go along into the shared one."""
    return _given(environ, JOURNAL_IMPORT_VARIABLE).lower() in _ON_WORDS


def moved_jobs(state_folder: Path) -> int:
    """Up to which number it was said of the own journal's jobs whether the shared one is to know them; 0: of none."""
    try:
        said = (state_folder / MOVED_FILE).read_text("ascii").strip()
    except (OSError, UnicodeDecodeError):
        return 0
    return int(said) if re.fullmatch("[0-9]{1,18}", said) else 0


def set_moved_jobs(state_folder: Path, newest: int) -> None:
    """Remember that it was said. Raises SetupError."""
    _write_private(state_folder / MOVED_FILE, f"{newest}\n".encode())


def is_rehearsal(account: str) -> bool:
    """Are the jobs of this account played? Those of a key have 32 hex digits for a name."""
    return account.split(" ", maxsplit=1)[0] == REHEARSAL_KEY


def _rehearsal_name(state_folder: Path, environ: Mapping[str, str]) -> str:
    """What the rehearsal's account is called: each state folder has a stand-in gateway of its own, shared by nobody."""
    if not _given(environ, JOURNAL_VARIABLE):
        return "rehearsal"
    here = f"{platform.node()}\n{os.path.realpath(state_folder)}"
    return f"rehearsal {hashlib.sha256(here.encode()).hexdigest()[:12]}"


def check_certificates(environ: Mapping[str, str] = ENVIRON) -> None:
    """Raises SetupError when SSL_CERT_FILE names no file of certificates: OpenSSL would silently go on without."""
    path = _given(environ, CERTIFICATES_VARIABLE)
    if not path:
        return
    if not Path(path).is_file():
        problem = remark(Trouble.NAMED_FILE_MISSING, name=CERTIFICATES_VARIABLE)
    else:
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=path)
        except ssl.SSLError:
            problem = remark(Trouble.NAMED_FILE_NO_CERTIFICATES, name=CERTIFICATES_VARIABLE)
        except OSError as refusal:
            reason = str(refusal.strerror)
            problem = remark(Trouble.NAMED_FILE_UNREADABLE, name=CERTIFICATES_VARIABLE, reason=reason)
        else:
            return
    raise SetupError(problem, advice=remark(Trouble.CORRECT_AND_RESTART))


def mask(key: str) -> str:
    """At most the last four characters: all a user interface may show of a key."""
    return f"...{key[-4:]}" if len(key) >= _SHORTEST_MASKED_KEY else "..."


def check_key(text: str, what: str) -> Secret:
    """A key, trimmed. `what` names it in the SetupError, which never repeats the text itself."""
    key = text.strip()
    if len(key) > _LARGEST_KEY_CHARACTERS:
        told = remark(Trouble.KEY_TOO_LONG, key=what, most=_LARGEST_KEY_CHARACTERS)
        raise SetupError(told, advice=remark(Trouble.COPY_KEY_AGAIN))
    problem = _problem_of_key(key)
    if problem:
        raise SetupError(remark(problem, key=what), advice=remark(Trouble.COPY_KEY_AGAIN))
    return Secret(key)


def _problem_of_key(key: str) -> Trouble | None:
    if not key:
        return Trouble.KEY_EMPTY
    if any(quote in key for quote in "\"'`"):
        return Trouble.KEY_QUOTED
    if any(character in key for character in "\r\n"):
        return Trouble.KEY_OF_LINES
    if re.match(r"(?i)bearer\s", key):
        return Trouble.KEY_OF_BEARER
    if not all("!" <= character <= "~" for character in key):
        return Trouble.KEY_ODD
    return None


def check_base_url(text: str) -> str:
    """The origin of a base URL: https anywhere, http on loopback. Raises SetupError for anything else."""
    advice = remark(Trouble.GIVE_ORIGIN, example=DEFAULT_BASE_URL, name=BASE_URL_VARIABLE)
    problem = Trouble.NO_WEB_ADDRESS
    if re.fullmatch(r"[!-~]{1,300}", text) and not any(mark in text for mark in "\\\"'<>^`{|}"):
        origin, refused = _origin_of(text)
        if refused is None:
            return origin
        problem = refused
    # The value itself stays out of the message: it may hold a password.
    raise SetupError(remark(problem, name=BASE_URL_VARIABLE), advice=advice)


def _origin_of(text: str) -> tuple[str, Trouble | None]:
    try:
        parts = urlsplit(text)
        host, port = (parts.hostname or "").rstrip("."), parts.port
    except ValueError:
        return "", Trouble.NO_WEB_ADDRESS
    problem = None
    if parts.scheme not in ("https", "http"):
        problem = Trouble.BEGINS_WITHOUT_HTTPS
    elif "@" in parts.netloc:
        problem = Trouble.HOLDS_PASSWORD
    elif not re.fullmatch(r"[0-9a-z_.-]+|[0-9a-f:.]+", host):
        problem = Trouble.NAMES_NO_HOST
    elif parts.path not in ("", "/") or "?" in text or "#" in text:
        problem = Trouble.HAS_PATH
    elif port == 0:
        problem = Trouble.HAS_PORT_ZERO
    elif parts.scheme == "http" and not is_loopback(host):
        problem = Trouble.PLAIN_HTTP
    bracketed = f"[{host}]" if ":" in host else host
    usual_port = 443 if parts.scheme == "https" else 80
    return f"{parts.scheme}://{bracketed}" + ("" if port in (None, usual_port) else f":{port}"), problem


def _given(environ: Mapping[str, str], variable: str) -> str:
    return environ.get(variable, "").strip()


def _read_max_jobs(text: str) -> int:
    if not text:
        return DEFAULT_MAX_JOBS
    if not re.fullmatch(r"[0-9]{1,4}", text) or not 1 <= int(text) <= _LARGEST_MAX_JOBS:
        raise SetupError(
            remark(Trouble.NO_WHOLE_NUMBER, name=MAX_JOBS_VARIABLE, least=1, most=_LARGEST_MAX_JOBS),
            advice=remark(Trouble.CORRECT_OR_USUAL, usual=DEFAULT_MAX_JOBS),
        )
    return int(text)


def _read_wait_minutes(text: str) -> float:
    if not text:
        return DEFAULT_WAIT_MINUTES
    minutes = float(text) if re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,6})?", text) else math.nan
    if not 0 < minutes <= _LARGEST_WAIT_MINUTES:
        raise SetupError(
            remark(Trouble.NO_MINUTES, name=WAIT_MINUTES_VARIABLE, most=f"{_LARGEST_WAIT_MINUTES:g}"),
            advice=remark(Trouble.CORRECT_OR_USUAL, usual=f"{DEFAULT_WAIT_MINUTES:g}"),
        )
    return minutes


def _read_credits(variable: str, environ: Mapping[str, str]) -> float:
    text = _given(environ, variable)
    credits = float(text) if re.fullmatch(r"[0-9]{1,12}(\.[0-9]{1,6})?", text) else 0.0
    if text and not credits:
        # Guessing would let more through than whoever set it meant.
        raise SetupError(remark(Trouble.NO_CREDITS, name=variable), advice=remark(Trouble.CORRECT_OR_NO_LIMIT))
    return credits


def _read_keep_days(text: str) -> float:
    if not text:
        return math.inf
    if not re.fullmatch(r"[0-9]{1,6}", text) or int(text) < _FEWEST_KEEP_DAYS:
        raise SetupError(
            remark(Trouble.NO_DAYS, name=KEEP_DAYS_VARIABLE, least=_FEWEST_KEEP_DAYS),
            advice=remark(Trouble.CORRECT_OR_KEEP),
        )
    return float(text)


def _read_account_name(text: str) -> str:
    if len(text) > _LARGEST_NAME_CHARACTERS or not text.isprintable():
        raise SetupError(
            remark(Trouble.NO_NAME, name=ACCOUNT_VARIABLE, most=_LARGEST_NAME_CHARACTERS),
            advice=remark(Trouble.NAME_ACCOUNT),
        )
    return text


def _read_rehearsal(state_folder: Path, text: str) -> tuple[bool, SwitchSource]:
    if text:
        if text.lower() not in _ON_WORDS + _OFF_WORDS:
            raise SetupError(
                remark(Trouble.NEITHER_ONE_NOR_ZERO, name=REHEARSAL_VARIABLE), advice=remark(Trouble.ONE_TO_REHEARSE)
            )
        return text.lower() in _ON_WORDS, "environment"
    path = state_folder / REHEARSAL_FILE
    try:
        word = path.read_bytes()[:16].strip()
    except FileNotFoundError:
        return False, "default"
    except OSError as problem:
        raise _unreadable(path, problem) from None
    if word not in (b"on", b"off"):
        # Guessing "off" would spend credits that the user meant to keep.
        raise SetupError(remark(Trouble.SWITCH_UNCLEAR, path=str(path)), advice=remark(Trouble.SET_SWITCH_AGAIN))
    return word == b"on", "panel"


def _unreadable(path: Path, problem: OSError) -> SetupError:
    what = remark(Trouble.NOT_READ, path=str(path), reason=str(problem.strerror))
    return SetupError(what, advice=remark(Trouble.CHECK_PERMISSIONS))


def _read_private(path: Path) -> bytes | None:
    """The bytes of a file that only its owner can read; None when there is no such file."""
    try:
        with open(path, "rb", opener=_open_without_waiting) as file:
            _require_private(path, os.fstat(file.fileno()))
            data = file.read(_LARGEST_KEY_FILE_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as problem:
        raise _unreadable(path, problem) from None
    if len(data) > _LARGEST_KEY_FILE_BYTES:
        raise SetupError(remark(Trouble.KEY_FILE_TOO_LARGE, path=str(path)), advice=remark(Trouble.COPY_KEY_AGAIN))
    return data


def _open_without_waiting(path: str, flags: int) -> int:
    # A named pipe in the file's place must not hang the prompt.
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _require_private(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise SetupError(remark(Trouble.KEY_NO_FILE, path=str(path)), advice=remark(Trouble.ENTER_KEY_AGAIN))
    if os.name == "posix" and status.st_mode & _OTHERS:
        mode = f"{stat.S_IMODE(status.st_mode):04o}"
        raise SetupError(
            remark(Trouble.KEY_OPEN_TO_OTHERS, path=str(path), mode=mode), advice=remark(Trouble.CHMOD_KEY)
        )


class _OpenToAll(OSError):
    """The disk gives every file to everybody: exFAT, some shares, Windows drives inside of WSL."""


def _write_private(path: Path, data: bytes, *, secret: bool = False) -> None:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with whole(path) as part:
            _create_private(part, data, secret)
    except _OpenToAll:
        raise SetupError(
            remark(Trouble.KEY_NOT_STORED, folder=str(path.parent)), advice=remark(Trouble.KEY_ELSEWHERE)
        ) from None
    except OSError as problem:
        reason = str(problem.strerror)
    else:
        return
    raise SetupError(
        remark(Trouble.NOT_WRITTEN, path=str(path), reason=reason),
        advice=remark(Trouble.CHECK_PERMISSIONS_AND_SPACE),
    )


def _create_private(path: Path, data: bytes, secret: bool) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    with os.fdopen(os.open(path, flags, 0o600), "wb") as file:
        if secret and os.name == "posix" and os.fstat(file.fileno()).st_mode & _OTHERS:
            raise _OpenToAll
        file.write(data)
