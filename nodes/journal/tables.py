"""The journal's tables as they are now, for the statements that are said of them."""

from __future__ import annotations

import sqlalchemy as sa

_metadata = sa.MetaData()


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text)


def _whole(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger)


def _real(name: str) -> sa.Column[float]:
    return sa.Column(name, sa.Double)


jobs = sa.Table(
    "jobs",
    _metadata,
    *(_whole("id"), _text("account"), _text("identity"), _whole("attempt"), _text("idempotency_key")),
    *(_text("model"), _text("type"), _text("prompt"), _text("duration"), _text("resolution"), _whole("take")),
    *(sa.Column("body", sa.LargeBinary), _text("state"), _whole("posts"), _text("holder"), _text("parked")),
    *(_text("task_id"), _text("request_id"), _text("provider_request_id")),
    *(_real("credits_used"), _real("credits_refunded"), _text("video_url"), _text("file")),
    *(_text("problem_kind"), _text("problem_text"), _whole("problem_status")),
    *(_text("problem_code"), _text("problem_request_id"), _real("problem_at")),
    *(_text("ending_kind"), _text("ending_text"), _whole("ending_status")),
    *(_text("ending_code"), _text("ending_request_id"), _real("ending_at")),
    *(_real("created_at"), _real("sent_at"), _text("sent_boot"), _real("sent_uptime"), _real("accepted_at")),
    *(_real("ended_at"), _real("delivered_at"), _real("collected_at"), _real("yielded_at")),
    *(_real("starred_at"), _real("credits_left"), _text("machine")),
)
steps = sa.Table("steps", _metadata, _whole("rowid"), _whole("job_id"), _real("at"), _text("step"), _text("detail"))
uploads = sa.Table("uploads", _metadata, _text("account"), _text("digest"), _text("url"), _real("uploaded_at"))
deliveries = sa.Table(
    "deliveries",
    _metadata,
    *(_whole("job_id"), _text("folder"), _text("file"), _whole("size_bytes"), _whole("mtime_ns"), _text("sha256")),
    *(_real("delivered_at"), _text("machine"), _text("path")),
)
accounts = sa.Table("accounts", _metadata, _text("account"), _text("base_url"), _text("same_as"), _real("seen_at"))
strangers = sa.Table("strangers", _metadata, _text("account"), _text("other"))
holders = sa.Table("holders", _metadata, _whole("lock"), _text("holder"))
"""PostgreSQL only: the advisory lock of each process that ever joined."""
tokens = sa.Table("tokens", _metadata, _text("account"), _text("buckets"), _whole("version"))
"""PostgreSQL only: the requests that all may send, which have a file of its own beside an SQLite journal."""
