import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:net";
import { after, afterEach, before, describe, test } from "node:test";

import { connect, ConnectionLost, DatabaseError, isRefusedLogin } from "../src/postgres/connection.js";
import { createReader, errorFields } from "../src/postgres/messages.js";
import { DATABASE_URL, needsDatabase } from "./support.js";

describe("a server that is not what it should be", () => {
  let server;
  const sockets = [];

  async function listen(onData) {
    server = createServer((socket) => {
      sockets.push(socket);
      socket.on("error", () => {});
      socket.once("data", (data) => onData(socket, data));
    }).listen(0, "127.0.0.1");
    await once(server, "listening");
    return new URL(`postgresql://app:hunter2@127.0.0.1:${server.address().port}/apps`);
  }

  const authentication = (kind, rest = Buffer.alloc(0)) => {
    const bytes = Buffer.alloc(9);
    bytes.write("R");
    bytes.writeInt32BE(8 + rest.length, 1);
    bytes.writeInt32BE(kind, 5);
    return Buffer.concat([bytes, rest]);
  };

  afterEach(() => {
    sockets.splice(0).forEach((socket) => socket.destroy());
    server.close();
  });

  test("and asks for the password in the clear never sees it", async () => {
    const heard = [];
    const url = await listen((socket) => {
      socket.on("data", (data) => heard.push(data));
      socket.write(authentication(3));
    });
    await assert.rejects(connect(url), /a login other than SCRAM-SHA-256/);
    assert.ok(!Buffer.concat(heard).includes("hunter2"));
  });

  test("and asks for MD5 is refused", async () => {
    await assert.rejects(connect(await listen((socket) => socket.write(authentication(5, Buffer.alloc(4))))), /SCRAM/);
  });

  test("and has no TLS where TLS is asked for is refused", async () => {
    const url = await listen((socket, data) => {
      assert.equal(data.toString("hex"), "0000000804d2162f");
      socket.write("N");
    });
    url.searchParams.set("sslmode", "require");
    await assert.rejects(connect(url), /does not offer/);
  });

  test("and puts words before the encryption is refused", async () => {
    const url = await listen((socket) => socket.write("Sx"));
    url.searchParams.set("sslmode", "verify-full");
    await assert.rejects(connect(url), /does not offer/);
  });

  test("and says nothing is given up on", async () => {
    const url = await listen(() => {});
    await assert.rejects(connect(url, { timeoutMs: 20 }), ConnectionLost);
  });

  test("and hangs up is given up on", async () => {
    await assert.rejects(connect(await listen((socket) => socket.end())), ConnectionLost);
  });

  test("and is not there at all is given up on", async () => {
    const url = await listen(() => {});
    server.close();
    await once(server, "close");
    await assert.rejects(connect(url), /ECONNREFUSED/);
    server.listen(0);
  });
});

test("messages are found however their bytes are cut", () => {
  const bytes = Buffer.from("5a0000000549430000000a53454c20310044000000080000abcd".replaceAll(" ", ""), "hex");
  for (const size of [1, 2, 3, 7, bytes.length]) {
    const found = [];
    const read = createReader((type, body) => found.push([type, body.toString("hex")]));
    for (let at = 0; at < bytes.length; at += size) {
      read(bytes.subarray(at, at + size));
    }
    assert.deepEqual(found, [["Z", "49"], ["C", "53454c203100"], ["D", "0000abcd"]]);
  }
});

test("an error's fields are told apart", () => {
  assert.deepEqual(errorFields(Buffer.from("SERROR\0C42P01\0Mno such table\0\0")), {
    S: "ERROR", C: "42P01", M: "no such table",
  });
});

describe("a real database", needsDatabase, () => {
  let connection;
  before(async () => { connection = await connect(new URL(DATABASE_URL)); });
  after(() => connection.close());

  test("values come back as they went in", async () => {
    const moment = new Date("2026-11-23T10:11:12.345Z");
    const values = ["it's; \"quoted\" \\ 漢字 😀", 42, true, { a: [1, null] }, null, moment, ["x", 'y"\\', null]];
    const { rows, rowCount } = await connection.query(
      "SELECT $1::text a, $2::int b, $3::bool c, $4::jsonb d, $5::text e, $6::timestamptz f, $7::text[] = array['x', 'y\"\\', NULL] g",
      values,
    );
    assert.deepEqual(rows, [{ a: values[0], b: 42, c: true, d: { a: [1, null] }, e: null, f: moment, g: true }]);
    assert.equal(rowCount, 1);
  });

  test("a long answer arrives whole", async () => {
    const { rows } = await connection.query("SELECT n::int, repeat('x', 1000) AS x FROM generate_series(1, 3000) n");
    assert.equal(rows.length, 3000);
    assert.deepEqual([rows[2999].n, rows[2999].x.length], [3000, 1000]);
  });

  test("an error has its code, and the connection goes on", async () => {
    await assert.rejects(connection.query("SELECT * FROM nowhere"), { name: "DatabaseError", code: "42P01" });
    await assert.rejects(connection.query("SELECT 1; SELECT 2"), { code: "42601" });
    assert.deepEqual((await connection.query("SELECT 1 AS one")).rows, [{ one: 1 }]);
  });

  test("statements asked for at once are answered each for itself", async () => {
    const answers = await Promise.all([1, 2, 3].map((n) => connection.query("SELECT $1::int AS n", [n])));
    assert.deepEqual(answers.map(({ rows }) => rows[0].n), [1, 2, 3]);
  });

  test("text with a NUL is refused before it is sent", async () => {
    await assert.rejects(connection.query("SELECT $1::text", ["a\0b"]), TypeError);
    assert.equal((await connection.query("SELECT 1 AS one")).rows.length, 1);
  });

  test("a wrong password is a login that is refused", async () => {
    const url = new URL(DATABASE_URL);
    url.password = "wrong";
    await assert.rejects(connect(url), (error) => error instanceof DatabaseError && isRefusedLogin(error));
  });

  test("a statement that takes too long ends the connection", async () => {
    const impatient = await connect(new URL(DATABASE_URL), { queryTimeoutMs: 20 });
    await assert.rejects(impatient.query("SELECT pg_sleep(30)"), ConnectionLost);
    await assert.rejects(impatient.query("SELECT 1"), ConnectionLost);
    assert.ok(impatient.closed);
  });

  test("a session that is ended from outside says so", async () => {
    const doomed = await connect(new URL(DATABASE_URL));
    const { rows } = await doomed.query("SELECT pg_backend_pid() AS pid");
    const sleeping = assert.rejects(doomed.query("SELECT pg_sleep(30)"), { code: "57P01" });
    await connection.query("SELECT pg_terminate_backend($1, 5000)", [rows[0].pid]);
    await sleeping;
    assert.ok(doomed.closed);
  });
});
