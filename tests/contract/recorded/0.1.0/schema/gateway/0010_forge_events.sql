-- What GitHub told, as far as it counts: kept before it is answered, done afterwards. What is done is kept for a month,
-- so that a delivery that comes again says nothing new.
CREATE TABLE forge_events (
    position bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    delivery text        NOT NULL UNIQUE,
    line     text        NOT NULL, -- what it is about; of each line the oldest is done first
    told     jsonb       NOT NULL,
    heard_at timestamptz NOT NULL DEFAULT now(),
    due_at   timestamptz NOT NULL DEFAULT now(),
    done_at  timestamptz
);

CREATE INDEX forge_events_to_do ON forge_events (line, position) WHERE done_at IS NULL;
CREATE INDEX forge_events_by_age ON forge_events (heard_at);

-- Pull requests as they were told of last: a comment names only a number.
CREATE TABLE pull_requests (
    repository text        NOT NULL, -- in lower case
    number     int         NOT NULL,
    told       jsonb       NOT NULL,
    changed_at timestamptz NOT NULL,
    PRIMARY KEY (repository, number)
);
