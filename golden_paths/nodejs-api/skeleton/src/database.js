// Is there a PostgreSQL server behind DATABASE_URL? Answered without a driver: an SSLRequest is the one message a
// client may send before it logs in, and every server answers it with a single "S" or "N"
// (PostgreSQL documentation, "Message Formats").
//
// When you need queries: `npm install pg`, make one Pool from config.databaseUrl, and replace this probe by
// `pool.query("SELECT 1")`.

import { connect } from "node:net";

const SSL_REQUEST = Buffer.from([0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f]);

export function probeDatabase(url, { timeoutMs = 1000 } = {}) {
  return new Promise((resolve, reject) => {
    const host = url.hostname.replace(/^\[|\]$/g, "");
    const socket = connect({ host, port: Number(url.port || 5432) });
    const settle = (error) => {
      socket.destroy();
      if (error) {
        reject(error);
      } else {
        resolve();
      }
    };
    socket.setTimeout(timeoutMs, () => settle(new Error(`no answer from the database within ${timeoutMs} ms`)));
    socket.once("error", settle);
    socket.once("close", () => settle(new Error("the database closed the connection")));
    socket.once("connect", () => socket.write(SSL_REQUEST));
    socket.once("data", (data) => {
      const answer = String.fromCharCode(data[0]);
      settle(answer === "S" || answer === "N" ? null : new Error("what answers there is not PostgreSQL"));
    });
  });
}
