"""The pack's one running instance: who is wired to whom. Everything below is handed its collaborators from here."""

from __future__ import annotations

import contextlib
import functools
import logging
import math
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from .gateway.errors import DatabaseAway, SetupError
from .jobs.own_journal import OwnJournal
from .jobs.prompts import PromptLimit
from .remarks import remark
from .settings import (
    ENVIRON,
    Settings,
    check_certificates,
    is_import_wanted,
    journal_address,
    known_keys,
    moved_jobs,
    set_moved_jobs,
)
from .settings import load as load_settings
from .troubles import Trouble

if TYPE_CHECKING:
    import requests

    from .gateway.client import Gateway
    from .gateway.uploader import Put
    from .jobs.clocks import Clocks
    from .jobs.events import Observer
    from .jobs.given_urls import Look
    from .jobs.limits import PromptBudget
    from .jobs.prompts import Planned
    from .jobs.results import Downloader, Verify
    from .jobs.runner import Runner
    from .journal.presence import Presence
    from .journal.reads import Records
    from .journal.request_budget import TokenStore
    from .journal.rows import Job
    from .journal.store import Place
    from .journal.verbs import Journal
    from .rehearsal.server import RehearsalGateway

_log = logging.getLogger("apimall_video.jobs")

JOURNAL_FILE = "journal.sqlite3"
TOKENS_FILE = "requests.sqlite3"
_RETENTION_PAUSE_SECONDS = 0.05
_DATABASE_PAUSE_SECONDS = 15.0
REHEARSAL_CREDITS = 100_000
"""Enough for a few thousand pretend clips; the balance falls all the same."""


class Reach(TypedDict):
    """What may be fetched from beside public addresses."""

    loopback_origin: str | None
    gateway_hosts: Sequence[str]


@dataclass(frozen=True)
class Folders:
    """`state`: journal, key, rehearsal. `results`: where finished clips go."""

    state: Path
    results: Path


