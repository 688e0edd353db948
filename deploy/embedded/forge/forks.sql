-- Version 3: forks, and hooks of organisations.
ALTER TABLE repositories ADD COLUMN parent_id INTEGER REFERENCES repositories (id) ON DELETE SET NULL;
-- 0: the repository itself. The number of a fork that is gone stays: it is nobody else's.
ALTER TABLE pulls ADD COLUMN head_repository_id INTEGER NOT NULL DEFAULT 0;

CREATE TABLE organisation_hooks (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    owner_id INTEGER NOT NULL REFERENCES accounts (id),
    active INTEGER NOT NULL DEFAULT 1,
    events TEXT NOT NULL,
    url TEXT NOT NULL,
    content_type TEXT NOT NULL DEFAULT 'json' CHECK (content_type IN ('json', 'form')),
    secret TEXT,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL
);

-- A hook of an organisation has a row among the hooks of each repository in which something has happened since.
ALTER TABLE hooks ADD COLUMN organisation_hook_id INTEGER REFERENCES organisation_hooks (id) ON DELETE CASCADE;
CREATE UNIQUE INDEX hooks_of_an_organisation ON hooks (repository_id, organisation_hook_id);
