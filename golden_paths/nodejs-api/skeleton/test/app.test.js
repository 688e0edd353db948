import assert from "node:assert/strict";
import { once } from "node:events";
import { request as httpRequest } from "node:http";
import { connect } from "node:net";
import { afterEach, beforeEach, describe, test } from "node:test";

import { createApp } from "../src/app.js";
import { createLogger } from "../src/logger.js";
import { HttpError } from "../src/router.js";
import { routes } from "../src/routes.js";

let app;
let base;
let lines;
let database;

async function start(extraRoutes = {}) {
  lines = [];
  database = async () => {};
  const log = createLogger({ level: "debug", write: (line) => lines.push(JSON.parse(line)) });
  app = createApp({ routes: { ...routes, ...extraRoutes }, log, readinessChecks: { database: () => database() } });
  app.server.listen(0, "127.0.0.1");
  await once(app.server, "listening");
  base = `http://127.0.0.1:${app.server.address().port}`;
}

function accessLine(path) {
  return lines.find((line) => line.message === "request" && line.path === path);
}

async function until(condition) {
  const deadline = Date.now() + 5000;
  while (!condition()) {
    assert.ok(Date.now() < deadline, "the condition did not come true within 5 seconds");
    await new Promise((resolve) => setImmediate(resolve));
  }
}

const crash = () => {
  throw new Error("the password is hunter2");
};

const refuse = () => {
  throw new HttpError(418, "Short and stout");
};

beforeEach(() => start({ "GET /crash": crash, "GET /teapot": refuse, "GET /bigint": () => ({ n: 1n }) }));
afterEach(() => app.stop(0));

describe("health", () => {
  test("is alive and ready", async () => {
    assert.equal((await fetch(`${base}/healthz`)).status, 200);
    const response = await fetch(`${base}/readyz`);
    assert.equal(response.status, 200);
    assert.deepEqual(await response.json(), { status: "ready", checks: { database: "ok" } });
  });

  test("without its database it is alive but not ready", async () => {
    database = async () => Promise.reject(new Error("connection refused"));
    assert.equal((await fetch(`${base}/healthz`)).status, 200);
    const response = await fetch(`${base}/readyz`);
    assert.equal(response.status, 503);
    assert.deepEqual(await response.json(), { status: "not ready", checks: { database: "failed" } });
  });
});

describe("routes", () => {
  test("a greeting carries the name from the path", async () => {
    const response = await fetch(`${base}/greetings/${encodeURIComponent("Zoë <b>")}`);
    assert.deepEqual(await response.json(), { greeting: "Hello, Zoë <b>!" });
  });

  test("a greeting is made from a JSON body", async () => {
    const response = await fetch(`${base}/greetings`, { method: "POST", body: JSON.stringify({ name: "Ada" }) });
    assert.equal(response.status, 201);
    assert.deepEqual(await response.json(), { greeting: "Hello, Ada!" });
  });

  test("an unknown path is 404, a wrong method 405 with Allow", async () => {
    assert.equal((await fetch(`${base}/nowhere`)).status, 404);
    const response = await fetch(`${base}/greetings`, { method: "DELETE" });
    assert.equal(response.status, 405);
    assert.equal(response.headers.get("allow"), "POST");
  });

  test("HEAD answers like GET, without a body", async () => {
    const response = await fetch(`${base}/`, { method: "HEAD" });
    assert.equal(response.status, 200);
    assert.equal(await response.text(), "");
  });

  for (const [body, status] of [["{", 400], ["null", 400], ["[]", 400], ['{"name": 1}', 422]]) {
    test(`the body ${body} is refused with ${status} as problem+json`, async () => {
      const response = await fetch(`${base}/greetings`, { method: "POST", body });
      assert.equal(response.status, status);
      assert.match(response.headers.get("content-type"), /^application\/problem\+json/);
      assert.equal((await response.json()).status, status);
    });
  }

  test("a body over the limit is refused", async () => {
    const body = JSON.stringify({ name: "x".repeat(2 * 1024 * 1024) });
    const response = await fetch(`${base}/greetings`, { method: "POST", body });
    assert.equal(response.status, 413);
  });

  test("a broken request target is the client's error", async () => {
    const request = httpRequest(base, { path: "//" }).end();
    const [response] = await once(request, "response");
    response.resume();
    assert.equal(response.statusCode, 400);
    assert.equal((await fetch(`${base}/greetings/%ff`)).status, 400);
  });
});

describe("errors", () => {
  test("a bug answers 500 without saying what went wrong, and the log says it", async () => {
    const response = await fetch(`${base}/crash`);
    assert.equal(response.status, 500);
    const problem = await response.json();
    assert.equal(problem.title, "Internal server error");
    const logged = lines.find((line) => line.message === "request failed");
    assert.equal(logged.error.message, "the password is hunter2");
    assert.equal(logged.request_id, problem.request_id);
  });

  test("an answer that is not JSON is a bug like any other", async () => {
    const response = await fetch(`${base}/bigint`);
    assert.equal(response.status, 500);
  });

  test("an HttpError is the answer it names", async () => {
    const response = await fetch(`${base}/teapot`);
    assert.equal(response.status, 418);
    assert.equal((await response.json()).title, "Short and stout");
  });
});

describe("request ids", () => {
  test("the caller's id is kept, in the answer and in the log, and so is its trace", async () => {
    const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    const response = await fetch(`${base}/`, { headers: { "x-request-id": "abc-123", traceparent } });
    assert.equal(response.headers.get("x-request-id"), "abc-123");
    await until(() => accessLine("/"));
    assert.equal(accessLine("/").request_id, "abc-123");
    assert.equal(accessLine("/").trace_id, "0af7651916cd43dd8448eb211c80319c");
  });

  test("an id that could forge a log line is replaced", async () => {
    const response = await fetch(`${base}/`, { headers: { "x-request-id": 'a" injected="yes' } });
    assert.match(response.headers.get("x-request-id"), /^[0-9a-f-]{36}$/);
  });
});

describe("shutdown", () => {
  test("a request under way finishes, and new ones are not taken", async () => {
    let release;
    const held = new Promise((resolve) => { release = resolve; });
    let entered = false;
    await app.stop(0);
    await start({ "GET /slow": async () => { entered = true; await held; return { done: true }; } });
    const { port } = app.server.address();

    const slow = fetch(`${base}/slow`);
    await until(() => entered);
    const stopped = app.stop(5);
    await assert.rejects(fetch(`${base}/`));
    release();
    const response = await slow;
    assert.deepEqual(await response.json(), { done: true });
    await stopped;
    const late = connect(port, "127.0.0.1");
    await assert.rejects(once(late, "connect"));
  });

  test("what outlasts the grace period is cut", async () => {
    let entered = false;
    await app.stop(0);
    await start({ "GET /forever": () => { entered = true; return new Promise(() => {}); } });
    const forever = fetch(`${base}/forever`);
    const cut = assert.rejects(forever);
    await until(() => entered);
    await app.stop(0);
    await cut;
  });
});
