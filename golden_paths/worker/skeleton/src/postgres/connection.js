// One connection to PostgreSQL: `query(sql, parameters)` gives `{ rows, rowCount }`, as it does in the package `pg`,
// which may take this directory's place when you need more (`npm install pg`).
//
// Invariants: statements run one after another; a value never becomes part of a statement's text; after anything
// unexpected the connection is closed, and every query on it fails.

import { connect as connectTcp, isIP } from "node:net";
import { connect as connectTls } from "node:tls";

import * as messages from "./messages.js";
import { MECHANISM, startScram } from "./scram.js";

/** The server refused. `code` is the SQLSTATE. */
export class DatabaseError extends Error {
  constructor(fields) {
    super(fields.M);
    this.name = "DatabaseError";
    this.code = fields.C;
    this.fatal = fields.V === "FATAL" || fields.V === "PANIC";
  }
}

/** Nobody knows whether the last statement was carried out. */
export class ConnectionLost extends Error {
  name = "ConnectionLost";
}

/** Whether the login itself was refused: another attempt with the same one cannot help. */
export function isRefusedLogin(error) {
  return error instanceof DatabaseError && error.code.startsWith("28");
}

function opened(socket, event) {
  return new Promise((resolve, reject) => {
    socket.once(event, resolve);
    socket.once("error", (error) => reject(new ConnectionLost(`cannot reach the database: ${error.message}`)));
    socket.once("close", () => reject(new ConnectionLost("the database closed the connection")));
  });
}

async function secured(socket, host, options) {
  socket.write(messages.SSL_REQUEST);
  const answer = await new Promise((resolve, reject) => {
    socket.once("data", resolve);
    socket.once("close", () => reject(new ConnectionLost("the database closed the connection")));
  });
  // One byte and no more: what comes after it in the clear could have been put there by anybody (CVE-2021-23222).
  if (answer.length !== 1 || answer[0] !== 0x53) {
    throw new Error("DATABASE_URL asks for TLS, which the database does not offer");
  }
  const servername = isIP(host) ? "" : host; // an address has no place there (RFC 6066 §3)
  const encrypted = connectTls({ socket, host, servername, ...options });
  await opened(encrypted, "secureConnect");
  return encrypted;
}

/**
 * @param {URL} url postgresql://user:password@host:port/database; `?sslmode=` anything but `disable` asks for TLS with
 *   a certificate that is checked (NODE_EXTRA_CA_CERTS names an authority of your own); `?options=` is passed on
 */
export async function connect(url, { timeoutMs = 10_000, queryTimeoutMs = 60_000, tls = {} } = {}) {
  const host = url.hostname.replace(/^\[|\]$/g, "");
  const socket = connectTcp({ host, port: Number(url.port || 5432), keepAlive: true, noDelay: true });
  const late = new ConnectionLost(`the database did not let us in within ${timeoutMs} ms`);
  const timer = setTimeout(() => socket.destroy(late), timeoutMs);
  try {
    await opened(socket, "connect");
    const wanted = (url.searchParams.get("sslmode") ?? "disable") !== "disable";
    const connection = new Connection(wanted ? await secured(socket, host, tls) : socket, queryTimeoutMs, wanted);
    await connection.logIn(url);
    return connection;
  } catch (error) {
    socket.destroy();
    throw error;
  } finally {
    clearTimeout(timer);
  }
}

class Connection {
  #socket;
  #queryTimeoutMs;
  #encrypted;
  #broken = null;
  #exchange = null;
  #last = Promise.resolve();

