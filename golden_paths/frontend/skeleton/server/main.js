import { fileURLToPath } from "node:url";

import { createApp } from "./app.js";
import { ConfigError, loadConfig } from "./config.js";
import { createLogger } from "./logger.js";
import { loadSite } from "./site.js";

const EX_CONFIG = 78;

function configOrExit() {
  try {
    return loadConfig();
  } catch (error) {
    if (!(error instanceof ConfigError)) {
      throw error;
    }
    createLogger().error("configuration is wrong", { reason: error.message });
    return process.exit(EX_CONFIG);
  }
}

function siteOrExit() {
  try {
    return loadSite(fileURLToPath(new URL("../dist", import.meta.url)));
  } catch (error) {
    log.error("there is no built site; run `npm run build`", { reason: error.message });
    return process.exit(EX_CONFIG);
  }
}

const config = configOrExit();
const log = createLogger({ level: config.logLevel });
const { server, stop } = createApp({ site: siteOrExit(), log });

async function shutDown(signal) {
  log.info("shutting down", { signal, grace_seconds: config.shutdownGraceSeconds });
  await stop(config.shutdownGraceSeconds);
  log.info("stopped");
}

for (const signal of ["SIGTERM", "SIGINT"]) {
  // `once`: a second signal ends the process at once.
  process.once(signal, () => void shutDown(signal));
}

// After this the process is in an unknown state: say so, and let the platform start a new one.
process.on("uncaughtException", (error) => {
  log.error("uncaught exception", { error });
  process.exit(1);
});

server.on("error", (error) => {
  log.error("cannot listen", { error, port: config.port });
  process.exit(1);
});

server.listen(config.port, config.host, () => {
  log.info("listening", { host: config.host, port: server.address().port, node: process.version });
});
