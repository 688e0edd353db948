// A few connections that are opened when they are needed and used again. Invariant: whoever has a transaction's
// `query` can do nothing with it once the transaction has ended.

import { connect } from "./connection.js";

/** @param {URL} url as `connect` takes it; the other options are `connect`'s */
export function createPool(url, { size = 5, open = connect, ...options } = {}) {
  const idle = [];
  const waiting = [];
  let count = 0;
  let ended = false;

  const acquire = async () => {
    if (ended) {
      throw new Error("the pool is closed");
    }
    for (let found = idle.pop(); found; found = idle.pop()) {
      if (!found.closed) {
        return found;
      }
      count -= 1;
    }
    if (count >= size) {
      const given = await new Promise((resolve) => { waiting.push(resolve); });
      return given ?? acquire();
    }
    count += 1;
    try {
      return await open(url, options);
    } catch (error) {
      count -= 1;
      waiting.shift()?.(null);
      throw error;
    }
  };

  const release = (connection) => {
    if (connection.closed || ended) {
      connection.close();
      count -= 1;
      waiting.shift()?.(null);
    } else if (waiting.length > 0) {
      waiting.shift()(connection);
    } else {
      idle.push(connection);
    }
  };

  return {
    async query(sql, parameters) {
      const connection = await acquire();
      try {
        return await connection.query(sql, parameters);
      } finally {
        release(connection);
      }
    },

    /** What `work(query)` does happens as a whole or not at all. When `signal` aborts, it is over at once. */
    async transaction(work, { signal } = {}) {
      const connection = await acquire();
      const abort = () => connection.destroy(signal.reason);
      let over = false;
      const query = (sql, parameters) =>
        over ? Promise.reject(new Error("the transaction has ended")) : connection.query(sql, parameters);
      try {
        signal?.throwIfAborted();
        signal?.addEventListener("abort", abort, { once: true });
        await query("BEGIN");
        const result = await untilAborted(work(query), signal);
        await query("COMMIT");
        return result;
      } catch (error) {
        // A server that cannot be told to roll back does so when the connection is gone.
        await query("ROLLBACK").catch(() => connection.destroy());
        throw error;
      } finally {
        over = true;
        signal?.removeEventListener("abort", abort);
        release(connection);
      }
    },

    close() {
      ended = true;
      idle.splice(0).forEach((connection) => connection.close());
      waiting.splice(0).forEach((resolve) => resolve(null));
    },
  };
}

function untilAborted(work, signal) {
  if (!signal) {
    return work;
  }
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason);
    signal.addEventListener("abort", abort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener("abort", abort));
  });
}
