"""The desk: carries out requests that the contract allows. Request in, proper reply out; faults come later."""

from __future__ import annotations

import hashlib
import secrets
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from urllib.parse import unquote

from . import rules
from .faults import FailTask, Fault
from .ledger import Book, Fate, Ledger, Task, Upload
from .replies import Reply, Request, iso, new_id, refusal, success
from .rules import Refused
from .shelf import Shelf, check_put
from .studio import Studio

PENDING_SHARE = 0.15
RATE_WINDOW_SECONDS = 60.0
ROUTES = {
    "/api/v1/videos/generate": "POST",
    "/api/v1/files/upload-url": "POST",
    "/api/v1/files/base64": "POST",
}
QUERY = "/api/v1/videos/"
PROVIDER_FAILURE = "The provider could not generate this video"


@dataclass(frozen=True)
class Terms:
    """What the contract leaves to the provider. None: no limit."""

    seconds_per_task: float = 6.0
    most_running: int | None = 5
    requests_per_minute: int | None = None


class Desk:
    """Answers one request at a time per thread; all decisions about money are made while the ledger is open."""

    def __init__(
        self,
        ledger: Ledger,
        shelf: Shelf,
        studio: Studio,
        terms: Terms,
        clock: Callable[[], float],
        base_url: Callable[[], str],
    ) -> None:
        self._ledger, self._shelf, self._studio, self._terms = ledger, shelf, studio, terms
        self._clock, self._base_url = clock, base_url
        self._recent: dict[str, deque[float]] = {}
        self._recent_lock = threading.Lock()

    def answer(self, request: Request, fault: Fault | None = None) -> Reply:
        """The contract's answer; of the faults only FailTask matters here, because it is a task's fate."""
        try:
            rules.gateway_host(request.headers)
            return self._route(request, fault if isinstance(fault, FailTask) else None)
        except Refused as refused:
            wait = (("Retry-After", "1"),) if refused.code == "rate_limited" else ()
            return refusal(refused.status, refused.message, code=refused.code, headers=wait)

    def _route(self, request: Request, fate: FailTask | None) -> Reply:
        path = unquote(request.path)
        if path.startswith("/api/v1/"):
            return self._api(request, path, fate)
        if path.startswith("/cdn/"):
            allow(request, "GET", "HEAD")
            with self._ledger.open() as book:
                return self._shelf.serve(book, request, path, self._clock())
        if path.startswith("/upload/"):
            allow(request, "PUT")
            return self._put(request, path)
        raise Refused(404)

    def _api(self, request: Request, path: str, fate: FailTask | None) -> Reply:
        account = account_of(rules.bearer_key(request.headers))
        self._keep_the_pace(account)
        allow(request, ROUTES.get(path, "GET"))
        if path == "/api/v1/videos/generate":
            return self._create(request, account, fate)
        if path == "/api/v1/account/balances":
            return self._balance(account)
        if path == "/api/v1/files/upload-url":
            return self._upload_url(request)
        if path == "/api/v1/files/base64":
            return self._base64(request)
        if path.startswith(QUERY):
            return self._query(path[len(QUERY) :], account, fate)
        raise Refused(404)

    def _keep_the_pace(self, account: str) -> None:
        if self._terms.requests_per_minute is None:
            return
        now = self._clock()
        with self._recent_lock:
            recent = self._recent.setdefault(account, deque())
            while recent and recent[0] <= now - RATE_WINDOW_SECONDS:
                recent.popleft()
            if len(recent) >= self._terms.requests_per_minute:
                raise Refused(429, "Rate limit exceeded", "rate_limited")
            recent.append(now)

    def _create(self, request: Request, account: str, fate: FailTask | None) -> Reply:
        asked = rules.create(request.headers, request.body)
        key = rules.idempotency_key(request.headers)
        body_sha256 = hashlib.sha256(request.body).hexdigest()
        with self._ledger.open() as book:
            earlier = book.task_with_key(account, key)
            if earlier is not None:
                if earlier.body_sha256 != body_sha256:
                    raise Refused(409, "Idempotency-Key was used with another body")
                return created(earlier, replayed=True)
            task = self._draft(book, asked, account, fate)
            task = replace(task, idempotency_key=key, body_sha256=body_sha256)
            book.write(task)
        self._studio.order(task)
        return created(task)

    def _draft(self, book: Book, asked: rules.Asked, account: str, fault: FailTask | None) -> Task:
        media = [self._shelf.find(book, url).digest for url in asked.media]
        left = book.credits(account) - asked.credits
        if left < 0:
            raise Refused(402, f"Insufficient credits: {asked.credits} needed, {left + asked.credits} left")
        now = self._clock()
        running = [task for task in book.running(account) if self._settled(book, task, now).running]
        if self._terms.most_running is not None and len(running) >= self._terms.most_running:
            raise Refused(429, "Too many concurrent jobs", "too_many_concurrent_jobs")
        parts = (asked.type, asked.prompt, asked.duration, asked.resolution, *media)
        scene = hashlib.sha256("\n".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:40]
        return Task(
            task_id=new_id("vid_", now),
            request_id=new_id("req_", now),
            provider_request_id=new_id("provider_req_", now),
            account=account,
            idempotency_key=None,
            body_sha256="",
            model=asked.model,
            type=asked.type,
            prompt=asked.prompt,
            duration=asked.duration,
            resolution=asked.resolution,
            media=asked.media,
            scene=scene,
            variation=book.takes(scene),
            credits_used=asked.credits,
            remaining_credits=left,
            beside=len(running) + 1,
            created_at=now,
            fate=fate_of(fault, asked),
        )

    def _settled(self, book: Book, task: Task, now: float) -> Task:
        """The task, ended if its time has come and its clip is there."""
        if not task.running or now < task.created_at + self._terms.seconds_per_task:
            return task
        if task.fate is None and not self._studio.ready(task):
            self._studio.order(task)
            return task
        return book.end(task, now, task.fate)

    def _query(self, task_id: str, account: str, fault: FailTask | None) -> Reply:
        with self._ledger.open() as book:
            task = book.tasks.get(task_id)
            if task is None or task.account != account:
                return refusal(404, "Task not found")
            now = self._clock()
            if fault is not None and task.running:
                task = book.end(task, now, Fate(fault.refund, fault.message, fault.message_field))
            task = book.look_at_failed(self._settled(book, task, now))
        return success(self._view(task, now))

    def _view(self, task: Task, now: float) -> dict[str, object]:
        """A task as the query endpoint tells it."""
        base = f"{self._base_url()}/cdn/generated/{task.task_id}/"
        completed = task.status == "completed"
        status = task.status
        if task.running:
            early = now < task.created_at + PENDING_SHARE * self._terms.seconds_per_task
            status = "pending" if early else "processing"
        view: dict[str, object] = {
            "task_id": task.task_id,
            "model": task.model,
            "status": status,
            "output": {"resultUrls": [base + "video-01.mp4"]} if completed else None,
            "video_url": base + "result.mp4" if completed else None,
            "error_message": None,
            "credits_used": task.credits_used,
            "credits_refunded": task.credits_refunded,
            "created_at": iso(task.created_at),
            "updated_at": iso(task.ended_at if task.ended_at is not None else task.created_at),
            "completed_at": iso(task.ended_at) if completed and task.ended_at is not None else None,
        }
        if task.error is not None:
            view[task.message_field] = task.error
        return view

    def _balance(self, account: str) -> Reply:
        with self._ledger.open() as book:
            credits = book.credits(account)
        return success({"credits": credits, "api_credits": credits})

    def _upload_url(self, request: Request) -> Reply:
        asked = rules.upload(request.headers, request.body)
        upload = self._new_upload(asked.filename, asked.content_type, asked.file_size, asked.expires_in)
        with self._ledger.open() as book:
            book.write(upload)
        data = {
            "upload_url": f"{self._base_url()}/upload/{upload.token}?signature={upload.signature}",
            "key": upload.key,
            "public_url": f"{self._base_url()}/cdn/{upload.key}",
            "expires_in": asked.expires_in,
            "max_file_size": rules.LARGEST_FILE_BYTES,
            "content_type": upload.content_type,
        }
        return success(data)

    def _put(self, request: Request, path: str) -> Reply:
        with self._ledger.open() as book:
            upload = book.uploads.get(path[len("/upload/") :])
            refused = check_put(upload, request, self._clock())
            if refused is not None or upload is None:
                return refused or refusal(403)
            sha256 = self._shelf.store(upload, request.body)
            book.write(replace(upload, sha256=sha256))
        return Reply(200, b"", "application/octet-stream", (("ETag", f'"{sha256[:32]}"'),))

    def _base64(self, request: Request) -> Reply:
        sent = rules.base64_file(request.headers, request.body)
        upload = self._new_upload(sent.filename, sent.content_type, len(sent.data), 0)
        sha256 = self._shelf.store(upload, sent.data)
        with self._ledger.open() as book:
            book.write(replace(upload, sha256=sha256))
        url = f"{self._base_url()}/cdn/{upload.key}"
        return success({"url": url, "key": upload.key, "content_type": sent.content_type, "file_size": len(sent.data)})

    def _new_upload(self, filename: str, content_type: str, file_size: int, seconds: int) -> Upload:
        now = self._clock()
        day = datetime.fromtimestamp(now, timezone.utc)
        key = f"uploads/{day:%Y/%m/%d}/{filename}"
        return Upload(secrets.token_hex(16), secrets.token_hex(32), key, content_type, file_size, now + seconds)


def allow(request: Request, *methods: str) -> None:
    """405 for any other method."""
    if request.method not in methods:
        raise Refused(405)


def account_of(key: str) -> str:
    """The account that a key opens; the key itself is kept nowhere."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()[:16]


def fate_of(fault: FailTask | None, asked: rules.Asked) -> Fate | None:
    """How a new task is bound to fail: as scripted, or as a word of its prompt wants it."""
    if fault is not None:
        return Fate(fault.refund, fault.message, fault.message_field)
    refund = asked.fails_with_refund
    return Fate(refund, PROVIDER_FAILURE) if refund is not None else None


def created(task: Task, *, replayed: bool = False) -> Reply:
    """The reply to a create request; a replayed one is the first one again."""
    data = {
        "task_id": task.task_id,
        "request_id": task.provider_request_id,
        "credits_used": task.credits_used,
        "remaining_credits": task.remaining_credits,
        "model": task.model,
    }
    return success(data, task.request_id, (("Idempotent-Replayed", "true"),) if replayed else ())
