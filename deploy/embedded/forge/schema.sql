-- What Git does not hold. Ids are never used again (AUTOINCREMENT): trust is bound to them.
CREATE TABLE accounts (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    login TEXT NOT NULL UNIQUE COLLATE NOCASE,
    kind TEXT NOT NULL CHECK (kind IN ('User', 'Organization')),
    name TEXT,
    -- What everyone with a token may do in this organisation's repositories.
    base_permission TEXT NOT NULL DEFAULT 'none' CHECK (base_permission IN ('none', 'read', 'write', 'admin')),
    created_at TEXT NOT NULL
);

CREATE TABLE repositories (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    owner_id INTEGER NOT NULL REFERENCES accounts (id),
    name TEXT NOT NULL COLLATE NOCASE,
    description TEXT,
    homepage TEXT,
    private INTEGER NOT NULL DEFAULT 1,
    archived INTEGER NOT NULL DEFAULT 0,
    default_branch TEXT NOT NULL DEFAULT 'main',
    topics TEXT NOT NULL DEFAULT '[]',
    has_issues INTEGER NOT NULL DEFAULT 1,
    has_projects INTEGER NOT NULL DEFAULT 0,
    has_wiki INTEGER NOT NULL DEFAULT 0,
    delete_branch_on_merge INTEGER NOT NULL DEFAULT 0,
    next_number INTEGER NOT NULL DEFAULT 1,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    pushed_at TEXT,
    UNIQUE (owner_id, name)
);

CREATE TABLE collaborators (
    repository_id INTEGER NOT NULL REFERENCES repositories (id) ON DELETE CASCADE,
    account_id INTEGER NOT NULL REFERENCES accounts (id),
    permission TEXT NOT NULL CHECK (permission IN ('read', 'write', 'admin')),
    PRIMARY KEY (repository_id, account_id)
) WITHOUT ROWID;

-- Pull requests are issues with a branch; they share the numbers of their repository.
CREATE TABLE issues (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    repository_id INTEGER NOT NULL REFERENCES repositories (id) ON DELETE CASCADE,
    number INTEGER NOT NULL,
    is_pull INTEGER NOT NULL DEFAULT 0,
    title TEXT NOT NULL,
    body TEXT,
    state TEXT NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'closed')),
    state_reason TEXT,
    author_id INTEGER NOT NULL REFERENCES accounts (id),
    closed_by_id INTEGER REFERENCES accounts (id),
    assignees TEXT NOT NULL DEFAULT '[]',
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    closed_at TEXT,
    UNIQUE (repository_id, number)
);

CREATE TABLE pulls (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    issue_id INTEGER NOT NULL UNIQUE REFERENCES issues (id) ON DELETE CASCADE,
    head_ref TEXT NOT NULL,
    head_sha TEXT NOT NULL,
    base_ref TEXT NOT NULL,
    base_sha TEXT NOT NULL,
    draft INTEGER NOT NULL DEFAULT 0,
    merged_at TEXT,
    merged_by_id INTEGER REFERENCES accounts (id),
    merge_commit_sha TEXT
);

CREATE TABLE comments (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    issue_id INTEGER NOT NULL REFERENCES issues (id) ON DELETE CASCADE,
    author_id INTEGER NOT NULL REFERENCES accounts (id),
    body TEXT NOT NULL,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL
);
CREATE INDEX comments_of_an_issue ON comments (issue_id);

CREATE TABLE labels (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    repository_id INTEGER NOT NULL REFERENCES repositories (id) ON DELETE CASCADE,
    name TEXT NOT NULL COLLATE NOCASE,
    color TEXT NOT NULL,
    description TEXT,
    UNIQUE (repository_id, name)
);

CREATE TABLE issue_labels (
    issue_id INTEGER NOT NULL REFERENCES issues (id) ON DELETE CASCADE,
    label_id INTEGER NOT NULL REFERENCES labels (id) ON DELETE CASCADE,
    PRIMARY KEY (issue_id, label_id)
) WITHOUT ROWID;

CREATE TABLE environments (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    repository_id INTEGER NOT NULL REFERENCES repositories (id) ON DELETE CASCADE,
    name TEXT NOT NULL COLLATE NOCASE,
    protection TEXT NOT NULL DEFAULT '{}',
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    UNIQUE (repository_id, name)
);

