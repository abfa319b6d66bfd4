"""How the journal's tables came to be, version by version: frozen, unlike `tables`, which says what they are now."""

from __future__ import annotations

import re
from collections.abc import Iterator

SQLITE = (
    """
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
    """,
    # Where a clip lies is told by deliveries, not by how its job stands; what is done about a job, what went wrong last
    # and why it ended are columns of their own.
    """
    CREATE TABLE jobs_2 (
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
        posts INTEGER NOT NULL DEFAULT 0,
        holder TEXT,
        parked TEXT,
        task_id TEXT,
        request_id TEXT,
        provider_request_id TEXT,
        credits_used REAL,
        credits_refunded REAL,
        video_url TEXT,
        file TEXT,
        problem_kind TEXT,
        problem_text TEXT,
        problem_status INTEGER,
        problem_code TEXT,
        problem_request_id TEXT,
        problem_at REAL,
        ending_kind TEXT,
        ending_text TEXT,
        ending_status INTEGER,
        ending_code TEXT,
        ending_request_id TEXT,
        ending_at REAL,
        created_at REAL NOT NULL,
        sent_at REAL,
        sent_boot TEXT,
        sent_uptime REAL,
        accepted_at REAL,
        ended_at REAL,
        delivered_at REAL,
        collected_at REAL,
        yielded_at REAL,
        UNIQUE (account, identity, attempt)
    );
    INSERT INTO jobs_2 (
        id, account, identity, attempt, idempotency_key, model, type, prompt, duration, resolution, take, body, state,
        posts, holder, parked, task_id, request_id, provider_request_id, credits_used, credits_refunded, video_url,
        file, problem_kind, problem_text, problem_status, problem_code, problem_at,
        ending_kind, ending_text, ending_status, ending_code, ending_request_id, ending_at,
        created_at, sent_at, accepted_at, ended_at, delivered_at, collected_at
    ) SELECT
        id, account, identity, attempt, idempotency_key, model, type, prompt, duration, resolution, take, body,
        CASE state WHEN 'delivered' THEN 'completed' ELSE state END,
        posts, holder,
        CASE
            WHEN state IN ('failed', 'rejected', 'delivered') OR delivered_at IS NOT NULL THEN NULL
            WHEN error IS NULL THEN CASE WHEN state = 'intended' AND holder IS NULL THEN 'withdrawn' END
            WHEN error = 'NotHome' THEN 'not_home'
            WHEN state = 'running' AND error = 'StillRunning' THEN 'refused'
            WHEN state = 'running' AND error = 'SetupError' THEN 'hindered'
            WHEN state = 'running' THEN NULL
            WHEN error IN ('Parked', 'KeyConflict') THEN 'uncertain'
            WHEN error IN ('NotReached', 'ReplyLost', 'GatewayBroken', 'Unreadable') THEN 'unreached'
            ELSE 'hindered'
        END,
        task_id, request_id, provider_request_id, credits_used, credits_refunded, video_url, file,
        CASE WHEN state NOT IN ('failed', 'rejected') THEN error END,
        CASE WHEN state NOT IN ('failed', 'rejected') AND error IS NOT NULL THEN COALESCE(reason, '') END,
        CASE WHEN state NOT IN ('failed', 'rejected') AND error IS NOT NULL THEN http_status END,
        CASE WHEN state NOT IN ('failed', 'rejected') AND error IS NOT NULL THEN code END,
        CASE WHEN state NOT IN ('failed', 'rejected') AND error IS NOT NULL THEN COALESCE(sent_at, created_at) END,
        CASE WHEN state IN ('failed', 'rejected') THEN error END,
        CASE WHEN state IN ('failed', 'rejected') AND error IS NOT NULL THEN COALESCE(reason, '') END,
        CASE WHEN state IN ('failed', 'rejected') AND error IS NOT NULL THEN http_status END,
        CASE WHEN state IN ('failed', 'rejected') AND error IS NOT NULL THEN code END,
        CASE WHEN state IN ('failed', 'rejected') AND error IS NOT NULL THEN request_id END,
        CASE WHEN state IN ('failed', 'rejected') AND error IS NOT NULL THEN COALESCE(ended_at, created_at) END,
        created_at, sent_at, accepted_at, ended_at, delivered_at, delivered_at
    FROM jobs;
    CREATE TABLE deliveries (
        job_id INTEGER NOT NULL,
        folder TEXT NOT NULL,
        file TEXT NOT NULL,
        size_bytes INTEGER NOT NULL,
        mtime_ns INTEGER NOT NULL,
        sha256 TEXT NOT NULL,
        delivered_at REAL NOT NULL,
        PRIMARY KEY (job_id, folder)
    );
    INSERT INTO deliveries SELECT id, '', file, file_bytes, file_mtime_ns, file_sha256, delivered_at FROM jobs
        WHERE file IS NOT NULL AND file_bytes IS NOT NULL AND file_mtime_ns IS NOT NULL AND file_sha256 IS NOT NULL
        AND delivered_at IS NOT NULL;
    CREATE TABLE accounts (
        account TEXT PRIMARY KEY,
        base_url TEXT NOT NULL,
        same_as TEXT,
        seen_at REAL NOT NULL
    );
    INSERT INTO accounts SELECT DISTINCT account, '', NULL, 0.0 FROM jobs WHERE account NOT IN ('rehearsal', 'no key');
    CREATE TABLE strangers (
        account TEXT NOT NULL,
        other TEXT NOT NULL,
        PRIMARY KEY (account, other)
    );
    DROP TABLE jobs;
    ALTER TABLE jobs_2 RENAME TO jobs;
    CREATE INDEX jobs_by_task ON jobs (account, task_id);
    CREATE INDEX jobs_unfinished ON jobs (account, state) WHERE (
        state IN ('sent', 'running') OR state = 'completed' AND delivered_at IS NULL
        OR state = 'intended' AND parked IS NULL
    );
    CREATE INDEX jobs_ended_badly ON jobs (account, id) WHERE state IN ('failed', 'rejected', 'expired');
    CREATE INDEX jobs_refund_due ON jobs (account, ended_at) WHERE (
        state = 'failed' AND (credits_refunded IS NULL OR credits_used IS NULL OR credits_refunded < credits_used)
    );
    CREATE INDEX jobs_uncollected ON jobs (account, id) WHERE (
        state = 'completed' AND delivered_at IS NOT NULL AND collected_at IS NULL
    );
    CREATE INDEX jobs_by_account ON jobs (account, id);
    CREATE INDEX jobs_by_kind ON jobs (account, model, type, duration, resolution, id);
    CREATE INDEX jobs_by_acceptance ON jobs (account, accepted_at, credits_used, credits_refunded);
    CREATE INDEX jobs_by_sending ON jobs (account, sent_at)
    """,
    # A favourite's star, and the balance that the gateway told with its yes.
    """
    ALTER TABLE jobs ADD COLUMN starred_at REAL;
    ALTER TABLE jobs ADD COLUMN credits_left REAL;
    CREATE INDEX jobs_starred ON jobs (account, id) WHERE starred_at IS NOT NULL
    """,
    # Which machine has or had a job in hand, and whose folder a clip lies in.
    """
    ALTER TABLE jobs ADD COLUMN machine TEXT;
    ALTER TABLE deliveries ADD COLUMN machine TEXT NOT NULL DEFAULT '';
    ALTER TABLE deliveries ADD COLUMN path TEXT NOT NULL DEFAULT ''
    """,
)
"""One script a schema version, applied in order; `PRAGMA user_version` counts those applied."""

