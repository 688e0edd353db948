// Puts a job in by hand: npm run enqueue -- KIND [PAYLOAD [ID]]. The same id again changes nothing.

import { randomUUID } from "node:crypto";

import { databaseUrl } from "./config.js";
import { handlers } from "./handlers.js";
import { createJobStore } from "./jobs.js";
import { createPool } from "./postgres/pool.js";
import { migrate } from "./schema.js";

function askedFor([kind, payload = "{}", id = randomUUID()]) {
  if (!Object.hasOwn(handlers, kind ?? "")) {
    throw new Error(`KIND must be one of ${Object.keys(handlers).join(", ")}`);
  }
  return { id, kind, payload: JSON.parse(payload) };
}

async function enqueue(job) {
  const pool = createPool(databaseUrl(process.env), { size: 1 });
  try {
    await migrate(pool);
    return await createJobStore(pool).add(job);
  } finally {
    pool.close();
  }
}

try {
  const job = askedFor(process.argv.slice(2));
  const isNew = await enqueue(job);
  process.stdout.write(`${JSON.stringify({ id: job.id, new: isNew })}\n`);
} catch (error) {
  process.stderr.write(`${error.message}\n`);
  process.exitCode = 1;
}
