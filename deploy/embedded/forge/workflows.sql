-- Version 2: runs of workflows. A run has jobs, a job has steps; each attempt of a run has jobs of its own.
CREATE TABLE workflows (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    repository_id INTEGER NOT NULL REFERENCES repositories (id) ON DELETE CASCADE,
    path TEXT NOT NULL,
    name TEXT NOT NULL,
    last_number INTEGER NOT NULL DEFAULT 0,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    UNIQUE (repository_id, path)
);

CREATE TABLE workflow_runs (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    repository_id INTEGER NOT NULL REFERENCES repositories (id) ON DELETE CASCADE,
    workflow_id INTEGER NOT NULL REFERENCES workflows (id) ON DELETE CASCADE,
    -- What started it; heard twice, it starts nothing again.
    source TEXT NOT NULL UNIQUE,
    number INTEGER NOT NULL,
    attempt INTEGER NOT NULL DEFAULT 1,
    event TEXT NOT NULL,
    ref TEXT NOT NULL,
    head_branch TEXT NOT NULL,
    head_sha TEXT NOT NULL,
    base_ref TEXT NOT NULL DEFAULT '',
    head_ref TEXT NOT NULL DEFAULT '',
    pull_number INTEGER,
    -- 1 where the commits come from somebody else's repository: nothing is entrusted to them.
    foreign_head INTEGER NOT NULL DEFAULT 0,
    actor_id INTEGER NOT NULL REFERENCES accounts (id),
    title TEXT NOT NULL,
    payload TEXT NOT NULL,
    traceparent TEXT,
    -- How often a forge ended in the midst of it.
    interruptions INTEGER NOT NULL DEFAULT 0,
    status TEXT NOT NULL CHECK (status IN ('pending', 'queued', 'in_progress', 'completed')),
    conclusion TEXT,
    -- Why there was nothing to run, where there was nothing.
    problem TEXT,
    concurrency_group TEXT,
    cancel_in_progress INTEGER NOT NULL DEFAULT 0,
    created_at TEXT NOT NULL,
    started_at TEXT NOT NULL,
    updated_at TEXT NOT NULL
);
CREATE INDEX workflow_runs_of_a_repository ON workflow_runs (repository_id);
CREATE INDEX workflow_runs_under_way ON workflow_runs (status) WHERE status != 'completed';

CREATE TABLE workflow_jobs (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    run_id INTEGER NOT NULL REFERENCES workflow_runs (id) ON DELETE CASCADE,
    attempt INTEGER NOT NULL,
    key TEXT NOT NULL,
    name TEXT NOT NULL,
    needs TEXT NOT NULL DEFAULT '[]',
    -- 1 where its condition asks how the needed jobs ended, so that a failed one does not skip it.
    runs_whatever_happened INTEGER NOT NULL DEFAULT 0,
    -- waiting: for the jobs it needs. pending: for its concurrency group. queued: for a free place.
    status TEXT NOT NULL CHECK (status IN ('waiting', 'pending', 'queued', 'in_progress', 'completed')),
    conclusion TEXT,
    problem TEXT,
    environment TEXT,
    deployment_id INTEGER,
    concurrency_group TEXT,
    cancel_in_progress INTEGER NOT NULL DEFAULT 0,
    cancel_requested INTEGER NOT NULL DEFAULT 0,
    outputs TEXT NOT NULL DEFAULT '{}',
    created_at TEXT NOT NULL,
    started_at TEXT,
    completed_at TEXT,
    UNIQUE (run_id, attempt, key)
);
CREATE INDEX workflow_jobs_under_way ON workflow_jobs (status) WHERE status != 'completed';

-- `log_start` and `log_end`: bytes of the job's log file.
CREATE TABLE workflow_steps (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    job_id INTEGER NOT NULL REFERENCES workflow_jobs (id) ON DELETE CASCADE,
    number INTEGER NOT NULL,
    name TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('in_progress', 'completed')),
    conclusion TEXT,
    started_at TEXT NOT NULL,
    completed_at TEXT,
    seconds REAL,
    log_start INTEGER NOT NULL,
    log_end INTEGER,
    UNIQUE (job_id, number)
);
