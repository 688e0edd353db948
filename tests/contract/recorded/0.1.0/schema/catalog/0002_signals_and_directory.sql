-- The copy of the stream of facts, what follows from it, and the directory in which environments are found.

-- Every message of the stream `SIGNALS`, as `events` has those of the log.
CREATE TABLE signals (
    sequence    bigint PRIMARY KEY,   -- of the stream
    subject     bytea  NOT NULL,
    body        bytea  NOT NULL,
    hash        bytea  NOT NULL,      -- chained like that of `events`
    rejection   text,                 -- why the message is not believed; null for a fact
    signal_id   uuid,
    environment text,                 -- null where a fact is about the platform
    incarnation uuid,                 -- the life that it counts for
    kind        text,
    time        timestamptz,
    CHECK (rejection IS NOT NULL OR num_nulls(signal_id, kind, time) = 0)
);
CREATE UNIQUE INDEX signals_signal_id ON signals (signal_id) WHERE rejection IS NULL;
CREATE INDEX signals_environment ON signals (environment, kind, time) WHERE rejection IS NULL;
CREATE INDEX signals_kind ON signals (kind, time) WHERE rejection IS NULL;
CREATE INDEX signals_rejected ON signals (sequence) WHERE rejection IS NOT NULL;

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON signals
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
REVOKE UPDATE, DELETE, TRUNCATE ON signals FROM CURRENT_USER;

CREATE TABLE signal_position (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    sequence bigint  NOT NULL,
    hash     bytea   NOT NULL
) WITH (fillfactor = 10);
INSERT INTO signal_position (sequence, hash) VALUES (0, '');

-- services.catalog.domain.signals.Facts of an environment's present life; of an earlier one they mean nothing.
CREATE TABLE facts (
    name        text PRIMARY KEY COLLATE "C",
    incarnation uuid NOT NULL,
    document    json NOT NULL
) WITH (fillfactor = 70);

-- What environments are found by: services.catalog.domain.finding.Entry, which the fold of the log writes when it
-- changes, and beside it what the fold of the signals knows. Rows are narrow, and written seldom, so that there may be
-- many indexes; the views themselves stay in `environments`.
CREATE TABLE directory (
    name             text PRIMARY KEY COLLATE "C",
    incarnation      uuid             NOT NULL,
    team             text COLLATE "C" NOT NULL,
    person           text COLLATE "C" NOT NULL,
    kind             text COLLATE "C" NOT NULL,
    golden_path      text COLLATE "C" NOT NULL,
    state            text COLLATE "C" NOT NULL,
    repository       text COLLATE "C" NOT NULL,
    branch           text COLLATE "C" NOT NULL,
    created_at       timestamptz      NOT NULL,
    updated_at       timestamptz      NOT NULL,
    expires_at       timestamptz      NOT NULL,   -- 'infinity' where there is no end
    last_activity_at timestamptz      NOT NULL,
    cost_per_month   double precision NOT NULL,
    grantees         text[] COLLATE "C" NOT NULL, -- person:<name>, team:<name>
    depends_on       text[] COLLATE "C" NOT NULL,
    running          text COLLATE "C" NOT NULL DEFAULT 'unknown',
    deployment       text COLLATE "C" NOT NULL DEFAULT 'none'
);

-- Every three letters in a row that a name has: a part of a name is found by those in it.
CREATE FUNCTION name_grams(name text) RETURNS text[] LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN ARRAY(SELECT DISTINCT substr(name, i, 3) FROM generate_series(1, length(name) - 2) AS i);

-- Nobody lists what is gone unless they ask for it, and most of what ever was is gone.
CREATE INDEX directory_name ON directory (name) WHERE state <> 'deleted';
CREATE INDEX directory_team ON directory (team, name) WHERE state <> 'deleted';
CREATE INDEX directory_team_ever ON directory (team, name);
CREATE INDEX directory_team_created ON directory (team, created_at, name) WHERE state <> 'deleted';
CREATE INDEX directory_team_updated ON directory (team, updated_at, name) WHERE state <> 'deleted';
CREATE INDEX directory_team_expires ON directory (team, expires_at, name) WHERE state <> 'deleted';
CREATE INDEX directory_team_cost ON directory (team, cost_per_month, name) WHERE state <> 'deleted';
CREATE INDEX directory_person ON directory (person, name) WHERE state <> 'deleted';
CREATE INDEX directory_kind ON directory (kind, name) WHERE state <> 'deleted';
CREATE INDEX directory_golden_path ON directory (golden_path, name) WHERE state <> 'deleted';
CREATE INDEX directory_state ON directory (state, name);
CREATE INDEX directory_running ON directory (running, name) WHERE state <> 'deleted';
CREATE INDEX directory_deployment ON directory (deployment, name) WHERE state <> 'deleted';
CREATE INDEX directory_repository ON directory (repository, branch, kind, name) WHERE state <> 'deleted';
CREATE INDEX directory_branch ON directory (branch, name) WHERE state <> 'deleted';
CREATE INDEX directory_created ON directory (created_at, name) WHERE state <> 'deleted';
CREATE INDEX directory_updated ON directory (updated_at, name) WHERE state <> 'deleted';
CREATE INDEX directory_expires ON directory (expires_at, name) WHERE state <> 'deleted';
CREATE INDEX directory_cost ON directory (cost_per_month, name) WHERE state <> 'deleted';
CREATE INDEX directory_activity ON directory (last_activity_at, name)
    WHERE state = 'ready' AND kind IN ('preview', 'staging');
