"""A journal as version 0.1 of the pack wrote it: its schema, and rows in all the states that it knew."""

from __future__ import annotations

import sqlite3
import uuid
from contextlib import closing
from pathlib import Path

SCHEMA = """
CREATE TABLE jobs (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    account TEXT NOT NULL,
    identity TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    idempotency_key TEXT NOT NULL UNIQUE,
    model TEXT NOT NULL,
    type TEXT NOT NULL,
    prompt TEXT NOT NULL,
    duration TEXT NOT NULL,
    resolution TEXT NOT NULL,
    take INTEGER NOT NULL,
    body BLOB,
    state TEXT NOT NULL,
    charge TEXT NOT NULL,
    posts INTEGER NOT NULL DEFAULT 0,
    holder TEXT,
    task_id TEXT,
    request_id TEXT,
    provider_request_id TEXT,
    credits_used REAL,
    credits_refunded REAL,
    video_url TEXT,
    file TEXT,
    file_bytes INTEGER,
    file_mtime_ns INTEGER,
    file_sha256 TEXT,
    error TEXT,
    reason TEXT,
    http_status INTEGER,
    code TEXT,
    created_at REAL NOT NULL,
    sent_at REAL,
    accepted_at REAL,
    ended_at REAL,
    delivered_at REAL,
    UNIQUE (account, identity, attempt)
);
CREATE INDEX jobs_by_task ON jobs (account, task_id);
CREATE INDEX jobs_unfinished ON jobs (account, state) WHERE state IN ('intended', 'sent', 'running', 'completed');
CREATE INDEX jobs_ended_badly ON jobs (account, id) WHERE state IN ('failed', 'rejected');
CREATE INDEX jobs_by_account ON jobs (account, id);
CREATE INDEX jobs_by_kind ON jobs (account, type, duration, resolution, id);
CREATE TABLE steps (
    job_id INTEGER NOT NULL REFERENCES jobs (id),
    at REAL NOT NULL,
    step TEXT NOT NULL,
    detail TEXT NOT NULL DEFAULT ''
);
CREATE INDEX steps_by_job ON steps (job_id);
CREATE TABLE uploads (
    account TEXT NOT NULL,
    digest TEXT NOT NULL,
    url TEXT NOT NULL,
    uploaded_at REAL NOT NULL,
    PRIMARY KEY (account, digest)
);
PRAGMA user_version = 1;
"""


def write(path: Path, rows: list[dict[str, object]]) -> None:
    """A file of version 1 with these rows of `jobs`; what they leave out is as it would be for a text job."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript(SCHEMA)
        for number, row in enumerate(rows):
            usual = {
                "attempt": 1,
                "idempotency_key": str(uuid.uuid4()),
                "model": "wan2-6",
                "type": "text-to-video",
                "duration": "5",
                "resolution": "720p",
                "created_at": 1000.0 + number,
            }
            whole = usual | row
            marks = ",".join("?" * len(whole))
            connection.execute(f"INSERT INTO jobs ({','.join(whole)}) VALUES ({marks})", tuple(whole.values()))
            connection.execute("INSERT INTO steps VALUES (?, 1000.0, 'intended', '')", (number + 1,))
