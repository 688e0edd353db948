import { ConfigError, loadConfig } from "./config.js";
import { handlers } from "./handlers.js";
import { startHeartbeat } from "./heartbeat.js";
import { createJobStore } from "./jobs.js";
import { createLogger } from "./logger.js";
import { isRefusedLogin } from "./postgres/connection.js";
import { createPool } from "./postgres/pool.js";
import { migrate } from "./schema.js";
import { createWorker } from "./worker.js";

const TIDY_SECONDS = 3600;

function configOrExit() {
  try {
    return loadConfig();
  } catch (error) {
    if (!(error instanceof ConfigError)) {
      throw error;
    }
    createLogger().error("configuration is wrong", { reason: error.message });
    return process.exit(78); // EX_CONFIG
  }
}

const config = configOrExit();
const log = createLogger({ level: config.logLevel });

// After this the process is in an unknown state: say so, and let the platform start a new one. Jobs come back by
// themselves.
process.on("uncaughtException", (error) => {
  log.error("uncaught exception", { error });
  process.exit(1);
});

// A connection for each job's transaction, and two for everything else.
const pool = createPool(config.databaseUrl, { size: config.concurrency + 2 });
const store = createJobStore(pool);
const worker = createWorker({ store, handlers, log, ...config });

async function shutDown(signal) {
  log.info("shutting down", { signal, grace_seconds: config.shutdownGraceSeconds });
  await worker.stop(config.shutdownGraceSeconds);
}

for (const signal of ["SIGTERM", "SIGINT"]) {
  // `once`: a second signal ends the process at once.
  process.once(signal, () => void shutDown(signal));
}

async function tidy() {
  try {
    log.debug("forgot old jobs", { count: await store.forget(config.keepDays) });
  } catch (error) {
    log.warn("cannot forget old jobs", { error });
  }
}

let stopHeartbeat = () => {};
setInterval(() => void tidy(), TIDY_SECONDS * 1000).unref();
try {
  await migrate(pool);
  if (config.heartbeatFile) {
    stopHeartbeat = startHeartbeat(config.heartbeatFile, worker.isAlive, { log });
  }
  log.info("working", { kinds: Object.keys(handlers), concurrency: config.concurrency, node: process.version });
  await worker.run();
  log.info("stopped");
} catch (error) {
  const message = isRefusedLogin(error) ? "the database refuses the login" : "cannot work";
  log.error(message, { error });
  process.exitCode = 1;
} finally {
  stopHeartbeat();
  pool.close();
}
