-- What each environment takes of its team's quota, from the claim of its request until its life is over.
CREATE TABLE places (
    incarnation    uuid           PRIMARY KEY,
    environment    text           NOT NULL,
    team           text           NOT NULL,
    repository     text           NOT NULL,
    kind           text           NOT NULL,
    cost_per_month numeric(14, 2) NOT NULL,
    taken_at       timestamptz    NOT NULL DEFAULT now()
);

CREATE INDEX places_of_team ON places (team, environment);
CREATE INDEX places_of_repository ON places (repository, environment) WHERE kind = 'preview';

-- Keeps a request and takes its place, both or none, in one round trip.
--
-- Whoever counts holds the advisory lock of what is counted until the end of the transaction, so nobody counts what
-- another one is about to take. Each statement of a plpgsql function sees what was committed before it began, so the
-- count comes after the lock. Locks are taken in one order (team, repository), so nobody waits in a circle.
--
-- Two requests for one name count once: one of them will be refused for it.
CREATE FUNCTION claim_request(
    p_id uuid, p_principal text, p_key text, p_fingerprint bytea, p_operation text, p_event_id uuid,
    p_incarnation uuid, p_environment text, p_visible_teams text[], p_asked jsonb, p_traceparent text,
    p_requested_at timestamptz, p_run_id uuid,
    p_team text, p_repository text, p_kind text, p_cost numeric,
    p_most_environments int, p_most_previews int, p_most_cost numeric,
    OUT outcome text, OUT used numeric
) LANGUAGE plpgsql AS $$
DECLARE
    before numeric;
BEGIN
    IF p_most_environments IS NOT NULL OR p_most_cost IS NOT NULL THEN
        PERFORM pg_advisory_xact_lock(hashtextextended('team ' || p_team, 0));
    END IF;
    IF p_most_previews IS NOT NULL THEN
        PERFORM pg_advisory_xact_lock(hashtextextended('repository ' || p_repository, 0));
    END IF;
    outcome := 'taken';
    IF p_most_environments IS NOT NULL OR p_most_cost IS NOT NULL OR p_most_previews IS NOT NULL THEN
        IF EXISTS (SELECT FROM requests WHERE principal = p_principal AND idempotency_key = p_key) THEN
            RETURN;
        END IF;
    END IF;
    IF p_most_environments IS NOT NULL THEN
        SELECT count(DISTINCT environment) INTO used FROM places
            WHERE team = p_team AND environment <> p_environment;
        IF used >= p_most_environments THEN
            outcome := 'environments';
            RETURN;
        END IF;
    END IF;
    IF p_most_previews IS NOT NULL THEN
        SELECT count(DISTINCT environment) INTO used FROM places
            WHERE repository = p_repository AND kind = 'preview' AND environment <> p_environment;
        IF used >= p_most_previews THEN
            outcome := 'previews_of_repository';
            RETURN;
        END IF;
    END IF;
    IF p_most_cost IS NOT NULL THEN
        SELECT coalesce(sum(most), 0) INTO used FROM (
            SELECT max(cost_per_month) AS most FROM places
                WHERE team = p_team AND environment <> p_environment GROUP BY environment
        ) AS others;
        SELECT max(cost_per_month) INTO before FROM places WHERE incarnation = p_incarnation;
        -- What becomes cheaper is never refused.
        IF used + p_cost > p_most_cost AND (before IS NULL OR p_cost > before) THEN
            outcome := 'cost_per_month';
            RETURN;
        END IF;
    END IF;
    INSERT INTO requests (id, principal, idempotency_key, fingerprint, operation, event_id, incarnation, environment,
                          visible_teams, asked, traceparent, requested_at, run_id)
        VALUES (p_id, p_principal, p_key, p_fingerprint, p_operation, p_event_id, p_incarnation, p_environment,
                p_visible_teams, p_asked, p_traceparent, p_requested_at, p_run_id)
        ON CONFLICT (principal, idempotency_key) DO NOTHING;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    IF p_team IS NOT NULL THEN
        INSERT INTO places (incarnation, environment, team, repository, kind, cost_per_month)
            VALUES (p_incarnation, p_environment, p_team, p_repository, p_kind, p_cost)
            ON CONFLICT (incarnation) DO UPDATE SET cost_per_month = excluded.cost_per_month;
    END IF;
    outcome := 'claimed';
END
$$;
