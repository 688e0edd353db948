import assert from "node:assert/strict";
import { once } from "node:events";
import { request as httpRequest } from "node:http";
import { connect } from "node:net";
import { afterEach, beforeEach, describe, test } from "node:test";
import { brotliDecompressSync, gunzipSync } from "node:zlib";

import { createApp } from "../server/app.js";
import { createLogger } from "../server/logger.js";
import { chooseEncoding, loadSite } from "../server/site.js";
import { builtSite, directoryWith, until } from "./support.js";

let app;
let lines;
let port;
let built;

async function start(directory) {
  lines = [];
  const log = createLogger({ level: "debug", write: (line) => lines.push(JSON.parse(line)) });
  app = createApp({ site: loadSite(directory), log });
  app.server.listen(0, "127.0.0.1");
  await once(app.server, "listening");
  port = app.server.address().port;
}

/** As bare as can be: `fetch` would tidy the path and unpack the body. */
async function ask(path, { method = "GET", headers = {} } = {}) {
  const request = httpRequest({ host: "127.0.0.1", port, path, method, headers, agent: false });
  request.end();
  const [response] = await once(request, "response");
  const chunks = await response.toArray();
  return { status: response.statusCode, headers: response.headers, body: Buffer.concat(chunks) };
}

beforeEach(async () => {
  built = builtSite();
  await start(built.dist);
});
afterEach(async () => {
  await app.stop(0);
  built.remove();
});

describe("pages", () => {
  test("the start page is found and asked for again every time", async () => {
    const { status, headers, body } = await ask("/");
    assert.equal(status, 200);
    assert.equal(headers["content-type"], "text/html; charset=utf-8");
    assert.equal(headers["cache-control"], "no-cache");
    assert.match(body.toString(), /<title>demo<\/title>/);
    assert.match(body.toString(), /<code>0123456789ab<\/code>/);
  });

  test("what it refers to is there and kept for ever", async () => {
    const references = (await ask("/")).body.toString().match(/\/assets\/[\w./-]+/g);
    assert.ok(references.length >= 5);
    for (const path of references) {
      const { status, headers } = await ask(path);
      assert.equal(status, 200, path);
      assert.equal(headers["cache-control"], "public, max-age=31536000, immutable");
    }
  });

  for (const path of [
    "/nowhere", "/assets/site.css", "/../package.json", "/..%2fpackage.json", "/%2e%2e/package.json", "/assets/", "/index.html.br",
    "/%00", "/%ff", "//", "/.git/config", "/toString", "/__proto__", "/index.html/",
  ]) {
    test(`${path} is the page that says so`, async () => {
      const { status, headers, body } = await ask(path);
      assert.equal(status, 404);
      assert.equal(headers["cache-control"], "no-store");
      assert.match(body.toString(), /<h1>Page not found<\/h1>/);
    });
  }

  test("a page is found without its ending, and a folder by its name", async () => {
    const { directory, remove } = directoryWith({ "index.html": "i", "404.html": "n", "about.html": "a", "blog/index.html": "b" });
    await app.stop(0);
    await start(directory);
    const found = await Promise.all(["/about", "/about.html", "/blog", "/blog/", "/?x=1"].map(async (path) => (await ask(path)).body.toString()));
    assert.deepEqual(found, ["a", "a", "b", "b", "i"]);
    remove();
  });

  test("a site without its pages is not served", () => {
    const { directory, remove } = directoryWith({ "index.html": "i" });
    assert.throws(() => loadSite(directory), /404\.html/);
    remove();
  });
});

describe("every answer", () => {
  for (const path of ["/", "/nowhere", "/healthz", "/robots.txt"]) {
    test(`${path} carries the policy, and the policy allows nothing inline and nothing from elsewhere`, async () => {
      const { headers } = await ask(path);
      const policy = headers["content-security-policy"];
      assert.match(policy, /^default-src 'none';/);
      assert.match(policy, /frame-ancestors 'none'/);
      assert.doesNotMatch(policy, /unsafe|\*|https?:|data:/);
      assert.equal(headers["x-content-type-options"], "nosniff");
    });
  }

  test("to HEAD is that to GET without its body", async () => {
    const [head, get] = [await ask("/", { method: "HEAD" }), await ask("/")];
    assert.equal(head.status, 200);
    assert.equal(head.body.length, 0);
    assert.equal(head.headers["content-length"], String(get.body.length));
  });

  test("to another method is 405 with what is allowed", async () => {
    const { status, headers } = await ask("/", { method: "POST" });
    assert.deepEqual([status, headers.allow], [405, "GET, HEAD"]);
  });
});

describe("what is sent over the wire", () => {
  test("is the smallest form that the browser takes, and holds the same", async () => {
    const plain = await ask("/");
    const br = await ask("/", { headers: { "accept-encoding": "gzip, deflate, br" } });
    const gzip = await ask("/", { headers: { "accept-encoding": "gzip" } });
    assert.deepEqual([br.headers["content-encoding"], gzip.headers["content-encoding"]], ["br", "gzip"]);
    assert.deepEqual(brotliDecompressSync(br.body), plain.body);
    assert.deepEqual(gunzipSync(gzip.body), plain.body);
    assert.ok(br.body.length < plain.body.length / 2);
    assert.equal(br.headers.vary, "accept-encoding");
  });

  test("follows what the browser refuses", () => {
    const forms = { identity: 1, br: 1, gzip: 1 };
    assert.equal(chooseEncoding(undefined, forms), "identity");
    assert.equal(chooseEncoding("br;q=0, gzip;q=0.1", forms), "gzip");
    assert.equal(chooseEncoding("*", forms), "br");
    assert.equal(chooseEncoding("gzip", { identity: 1 }), "identity");
    assert.equal(chooseEncoding("", forms), "identity");
    assert.equal(chooseEncoding(";;,q=,br;q=x", forms), "identity");
  });

  test("is nothing where the browser has it already", async () => {
    const headers = { "accept-encoding": "br" };
    const { etag } = (await ask("/", { headers })).headers;
    const again = await ask("/", { headers: { ...headers, "if-none-match": `"x", W/${etag}` } });
    assert.deepEqual([again.status, again.body.length, again.headers.etag], [304, 0, etag]);
    assert.equal((await ask("/", { headers: { "if-none-match": etag } })).status, 200, "the plain form has another tag");
  });
});

describe("operation", () => {
  test("it is alive and ready, and says so only to the log's finest level", async () => {
    for (const path of ["/healthz", "/readyz"]) {
      assert.deepEqual(JSON.parse((await ask(path)).body), { status: "ok" });
    }
    await until(() => lines.length === 2);
    assert.deepEqual(lines.map(({ level }) => level), ["debug", "debug"]);
  });

  test("a request leaves one line, without its query", async () => {
    await ask("/?token=hunter2");
    await until(() => lines.length === 1);
    assert.deepEqual([lines[0].method, lines[0].path, lines[0].status], ["GET", "/", 200]);
    assert.ok(!JSON.stringify(lines).includes("hunter2"));
  });

  test("a connection that is kept open does not hold up the end", async () => {
    const socket = connect(port, "127.0.0.1");
    socket.write("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    await once(socket, "data");
    await app.stop(30);
    socket.destroy();
  });
});
