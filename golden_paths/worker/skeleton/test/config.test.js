import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { ConfigError, loadConfig } from "../src/config.js";

const DATABASE_URL = "postgresql://app:hunter2@db.internal:5433/apps";

describe("configuration", () => {
  test("a database is enough", () => {
    const config = loadConfig({ DATABASE_URL });
    assert.equal(config.databaseUrl.port, "5433");
    assert.deepEqual([config.concurrency, config.jobTimeoutSeconds, config.heartbeatFile], [1, 60, null]);
  });

  const wrong = [
    { CONCURRENCY: "many" }, { CONCURRENCY: "0" }, { POLL_SECONDS: "1e9" }, { LOG_LEVEL: "loud" },
    { JOB_TIMEOUT_SECONDS: "1.5" }, { SHUTDOWN_GRACE_SECONDS: "-1" }, { KEEP_DAYS: "NaN" },
  ];
  for (const env of wrong) {
    test(`${JSON.stringify(env)} is refused by name`, () => {
      assert.throws(
        () => loadConfig({ DATABASE_URL, ...env }),
        (error) => error instanceof ConfigError && error.message.includes(Object.keys(env)[0]),
      );
    });
  }

  for (const value of [undefined, "", "db.internal", "mysql://app:hunter2@db/apps"]) {
    test(`DATABASE_URL ${value} is refused without repeating its password`, () => {
      assert.throws(
        () => loadConfig({ DATABASE_URL: value }),
        (error) => error instanceof ConfigError && /DATABASE_URL/.test(error.message) && !error.message.includes("hunter2"),
      );
    });
  }
});
