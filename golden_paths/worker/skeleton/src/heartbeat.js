// A file that is written again and again for as long as the worker gets on with its work. Whoever looks after the
// process reads its age (`src/healthcheck.js`), which needs no port.

import { writeFileSync } from "node:fs";

export const INTERVAL_SECONDS = 5;

/** @param {() => boolean} isAlive no beat while it says false */
export function startHeartbeat(file, isAlive, { intervalSeconds = INTERVAL_SECONDS, log }) {
  const beat = () => {
    if (isAlive()) {
      try {
        writeFileSync(file, `${JSON.stringify({ time: new Date().toISOString(), pid: process.pid })}\n`);
      } catch (error) {
        log.error("cannot write the heartbeat", { error });
      }
    }
  };
  beat();
  const timer = setInterval(beat, intervalSeconds * 1000);
  return () => clearInterval(timer);
}
