"""Bringing clips home: downloaded to this disk, or found there; refused, put off, or gone for good."""

from __future__ import annotations

import logging
import math
from typing import NoReturn

from ..gateway.errors import APIMallError, ended
from ..gateway.retry import Pause
from ..journal.errors import JournalError
from ..journal.rows import Job, State
from ..remarks import remark
from ..stopping import Stopped
from ..troubles import Trouble
from . import failures, steps
from .clocks import LINK_SECONDS
from .events import Event
from .means import Means
from .results import Download, Expired, NoAllowedAddress, NotWritable, NotYet
from .steps import Step
from .work import Phase, Result, Work
from .works import Works

_log = logging.getLogger("apimall_video.jobs")

_MOST_REFRESHES = 3
_MOST_BLANKS = 5
_BLANK_PAUSE_SECONDS = 3.0
_LONG_SECONDS = 3600.0
"""A gateway, a storage, or a filter before it, may refuse for a while."""
_WATCHED_PAUSE_SECONDS = 60.0
_LONGEST_PAUSE_SECONDS = 3600.0


class Bringing:
    """Of one account's clips, to the results folder of this process."""

    def __init__(self, means: Means, works: Works) -> None:
        self._means = means
        self._works = works

    def on_disk(self, job: Job, *, downloaded: bool) -> Result | None:
        """The clip of a job that lies in our results folder, whatever else its row says; None when it does not."""
        if job.state not in (State.RUNNING, State.COMPLETED, State.EXPIRED, State.CLOSED):
            return None
        known = self._means.journal.deliveries(job)
        kept = self._means.results.kept(job, known)
        if kept is None:
            return None
        if kept not in known or job.delivered_at is None:
            try:
                job = self._means.journal.delivered(job, kept, job.video_url or "")
            except JournalError as problem:
                # It is whole and on this disk: that nobody can write so is no reason to keep it back.
                _log.warning("that job %s is on this disk could not be written: %s", job.id, problem)
        path = self._means.results.path_of(kept)
        return Result(path, job.task_id or "", job.video_url or "", job, downloaded)

    def download(self, work: Work, job: Job) -> None:
        """The step for a job that the gateway completed."""
        try:
            self.bring(work, job)
        except Expired as expired:
            self._links_refused(work, job, expired.what)
        except NotYet as broken:
            self._not_yet(work, broken.what)

    def bring(self, work: Work, job: Job) -> None:
        """Download from the addresses at hand; raises Expired and NotYet where none of them gives a clip."""
        work.show(Phase.DOWNLOADING)

        def tell(fraction: float) -> None:
            work.show(Phase.DOWNLOADING, None, fraction)

        try:
            download = self._means.results.download(
                job,
                work.urls,
                tell=tell,
                observe=lambda event: self._means.observe(event, job),
                stop=lambda: self._works.is_closed,
            )
        except Stopped:
            # Whoever follows the job from now on goes on where this broke off.
            return
        except (NotWritable, NoAllowedAddress) as obstacle:
            self.set_back(work, job, failures.not_downloaded(job, obstacle.what))
            return
        self._deliver(work, job, download)

    def without_address(self, work: Work) -> None:
        """It is completed, and no address is given: the copy to the CDN may lag behind the status."""
        work.refreshes += 1
        if work.refreshes > _MOST_BLANKS:
            self.set_back(work, work.job, failures.not_downloaded(work.job, remark(Trouble.NO_ADDRESS_GIVEN)))
        else:
            self._plan(work, steps.POLL, _BLANK_PAUSE_SECONDS)

    def set_back(self, work: Work, job: Job, failure: APIMallError) -> None:
        """Tell those who wait that the clip is not to be had now, and try again later, for whoever comes."""
        self._tell_where_else(failure, job)
        self._works.put_off(work, failure)

    def refused(self, work: Work, job: Job, failure: APIMallError, what: str) -> None:
        """The gateway or its storage say that they have no such clip: it is gone for good, or set back by `failure`."""
        if work.refused_since is None:
            work.refused_since = self._means.clocks.monotonic()
        if self._is_gone(work, job):
            self._expire(work, job, what)
        self.set_back(work, job, failure)

    def look_again(self, work: Work) -> None:
        """It was given up for lost, and is asked for: one refusal more is enough to leave it at that."""
        work.refused_since, work.refreshes = -math.inf, _MOST_REFRESHES

    def _is_gone(self, work: Work, job: Job) -> bool:
        """Refused for an hour, and completed so long ago that its links may have run out.

        That it was long ago the wall clock says alone, which may have been set: the hour is by one that never is.
        """
        age = self._means.clocks.wall() - (job.ended_at or math.inf)
        refused_seconds = self._means.clocks.monotonic() - (work.refused_since or 0.0)
        return age > LINK_SECONDS and refused_seconds >= _LONG_SECONDS

    def _expire(self, work: Work, job: Job, what: str) -> NoReturn:
        """The gateway no longer has it: raises ResultGone."""
        failure = failures.gone(job, what)
        self._tell_where_else(failure, job)
        work.job = self._means.journal.expired(job, failure)
        self._means.results.forget(job)
        self._means.observe(Event.EXPIRED, work.job)
        raise failure

    def _deliver(self, work: Work, job: Job, download: Download) -> None:
        delivered = self._means.journal.delivered(job, download.delivery, download.url, collected=bool(work.tickets))
        self._means.observe(Event.DELIVERED, delivered)
        path = self._means.results.path_of(download.delivery)
        result = Result(path, delivered.task_id or "", download.url, delivered, downloaded=True)
        self._works.finish(work, result)

    def _not_yet(self, work: Work, what: str) -> None:
        work.failures += 1
        work.refused_since = None
        longest = _WATCHED_PAUSE_SECONDS if work.tickets else _LONGEST_PAUSE_SECONDS
        work.show(Phase.DOWNLOADING, f"downloading again soon: {what}")
        self._plan(work, steps.DOWNLOAD, min(2.0 ** min(work.failures, 20), longest))

    def _links_refused(self, work: Work, job: Job, what: str) -> None:
        work.refreshes += 1
        if work.refreshes <= _MOST_REFRESHES:
            work.show(Phase.DOWNLOADING, "asking for a fresh download link")
            self._plan(work, steps.POLL, 2.0 * work.refreshes)
        else:
            self.refused(work, job, failures.not_downloaded(job, what), what)

    def _plan(self, work: Work, step: Step, seconds: float) -> None:
        self._works.plan(work, step, self._means.clocks.seconds(Pause(seconds)))

    def _tell_where_else(self, failure: APIMallError, job: Job) -> None:
        """Which machines and folders have the clip that is not to be had here, for people."""
        known = {(each.machine, each.path) for each in self._means.journal.deliveries(job) if each.path}
        for machine, path in sorted(known):
            told = {"what": ended(failure.what), "folder": path, "machine": machine}
            failure.what = remark(Trouble.BROUGHT_ELSEWHERE, **told)
