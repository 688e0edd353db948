import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, utimesSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, beforeEach, describe, test } from "node:test";
import { fileURLToPath } from "node:url";

import { connect } from "../src/postgres/connection.js";
import { needsDatabase, ownSchema, until } from "./support.js";

const SOURCE = fileURLToPath(new URL("../src/", import.meta.url));
const directory = mkdtempSync(join(tmpdir(), "worker-"));
const children = new Set();

function run(script, env = {}, ...args) {
  const child = spawn(process.execPath, [join(SOURCE, script), ...args], { env: { PATH: process.env.PATH, ...env } });
  children.add(child);
  const process_ = { child, lines: [], errors: "", exited: once(child, "exit") };
  let rest = "";
  child.stdout.on("data", (data) => {
    const parts = (rest + data).split("\n");
    rest = parts.pop();
    process_.lines.push(...parts.map((line) => JSON.parse(line)));
  });
  child.stderr.on("data", (data) => { process_.errors += data; });
  process_.said = (message) => process_.lines.some((line) => line.message === message);
  return process_;
}

afterEach(async () => {
  for (const child of children) {
    child.kill("SIGKILL");
  }
  children.clear();
});
after(() => rmSync(directory, { recursive: true }));

test("a wrong setting ends the process with code 78 and its name", async () => {
  const worker = run("main.js", { DATABASE_URL: "postgresql://db/apps", CONCURRENCY: "many" });
  assert.deepEqual(await worker.exited, [78, null]);
  assert.match(worker.lines[0].reason, /^CONCURRENCY /);
});

test("without a database to work with the process ends with code 1 and says why", async () => {
  const worker = run("main.js", { DATABASE_URL: "postgresql://app:hunter2@127.0.0.1:1/apps" });
  assert.deepEqual(await worker.exited, [1, null]);
  assert.match(worker.lines[0].error.message, /cannot reach the database/);
  assert.ok(!JSON.stringify(worker.lines).includes("hunter2"));
});

describe("the health check", () => {
  const check = (file) => run("healthcheck.js", file ? { HEARTBEAT_FILE: file } : {});

  for (const [what, file, reason] of [
    ["without a file", null, /not set/],
    ["before the first heartbeat", join(directory, "none"), /no heartbeat/],
  ]) {
    test(`says no ${what}`, async () => {
      const found = check(file);
      assert.deepEqual(await found.exited, [1, null]);
      assert.match(found.errors, reason);
    });
  }
});

