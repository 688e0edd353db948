-- Accepted asks for runs. A row is written before its event is published; it is confirmed when the catalog has the
-- event. Rows are kept: they are the record of who asked for what, and what an idempotency key answers.
CREATE TABLE requests (
    id              uuid        PRIMARY KEY, -- the cause: the event's id follows from it
    principal       text        NOT NULL,
    idempotency_key text        NOT NULL,
    fingerprint     bytea       NOT NULL,
    operation       text        NOT NULL CHECK (operation IN ('create', 'delete')),
    event_id        uuid        NOT NULL UNIQUE,
    incarnation     uuid        NOT NULL,
    environment     text        NOT NULL,
    visible_teams   text[],
    asked           jsonb       NOT NULL,
    traceparent     text,
    requested_at    timestamptz NOT NULL,
    state           text        NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'accepted', 'refused')),
    sequence        bigint,
    refusal         jsonb,
    confirmed_at    timestamptz,
    UNIQUE (principal, idempotency_key),
    CHECK ((state = 'refused') = (refusal IS NOT NULL)),
    CHECK (state <> 'accepted' OR sequence IS NOT NULL)
);

-- What still needs care, and what a reader must be able to see: always few rows.
CREATE INDEX requests_unconfirmed ON requests (requested_at) WHERE confirmed_at IS NULL AND state <> 'refused';
CREATE INDEX requests_unconfirmed_of_environment ON requests (environment)
    WHERE confirmed_at IS NULL AND state = 'accepted';

CREATE TABLE tokens (
    id         text        PRIMARY KEY,
    digest     bytea       NOT NULL CHECK (octet_length(digest) = 32), -- SHA-256 of the token; never the token
    name       text        NOT NULL,
    person     text        NOT NULL,
    role       text        NOT NULL CHECK (role IN ('viewer', 'developer', 'admin')),
    teams      text[]      NOT NULL,
    created_at timestamptz NOT NULL,
    created_by text        NOT NULL,
    expires_at timestamptz,
    revoked_at timestamptz
);

CREATE INDEX tokens_of_person ON tokens (person, created_at DESC);
