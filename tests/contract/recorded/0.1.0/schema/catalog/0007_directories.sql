-- A repository may hold several applications, each in a directory: those are no twins of each other.
ALTER TABLE directory ADD COLUMN path text COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE directory_twins ADD COLUMN path text COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE directory_twins DROP CONSTRAINT directory_twins_pkey, ADD PRIMARY KEY (repository, branch, kind, path);
DROP INDEX directory_twins_many;
CREATE INDEX directory_twins_many ON directory_twins (repository, branch, kind, path) WHERE n > 1;

CREATE OR REPLACE FUNCTION count_inserted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO directory_counts AS c
    SELECT team, kind, golden_path, state, running, deployment, count(*) FROM added
    GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY 1, 2, 3, 4, 5, 6
    ON CONFLICT (team, kind, golden_path, state, running, deployment) DO UPDATE SET n = c.n + EXCLUDED.n;
    INSERT INTO directory_twins AS t (repository, branch, kind, path, n)
    SELECT repository, branch, kind, path, count(*) FROM added WHERE state <> 'deleted'
    GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4
    ON CONFLICT (repository, branch, kind, path) DO UPDATE SET n = t.n + EXCLUDED.n;
    RETURN NULL;
END
$$;
CREATE OR REPLACE FUNCTION count_updated() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO directory_counts AS c
    SELECT team, kind, golden_path, state, running, deployment, sum(change) FROM (
        SELECT team, kind, golden_path, state, running, deployment, 1 AS change FROM after
        UNION ALL SELECT team, kind, golden_path, state, running, deployment, -1 FROM before
    ) AS changes
    GROUP BY 1, 2, 3, 4, 5, 6 HAVING sum(change) <> 0 ORDER BY 1, 2, 3, 4, 5, 6
    ON CONFLICT (team, kind, golden_path, state, running, deployment) DO UPDATE SET n = c.n + EXCLUDED.n;
    INSERT INTO directory_twins AS t (repository, branch, kind, path, n)
    SELECT repository, branch, kind, path, sum(change) FROM (
        SELECT repository, branch, kind, path, 1 AS change FROM after WHERE state <> 'deleted'
        UNION ALL SELECT repository, branch, kind, path, -1 FROM before WHERE state <> 'deleted'
    ) AS changes
    GROUP BY 1, 2, 3, 4 HAVING sum(change) <> 0 ORDER BY 1, 2, 3, 4
    ON CONFLICT (repository, branch, kind, path) DO UPDATE SET n = t.n + EXCLUDED.n;
    RETURN NULL;
END
$$;