describe("with a database", needsDatabase, () => {
  let schema;
  let env;

  beforeEach(async () => {
    schema = await ownSchema();
    env = { DATABASE_URL: schema.url.href, POLL_SECONDS: "0.02" };
  });
  afterEach(async () => {
    await Promise.all([...children].map((child) => {
      child.kill("SIGKILL");
      return child.exitCode === null && child.signalCode === null ? once(child, "exit") : null;
    }));
    await schema.drop();
  });

  const greetings = async () => (await schema.connection.query("SELECT text FROM greetings ORDER BY text")).rows;
  const jobs = async (columns) => (await schema.connection.query(`SELECT ${columns} FROM jobs ORDER BY id`)).rows;
  const enqueue = async (...args) => {
    const done = run("enqueue.js", env, ...args);
    assert.deepEqual(await done.exited, [0, null], done.errors);
    return done.lines[0];
  };

  /** Until `release` is called, no greeting can be written. */
  async function heldGreetings() {
    const holder = await connect(schema.url);
    await holder.query("BEGIN");
    await holder.query("LOCK TABLE greetings");
    return { release: () => holder.close() };
  }

  const inHand = () => until(async () => (await jobs("state")).some(({ state }) => state === "running"));

  test("a job is put in once under one id, and handled", async () => {
    assert.deepEqual(await enqueue("greet", '{"name":"Ada"}', "ada"), { id: "ada", new: true });
    assert.deepEqual(await enqueue("greet", '{"name":"Eve"}', "ada"), { id: "ada", new: false });
    const worker = run("main.js", env);
    await until(() => worker.said("job done"));
    assert.deepEqual(await greetings(), [{ text: "Hello, Ada!" }]);
  });

  test("a kind that nobody handles cannot be put in by hand", async () => {
    const refused = run("enqueue.js", env, "nonsense");
    assert.deepEqual(await refused.exited, [1, null]);
    assert.match(refused.errors, /one of greet/);
  });

  test("SIGTERM lets the job in hand finish, and ends the process with code 0", async () => {
    await enqueue("greet", '{"name":"Ada"}');
    const held = await heldGreetings();
    const worker = run("main.js", env);
    await inHand();
    worker.child.kill("SIGTERM");
    await until(() => worker.said("shutting down"));
    held.release();
    assert.deepEqual(await worker.exited, [0, null]);
    assert.ok(worker.said("job done") && worker.said("stopped"));
    assert.deepEqual(await greetings(), [{ text: "Hello, Ada!" }]);
  });

  test("a worker that has to stop puts its job back, and nothing of it was done", async () => {
    await enqueue("greet", '{"name":"Ada"}');
    const held = await heldGreetings();
    const worker = run("main.js", { ...env, SHUTDOWN_GRACE_SECONDS: "0" });
    await inHand();
    worker.child.kill("SIGTERM");
    assert.deepEqual(await worker.exited, [0, null]);
    held.release();
    assert.deepEqual(await jobs("state, attempt"), [{ state: "waiting", attempt: 0 }]);
    assert.deepEqual(await greetings(), []);
  });

  test("a worker that is killed loses nothing, and its job has its effect once", async () => {
    await enqueue("greet", '{"name":"Ada"}');
    const held = await heldGreetings();
    const worker = run("main.js", env);
    await inHand();
    worker.child.kill("SIGKILL");
    await worker.exited;
    held.release();
    await schema.connection.query("UPDATE jobs SET due_at = now()"); // as it is when the job's time is over
    const next = run("main.js", env);
    await until(() => next.said("job done"));
    assert.deepEqual(await jobs("state, attempt"), [{ state: "done", attempt: 2 }]);
    assert.deepEqual(await greetings(), [{ text: "Hello, Ada!" }]);
  });

  test("copies that share the table handle every job once", async () => {
    await enqueue("greet", '{"name":"first"}');
    await schema.connection.query(
      `INSERT INTO jobs (id, kind, payload)
       SELECT 'many-' || n, 'greet', jsonb_build_object('name', 'number ' || n) FROM generate_series(1, 100) n`,
    );
    const copies = [1, 2, 3].map(() => run("main.js", { ...env, CONCURRENCY: "2" }));
    await until(async () => (await jobs("state")).every(({ state }) => state === "done"), 30);
    copies.forEach(({ child }) => child.kill("SIGTERM"));
    assert.deepEqual(await Promise.all(copies.map(({ exited }) => exited)), [[0, null], [0, null], [0, null]]);
    assert.equal((await greetings()).length, 101);
    assert.ok((await jobs("attempt")).every(({ attempt }) => attempt === 1));
  });

  test("sessions that are ended under it cost a worker nothing but a moment", async () => {
    const worker = run("main.js", { ...env, npm_package_name: schema.name }); // by which its sessions are known
    await until(() => worker.said("working"));
    await schema.connection.query(
      "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = $1", [schema.name],
    );
    await enqueue("greet", '{"name":"Ada"}');
    await until(() => worker.said("job done"));
  });

  test("the heartbeat is there while it works, and the health check knows a stale one", async () => {
    const file = join(directory, "heartbeat.json");
    const worker = run("main.js", { ...env, HEARTBEAT_FILE: file });
    await until(() => worker.said("working"));
    assert.equal(JSON.parse(readFileSync(file, "utf8")).pid, worker.child.pid);
    assert.deepEqual(await run("healthcheck.js", { HEARTBEAT_FILE: file }).exited, [0, null]);
    worker.child.kill("SIGKILL");
    await worker.exited;
    utimesSync(file, 0, 0);
    const stale = run("healthcheck.js", { HEARTBEAT_FILE: file });
    assert.deepEqual(await stale.exited, [1, null]);
    assert.match(stale.errors, /seconds ago/);
  });
});
