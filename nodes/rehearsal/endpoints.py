"""The endpoints: what the contract allows is carried out. Request in, proper reply out; faults bend it afterwards."""

from __future__ import annotations

import hashlib
import secrets
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from urllib.parse import unquote

from . import contract
from .book import COMPLETED, ENDLESS, Book, Page, Task, Upload
from .clips import Clips
from .contract import Refused, UploadAsked
from .faults import NO_FAULT, Fault
from .messages import Reply, Request, iso, new_id, refusal, storage_refusal, success
from .storage import Files, StorageRefused, check_put, file_reply

PENDING_SHARE = 0.15
RATE_WINDOW_SECONDS = 60.0
IN_FLIGHT_RETRY_SECONDS = "2"
PROVIDER_FAILURE = "The provider could not generate this video"


@dataclass(frozen=True)
class Terms:
    """What the contract leaves to the provider; limits are per account. None: no limit."""

    seconds_per_task: float = 6.0
    most_running: int | None = 5
    requests_per_minute: int | None = None


class Endpoints:
    """Answers one request at a time per thread; all decisions about money are made while the book is open."""

    def __init__(self, book: Book, files: Files, clips: Clips, terms: Terms, base_url: Callable[[], str]) -> None:
        self._book, self._files, self._clips, self._terms, self._base_url = book, files, clips, terms, base_url
        self._recent: dict[str, deque[float]] = {}
        self._recent_lock = threading.Lock()
        self._others: list[tuple[float, int]] = []
        self._revoked: set[str] = set()

    def occupy(self, tasks: int, until: float) -> None:
        """Another client of every account has so many unfinished tasks until then."""
        self._others.append((until, tasks))

    def revoke(self, key: str) -> None:
        """401 for this key from now on."""
        self._revoked.add(digest_of(key))

    def answer(self, request: Request, fault: Fault = NO_FAULT) -> Reply:
        """The contract's answer; of the fault only what it does to a task and to ranges matters here."""
        try:
            contract.gateway_host(request.headers)
            return self._route(request, fault)
        except Refused as refused:
            wait = (("Retry-After", refused.retry_after),) if refused.retry_after else ()
            return refusal(refused.status, refused.message, code=refused.code, headers=wait)
        except StorageRefused as refused:
            return storage_refusal(refused.status, refused.code, str(refused))

    def _route(self, request: Request, fault: Fault) -> Reply:
        path = unquote(request.path)
        step = contract.step_of("GET" if request.method == "HEAD" else request.method, path)
        if step is None:
            raise Refused(405 if any(contract.step_of(method, path) for method in ("GET", "POST", "PUT")) else 404)
        if step == "put":
            return self._put(request, path[len(contract.PUT) :])
        if step != "download":
            return self._api(step, request, path, fault)
        with self._book.open() as page:
            file, content_type = self._files.asked_for(page, path, request.query)
        return file_reply(request, file, content_type, ranged=fault.ranged)

    def _api(self, step: str, request: Request, path: str, fault: Fault) -> Reply:
        key = contract.bearer_key(request.headers)
        if digest_of(key) in self._revoked:
            raise Refused(401)
        account = account_of(key)
        self._keep_the_pace(account, request.at)
        if step == "create":
            return self._create(request, account, fault)
        if step == "balance":
            return self._balance(account)
        if step == "upload_url":
            return self._upload_url(contract.upload(request.headers, request.body))
        if step == "base64":
            return self._base64(contract.base64_file(request.headers, request.body))
        return self._poll(path[len(contract.POLL) :], account, fault)

    def _keep_the_pace(self, account: str, now: float) -> None:
        if self._terms.requests_per_minute is None:
            return
        with self._recent_lock:
            recent = self._recent.setdefault(account, deque())
            while recent and recent[0] <= now - RATE_WINDOW_SECONDS:
                recent.popleft()
            if len(recent) >= self._terms.requests_per_minute:
                raise Refused(429, "Rate limit exceeded", "rate_limited", retry_after="1")
            recent.append(now)

    def _create(self, request: Request, account: str, fault: Fault) -> Reply:
        asked = contract.create(request.headers, request.body)
        key = contract.idempotency_key(request.headers)
        body_sha256 = hashlib.sha256(request.body).hexdigest()
        with self._book.open() as page:
            earlier = page.task_with_key(account, key)
            if earlier is not None:
                return replayed(earlier, body_sha256, page.now)
            busy_until, fate = page.now + fault.busy_seconds, fault.fate or asked.fate
            task = replace(self._draft(page, asked, account, key, body_sha256), busy_until=busy_until, fate=fate)
            page.accept(task)
        self._clips.order(task)
        return created(task)

    def _draft(self, page: Page, asked: contract.Asked, account: str, key: str | None, body_sha256: str) -> Task:
        media = [self._files.find(page, url).digest for url in asked.media]
        left = page.credits(account) - asked.credits
        if left < 0:
            raise Refused(402, f"Insufficient credits: {asked.credits} needed, {left + asked.credits} left")
        running = sum(self._settled(page, task).running for task in page.running(account))
        others = sum(tasks for until, tasks in self._others if page.now < until)
        if self._terms.most_running is not None and running + others >= self._terms.most_running:
            raise Refused(429, "Too many concurrent jobs", "too_many_concurrent_jobs")
        parts = (asked.type, asked.prompt, asked.duration, asked.resolution, *media)
        scene = hashlib.sha256("\n".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:40]
        return Task(
            task_id=new_id("vid_", page.now),
            request_id=new_id("req_", page.now),
            provider_request_id=new_id("provider_req_", page.now),
            account=account,
            idempotency_key=key,
            body_sha256=body_sha256,
            **vars(asked),
            scene=scene,
            variation=page.takes(scene),
            credits_used=asked.credits,
            remaining_credits=left,
            beside=running + 1,
            created_at=page.now,
        )

    def _settled(self, page: Page, task: Task) -> Task:
        """The task, ended if its time has come and its clip is there."""
        due = page.now >= task.created_at + self._terms.seconds_per_task
        if not task.running or not due or task.fate == ENDLESS:
            return task
        if task.fate is None and not self._clips.ready(task):
            self._clips.order(task)
            return task
        return page.end(task, task.fate, PROVIDER_FAILURE)

    def _poll(self, task_id: str, account: str, fault: Fault) -> Reply:
        with self._book.open() as page:
            task = page.task(task_id)
            if task is None or task.account != account:
                return refusal(404, "Task not found")
            if fault.fate is not None and task.running:
                task = page.end(task, fault.fate, PROVIDER_FAILURE)
            task = page.look_at(self._settled(page, task))
            return success(self._view(task, page.now))

    def _view(self, task: Task, now: float) -> dict[str, object]:
        """A task as the query endpoint tells it."""
        base = f"{self._base_url()}{contract.CDN}generated/{task.task_id}/"
        completed = task.status == COMPLETED
        early = now < task.created_at + PENDING_SHARE * self._terms.seconds_per_task
        return {
            "task_id": task.task_id,
            "model": task.model,
            "status": ("pending" if early else "processing") if task.running else task.status,
            "output": {"resultUrls": [base + "video-01.mp4"]} if completed else None,
            "video_url": base + "result.mp4" if completed else None,
            "error_message": task.error,
            "credits_used": task.credits_used,
            "credits_refunded": task.refund_told,
            "created_at": iso(task.created_at),
            "updated_at": iso(task.created_at if task.ended_at is None else task.ended_at),
            "completed_at": iso(task.ended_at) if completed and task.ended_at is not None else None,
        }

    def _balance(self, account: str) -> Reply:
        with self._book.open() as page:
            credits = page.credits(account)
        return success({"credits": credits, "api_credits": credits})

    def _upload_url(self, asked: UploadAsked) -> Reply:
        with self._book.open() as page:
            upload = new_upload(asked, page.now)
            page.write_upload(upload)
        data = {
            "upload_url": f"{self._base_url()}{contract.PUT}{upload.token}?signature={upload.signature}",
            "key": upload.key,
            "public_url": f"{self._base_url()}{contract.CDN}{upload.key}",
            "expires_in": asked.expires_in,
            "max_file_size": contract.LARGEST_FILE_BYTES,
            "content_type": upload.content_type,
        }
        return success(data)

    def _put(self, request: Request, token: str) -> Reply:
        with self._book.open() as page:
            upload = check_put(page.upload(token), request, page.now)
        etag = self._store(upload, request.body)
        return Reply(200, b"", "application/octet-stream", (("ETag", f'"{etag[:32]}"'),))

    def _base64(self, asked: UploadAsked) -> Reply:
        with self._book.open() as page:
            upload = new_upload(asked, page.now)
        self._store(upload, asked.data)
        url = f"{self._base_url()}{contract.CDN}{upload.key}"
        told = {"url": url, "key": upload.key, "content_type": upload.content_type, "file_size": upload.file_size}
        return success(told)

    def _store(self, upload: Upload, data: bytes) -> str:
        sha256 = self._files.store(upload, data)
        with self._book.open() as page:
            page.write_upload(replace(upload, sha256=sha256))
        return sha256


