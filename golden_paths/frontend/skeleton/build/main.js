import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

import { build, BuildError } from "./build.js";

const here = (path) => fileURLToPath(new URL(`../${path}`, import.meta.url));
const { name, description } = JSON.parse(readFileSync(here("package.json"), "utf8"));
const commit = process.env.GITHUB_SHA?.slice(0, 12) || "development";

try {
  const written = build(here("src"), here("dist"), { NAME: name, DESCRIPTION: description, COMMIT: commit });
  for (const { path, size, transferred } of written) {
    process.stdout.write(`${String(size).padStart(8)} ${String(transferred).padStart(8)}  dist/${path}\n`);
  }
} catch (error) {
  if (!(error instanceof BuildError)) {
    throw error;
  }
  process.stderr.write(`${error.message}\n`);
  process.exitCode = 1;
}