CREATE INDEX directory_team_activity ON directory (team, last_activity_at, name)
    WHERE state = 'ready' AND kind IN ('preview', 'staging');
CREATE INDEX directory_grams ON directory USING gin (name_grams(name)) WHERE state <> 'deleted';
CREATE INDEX directory_grantees ON directory USING gin (grantees) WHERE grantees <> '{}';
CREATE INDEX directory_depends_on ON directory USING gin (depends_on) WHERE depends_on <> '{}';

-- How many there are of each combination: what totals and facets are added up from.
CREATE TABLE directory_counts (
    team        text COLLATE "C" NOT NULL,
    kind        text COLLATE "C" NOT NULL,
    golden_path text COLLATE "C" NOT NULL,
    state       text COLLATE "C" NOT NULL,
    running     text COLLATE "C" NOT NULL,
    deployment  text COLLATE "C" NOT NULL,
    n           bigint           NOT NULL,
    PRIMARY KEY (team, kind, golden_path, state, running, deployment)
) WITH (fillfactor = 50);

-- How many live environments of one kind there are of a branch.
CREATE TABLE directory_twins (
    repository text COLLATE "C" NOT NULL,
    branch     text COLLATE "C" NOT NULL,
    kind       text COLLATE "C" NOT NULL,
    n          bigint           NOT NULL,
    PRIMARY KEY (repository, branch, kind)
) WITH (fillfactor = 70);
CREATE INDEX directory_twins_many ON directory_twins (repository, branch, kind) WHERE n > 1;

-- In the transaction that changes the directory. Rows are locked in one order, whoever counts.
CREATE FUNCTION count_inserted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO directory_counts AS c
    SELECT team, kind, golden_path, state, running, deployment, count(*) FROM added
    GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY 1, 2, 3, 4, 5, 6
    ON CONFLICT (team, kind, golden_path, state, running, deployment) DO UPDATE SET n = c.n + EXCLUDED.n;
    INSERT INTO directory_twins AS t
    SELECT repository, branch, kind, count(*) FROM added WHERE state <> 'deleted'
    GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
    ON CONFLICT (repository, branch, kind) DO UPDATE SET n = t.n + EXCLUDED.n;
    RETURN NULL;
END
$$;
CREATE FUNCTION count_updated() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO directory_counts AS c
    SELECT team, kind, golden_path, state, running, deployment, sum(change) FROM (
        SELECT team, kind, golden_path, state, running, deployment, 1 AS change FROM after
        UNION ALL SELECT team, kind, golden_path, state, running, deployment, -1 FROM before
    ) AS changes
    GROUP BY 1, 2, 3, 4, 5, 6 HAVING sum(change) <> 0 ORDER BY 1, 2, 3, 4, 5, 6
    ON CONFLICT (team, kind, golden_path, state, running, deployment) DO UPDATE SET n = c.n + EXCLUDED.n;
    INSERT INTO directory_twins AS t
    SELECT repository, branch, kind, sum(change) FROM (
        SELECT repository, branch, kind, 1 AS change FROM after WHERE state <> 'deleted'
        UNION ALL SELECT repository, branch, kind, -1 FROM before WHERE state <> 'deleted'
    ) AS changes
    GROUP BY 1, 2, 3 HAVING sum(change) <> 0 ORDER BY 1, 2, 3
    ON CONFLICT (repository, branch, kind) DO UPDATE SET n = t.n + EXCLUDED.n;
    RETURN NULL;
END
$$;
CREATE TRIGGER counted_inserted AFTER INSERT ON directory REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION count_inserted();
CREATE TRIGGER counted_updated AFTER UPDATE ON directory REFERENCING OLD TABLE AS before NEW TABLE AS after
    FOR EACH STATEMENT EXECUTE FUNCTION count_updated();

DROP INDEX environments_team;
CREATE INDEX runs_team ON runs (team, sequence);
