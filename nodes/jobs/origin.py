"""Where a clip comes from: the workflow that asked for it, kept until the clip is here, and what it cost.

The prompt that asks for a clip is often gone when the clip comes: ComfyUI was restarted, or the node did not wait. What
is not known is not made up: such a clip holds nothing but what the gateway made.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import json
import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from ..files import whole
from ..journal.rows import Job, State

_log = logging.getLogger("apimall_video.jobs")

_LARGEST_BYTES = 8 << 20


@dataclass(frozen=True)
class Origin:
    """What ComfyUI was given to run, as JSON texts. `workflow`: the canvas it came from, None where there was none."""

    prompt: str
    workflow: str | None

    def texts(self) -> dict[str, str]:
        """By the names under which ComfyUI's page looks for them."""
        return {"prompt": self.prompt, **({"workflow": self.workflow} if self.workflow is not None else {})}


class Origins:
    """A folder with the origins of jobs. Total: what cannot be kept or read is left out, and no job suffers.

    `secrets()` is what may be in no file, keys; an origin with one in it is not kept.
    """

    def __init__(self, folder: Path, *, secrets: Callable[[], Collection[str]]) -> None:
        self._folder = folder
        self._secrets = secrets

    def keep(self, job: Job, origin: Origin) -> None:
        """Remember what asked for a job: whoever asked last before it was sent, else the first who can tell."""
        path = self._path(job)
        texts = json.dumps(origin.texts())
        if len(texts) > _LARGEST_BYTES or self._gives_away(texts):
            return
        try:
            if job.state is State.INTENDED or not path.exists():
                self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                with whole(path) as part:
                    part.write_bytes(gzip.compress(texts.encode(), compresslevel=3))
        except OSError as refusal:
            _log.info("the workflow of job %s could not be kept: %s", job.id, refusal)

    def texts(self, job: Job) -> Mapping[str, str]:
        """What was kept for a job; nothing where nothing was."""
        try:
            with gzip.open(self._path(job)) as file:
                texts = json.loads(file.read(_LARGEST_BYTES))
        except FileNotFoundError:
            return {}
        except (OSError, EOFError, ValueError) as problem:
            _log.info("the workflow of job %s could not be read: %s", job.id, problem)
            return {}
        return texts if isinstance(texts, dict) else {}

    def forget_before(self, moment: float) -> None:
        """Drop those from before `moment`, seconds since the epoch."""
        with contextlib.suppress(OSError):
            for path in self._folder.glob("*.gz"):
                if path.stat().st_mtime < moment:
                    path.unlink()

    def _gives_away(self, texts: str) -> bool:
        return any(json.dumps(json.dumps(secret)[1:-1])[1:-1] in texts for secret in self._secrets())

    def _path(self, job: Job) -> Path:
        return self._folder / f"{hashlib.sha256(job.idempotency_key.encode()).hexdigest()[:32]}.gz"


def receipt(job: Job) -> str:
    """What was bought and what it cost, as JSON."""
    facts = {
        "model": job.model,
        "type": job.type,
        "prompt": job.prompt,
        "duration": job.duration,
        "resolution": job.resolution,
        "take": job.take,
        "task_id": job.task_id,
        "credits_used": job.credits_used,
    }
    return json.dumps(facts)
