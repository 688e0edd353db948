// The job table. A job that is taken is not gone: it becomes due again when the time it may take is over, so a worker
// that dies loses nothing. Invariants
// - An id is one job, however often it is put in.
// - Two workers never take one job at a time (FOR UPDATE SKIP LOCKED), and one that took too long can no longer end it
//   (the attempt's number is the fence).
// - What a handler writes through its `query` is committed together with the job's end, or not at all.

const COLUMNS = "id, kind, payload, attempt, max_attempts, created_at";
const MAX_ERROR_LENGTH = 500;

const toJob = (row) => ({
  id: row.id,
  kind: row.kind,
  payload: row.payload,
  attempt: row.attempt,
  maxAttempts: row.max_attempts,
  createdAt: row.created_at,
});

/** The job is another worker's by now. */
export class JobLost extends Error {
  name = "JobLost";
}

export function createJobStore(pool) {
  const end = async (query, job, assignment, ...values) => {
    const { rowCount } = await query(
      `UPDATE jobs SET ${assignment} WHERE id = $1 AND attempt = $2 AND state = 'running'`,
      [job.id, job.attempt, ...values],
    );
    return rowCount === 1;
  };

  return {
    /** Whether the job is new; one whose id is known changes nothing. */
    async add({ id, kind, payload = {}, dueAt = null, maxAttempts = 5 }) {
      const { rowCount } = await pool.query(
        `INSERT INTO jobs (id, kind, payload, due_at, max_attempts) VALUES ($1, $2, $3, coalesce($4, now()), $5)
         ON CONFLICT (id) DO NOTHING`,
        [id, kind, JSON.stringify(payload), dueAt, maxAttempts],
      );
      return rowCount === 1;
    },

    /** The job that has been due the longest, for at most `leaseSeconds`; null where there is none. */
    async take(kinds, leaseSeconds) {
      const { rows } = await pool.query(
        `UPDATE jobs SET state = 'running', attempt = attempt + 1, due_at = now() + make_interval(secs => $2)
         WHERE id = (
           SELECT id FROM jobs
           WHERE state IN ('waiting', 'running') AND due_at <= now() AND kind = ANY($1)
           ORDER BY due_at FOR UPDATE SKIP LOCKED LIMIT 1
         )
         RETURNING ${COLUMNS}`,
        [kinds, leaseSeconds],
      );
      return rows.length > 0 ? toJob(rows[0]) : null;
    },

    /** Do `work(query)` and mark the job as done, in one transaction. Throws JobLost, and then nothing was done. */
    finish(job, work, { signal } = {}) {
      return pool.transaction(async (query) => {
        await work(query);
        if (!(await end(query, job, "state = 'done', ended_at = now(), last_error = NULL"))) {
          throw new JobLost("the job took longer than it may, and another worker has it");
        }
      }, { signal });
    },

    /** Another attempt, later. */
    retry: (job, reason, delaySeconds) =>
      end(pool.query, job, "state = 'waiting', last_error = $3, due_at = now() + make_interval(secs => $4)",
        reason.slice(0, MAX_ERROR_LENGTH), delaySeconds),

    /** No attempt any more; somebody has to look at it. */
    bury: (job, reason) =>
      end(pool.query, job, "state = 'dead', last_error = $3, ended_at = now()", reason.slice(0, MAX_ERROR_LENGTH)),

    /** Not our job after all: as if it had never been taken. */
    putBack: (job) => end(pool.query, job, "state = 'waiting', attempt = attempt - 1, due_at = now()"),

    /** Forget jobs that were done long ago, and their ids with them. How many they were. */
    async forget(days) {
      const { rowCount } = await pool.query(
        "DELETE FROM jobs WHERE state = 'done' AND ended_at < now() - make_interval(days => $1)", [days],
      );
      return rowCount;
    },
  };
}
