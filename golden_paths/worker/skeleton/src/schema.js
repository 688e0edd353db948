// The tables, as a list of steps that only grows: step 1 is for ever step 1. Every start brings the database up to the
// last step; copies that start at once take turns.

import { migrations } from "./handlers.js";

const JOBS = [
  `CREATE TABLE jobs (
    id text PRIMARY KEY CHECK (length(id) BETWEEN 1 AND 200),
    kind text NOT NULL,
    payload jsonb NOT NULL DEFAULT '{}',
    state text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'running', 'done', 'dead')),
    attempt integer NOT NULL DEFAULT 0,
    max_attempts integer NOT NULL DEFAULT 5 CHECK (max_attempts BETWEEN 1 AND 100),
    due_at timestamptz NOT NULL DEFAULT now(),
    last_error text,
    created_at timestamptz NOT NULL DEFAULT now(),
    ended_at timestamptz
  )`,
  "CREATE INDEX jobs_due ON jobs (due_at) WHERE state IN ('waiting', 'running')",
  "CREATE INDEX jobs_ended ON jobs (ended_at) WHERE ended_at IS NOT NULL",
];

export async function migrate(pool, lists = { jobs: JOBS, application: migrations }) {
  await pool.transaction(async (query) => {
    // The lock is the schema's own: other environments share the database.
    await query("SELECT pg_advisory_xact_lock(hashtextextended(current_schema() || '.migrations', 0))");
    await query("CREATE TABLE IF NOT EXISTS migrations (list text, step integer, PRIMARY KEY (list, step))");
    for (const [list, steps] of Object.entries(lists)) {
      const { rows } = await query("SELECT coalesce(max(step), 0) AS step FROM migrations WHERE list = $1", [list]);
      for (let step = rows[0].step; step < steps.length; step += 1) {
        await query(steps[step]);
        await query("INSERT INTO migrations (list, step) VALUES ($1, $2)", [list, step + 1]);
      }
    }
  });
}
