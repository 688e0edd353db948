// Your work begins here. A handler gets { id, payload, attempt, query, signal, log } and is done when it returns.
//
// It may run more than once for one job: a worker can die at any moment. What it writes through `query` is committed
// together with the job's end, so that happens once. For everything outside the database, hand on the job's `id` as
// the idempotency key, or look first. Stop when `signal` aborts. An error means another attempt, later and later; a
// PermanentError means that no attempt can help.

export class PermanentError extends Error {
  name = "PermanentError";
}

export const handlers = {
  greet: async ({ id, payload, query, log }) => {
    if (typeof payload.name !== "string" || payload.name.trim() === "") {
      throw new PermanentError("`name` must be a string that is not empty");
    }
    await query("INSERT INTO greetings (job_id, text) VALUES ($1, $2)", [id, `Hello, ${payload.name.trim()}!`]);
    log.info("greeting made", { length: payload.name.trim().length });
  },
};

/** Your tables: SQL statements that are carried out once each, in this order. Add at the end, and change none. */
export const migrations = [
  "CREATE TABLE greetings (job_id text PRIMARY KEY, text text NOT NULL, made_at timestamptz NOT NULL DEFAULT now())",
];
