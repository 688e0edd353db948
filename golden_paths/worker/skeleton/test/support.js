// What several tests use: a log that remembers, waiting for a condition, the job store in memory, a schema of one's
// own in a real database.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";

import { JobLost } from "../src/jobs.js";
import { createLogger } from "../src/logger.js";
import { connect } from "../src/postgres/connection.js";

export async function until(condition, seconds = 10) {
  const deadline = Date.now() + seconds * 1000;
  while (!(await condition())) {
    assert.ok(Date.now() < deadline, `the condition did not come true within ${seconds} seconds`);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

export function rememberingLog() {
  const lines = [];
  const log = createLogger({ level: "debug", write: (line) => lines.push(JSON.parse(line)) });
  return { lines, log, said: (message) => lines.filter((line) => line.message === message) };
}

/** The store's promises without a database. `clock.ms` is now. */
export function createMemoryStore(clock = { ms: 0 }) {
  const jobs = new Map();
  const end = (job, change) => {
    const found = jobs.get(job.id);
    const ours = found?.state === "running" && found.attempt === job.attempt;
    if (ours) {
      Object.assign(found, change);
    }
    return ours;
  };
  const toJob = ({ id, kind, payload, attempt, maxAttempts }) => ({ id, kind, payload, attempt, maxAttempts });
  return {
    clock,
    find: async (id) => jobs.get(id) ?? null,
    pass: async (seconds) => { clock.ms += seconds * 1000; },
    async add({ id, kind, payload = {}, dueAt = null, maxAttempts = 5 }) {
      const isNew = !jobs.has(id);
      if (isNew) {
        const dueMs = dueAt ? dueAt.getTime() : clock.ms;
        jobs.set(id, { id, kind, payload, maxAttempts, dueMs, state: "waiting", attempt: 0, lastError: null });
      }
      return isNew;
    },
    async take(kinds, leaseSeconds) {
      const due = [...jobs.values()]
        .filter(({ state, kind, dueMs }) => ["waiting", "running"].includes(state) && kinds.includes(kind) && dueMs <= clock.ms)
        .sort((a, b) => a.dueMs - b.dueMs);
      if (due.length === 0) {
        return null;
      }
      Object.assign(due[0], { state: "running", attempt: due[0].attempt + 1, dueMs: clock.ms + leaseSeconds * 1000 });
      return toJob(due[0]);
    },
    async finish(job, work, { signal } = {}) {
      const aborted = new Promise((_, reject) => {
        signal?.addEventListener("abort", () => reject(signal.reason), { once: true });
      });
      await Promise.race([work(async () => ({ rows: [], rowCount: 0 })), aborted]);
      if (!end(job, { state: "done", endedMs: clock.ms, lastError: null })) {
        throw new JobLost("another worker has it");
      }
    },
    retry: async (job, reason, delaySeconds) =>
      end(job, { state: "waiting", lastError: reason, dueMs: clock.ms + delaySeconds * 1000 }),
    bury: async (job, reason) => end(job, { state: "dead", lastError: reason, endedMs: clock.ms }),
    putBack: async (job) => end(job, { state: "waiting", attempt: job.attempt - 1, dueMs: clock.ms }),
    async forget(days) {
      const old = [...jobs.values()].filter((job) => job.state === "done" && job.endedMs < clock.ms - days * 86_400_000);
      old.forEach((job) => jobs.delete(job.id));
      return old.length;
    },
  };
}

export const DATABASE_URL = process.env.TEST_DATABASE_URL;
/** For tests of the real thing: `TEST_DATABASE_URL=postgresql://… npm test` runs them. */
export const needsDatabase = DATABASE_URL ? {} : { skip: "TEST_DATABASE_URL names no database to test with" };

/** A new schema, the URL that works in it, and a connection to look at it with. */
export async function ownSchema() {
  const name = `test_${randomBytes(8).toString("hex")}`;
  const url = new URL(DATABASE_URL);
  url.searchParams.set("options", `-c search_path=${name}`);
  const connection = await connect(url);
  await connection.query(`CREATE SCHEMA ${name}`);
  return {
    name,
    url,
    connection,
    async drop() {
      await connection.query(`DROP SCHEMA ${name} CASCADE`);
      connection.close();
    },
  };
}
