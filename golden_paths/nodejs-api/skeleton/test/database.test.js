import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:net";
import { afterEach, test } from "node:test";

import { probeDatabase } from "../src/database.js";

let server;

async function listen(onConnection) {
  server = createServer(onConnection).listen(0, "127.0.0.1");
  await once(server, "listening");
  return new URL(`postgresql://app:pw@127.0.0.1:${server.address().port}/apps`);
}

afterEach(() => server.close());

test("a server that answers an SSLRequest like PostgreSQL is there", async () => {
  const url = await listen((socket) => {
    socket.once("data", (data) => {
      assert.equal(data.toString("hex"), "0000000804d2162f");
      socket.end("N");
    });
  });
  await probeDatabase(url);
});

test("something else on that port is not a database", async () => {
  const url = await listen((socket) => socket.end("HTTP/1.1 400 Bad Request\r\n\r\n"));
  await assert.rejects(probeDatabase(url), /not PostgreSQL/);
});

test("silence is an error after the timeout", async () => {
  const url = await listen((socket) => socket.resume());
  await assert.rejects(probeDatabase(url, { timeoutMs: 20 }), /no answer/);
});

test("nobody listening is an error", async () => {
  const url = await listen(() => {});
  server.close();
  await once(server, "close");
  await assert.rejects(probeDatabase(url), { code: "ECONNREFUSED" });
});
