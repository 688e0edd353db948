-- Rollouts of a golden path's version, and how far each environment of them has come.
CREATE TABLE rollouts (
    id                    uuid        PRIMARY KEY,
    fingerprint           bytea       NOT NULL,
    golden_path           text        NOT NULL,
    version               text        NOT NULL,
    requested_by          text        NOT NULL,
    requested_at          timestamptz NOT NULL,
    canaries              int         NOT NULL,
    batch_size            int         NOT NULL,
    kinds                 text[],
    include_replacing     boolean     NOT NULL,
    pause_after_rehearsal boolean     NOT NULL,
    rehearse_only         boolean     NOT NULL,
    status                text        NOT NULL CHECK (status IN ('running', 'paused', 'stopped', 'done', 'cancelled')),
    phase                 text        NOT NULL CHECK (phase IN ('rehearsal', 'canaries', 'batches')),
    reason                text        NOT NULL,
    ended_at              timestamptz,
    revision              int         NOT NULL DEFAULT 0, -- counts changes: one is stored only over what it was made from
    driver                uuid,                           -- the replica that does its next step, and until when
    driven_until          timestamptz
);

-- One at a time for each golden path.
CREATE UNIQUE INDEX rollouts_under_way ON rollouts (golden_path) WHERE ended_at IS NULL;
CREATE INDEX rollouts_newest ON rollouts (requested_at DESC, id);

CREATE TABLE rollout_members (
    rollout_id     uuid   NOT NULL REFERENCES rollouts,
    environment    text   NOT NULL,
    incarnation    uuid   NOT NULL,
    team           text   NOT NULL,
    kind           text   NOT NULL,
    version_before text   NOT NULL,
    state          text   NOT NULL CHECK (state IN ('pending', 'begun', 'upgraded', 'failed', 'held', 'skipped')),
    rehearsal      jsonb,
    batch          int,
    attempt        int    NOT NULL,
    rehearsals     int    NOT NULL,
    run_id         uuid,
    reason         text   NOT NULL,
    waiting_since  timestamptz,
    begun_at       timestamptz,
    ended_at       timestamptz,
    PRIMARY KEY (rollout_id, environment)
);
