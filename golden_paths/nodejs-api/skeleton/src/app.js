// The HTTP server around the routes: request ids, access log, JSON in and out, problem+json for errors (RFC 9457),
// health. Invariant: every request gets exactly one answer and one log line, whatever its handler does.

import { randomUUID } from "node:crypto";
import { createServer } from "node:http";

import { requestContext } from "./logger.js";
import { createRouter, HttpError } from "./router.js";

const MAX_BODY_BYTES = 1024 * 1024;
const REQUEST_ID = /^[A-Za-z0-9._-]{1,64}$/;
const TRACEPARENT = /^00-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}$/;

async function readJson(request) {
  const chunks = [];
  let size = 0;
  for await (const chunk of request) {
    size += chunk.length;
    if (size > MAX_BODY_BYTES) {
      throw new HttpError(413, `The body is larger than ${MAX_BODY_BYTES} bytes`, { connection: "close" });
    }
    chunks.push(chunk);
  }
  let value;
  try {
    value = JSON.parse(Buffer.concat(chunks).toString("utf8"));
  } catch {
    throw new HttpError(400, "The body is not JSON");
  }
  if (value === null || typeof value !== "object" || Array.isArray(value)) {
    throw new HttpError(400, "The body must be a JSON object");
  }
  return value;
}

function contextOf(request) {
  const given = request.headers["x-request-id"];
  const context = { request_id: REQUEST_ID.test(given ?? "") ? given : randomUUID() };
  const trace = TRACEPARENT.exec(request.headers.traceparent ?? "");
  return trace ? { ...context, trace_id: trace[1] } : context;
}

function toAnswer(result) {
  const { status, headers, body } = Number.isInteger(result?.status) ? result : { status: 200, body: result ?? null };
  return { status, headers, bytes: body === undefined ? null : Buffer.from(`${JSON.stringify(body)}\n`) };
}

function toProblem(error, log) {
  const known = error instanceof HttpError;
  if (!known) {
    log.error("request failed", { error });
  }
  const status = known ? error.status : 500;
  const title = known ? error.message : "Internal server error";
  return toAnswer({
    status,
    headers: { "content-type": "application/problem+json; charset=utf-8", ...(known ? error.headers : {}) },
    body: { title, status, request_id: requestContext.getStore().request_id },
  });
}

function write(response, { status, headers, bytes }) {
  if (bytes === null) {
    response.writeHead(status, headers).end();
    return;
  }
  const standard = { "content-type": "application/json; charset=utf-8", "content-length": bytes.length };
  response.writeHead(status, { ...standard, ...headers }).end(bytes);
}

/**
 * @param {object} options
 * @param {Record<string, Function>} options.routes "METHOD /path" to handler
 * @param {object} options.log from createLogger
 * @param {Record<string, () => Promise<void>>} [options.readinessChecks] name to a check that throws when not ready
 */
export function createApp({ routes, log, readinessChecks = {} }) {
  const state = { stopping: false };

  const readiness = async () => {
    const names = Object.keys(readinessChecks);
    const results = await Promise.allSettled(names.map((name) => readinessChecks[name]()));
    const checks = Object.fromEntries(names.map((name, i) => [name, results[i].status === "fulfilled" ? "ok" : "failed"]));
    for (const [i, result] of results.entries()) {
      if (result.status === "rejected") {
        log.warn("readiness check failed", { check: names[i], reason: result.reason.message });
      }
    }
    const ready = !state.stopping && results.every((result) => result.status === "fulfilled");
    const status = state.stopping ? "stopping" : ready ? "ready" : "not ready";
    return { status: ready ? 200 : 503, body: { status, checks } };
  };

  const route = createRouter({
    // Alive says nothing about what the process depends on: restarting it would not bring a database back.
    "GET /healthz": () => ({ status: "ok" }),
    "GET /readyz": readiness,
    ...routes,
  });

  const handle = async (request, response) => {
    if (!URL.canParse(request.url, "http://localhost")) {
      throw new HttpError(400, "The request target is not a valid URL");
    }
    const url = new URL(request.url, "http://localhost");
    const { handler, params, path } = route(request.method, url.pathname);
    response.route = path;
    return toAnswer(await handler({ params, query: url.searchParams, readJson: () => readJson(request), request, log }));
  };

  const server = createServer((request, response) => {
    const context = contextOf(request);
    const started = process.hrtime.bigint();
    requestContext.run(context, () => {
      response.setHeader("x-request-id", context.request_id);
      response.once("close", () => {
        const quiet = response.route === "/healthz" || response.route === "/readyz";
        log[quiet ? "debug" : "info"]("request", {
          ...context, // the event comes from the socket, outside the request's own context
          method: request.method,
          path: request.url.split("?", 1)[0],
          status: response.statusCode,
          completed: response.writableFinished,
          duration_ms: Number(process.hrtime.bigint() - started) / 1e6,
        });
      });
      handle(request, response)
        .catch((error) => toProblem(error, log))
        .then((result) => {
          if (state.stopping) {
            // Asked now, not when the request came in: a connection kept alive would hold up the shutdown.
            response.setHeader("connection", "close");
          }
          write(response, result);
        })
        .catch((error) => {
          log.error("answer failed", { error });
          response.destroy();
        });
    });
  });
  server.requestTimeout = 30_000;
  // Longer than a proxy in front keeps an idle connection, so that it is never the server that hangs up first.
  server.keepAliveTimeout = 65_000;

  /** Stop taking requests, let the ones under way finish, and cut what is left after the grace period. */
  const stop = (graceSeconds) => {
    state.stopping = true;
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