POSTGRES = (
    """
    CREATE TABLE jobs (
        id BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
        account TEXT NOT NULL,
        identity TEXT NOT NULL,
        attempt INTEGER NOT NULL,
        idempotency_key TEXT NOT NULL UNIQUE,
        model TEXT NOT NULL,
        type TEXT NOT NULL,
        prompt TEXT NOT NULL,
        duration TEXT NOT NULL,
        resolution TEXT NOT NULL,
        take BIGINT NOT NULL,
        body BYTEA,
        state TEXT NOT NULL,
        posts INTEGER NOT NULL DEFAULT 0,
        holder TEXT,
        parked TEXT,
        task_id TEXT,
        request_id TEXT,
        provider_request_id TEXT,
        credits_used DOUBLE PRECISION,
        credits_refunded DOUBLE PRECISION,
        video_url TEXT,
        file TEXT,
        problem_kind TEXT,
        problem_text TEXT,
        problem_status INTEGER,
        problem_code TEXT,
        problem_request_id TEXT,
        problem_at DOUBLE PRECISION,
        ending_kind TEXT,
        ending_text TEXT,
        ending_status INTEGER,
        ending_code TEXT,
        ending_request_id TEXT,
        ending_at DOUBLE PRECISION,
        created_at DOUBLE PRECISION NOT NULL,
        sent_at DOUBLE PRECISION,
        sent_boot TEXT,
        sent_uptime DOUBLE PRECISION,
        accepted_at DOUBLE PRECISION,
        ended_at DOUBLE PRECISION,
        delivered_at DOUBLE PRECISION,
        collected_at DOUBLE PRECISION,
        yielded_at DOUBLE PRECISION,
        starred_at DOUBLE PRECISION,
        credits_left DOUBLE PRECISION,
        machine TEXT,
        UNIQUE (account, identity, attempt)
    );
    CREATE INDEX jobs_by_task ON jobs (account, task_id);
    CREATE INDEX jobs_unfinished ON jobs (account, state) WHERE (
        state IN ('sent', 'running') OR state = 'completed' AND delivered_at IS NULL
        OR state = 'intended' AND parked IS NULL
    );
    CREATE INDEX jobs_ended_badly ON jobs (account, id) WHERE state IN ('failed', 'rejected', 'expired');
    CREATE INDEX jobs_refund_due ON jobs (account, ended_at) WHERE (
        state = 'failed' AND (credits_refunded IS NULL OR credits_used IS NULL OR credits_refunded < credits_used)
    );
    CREATE INDEX jobs_uncollected ON jobs (account, id) WHERE (
        state = 'completed' AND delivered_at IS NOT NULL AND collected_at IS NULL
    );
    CREATE INDEX jobs_by_account ON jobs (account, id);
    CREATE INDEX jobs_by_kind ON jobs (account, model, type, duration, resolution, id);
    CREATE INDEX jobs_by_acceptance ON jobs (account, accepted_at);
    CREATE INDEX jobs_by_sending ON jobs (account, sent_at);
    CREATE INDEX jobs_starred ON jobs (account, id) WHERE starred_at IS NOT NULL;
    CREATE TABLE steps (
        rowid BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
        job_id BIGINT NOT NULL,
        at DOUBLE PRECISION NOT NULL,
        step TEXT NOT NULL,
        detail TEXT NOT NULL DEFAULT ''
    );
    CREATE INDEX steps_by_job ON steps (job_id);
    CREATE TABLE uploads (
        account TEXT NOT NULL,
        digest TEXT NOT NULL,
        url TEXT NOT NULL,
        uploaded_at DOUBLE PRECISION NOT NULL,
        PRIMARY KEY (account, digest)
    );
    CREATE TABLE deliveries (
        job_id BIGINT NOT NULL,
        folder TEXT NOT NULL,
        file TEXT NOT NULL,
        size_bytes BIGINT NOT NULL,
        mtime_ns BIGINT NOT NULL,
        sha256 TEXT NOT NULL,
        delivered_at DOUBLE PRECISION NOT NULL,
        machine TEXT NOT NULL DEFAULT '',
        path TEXT NOT NULL DEFAULT '',
        PRIMARY KEY (job_id, folder)
    );
    CREATE TABLE accounts (
        account TEXT PRIMARY KEY,
        base_url TEXT NOT NULL,
        same_as TEXT,
        seen_at DOUBLE PRECISION NOT NULL
    );
    CREATE TABLE strangers (
        account TEXT NOT NULL,
        other TEXT NOT NULL,
        PRIMARY KEY (account, other)
    );
    CREATE TABLE holders (
        lock BIGINT PRIMARY KEY,
        holder TEXT NOT NULL UNIQUE
    );
    CREATE TABLE tokens (
        account TEXT PRIMARY KEY,
        buckets TEXT NOT NULL,
        version BIGINT NOT NULL
    );
    CREATE FUNCTION tell_of_job() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN PERFORM pg_notify('apimall_jobs', NEW.id::text)\\; RETURN NULL\\; END $$;
    CREATE TRIGGER tell_of_job AFTER UPDATE OF state, holder, delivered_at ON jobs
        FOR EACH ROW WHEN (
            OLD.state IS DISTINCT FROM NEW.state OR OLD.holder IS DISTINCT FROM NEW.holder
            OR OLD.delivered_at IS DISTINCT FROM NEW.delivered_at
        ) EXECUTE FUNCTION tell_of_job()
    """,
    # Whoever made a change knows of it. Who waits for another's job can do nothing about one that was sent, is being
    # downloaded, or was taken in hand; whoever loses a job is told.
    """
    CREATE OR REPLACE FUNCTION tell_of_job() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN
            PERFORM pg_notify('apimall_jobs', NEW.id || ' ' || COALESCE(current_setting('apimall.writer', true), ''))\\;
            RETURN NULL\\;
        END $$;
    DROP TRIGGER tell_of_job ON jobs;
    CREATE TRIGGER tell_of_job AFTER UPDATE OF state, holder, delivered_at ON jobs
        FOR EACH ROW WHEN (
            OLD.state IS DISTINCT FROM NEW.state AND NEW.state NOT IN ('sent', 'completed')
            OR OLD.holder IS NOT NULL AND OLD.holder IS DISTINCT FROM NEW.holder
            OR OLD.delivered_at IS DISTINCT FROM NEW.delivered_at
        ) EXECUTE FUNCTION tell_of_job()
    """,
)
"""The same for PostgreSQL, whose history begins where SQLite's stood; the table `versions` counts those applied."""


def statements(script: str) -> Iterator[str]:
    """The statements of a migration, each without needless blanks.

    SQLite keeps them as they are written: as long as all fit into the first page of the file, no other page that is
    damaged hides what the rest is. A semicolon within a statement stands behind a backslash.
    """
    return (" ".join(statement.split()).replace("\\;", ";") for statement in re.split(r"(?<!\\);", script))
