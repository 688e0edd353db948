// The job store's promises, asked of the one in memory that other tests use and of PostgreSQL.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { createJobStore, JobLost } from "../src/jobs.js";
import { createPool } from "../src/postgres/pool.js";
import { migrate } from "../src/schema.js";
import { createMemoryStore, needsDatabase, ownSchema } from "./support.js";

const nothing = async () => {};

function promises(getStore) {
  const take = (kind, seconds = 60) => getStore().take([kind], seconds);

  test("an id is one job, however often it is put in", async () => {
    assert.equal(await getStore().add({ id: "a1", kind: "a", payload: { n: 1 } }), true);
    assert.equal(await getStore().add({ id: "a1", kind: "a", payload: { n: 2 } }), false);
    const job = await take("a");
    assert.deepEqual([job.id, job.payload, job.attempt], ["a1", { n: 1 }, 1]);
    await getStore().finish(job, nothing);
    assert.equal(await getStore().add({ id: "a1", kind: "a" }), false);
    assert.equal(await take("a"), null);
  });

  test("a job that is taken is nobody else's until its time is over, and then it is", async () => {
    await getStore().add({ id: "b1", kind: "b" });
    const first = await take("b", 60);
    assert.equal(await take("b"), null);
    await getStore().pass(61);
    const second = await take("b");
    assert.equal(second.attempt, 2);
    await assert.rejects(getStore().finish(first, nothing), JobLost);
    assert.equal(await getStore().retry(first, "late", 0), false);
    assert.equal(await getStore().bury(first, "late"), false);
    await getStore().finish(second, nothing);
    assert.equal((await getStore().find("b1")).state, "done");
  });

  test("only kinds that are asked for are taken, the longest due first", async () => {
    await getStore().add({ id: "c2", kind: "c", dueAt: new Date(-1000) });
    await getStore().add({ id: "c1", kind: "c", dueAt: new Date(-2000) });
    await getStore().add({ id: "c0", kind: "other" });
    assert.equal((await take("c")).id, "c1");
    assert.equal((await take("c")).id, "c2");
    assert.equal(await take("c"), null);
  });

  test("a job tried again is due after its delay", async () => {
    await getStore().add({ id: "d1", kind: "d" });
    assert.equal(await getStore().retry(await take("d"), "no luck", 30), true);
    assert.equal(await take("d"), null);
    await getStore().pass(31);
    assert.equal((await take("d")).attempt, 2);
  });

  test("a job that is put back was never taken", async () => {
    await getStore().add({ id: "e1", kind: "e" });
    assert.equal(await getStore().putBack(await take("e")), true);
    assert.equal((await take("e")).attempt, 1);
  });

  test("a buried job stays, with its reason, and is not taken", async () => {
    await getStore().add({ id: "f1", kind: "f" });
    await getStore().bury(await take("f"), "broken");
    await getStore().pass(10_000);
    assert.equal(await take("f"), null);
    const found = await getStore().find("f1");
    assert.deepEqual([found.state, found.lastError], ["dead", "broken"]);
  });

  test("work that fails leaves the job as it was", async () => {
    await getStore().add({ id: "g1", kind: "g" });
    const job = await take("g");
    await assert.rejects(getStore().finish(job, async () => { throw new Error("no"); }), /no/);
    assert.equal((await getStore().find("g1")).state, "running");
    await getStore().finish(job, nothing);
  });

  test("what is done is forgotten after its days, what is dead is not", async () => {
    await getStore().add({ id: "h1", kind: "h" });
    await getStore().add({ id: "h2", kind: "h" });
    await getStore().finish(await take("h"), nothing);
    await getStore().bury(await take("h"), "broken");
    await getStore().pass(31 * 86_400);
    assert.ok((await getStore().forget(30)) >= 1);
    const left = [await getStore().find("h1"), await getStore().find("h2")].filter(Boolean);
    assert.deepEqual(left.map(({ state }) => state), ["dead"]);
  });
}

describe("in memory", () => {
  const store = createMemoryStore();
  promises(() => store);
});

describe("in PostgreSQL", needsDatabase, () => {
  let schema;
  let pool;
  let store;

  before(async () => {
    schema = await ownSchema();
    pool = createPool(schema.url);
    await Promise.all([migrate(pool), migrate(pool), migrate(pool)]);
    const { connection } = schema;
    store = {
      ...createJobStore(pool),
      async find(id) {
        const { rows } = await connection.query("SELECT state, last_error FROM jobs WHERE id = $1", [id]);
        return rows.length > 0 ? { state: rows[0].state, lastError: rows[0].last_error } : null;
      },
      // The database has the only clock, so it is the jobs that grow older.
      pass: (seconds) =>
        connection.query(
          `UPDATE jobs SET due_at = due_at - make_interval(secs => $1), ended_at = ended_at - make_interval(secs => $1)`,
          [seconds],
        ),
    };
  });
  after(async () => {
    pool.close();
    await schema.drop();
  });

  promises(() => store);

  test("a migration is carried out once, and a new one is added to the old", async () => {
    const lists = { trial: ["CREATE TABLE trial (n int)", "INSERT INTO trial VALUES (1)"] };
    await migrate(pool, lists);
    await migrate(pool, lists);
    await Promise.all([1, 2].map(() => migrate(pool, { trial: [...lists.trial, "INSERT INTO trial VALUES (2)"] })));
    assert.deepEqual((await pool.query("SELECT n FROM trial ORDER BY n")).rows, [{ n: 1 }, { n: 2 }]);
  });

  test("what a handler writes is committed with the job's end or not at all", async () => {
    await pool.query("CREATE TABLE written (id text)");
    await store.add({ id: "i1", kind: "i" });
    const write = (query) => query("INSERT INTO written VALUES ('i1')");
    const late = await store.take(["i"], 60);
    await store.pass(61);
    const job = await store.take(["i"], 60);
    await assert.rejects(store.finish(late, write), JobLost);
    assert.equal((await pool.query("SELECT * FROM written")).rowCount, 0);
    await store.finish(job, write);
    assert.equal((await pool.query("SELECT * FROM written")).rowCount, 1);
  });

  test("many who take at once get a job each", async () => {
    const ids = Array.from({ length: 40 }, (_, n) => `j${n}`);
    await Promise.all(ids.map((id) => store.add({ id, kind: "j" })));
    const taken = await Promise.all(ids.map(() => store.take(["j"], 60)));
    // SKIP LOCKED may tell one of two who race that there is nothing; the next turn has it.
    for (let job = await store.take(["j"], 60); job; job = await store.take(["j"], 60)) {
      taken.push(job);
    }
    assert.deepEqual(taken.filter(Boolean).map(({ id }) => id).sort(), [...ids].sort());
  });
});
