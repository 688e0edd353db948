// The built site in memory. Invariant: only what was in dist/ at the start is ever answered; a request chooses among
// addresses and never names a file.

import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { extname, join, relative, sep } from "node:path";

import { addressesOf } from "./addresses.js";

const TYPES = {
  ".css": "text/css; charset=utf-8",
  ".gif": "image/gif",
  ".html": "text/html; charset=utf-8",
  ".ico": "image/vnd.microsoft.icon",
  ".jpg": "image/jpeg",
  ".js": "text/javascript; charset=utf-8",
  ".json": "application/json",
  ".map": "application/json",
  ".png": "image/png",
  ".svg": "image/svg+xml",
  ".txt": "text/plain; charset=utf-8",
  ".webmanifest": "application/manifest+json",
  ".webp": "image/webp",
  ".woff2": "font/woff2",
  ".xml": "application/xml",
};
const ENCODINGS = { ".br": "br", ".gz": "gzip" };
const FINGERPRINTED = /^assets\/.*\.[0-9a-f]{12}\.[a-z0-9]+$/;
const FOREVER = "public, max-age=31536000, immutable";
const ASK_FIRST = "no-cache"; // may be kept, and is asked for again with its ETag

function form(bytes) {
  return { bytes, etag: `"${createHash("sha256").update(bytes).digest("base64url").slice(0, 22)}"` };
}

/** From address to { type, cache, forms }; `forms` are by encoding, "identity" among them. Throws without an index. */
export function loadSite(directory) {
  const entries = readdirSync(directory, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  const found = entries.map((entry) => join(entry.parentPath ?? entry.path, entry.name));
  const paths = found.map((path) => relative(directory, path).split(sep).join("/"));
  const all = new Set(paths);
  const site = new Map();
  for (const path of paths) {
    if (extname(path) in ENCODINGS && all.has(path.slice(0, -3))) {
      continue;
    }
    const forms = { identity: form(readFileSync(join(directory, path))) };
    for (const [suffix, encoding] of Object.entries(ENCODINGS)) {
      if (all.has(path + suffix)) {
        forms[encoding] = form(readFileSync(join(directory, path + suffix)));
      }
    }
    const type = TYPES[extname(path)] ?? "application/octet-stream";
    const page = { type, cache: FINGERPRINTED.test(path) ? FOREVER : ASK_FIRST, forms };
    addressesOf(path).forEach((address) => site.set(address, page));
  }
  if (!site.has("/") || !site.has("/404")) {
    throw new Error(`there is no index.html or no 404.html in ${directory}`);
  }
  return site;
}

/** The smallest form that the browser takes (RFC 9110 §12.5.3), and the plain one where it takes none. */
export function chooseEncoding(header, forms) {
  if (header === undefined) {
    return "identity";
  }
  const weights = new Map();
  for (const part of header.toLowerCase().split(",")) {
    const [name, ...parameters] = part.split(";").map((text) => text.trim());
    const quality = parameters.find((parameter) => parameter.startsWith("q="));
    weights.set(name, quality ? Number(quality.slice(2)) : 1);
  }
  const taken = (name) => (weights.get(name) ?? weights.get("*") ?? (name === "identity" ? 1 : 0)) > 0;
  return ["br", "gzip", "identity"].find((name) => name in forms && taken(name)) ?? "identity";
}
