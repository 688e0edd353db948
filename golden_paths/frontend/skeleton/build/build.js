// Turns src/ into dist/. What is in assets/ gets a name that changes with its content, so browsers may keep it for
// ever; pages keep their names. Invariants: a reference to what is not there fails the build; the same sources give
// the same bytes; a build that fails leaves dist/ as it was, and what is in dist/ is always whole.

import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname, extname, join, relative, sep } from "node:path";
import { brotliCompressSync, gzipSync } from "node:zlib";

import { addressesOf } from "../server/addresses.js";
import { problems } from "./check.js";
import { escapeHtml } from "./html.js";

const TEXT = new Set([".css", ".html", ".js", ".json", ".map", ".svg", ".txt", ".webmanifest", ".xml"]);
const WITH_REFERENCES = new Set([".css", ".html", ".js", ".json", ".svg", ".webmanifest"]);
const REFERENCE = /\/assets\/[A-Za-z0-9_./-]*[A-Za-z0-9]/g;
const PLACEHOLDER = /%([A-Z_]+)%/g;
const NEEDED = ["index.html", "404.html"];

export class BuildError extends Error {}

function read(directory) {
  const names = readdirSync(directory, { recursive: true, withFileTypes: true });
  const files = names.filter((entry) => entry.isFile() && !entry.name.startsWith("."));
  const found = files.map((entry) => join(entry.parentPath ?? entry.path, entry.name));
  const paths = found.map((path) => relative(directory, path).split(sep).join("/"));
  return new Map(paths.sort().map((path) => [path, readFileSync(join(directory, path))]));
}

function lineOf(text, index) {
  return text.slice(0, index).split("\n").length;
}

function fill(path, html, values) {
  return html.replace(PLACEHOLDER, (placeholder, name, index) => {
    if (!Object.hasOwn(values, name)) {
      const known = Object.keys(values).map((value) => `%${value}%`).join(", ");
      throw new BuildError(`src/${path}:${lineOf(html, index)}: ${placeholder} is none of ${known}`);
    }
    return escapeHtml(values[name]);
  });
}

/** The finished files of the site, from path to bytes, without their compressed forms. */
export function finish(sources, values) {
  const finished = new Map();
  const under = []; // what is being finished at the moment, for the error about a circle

  const finishOne = (path) => {
    if (under.includes(path)) {
      throw new BuildError(`src/${path} refers to itself by way of ${under.join(" and ")}; break the circle`);
    }
    const known = finished.get(path);
    if (known) {
      return known;
    }
    under.push(path);
    let bytes = sources.get(path);
    if (WITH_REFERENCES.has(extname(path))) {
      const source = bytes.toString("utf8");
      const text = source.replace(REFERENCE, (reference, index) => {
        if (!sources.has(reference.slice(1))) {
          throw new BuildError(`src/${path}:${lineOf(source, index)}: ${reference} does not exist`);
        }
        return `/${finishOne(reference.slice(1)).path}`;
      });
      // Last, so that a value is never looked at again.
      bytes = Buffer.from(extname(path) === ".html" ? fill(path, text, values) : text);
    }
    under.pop();
    const result = { path: path.startsWith("assets/") ? fingerprinted(path, bytes) : path, bytes };
    finished.set(path, result);
    return result;
  };

  for (const path of sources.keys()) {
    finishOne(path);
  }
  return new Map([...finished.values()].map(({ path, bytes }) => [path, bytes]));
}

function fingerprinted(path, bytes) {
  const extension = extname(path);
  const print = createHash("sha256").update(bytes).digest("hex").slice(0, 12);
  return `${path.slice(0, path.length - extension.length)}.${print}${extension}`;
}

function check(sources) {
  const missing = NEEDED.filter((path) => !sources.has(path)).map((path) => `src/${path} is missing`);
  const addresses = new Set([...sources.keys()].flatMap(addressesOf));
  const pages = [...sources].filter(([path]) => extname(path) === ".html");
  const wrong = pages.flatMap(([path, bytes]) => problems(`src/${path}`, bytes.toString("utf8"), addresses));
  const found = [...missing, ...wrong];
  if (found.length > 0) {
    throw new BuildError(found.join("\n"));
  }
}

/** Smaller forms of a text, beside it. */
function compressed(path, bytes) {
  if (!TEXT.has(extname(path))) {
    return [];
  }
  const forms = [[`${path}.br`, brotliCompressSync(bytes)], [`${path}.gz`, gzipSync(bytes, { level: 9 })]];
  return forms.filter(([, form]) => form.length < bytes.length);
}

/**
 * @param {string} source directory
 * @param {string} target directory, replaced as a whole
 * @param {Record<string, string>} values what `%NAME%` and its like in a page stand for
 * @returns {Array<{path: string, size: number, transferred: number}>} what was written, in bytes
 */
export function build(source, target, values) {
  const sources = read(source);
  check(sources);
  const files = finish(sources, values);
  const made = `${target}.new`;
  rmSync(made, { recursive: true, force: true });
  const written = [...files].map(([path, bytes]) => {
    const forms = compressed(path, bytes);
    for (const [name, form] of [[path, bytes], ...forms]) {
      mkdirSync(dirname(join(made, name)), { recursive: true });
      writeFileSync(join(made, name), form);
    }
    return { path, size: bytes.length, transferred: forms[0]?.[1].length ?? bytes.length };
  });
  rmSync(target, { recursive: true, force: true });
  renameSync(made, target);
  return written;
}
