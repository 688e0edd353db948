import assert from "node:assert/strict";
import { test } from "node:test";

import { PermanentError } from "../src/handlers.js";
import { DatabaseError } from "../src/postgres/connection.js";
import { backoffSeconds, createWorker } from "../src/worker.js";
import { createMemoryStore, rememberingLog, until } from "./support.js";

function start(handlers, options = {}) {
  const store = options.store ?? createMemoryStore();
  const remembering = rememberingLog();
  const worker = createWorker({ store, handlers, log: remembering.log, pollSeconds: 0.001, ...options });
  return { store, worker, ...remembering, running: worker.run() };
}

test("a job is handled once and is done", async () => {
  const seen = [];
  const { store, worker, said } = start({ note: async ({ id, payload, attempt }) => { seen.push([id, payload, attempt]); } });
  await store.add({ id: "1", kind: "note", payload: { x: 1 } });
  await until(() => said("job done").length > 0);
  await worker.stop(1);
  assert.deepEqual(seen, [["1", { x: 1 }, 1]]);
  assert.equal((await store.find("1")).state, "done");
});

test("every line that is logged for a job carries its id, kind and attempt", async () => {
  const { store, worker, said } = start({ note: async ({ log }) => log.info("half way") });
  await store.add({ id: "1", kind: "note" });
  await until(() => said("job done").length > 0);
  await worker.stop(1);
  for (const line of [...said("half way"), ...said("job done")]) {
    assert.deepEqual([line.job_id, line.kind, line.attempt], ["1", "note", 1]);
  }
});

test("a failed job is tried again, later and later, and is dead after its last attempt", async () => {
  const { store, worker, said } = start({ fail: async () => { throw new Error("no luck"); } });
  await store.add({ id: "1", kind: "fail", maxAttempts: 4 });
  await until(async () => {
    await store.pass(3600);
    return said("job is dead").length > 0;
  });
  await worker.stop(1);
  const delays = said("job failed").map((line) => line.retry_in_seconds);
  assert.equal(delays.length, 3);
  assert.ok(delays[0] >= 1 && delays[0] <= 2 && delays[2] >= 4 && delays[2] <= 8, delays);
  const job = await store.find("1");
  assert.deepEqual([job.state, job.attempt, job.lastError], ["dead", 4, "Error: no luck"]);
});

test("a permanent error means no other attempt", async () => {
  const { store, worker, said } = start({ fail: async () => { throw new PermanentError("never"); } });
  await store.add({ id: "1", kind: "fail" });
  await until(() => said("job is dead").length > 0);
  await worker.stop(1);
  assert.equal((await store.find("1")).attempt, 1);
});

test("a job that killed its worker in every attempt is dead, and not tried for ever", async () => {
  const store = createMemoryStore();
  await store.add({ id: "1", kind: "kill", maxAttempts: 2 });
  for (let attempt = 1; attempt <= 2; attempt += 1) {
    assert.equal((await store.take(["kill"], 60)).attempt, attempt);
    await store.pass(61);
  }
  let handled = false;
  const { worker, said } = start({ kill: async () => { handled = true; } }, { store });
  await until(() => said("job is dead").length > 0);
  await worker.stop(1);
  assert.equal(handled, false);
});

test("a handler that takes too long is told, given up on and tried again", async () => {
  const told = [];
  const { store, worker, said } = start(
    { hang: ({ signal }) => new Promise(() => { signal.addEventListener("abort", () => told.push(signal.reason.message)); }) },
    { jobTimeoutSeconds: 0.02 },
  );
  await store.add({ id: "1", kind: "hang" });
  await until(() => said("job failed").length > 0);
  await worker.stop(1);
  assert.deepEqual(told, ["took longer than 0.02 seconds"]);
  assert.equal((await store.find("1")).state, "waiting");
});

test("stopping finishes the job in hand and takes no other", async () => {
  let release;
  const held = new Promise((resolve) => { release = resolve; });
  const { store, worker, running, said } = start({ slow: () => held });
  await store.add({ id: "1", kind: "slow", dueAt: new Date(-1) });
  await store.add({ id: "2", kind: "slow" });
  await until(async () => (await store.find("1")).state === "running");
  const stopped = worker.stop(30);
  release();
  await stopped;
  await running;
  assert.equal((await store.find("1")).state, "done");
  assert.equal((await store.find("2")).state, "waiting");
  assert.equal(said("job done").length, 1);
});

test("what outlasts the grace period is put back as if it had never been taken", async () => {
  const { store, worker, said } = start({ forever: () => new Promise(() => {}) });
  await store.add({ id: "1", kind: "forever" });
  await until(async () => (await store.find("1")).state === "running");
  await worker.stop(0);
  const job = await store.find("1");
  assert.deepEqual([job.state, job.attempt], ["waiting", 0]);
  assert.equal(said("job put back").length, 1);
});

test("several jobs are in hand at once where concurrency allows", async () => {
  let inHand = 0;
  const { store, worker } = start({ wait: async ({ signal }) => {
    inHand += 1;
    await new Promise((resolve) => { signal.addEventListener("abort", resolve); });
  } }, { concurrency: 3 });
  for (const id of ["1", "2", "3", "4"]) {
    await store.add({ id, kind: "wait" });
  }
  await until(() => inHand === 3);
  await worker.stop(0);
  assert.equal(inHand, 3);
});

test("while the job table is out of reach it waits, and then goes on", async () => {
  const store = createMemoryStore();
  let failures = 3;
  const take = store.take.bind(store);
  store.take = async (...given) => {
    if (failures-- > 0) {
      throw new Error("away");
    }
    return take(...given);
  };
  await store.add({ id: "1", kind: "note" });
  const { worker, said } = start({ note: async () => {} }, { store });
  await until(() => said("job done").length > 0);
  await worker.stop(1);
  assert.equal(said("the job table is out of reach").length, 3);
  assert.ok(worker.isAlive());
});

test("a login that is refused ends it: only a new start brings another login", async () => {
  const store = createMemoryStore();
  store.take = async () => { throw new DatabaseError({ M: "password authentication failed", C: "28P01", V: "FATAL" }); };
  await assert.rejects(start({ note: async () => {} }, { store }).running, { code: "28P01" });
});

test("the delay doubles up to its most, with chance in it", () => {
  assert.equal(backoffSeconds(1, { random: () => 1 }), 2);
  assert.equal(backoffSeconds(4, { random: () => 1 }), 16);
  assert.equal(backoffSeconds(4, { random: () => 0 }), 8);
  assert.equal(backoffSeconds(60, { random: () => 1 }), 600);
});
