import assert from "node:assert/strict";
import { test } from "node:test";

import { createPool } from "../src/postgres/pool.js";
import { until } from "./support.js";

/** Connections that do what they are told by their last statement. */
function fakes() {
  const opened = [];
  const open = async () => {
    const connection = {
      closed: false,
      said: [],
      query: async (sql) => {
        connection.said.push(sql);
        if (connection.closed) {
          throw new Error("closed");
        }
        if (sql === "fail") {
          throw new Error("refused");
        }
        return { rows: [], rowCount: 0 };
      },
      destroy() { connection.closed = true; },
      close() { connection.closed = true; },
    };
    opened.push(connection);
    return connection;
  };
  return { opened, open };
}

test("a connection is used again, and a closed one is not", async () => {
  const { opened, open } = fakes();
  const pool = createPool(null, { open });
  await pool.query("a");
  await pool.query("b");
  assert.deepEqual(opened.map(({ said }) => said), [["a", "b"]]);
  opened[0].closed = true;
  await pool.query("c");
  assert.equal(opened.length, 2);
});

test("no more connections than its size are open, and nobody waits for ever", async () => {
  const { opened, open } = fakes();
  const pool = createPool(null, { open, size: 2 });
  await Promise.all(Array.from({ length: 20 }, () => pool.transaction((query) => query("x"))));
  assert.equal(opened.length, 2);
  opened.forEach((connection) => connection.destroy());
  await Promise.all(Array.from({ length: 20 }, () => pool.query("y")));
  assert.equal(opened.length, 4);
});

test("a failed opening takes no place and lets the next one try", async () => {
  const { open } = fakes();
  let failures = 1;
  const pool = createPool(null, {
    size: 1,
    open: async () => {
      if (failures-- > 0) {
        throw new Error("away");
      }
      return open();
    },
  });
  const results = await Promise.allSettled([pool.query("a"), pool.query("b")]);
  assert.deepEqual(results.map(({ status }) => status), ["rejected", "fulfilled"]);
});

test("a transaction is committed, or rolled back where its work fails", async () => {
  const { opened, open } = fakes();
  const pool = createPool(null, { open });
  assert.equal(await pool.transaction(async (query) => { await query("x"); return 7; }), 7);
  await assert.rejects(pool.transaction((query) => query("fail")), /refused/);
  assert.deepEqual(opened[0].said, ["BEGIN", "x", "COMMIT", "BEGIN", "fail", "ROLLBACK"]);
});

test("a transaction's query is of no use once the transaction has ended", async () => {
  const { open } = fakes();
  const pool = createPool(null, { open });
  let kept;
  await pool.transaction(async (query) => { kept = query; });
  await assert.rejects(kept("DELETE FROM jobs"), /has ended/);
});

test("an abort ends a transaction whatever its work is waiting for", async () => {
  const { opened, open } = fakes();
  const pool = createPool(null, { open });
  const controller = new AbortController();
  const hanging = pool.transaction(() => new Promise(() => {}), { signal: controller.signal });
  await until(() => opened[0]?.said.includes("BEGIN"));
  controller.abort(new Error("enough"));
  await assert.rejects(hanging, /enough/);
  assert.ok(opened[0].closed);
  await pool.query("a");
});
