-- One row for each event and channel; the states are explained in the service's README.
CREATE TABLE sent (
    event_id uuid NOT NULL,
    channel text NOT NULL,
    event_kind text NOT NULL,
    environment text NOT NULL,
    state text NOT NULL CHECK (state IN ('sending', 'unsent', 'sent', 'stale')),
    attempts integer NOT NULL DEFAULT 0,
    ts text,
    first_begun_at timestamptz,
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (event_id, channel),
    CHECK ((state = 'sent') = (ts IS NOT NULL))
);
CREATE INDEX sent_of_environment ON sent (environment, updated_at DESC);