  constructor(socket, queryTimeoutMs, encrypted) {
    this.#socket = socket;
    this.#queryTimeoutMs = queryTimeoutMs;
    this.#encrypted = encrypted;
    const read = messages.createReader((type, body) => this.#take(type, body));
    socket.on("data", (chunk) => {
      try {
        read(chunk);
      } catch (error) {
        this.destroy(error);
      }
    });
    socket.on("error", (error) => this.destroy(new ConnectionLost(error.message)));
    socket.on("close", () => this.destroy(new ConnectionLost("the database closed the connection")));
  }

  get closed() {
    return this.#broken !== null;
  }

  async logIn(url) {
    const user = decodeURIComponent(url.username);
    const greeting = messages.startup({
      user,
      database: decodeURIComponent(url.pathname.slice(1)) || user,
      application_name: process.env.npm_package_name ?? "worker",
      client_encoding: "UTF8",
      DateStyle: "ISO",
      TimeZone: "UTC",
      ...(url.searchParams.has("options") ? { options: url.searchParams.get("options") } : {}),
    });
    const scram = startScram(decodeURIComponent(url.password));
    await this.#talk(greeting, (type, body) => {
      if (type === "R") {
        this.#authenticate(body, scram, decodeURIComponent(url.password));
      }
    });
  }

  #authenticate(body, scram, password) {
    const kind = body.readInt32BE(0);
    const rest = body.toString("utf8", 4);
    if (kind === 0) {
      scram.requireProof();
    } else if (kind === 10 && rest.split("\0").includes(MECHANISM)) {
      this.#socket.write(messages.saslFirst(MECHANISM, scram.first));
    } else if (kind === 11) {
      this.#socket.write(messages.saslNext(scram.answer(rest)));
    } else if (kind === 12) {
      scram.verify(rest);
    } else if (kind === 3 && this.#encrypted) {
      this.#socket.write(messages.password(password));
    } else {
      throw new Error(`the database asks for a login other than ${MECHANISM}, which would give the password away`);
    }
  }

  /** Run one statement with `$1`, `$2`, … for its parameters. */
  query(sql, parameters = []) {
    const run = async () => {
      const result = { rows: [], rowCount: 0 };
      let description = [];
      await this.#talk(messages.statement(sql, parameters), (type, body) => {
        if (type === "T") {
          description = messages.columns(body);
        } else if (type === "D") {
          result.rows.push(messages.row(body, description));
        } else if (type === "C") {
          result.rowCount = Number(/\d+$/.exec(body.toString("utf8", 0, body.length - 1))?.[0] ?? 0);
        }
      });
      return result;
    };
    const done = this.#last.then(run);
    this.#last = done.catch(() => {});
    return done;
  }

  /** Say something, and listen until the server is ready for more. */
  #talk(bytes, hear) {
    return new Promise((resolve, reject) => {
      if (this.#broken) {
        reject(this.#broken);
        return;
      }
      const late = new ConnectionLost(`the database did not answer within ${this.#queryTimeoutMs} ms`);
      const timer = setTimeout(() => this.destroy(late), this.#queryTimeoutMs);
      const settle = (error) => {
        clearTimeout(timer);
        this.#exchange = null;
        if (error) {
          reject(error);
        } else {
          resolve();
        }
      };
      this.#exchange = { hear, settle, refusal: null };
      this.#socket.write(bytes);
    });
  }

  #take(type, body) {
    const exchange = this.#exchange;
    if (type === "E") {
      const refusal = new DatabaseError(messages.errorFields(body));
      if (exchange) {
        exchange.refusal ??= refusal;
      }
      if (!exchange || refusal.fatal) {
        this.destroy(refusal); // the server is about to hang up
      }
    } else if (type === "Z") {
      exchange?.settle(exchange.refusal);
    } else {
      exchange?.hear(type, body);
    }
  }

  /** Hang up at once; what is under way fails with `reason`. */
  destroy(reason = new ConnectionLost("the connection was closed")) {
    if (this.#broken) {
      return;
    }
    this.#broken = reason;
    this.#socket.destroy();
    this.#exchange?.settle(reason);
  }

  /** Take leave of the server. Nothing may be under way. */
  close() {
    if (!this.#broken) {
      this.#socket.write(messages.TERMINATE);
      this.#broken = new ConnectionLost("the connection was closed");
      this.#socket.end();
      this.#socket.unref();
    }
  }
}
