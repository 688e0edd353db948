-- Subscriptions to webhooks and what each was sent. Secrets are not kept: they follow from the platform's key, the id and
-- the generation. `team` of `sent` is empty for what was sent before teams were noted.
CREATE TABLE webhooks (
    id uuid PRIMARY KEY,
    team text NOT NULL,
    url text NOT NULL,
    kinds text[] NOT NULL,
    environment text,
    golden_path text,
    description text NOT NULL,
    state text NOT NULL CHECK (state IN ('active', 'paused', 'disabled')),
    state_reason text NOT NULL DEFAULT '',
    generation integer NOT NULL DEFAULT 1,
    rotated_at timestamptz,
    created_by text NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    failing_since timestamptz,
    delivered_at timestamptz,
    disabled_at timestamptz,
    told_at timestamptz
);
CREATE INDEX webhooks_of_team ON webhooks (team);

CREATE TABLE webhook_deliveries (
    id uuid PRIMARY KEY,
    webhook_id uuid NOT NULL REFERENCES webhooks (id) ON DELETE CASCADE,
    event_id uuid NOT NULL,
    kind text NOT NULL,
    environment text,
    team text NOT NULL,
    target text NOT NULL,
    body bytea NOT NULL,
    traceparent text,
    state text NOT NULL CHECK (state IN ('waiting', 'delivered', 'failed')),
    created_at timestamptz NOT NULL,
    attempts jsonb NOT NULL DEFAULT '[]',
    attempt_count integer NOT NULL DEFAULT 0,
    tries integer NOT NULL DEFAULT 0,
    next_attempt_at timestamptz,
    leased_until timestamptz,
    UNIQUE (webhook_id, event_id),
    CHECK ((state = 'waiting') = (next_attempt_at IS NOT NULL))
);
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (webhook_id, next_attempt_at) WHERE state = 'waiting';
CREATE INDEX webhook_deliveries_newest ON webhook_deliveries (webhook_id, created_at DESC, id DESC);
CREATE INDEX webhook_deliveries_of_team ON webhook_deliveries (team, created_at DESC);
CREATE INDEX webhook_deliveries_over ON webhook_deliveries (created_at) WHERE state <> 'waiting';

ALTER TABLE sent ADD COLUMN team text NOT NULL DEFAULT '';
CREATE INDEX sent_of_team ON sent (team, (coalesce(first_begun_at, updated_at)) DESC);
