// What several tests use: the site as it is built, in a directory that goes away; waiting for a condition.

import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

import { build } from "../build/build.js";

export const SOURCE = fileURLToPath(new URL("../src", import.meta.url));
export const VALUES = { NAME: "demo", DESCRIPTION: "A site.", COMMIT: "0123456789ab" };

export async function until(condition, seconds = 10) {
  const deadline = Date.now() + seconds * 1000;
  while (!(await condition())) {
    assert.ok(Date.now() < deadline, `the condition did not come true within ${seconds} seconds`);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** A directory with `files` in it, from path to content. */
export function directoryWith(files) {
  const directory = mkdtempSync(join(tmpdir(), "site-"));
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(dirname(join(directory, path)), { recursive: true });
    writeFileSync(join(directory, path), content);
  }
  return { directory, remove: () => rmSync(directory, { recursive: true }) };
}

/** The site itself, built; `written` is what the build says it wrote. */
export function builtSite(values = VALUES) {
  const { directory, remove } = directoryWith({});
  const dist = join(directory, "dist");
  return { dist, written: build(SOURCE, dist, values), remove };
}
