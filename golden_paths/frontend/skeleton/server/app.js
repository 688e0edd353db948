// The HTTP server around the site: GET and HEAD, conditional requests, health, an access log, a graceful end.

import { createServer } from "node:http";

import { HEADERS } from "./headers.js";
import { chooseEncoding } from "./site.js";

const HEALTH = new Set(["/healthz", "/readyz"]);

function pathOf(target) {
  if (!URL.canParse(target, "http://localhost")) {
    return null;
  }
  try {
    return decodeURIComponent(new URL(target, "http://localhost").pathname);
  } catch {
    return null;
  }
}

function health(stopping) {
  const bytes = Buffer.from(`${JSON.stringify({ status: stopping ? "stopping" : "ok" })}\n`);
  const headers = { "content-type": "application/json", "cache-control": "no-store" };
  return { status: stopping ? 503 : 200, headers, bytes };
}

function page(request, site, path) {
  const found = site.get(path);
  const { type, cache, forms } = found ?? site.get("/404");
  const encoding = chooseEncoding(request.headers["accept-encoding"], forms);
  const { bytes, etag } = forms[encoding];
  const headers = { "content-type": type, "cache-control": found ? cache : "no-store", vary: "accept-encoding" };
  if (encoding !== "identity") {
    headers["content-encoding"] = encoding;
  }
  if (!found) {
    return { status: 404, headers, bytes };
  }
  headers.etag = etag;
  const known = (request.headers["if-none-match"] ?? "").split(",").map((tag) => tag.trim().replace(/^W\//, ""));
  if (known.includes(etag) || known.includes("*")) {
    return { status: 304, headers, bytes: null };
  }
  return { status: 200, headers, bytes };
}

function answer(request, site, stopping) {
  const path = pathOf(request.url);
  if (request.method !== "GET" && request.method !== "HEAD") {
    return { status: 405, headers: { allow: "GET, HEAD" }, bytes: Buffer.alloc(0) };
  }
  if (HEALTH.has(path)) {
    return health(stopping && path === "/readyz");
  }
  return page(request, site, path);
}

/** @param {Map} site from loadSite */
export function createApp({ site, log }) {
  let stopping = false;

  const server = createServer((request, response) => {
    const started = process.hrtime.bigint();
    request.resume(); // nobody reads a body here, and one that is left lying would block the connection
    response.once("close", () => {
      const path = request.url.split("?", 1)[0];
      log[HEALTH.has(path) ? "debug" : "info"]("request", {
        method: request.method,
        path,
        status: response.statusCode,
        completed: response.writableFinished,
        duration_ms: Number(process.hrtime.bigint() - started) / 1e6,
      });
    });
    const { status, headers, bytes } = answer(request, site, stopping);
    const length = bytes === null ? {} : { "content-length": bytes.length };
    const connection = stopping ? { connection: "close" } : {};
    response.writeHead(status, { ...HEADERS, ...headers, ...length, ...connection });
    response.end(request.method === "HEAD" ? undefined : (bytes ?? undefined));
  });
  server.requestTimeout = 30_000;
  // Longer than a proxy in front keeps an idle connection, so that it is never the server that hangs up first.
  server.keepAliveTimeout = 65_000;

  /** Stop taking requests, let the ones under way finish, and cut what is left after the grace period. */
  const stop = (graceSeconds) => {
    stopping = true;
    return new Promise((resolve) => {
      const timer = setTimeout(() => server.closeAllConnections(), graceSeconds * 1000);
      server.close(() => {
        clearTimeout(timer);
        resolve();
      });
      server.closeIdleConnections();
    });
  };

  return { server, stop };
}
