import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { ConfigError, loadConfig } from "../src/config.js";

describe("configuration", () => {
  test("an empty environment is enough", () => {
    const config = loadConfig({});
    assert.equal(config.port, 3000);
    assert.equal(config.databaseUrl, null);
    assert.equal(config.logLevel, "info");
  });

  test("PORT and DATABASE_URL are taken from the environment", () => {
    const config = loadConfig({ PORT: "8080", DATABASE_URL: "postgresql://app:pw@db.internal:5433/apps" });
    assert.equal(config.port, 8080);
    assert.equal(config.databaseUrl.port, "5433");
  });

  for (const env of [{ PORT: "http" }, { PORT: "70000" }, { LOG_LEVEL: "loud" }, { SHUTDOWN_GRACE_SECONDS: "-1" }]) {
    test(`${JSON.stringify(env)} is refused by name`, () => {
      assert.throws(() => loadConfig(env), (error) => error instanceof ConfigError && error.message.includes(Object.keys(env)[0]));
    });
  }

  test("a wrong DATABASE_URL is refused without repeating its password", () => {
    assert.throws(
      () => loadConfig({ DATABASE_URL: "mysql://app:hunter2@db/apps" }),
      (error) => error instanceof ConfigError && !error.message.includes("hunter2"),
    );
  });
});