-- environment_id 0: of the repository itself (NULL would never be a duplicate).
CREATE TABLE variables (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    repository_id INTEGER NOT NULL REFERENCES repositories (id) ON DELETE CASCADE,
    environment_id INTEGER NOT NULL DEFAULT 0,
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    UNIQUE (repository_id, environment_id, name)
);

CREATE TABLE deployments (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    repository_id INTEGER NOT NULL REFERENCES repositories (id) ON DELETE CASCADE,
    ref TEXT NOT NULL,
    sha TEXT NOT NULL,
    task TEXT NOT NULL,
    environment TEXT NOT NULL,
    description TEXT,
    payload TEXT NOT NULL DEFAULT '{}',
    transient_environment INTEGER NOT NULL DEFAULT 0,
    production_environment INTEGER NOT NULL DEFAULT 0,
    creator_id INTEGER NOT NULL REFERENCES accounts (id),
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL
);
CREATE INDEX deployments_of_a_repository ON deployments (repository_id);

CREATE TABLE deployment_statuses (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    deployment_id INTEGER NOT NULL REFERENCES deployments (id) ON DELETE CASCADE,
    state TEXT NOT NULL,
    description TEXT NOT NULL DEFAULT '',
    log_url TEXT NOT NULL DEFAULT '',
    environment_url TEXT NOT NULL DEFAULT '',
    creator_id INTEGER NOT NULL REFERENCES accounts (id),
    created_at TEXT NOT NULL
);
CREATE INDEX statuses_of_a_deployment ON deployment_statuses (deployment_id);

CREATE TABLE commit_statuses (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    repository_id INTEGER NOT NULL REFERENCES repositories (id) ON DELETE CASCADE,
    sha TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('error', 'failure', 'pending', 'success')),
    context TEXT NOT NULL,
    description TEXT,
    target_url TEXT,
    creator_id INTEGER NOT NULL REFERENCES accounts (id),
    created_at TEXT NOT NULL
);
CREATE INDEX statuses_of_a_commit ON commit_statuses (repository_id, sha);

CREATE TABLE hooks (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    repository_id INTEGER NOT NULL REFERENCES repositories (id) ON DELETE CASCADE,
    active INTEGER NOT NULL DEFAULT 1,
    events TEXT NOT NULL,
    url TEXT NOT NULL,
    content_type TEXT NOT NULL DEFAULT 'json' CHECK (content_type IN ('json', 'form')),
    secret TEXT,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL
);

CREATE TABLE deliveries (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    hook_id INTEGER NOT NULL REFERENCES hooks (id) ON DELETE CASCADE,
    guid TEXT NOT NULL,
    event TEXT NOT NULL,
    action TEXT,
    payload TEXT NOT NULL,
    traceparent TEXT,
    redelivery INTEGER NOT NULL DEFAULT 0,
    attempts INTEGER NOT NULL DEFAULT 0,
    -- Seconds since the epoch; NULL when it was delivered or given up.
    due_at REAL,
    status_code INTEGER,
    status TEXT NOT NULL DEFAULT 'pending',
    duration_seconds REAL,
    created_at TEXT NOT NULL,
    delivered_at TEXT
);
CREATE INDEX deliveries_that_are_due ON deliveries (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX deliveries_of_a_hook ON deliveries (hook_id);

-- Every change of a ref, by push or by REST. `state`: intended (the ref may or may not have moved), moved (listeners
-- must still hear of it), announced.
CREATE TABLE pushes (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    repository_id INTEGER NOT NULL REFERENCES repositories (id) ON DELETE CASCADE,
    -- One push may move many refs; this tells them apart when a record is read twice.
    source TEXT NOT NULL UNIQUE,
    ref TEXT NOT NULL,
    before_sha TEXT NOT NULL,
    after_sha TEXT NOT NULL,
    pusher_id INTEGER NOT NULL REFERENCES accounts (id),
    traceparent TEXT,
    state TEXT NOT NULL CHECK (state IN ('intended', 'moved', 'announced')),
    created_at TEXT NOT NULL
);
CREATE INDEX pushes_to_announce ON pushes (state) WHERE state != 'announced';
CREATE INDEX pushes_of_a_repository ON pushes (repository_id);
