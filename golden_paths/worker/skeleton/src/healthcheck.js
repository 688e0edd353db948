// Exits with 0 while the worker's heartbeat is fresh, with 1 and a reason when it is not.

import { statSync } from "node:fs";

import { INTERVAL_SECONDS } from "./heartbeat.js";

const MAX_AGE_SECONDS = 6 * INTERVAL_SECONDS;

function problem(file) {
  if (!file) {
    return "HEARTBEAT_FILE is not set";
  }
  const found = statSync(file, { throwIfNoEntry: false });
  if (!found) {
    return "there is no heartbeat";
  }
  const age = (Date.now() - found.mtimeMs) / 1000;
  return age > MAX_AGE_SECONDS ? `the last heartbeat was ${Math.round(age)} seconds ago` : null;
}

const reason = problem(process.env.HEARTBEAT_FILE);
if (reason) {
  process.stderr.write(`${reason}\n`);
  process.exitCode = 1;
}
