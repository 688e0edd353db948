-- Deliveries of webhooks that were heard, so that a repetition says nothing new. A month is longer than any sender tries.
CREATE TABLE deliveries (
    id       text        PRIMARY KEY,
    heard_at timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX deliveries_by_age ON deliveries (heard_at);
