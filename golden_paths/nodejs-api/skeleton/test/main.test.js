import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";

const MAIN = fileURLToPath(new URL("../src/main.js", import.meta.url));
const children = [];

function run(env) {
  const child = spawn(process.execPath, [MAIN], { env: { PATH: process.env.PATH, HOST: "127.0.0.1", ...env } });
  children.push(child);
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const nextLine = async () => JSON.parse((await lines.next()).value);
  return { child, nextLine };
}

after(() => children.forEach((child) => child.kill("SIGKILL")));

test("SIGTERM ends the process gracefully with code 0", async () => {
  const { child, nextLine } = run({ PORT: "0" });
  const listening = await nextLine();
  assert.equal(listening.message, "listening");
  assert.equal((await fetch(`http://127.0.0.1:${listening.port}/healthz`)).status, 200);

  child.kill("SIGTERM");
  const exited = once(child, "exit");
  assert.equal((await nextLine()).message, "shutting down");
  assert.deepEqual(await exited, [0, null]);
});

test("a wrong setting ends the process with code 78 and its name", async () => {
  const { child, nextLine } = run({ PORT: "many" });
  const exited = once(child, "exit");
  assert.match((await nextLine()).reason, /^PORT /);
  assert.deepEqual(await exited, [78, null]);
});