class Service:
    """One journal, one runner for each account used, one rehearsal gateway if it is asked for.

    Opens and starts nothing before it is needed. `observe` is told of every step of every job;
    `daily_limit` and `prompt_limit` give the credits that may be spent in a day and by a prompt, 0 for any number.
    Thread-safe.
    """

    def __init__(
        self,
        folders: Folders,
        environ: Mapping[str, str] = ENVIRON,
        *,
        observe: Observer = lambda event, job: None,
        daily_limit: Callable[[], float] = lambda: 0.0,
        prompt_limit: Callable[[], float] = lambda: 0.0,
        clocks: Clocks | None = None,
    ) -> None:
        self.folders = folders
        self._environ = environ
        self._clocks = clocks
        self._observe = observe
        self._daily_limit = daily_limit
        self._prompt_limit = prompt_limit
        self._prompts = PromptLimit(self._credits_a_prompt)
        self._lock = threading.RLock()
        self._closed = threading.Event()
        self._journal: Journal | None = None
        self._holders: Presence | None = None
        self._tokens: TokenStore | None = None
        self._records: Records | None = None
        self._runners: dict[str, Runner] = {}
        self._resumed: dict[str, Settings] = {}
        self._introduced: tuple[str, str] | None = None
        self._is_import_due = is_import_wanted(environ)
        self._rehearsal: RehearsalGateway | None = None
        state = folders.state
        self._own_journal = OwnJournal(
            self._own_file, lambda: moved_jobs(state), lambda newest: set_moved_jobs(state, newest)
        )

    def settings(self) -> Settings:
        """Read anew: a changed key or switch counts from the next job on. Raises SetupError."""
        return load_settings(self.folders.state, self._environ)

    def journal(self) -> Journal:
        """The journal of this user folder. Raises SetupError when it cannot be used."""
        from .journal.errors import journal_errors
        from .journal.verbs import Journal

        with self._lock, journal_errors():
            if self._journal is None:
                self._journal = Journal(self._place(), clock=self._now)
            if self._is_import_due:
                self._import()
            with contextlib.suppress(SetupError):
                # What is wrong with the settings is told to whoever needs them.
                self._introduce(self._journal, self.settings())
            return self._journal

    def _import(self) -> None:
        """What the environment asks for, once; again with the next question where it breaks off."""
        self._is_import_due = False
        try:
            self.move_in(True)
        except BaseException:
            self._is_import_due = True
            raise

    def _introduce(self, journal: Journal, settings: Settings) -> None:
        """Tell the journal which account is in use, and what its owner says of it in the environment.

        Each time that another one is: what is the same account goes on under the name in use, with its jobs in hand.
        """
        in_use = (settings.account, settings.account_of_key)
        if in_use == self._introduced or settings.key is None:
            return
        goes_on = self._close_runners({*journal.members(settings.account), *in_use} - {settings.account})
        journal.know_account(settings.account, settings.base_url)
        if settings.account != settings.account_of_key:
            journal.know_account(settings.account_of_key, settings.base_url)
            journal.same_account(settings.account, settings.account_of_key)
        self._introduced = in_use
        self._resumed.pop(settings.account, None)
        if goes_on:
            self.runner(bound_to_rehearsal=False)

    def _close_runners(self, accounts: Set[str]) -> bool:
        """Close those of accounts that are the one in use: two would have a job in hand twice. Were there any?"""
        closed = [self._runners.pop(account) for account in accounts & self._runners.keys()]
        for runner in closed:
            runner.close(remark(Trouble.NEW_KEY))
        return bool(closed)

    def _hand_on(self, job: Job) -> None:
        """From a runner that was closed to the one that has its account now. Takes no lock, as `is_awaited`."""
        runner = self._runners.get(job.account)
        if runner is not None:
            runner.follow(job)

    def same_account(self, other: str) -> None:
        """The owner says that the account in use is `other` under a new key: its jobs go on. Raises SetupError."""
        from .journal.errors import journal_errors

        with self._lock, journal_errors():
            settings = self.settings()
            self._close_runners({other})
            self.journal().same_account(settings.account, other)
            self._resumed.pop(settings.account, None)
            self.runner()

    def runner(self, *, bound_to_rehearsal: bool | None = None) -> Runner:
        """The runner of the account in use; follows what that account left unfinished. Raises SetupError.

        `bound_to_rehearsal`: what was true of the switch when the prompt was queued, None for what is true now.
        """
        from .journal.errors import journal_errors

        with self._lock:
            settings = load_settings(self.folders.state, self._environ, bound_to_rehearsal=bound_to_rehearsal)
            settings.require_key()
            journal = self.journal()
            with journal_errors():
                self._introduce(journal, settings)
            runner = self._runners.get(settings.account)
            if runner is None:
                runner = self._runners[settings.account] = self._wire(settings)
            if self._resumed.get(settings.account) != settings:
                # Anew with the next job when it fails: what was paid for is not forgotten over a locked file. And when
                # settings change: what the gateway refused to speak of may have been for want of them.
                runner.resume()
                self._resumed[settings.account] = settings
                if settings.keep_days < math.inf:
                    forget = functools.partial(_forget, self.journal(), settings.account, settings.keep_days)
                    threading.Thread(target=forget, name="apimall-retention", daemon=True).start()
            runner.max_jobs = settings.max_jobs
            return runner

    def records(self) -> Records:
        """The journal for reading only: opens nothing to write, waits for no writer."""
        from .journal.reads import Records

        with self._lock:
            if self._records is None:
                self._records = Records(self._place())
            return self._records

    def left_behind(self) -> int:
        """How many jobs of the state folder's own journal are there of which nobody said yet whether the one that
        machines share is to know them. Raises SetupError.
        """
        return self._own_journal.left_behind()

    def move_in(self, take: bool) -> None:
        """Have the shared journal know the jobs of the state folder's own one, or leave them there for good.

        Raises SetupError, JournalError.
        """
        with self._lock:
            self._own_journal.move_into(self.journal, take)

    def _own_file(self) -> Path | None:
        """The state folder's own journal, where there is another one beside it that machines share."""
        file = self.folders.state / JOURNAL_FILE
        return file if journal_address(self._environ) is not None and file.exists() else None

    def _place(self) -> Place:
        """Where the journal is: a file in the state folder, or the database of all machines. Raises SetupError."""
        address = journal_address(self._environ)
        if address is None:
            return self.folders.state / JOURNAL_FILE
        from .journal.postgres import Address

        return Address(address.reveal())

    def _is_begun(self) -> bool:
        """Whether there is a journal to look into, as far as that is known without opening it."""
        shared = journal_address(self._environ) is not None
        return shared or (self.folders.state / JOURNAL_FILE).exists()

    def follow_unfinished(self) -> None:
        """Have the account's unfinished jobs followed; nothing is opened or asked when there are none, or no key.

        Waits for a shared journal that cannot be reached.
        """
        from .journal.errors import JournalError

        settings = self.settings()
        if not (settings.rehearsal or settings.key) or not self._is_begun():
            return
        try:
            due = self.records().is_anything_due(settings.account)
        except JournalError:
            # Of an older version, perhaps, or damaged: opened to write, it is mended.
            due = True
        while due:
            try:
                self.runner()
                due = False
            except DatabaseAway as problem:
                # It may be a while after us that a studio's database is up.
                _log.warning("unfinished jobs are not followed yet: %s", problem)
                due = not self._closed.wait(_DATABASE_PAUSE_SECONDS)

    def is_awaited(self, job: Job) -> bool:
        """Does a node of this process wait for the job? Asked by observers, who hold a runner's lock: takes none."""
        runner = self._runners.get(job.account)
        return runner is not None and runner.is_awaited(job)

    def base_url(self, settings: Settings) -> str:
        """Where this account's gateway is; starts the rehearsal gateway on first use."""
        if not settings.rehearsal:
            return settings.base_url
        from .rehearsal.server import RehearsalGateway

        with self._lock:
            if self._rehearsal is None:
                self._rehearsal = RehearsalGateway(self.folders.state / "rehearsal", credits=REHEARSAL_CREDITS)
            return self._rehearsal.start()

    def reach(self, settings: Settings) -> Reach:
        """What may be fetched from beside public addresses, for the functions of `guard`."""
        return {"loopback_origin": self.loopback_origin(settings), "gateway_hosts": settings.gateway_hosts}

    def loopback_origin(self, settings: Settings) -> str | None:
        """The one origin on this machine that may be fetched from: that of a gateway which runs here."""
        return self.base_url(settings) if settings.rehearsal else settings.loopback_origin

    def _gateway(self, settings: Settings) -> Gateway:
        """The gateway of an account, with all that could stand in the way of a request found out. Raises SetupError."""
        from .gateway.client import Gateway

        base_url = self.base_url(settings)
        if not self.loopback_origin(settings):
            check_certificates(self._environ)
        session = _session_of_thread(base_url)
        session()  # opened before anything is written as sent
        return Gateway(base_url, settings.require_key(), session=session)

    def close(self) -> None:
        """Stop; jobs go on at the gateway, and from the journal next time."""
        self._closed.set()
        with self._lock:
            for runner in self._runners.values():
                runner.close()
            self._runners.clear()
            self._resumed.clear()
            self._introduced = None
            if self._rehearsal is not None:
                self._rehearsal.stop()
            if self._holders is not None:
                self._holders.close()
            if self._journal is not None:
                self._journal.close()
            if self._tokens is not None:
                self._tokens.close()
            if self._records is not None:
                self._records.close()
            self._journal = self._holders = self._tokens = self._records = self._rehearsal = None

    def _wire(self, settings: Settings) -> Runner:
        from .guard.connections import require_network
        from .jobs.budget import Budget
        from .jobs.clocks import Clocks
        from .jobs.limits import DailyLimit

        def check_network() -> None:
            if not self.loopback_origin(settings):
                require_network(settings.gateway_hosts)

        journal = self.journal()
        if self._holders is None:
            self._holders = journal.presence(self.folders.state / "holders")
        if self._tokens is None:
            self._tokens = journal.tokens(self.folders.state / TOKENS_FILE)
        clocks = self._clocks or Clocks()
        return wire(
            settings.account,
            journal,
            self._holders,
            self.folders,
            gateway=lambda: self._gateway(self._resumed.get(settings.account, settings)),
            outside=guarded(lambda: self.reach(settings)),
            # The first key of an account with a name may still be good once another one is set.
            secrets=lambda: [*known_keys(self.folders.state, self._environ), *filter(None, [settings.api_key])],
            max_jobs=settings.max_jobs,
            check_network=check_network,
            budget=Budget(tokens=self._tokens, account=settings.account),
            allowance=DailyLimit(self._credits_a_day, clocks.wall),
            observe=self._observe,
            hand_on=self._hand_on,
            require_unknown=functools.partial(self._own_journal.require_said, settings.account),
            clocks=clocks,
        )

    def over_prompt_limit(self, planned: Sequence[Planned]) -> str | None:
        """Why a prompt that asks for all this may not pay; None when it may. Reads only. Raises SetupError."""
        return self._prompts.passed(
            planned, self.settings().account, lambda: self.records() if self._is_begun() else None
        )

    def prompt_budget(self, prompt_id: str) -> PromptBudget | None:
        """What a running prompt may still newly cost; None for anything. Raises SetupError."""
        return self._prompts.budget(prompt_id)

    def _credits_a_prompt(self) -> float:
        """The smaller of what ComfyUI's settings and the environment allow, 0 for any number. Raises SetupError."""
        limits = (self._prompt_limit(), self.settings().prompt_credits)
        return min((limit for limit in limits if limit > 0), default=0.0)

    def _now(self) -> float:
        return self._clocks.wall() if self._clocks else time.time()

    def _credits_a_day(self) -> float:
        """The smaller of what ComfyUI's settings and the environment allow, 0 for any number. Raises SetupError."""
        limits = (self._daily_limit(), self.settings().daily_credits)
        return min((limit for limit in limits if limit > 0), default=0.0)