def digest_of(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()[:16]


def account_of(key: str) -> str:
    """The account that a key opens; keys that differ after their last dot open the same. No key is kept anywhere."""
    return digest_of(key.rpartition(".")[0] or key)


def new_upload(asked: UploadAsked, now: float) -> Upload:
    day = datetime.fromtimestamp(now, timezone.utc)
    key = f"uploads/{day:%Y/%m/%d}/{asked.filename}"
    token, signature = secrets.token_hex(16), secrets.token_hex(32)
    return Upload(token, signature, key, asked.content_type, asked.file_size, now + asked.expires_in)


def replayed(task: Task, body_sha256: str, now: float) -> Reply:
    """The answer to a create request whose key is known: the first one again, for the same bytes."""
    if task.body_sha256 != body_sha256:
        raise Refused(409, "Idempotency-Key was used with another body")
    if now < task.busy_until:
        raise Refused(409, "A request with this Idempotency-Key is in work", retry_after=IN_FLIGHT_RETRY_SECONDS)
    return created(task, (("Idempotent-Replayed", "true"),))


def created(task: Task, headers: tuple[tuple[str, str], ...] = ()) -> Reply:
    data = {
        "task_id": task.task_id,
        "request_id": task.provider_request_id,
        "credits_used": task.credits_used,
        "remaining_credits": task.remaining_credits,
        "model": task.model,
    }
    return success(data, task.request_id, headers)
