// The two programs, run as they are run in the pipeline, on a copy of this directory.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { cpSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";

import { directoryWith } from "./support.js";

const HERE = fileURLToPath(new URL("..", import.meta.url));
const children = [];
let copy;

function run(script, env) {
  const child = spawn(process.execPath, [join(copy.directory, script)], { env: { PATH: process.env.PATH, HOST: "127.0.0.1", ...env } });
  children.push(child);
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return { child, nextLine: async () => JSON.parse((await lines.next()).value) };
}

before(() => {
  copy = directoryWith({});
  for (const name of ["package.json", "build", "server", "src"]) {
    cpSync(join(HERE, name), join(copy.directory, name), { recursive: true });
  }
});
after(() => {
  children.forEach((child) => child.kill("SIGKILL"));
  copy.remove();
});

test("before it is built there is nothing to serve, and it says what to do", async () => {
  const { child, nextLine } = run("server/main.js", { PORT: "0" });
  const exited = once(child, "exit");
  assert.match((await nextLine()).message, /npm run build/);
  assert.deepEqual(await exited, [78, null]);
});

test("what was built is served, names its commit, and SIGTERM ends it gracefully with code 0", async () => {
  const building = run("build/main.js", { GITHUB_SHA: "abcdef0123456789abcdef" });
  building.child.stdout.resume();
  assert.deepEqual(await once(building.child, "exit"), [0, null]);

  const { child, nextLine } = run("server/main.js", { PORT: "0" });
  const { port } = await nextLine();
  assert.match(await (await fetch(`http://127.0.0.1:${port}/`)).text(), /<code>abcdef012345<\/code>/);
  const exited = once(child, "exit");
  child.kill("SIGTERM");
  assert.deepEqual(await exited, [0, null]);
});

test("a wrong setting ends it with code 78 and its name", async () => {
  const { child, nextLine } = run("server/main.js", { PORT: "many" });
  const exited = once(child, "exit");
  assert.match((await nextLine()).reason, /^PORT /);
  assert.deepEqual(await exited, [78, null]);
});