@dataclass(frozen=True)
class Outside:
    """What a runner does beyond this machine and the gateway, and how it tells that a file is a clip."""

    download: Downloader
    put: Put
    readable: Callable[[str], bool]
    look: Look
    verify: Verify


def guarded(reach: Callable[[], Reach]) -> Outside:
    """The guard's functions. `reach` is asked at each call: a rehearsal gateway is started when it is needed."""
    from .guard.downloads import download, glance
    from .guard.storage import is_readable, put
    from .media.probe import verify

    return Outside(
        download=lambda url, part, tell, stop: download(url, part, tell=tell, stop=stop, keep=True, **reach()),
        put=lambda url, file, content_type: put(url, file, content_type, **reach()),
        readable=lambda url: is_readable(url, **reach()),
        look=lambda url, stop: glance(url, stop=stop, **reach()),
        verify=verify,
    )


def wire(
    account: str,
    journal: Journal,
    holders: Presence,
    folders: Folders,
    *,
    gateway: Callable[[], Gateway],
    outside: Outside,
    secrets: Callable[[], Collection[str]],
    max_jobs: int,
    clocks: Clocks,
    check_network: Callable[[], None] = lambda: None,
    **more: Any,
) -> Runner:
    """The runner of one account. `secrets()`: what may be in no file; `more`: what else a Runner takes."""
    from .jobs.given_urls import GivenUrls
    from .jobs.origin import Origins
    from .jobs.results import Results
    from .jobs.runner import Runner
    from .jobs.uploads import Uploads

    return Runner(
        account=account,
        journal=journal,
        holders=holders,
        gateway=gateway,
        results=Results(
            folders.results,
            download=outside.download,
            verify=outside.verify,
            origins=Origins(folders.state / "origins", secrets=secrets),
            check_network=check_network,
        ),
        uploads=Uploads(
            journal,
            account,
            folders.state / "uploads" / holders.own,
            put=outside.put,
            readable=outside.readable,
            wall=clocks.wall,
            sleep=clocks.sleep,
        ),
        urls=GivenUrls(outside.look, clocks.monotonic),
        max_jobs=max_jobs,
        clocks=clocks,
        **more,
    )


def _forget(journal: Journal, account: str, keep_days: float) -> None:
    """Drop settled jobs that are surely older, a few at a time: others want to write in between."""
    from .journal.errors import JournalError

    with contextlib.suppress(JournalError):
        since = journal.sure_moment(account) - keep_days * 86_400
        while journal.forget_before(account, since):
            time.sleep(_RETENTION_PAUSE_SECONDS)


_threads = threading.local()


def _session_of_thread(base_url: str) -> Callable[[], requests.Session]:
    """A session for each thread and address: connections are kept, and nothing is shared between threads."""
    from .gateway.client import open_session

    def session() -> requests.Session:
        sessions: dict[str, requests.Session] = vars(_threads).setdefault("sessions", {})
        if base_url not in sessions:
            sessions[base_url] = open_session(base_url)
        return sessions[base_url]

    return session
