// The loop: take a job, hand it to its handler, say what came of it. Invariant: a job that was taken is ended, put
// back or left to become due again by itself; nothing that happens here loses it.

import { setTimeout as sleep } from "node:timers/promises";

import { PermanentError } from "./handlers.js";
import { JobLost } from "./jobs.js";
import { jobContext } from "./logger.js";
import { isRefusedLogin } from "./postgres/connection.js";

const LEASE_MARGIN_SECONDS = 10;
const STUCK_SECONDS = 180; // longer than any statement may take before and after a job

/** Seconds before the next attempt: doubling, with chance in it so that what failed together is not tried together. */
export function backoffSeconds(attempt, { base = 2, most = 600, random = Math.random } = {}) {
  return Math.min(most, base * 2 ** (attempt - 1)) * (0.5 + random() / 2);
}

const told = (error) => (error instanceof Error ? `${error.name}: ${error.message}` : String(error));

/**
 * @param {object} options
 * @param {object} options.store from createJobStore
 * @param {Record<string, Function>} options.handlers kind of job to handler
 * @param {object} options.log from createLogger
 * @param {(attempt: number) => number} [options.backoff] seconds before the next attempt
 */
export function createWorker({
  store, handlers, log, concurrency = 1, pollSeconds = 1, jobTimeoutSeconds = 60, backoff = backoffSeconds,
}) {
  const kinds = Object.keys(handlers);
  const leaseSeconds = jobTimeoutSeconds + LEASE_MARGIN_SECONDS;
  const stopping = new AbortController(); // no new job
  const cutting = new AbortController(); // not even the one in hand
  const turns = new Array(concurrency).fill(Date.now());
  let running = null;

  const pause = (seconds) => sleep(seconds * 1000, undefined, { signal: stopping.signal }).catch(() => {});

  const settle = async (job, error) => {
    if (error instanceof JobLost) {
      log.warn("job lost", { reason: error.message });
    } else if (cutting.signal.aborted) {
      await store.putBack(job);
      log.warn("job put back", { reason: "the worker has to stop" });
    } else if (error instanceof PermanentError || job.attempt >= job.maxAttempts) {
      await store.bury(job, told(error));
      log.error("job is dead", { error });
    } else {
      const delay = backoff(job.attempt);
      await store.retry(job, told(error), delay);
      log.warn("job failed", { error, retry_in_seconds: delay });
    }
  };

  const attempt = async (job) => {
    const timeout = new AbortController();
    const timer = setTimeout(
      () => timeout.abort(new Error(`took longer than ${jobTimeoutSeconds} seconds`)), jobTimeoutSeconds * 1000,
    );
    const signal = AbortSignal.any([timeout.signal, cutting.signal]);
    const started = process.hrtime.bigint();
    try {
      const handle = handlers[job.kind];
      const { id, payload } = job;
      await store.finish(job, (query) => handle({ id, payload, attempt: job.attempt, query, signal, log }), { signal });
      log.info("job done", { duration_ms: Number(process.hrtime.bigint() - started) / 1e6 });
    } catch (error) {
      await settle(job, error);
    } finally {
      clearTimeout(timer);
    }
  };

  /** One job, if there is one; whether there was. */
  const turn = async () => {
    const job = await store.take(kinds, leaseSeconds);
    if (job) {
      await jobContext.run({ job_id: job.id, kind: job.kind, attempt: job.attempt }, async () => {
        if (job.attempt > job.maxAttempts) {
          await store.bury(job, "every attempt ended without a word: the worker died");
          log.error("job is dead", { reason: "the worker died in every attempt" });
        } else {
          await attempt(job);
        }
      });
    }
    return job !== null;
  };

  const loop = async (slot) => {
    let failures = 0;
    while (!stopping.signal.aborted) {
      turns[slot] = Date.now();
      try {
        const found = await turn();
        failures = 0;
        if (!found) {
          await pause(pollSeconds);
        }
      } catch (error) {
        if (isRefusedLogin(error)) {
          throw error; // a login comes with the start, so only a new start brings another one
        }
        failures += 1;
        const delay = backoffSeconds(failures, { base: pollSeconds, most: 30 });
        log.warn("the job table is out of reach", { error, retry_in_seconds: delay });
        await pause(delay);
      }
    }
  };

  return {
    /** Work until `stop`. Rejects where it makes no sense to go on. */
    run() {
      running = Promise.all(turns.map((_, slot) => loop(slot)));
      return running;
    },

    /** Whether every loop has come round lately: one that has not hangs, and no signal will tell. */
    isAlive: () => turns.every((at) => Date.now() - at < (leaseSeconds + STUCK_SECONDS) * 1000),

    /** Take nothing new, finish what is in hand, and put back what is left after the grace period. */
    async stop(graceSeconds) {
      stopping.abort();
      const timer = setTimeout(() => cutting.abort(new Error("the worker has to stop")), graceSeconds * 1000);
      await Promise.allSettled([running]);
      clearTimeout(timer);
    },
  };
}
