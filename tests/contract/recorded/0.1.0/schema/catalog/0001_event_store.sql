-- The catalog's event store, the views folded from it, and what has to be said because of them.

-- Every message of the log, in its order, with its original bytes. Nothing here is ever changed or removed.
CREATE TABLE events (
    sequence    bigint PRIMARY KEY,   -- of the stream
    subject     bytea  NOT NULL,      -- the bus lets bytes through that are no text
    body        bytea  NOT NULL,
    hash        bytea  NOT NULL,      -- sha256(hash before || sequence, 8 bytes big-endian || subject || 0 || body)
    rejection   text,                 -- why the message is not believed; null for an event
    event_id    uuid,
    environment text,
    version     int,                  -- counts the events of an environment, without a gap
    kind        text,
    run_id      uuid,
    time        timestamptz,
    CHECK ((version IS NULL) = (rejection IS NOT NULL)),
    CHECK (version IS NULL OR num_nulls(event_id, environment, kind, run_id, time) = 0)
);
CREATE UNIQUE INDEX events_event_id ON events (event_id) WHERE version IS NOT NULL;
CREATE UNIQUE INDEX events_version ON events (environment, version) WHERE version IS NOT NULL;
CREATE INDEX events_rejected ON events (sequence) WHERE rejection IS NOT NULL;

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the event store is append-only' USING ERRCODE = 'insufficient_privilege';
END
$$;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON events
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
REVOKE UPDATE, DELETE, TRUNCATE ON events FROM CURRENT_USER;

-- How far the copy reaches: one row, whose lock puts replicas in order.
CREATE TABLE log_position (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    sequence bigint  NOT NULL,
    hash     bytea   NOT NULL         -- of the last record
) WITH (fillfactor = 10);             -- leaves room for updates in place
INSERT INTO log_position (sequence, hash) VALUES (0, '');

-- contracts.queries.EnvironmentView by name, with what it is found by.
CREATE TABLE environments (
    name         text PRIMARY KEY COLLATE "C",
    team         text        NOT NULL,
    state        text        NOT NULL,
    golden_path  text        NOT NULL,
    run_id       uuid        NOT NULL,
    requested_at timestamptz NOT NULL,
    sequence     bigint      NOT NULL,
    document     json        NOT NULL
) WITH (fillfactor = 70);
CREATE INDEX environments_team ON environments (team, name);

-- contracts.queries.RunView by id, with what it is found by.
CREATE TABLE runs (
    id           uuid PRIMARY KEY,
    environment  text        NOT NULL,
    team         text        NOT NULL,
    golden_path  text        NOT NULL,
    state        text        NOT NULL,
    requested_at timestamptz NOT NULL,
    ended_at     timestamptz,
    stalled      boolean     NOT NULL,
    sequence     bigint      NOT NULL, -- of the run's last event
    moved_at     timestamptz NOT NULL DEFAULT now(), -- by this database's clock, which decides that a run has stalled
    infrastructure_seconds double precision, -- these four only of successful creations
    secrets_seconds        double precision,
    pipeline_seconds       double precision,
    total_seconds          double precision,
    document     json        NOT NULL
);
CREATE INDEX runs_sequence ON runs (sequence);
CREATE INDEX runs_environment ON runs (environment, sequence);
CREATE INDEX runs_open ON runs (moved_at) WHERE ended_at IS NULL AND NOT stalled;
CREATE INDEX runs_durations ON runs (golden_path, ended_at) WHERE total_seconds IS NOT NULL;

-- What has to be said. A row counts as said when its event is in `events`, and is dropped then; there is no flag that
-- could lie.
CREATE TABLE decisions (
    event_id       uuid PRIMARY KEY,
    cause_sequence bigint      NOT NULL,
    run_id         uuid        NOT NULL,
    kind           text        NOT NULL,
    subject        text        NOT NULL,
    body           bytea       NOT NULL,
    decided_at     timestamptz NOT NULL DEFAULT now()
);

-- Rejected messages whose dead letter is on the bus.
CREATE TABLE laid_aside (
    sequence bigint PRIMARY KEY,
    at       timestamptz NOT NULL DEFAULT now()
);
