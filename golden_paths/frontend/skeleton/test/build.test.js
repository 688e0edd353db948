import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, describe, test } from "node:test";
import { brotliDecompressSync, gunzipSync } from "node:zlib";

import { build, BuildError } from "../build/build.js";
import { builtSite, directoryWith, VALUES } from "./support.js";

const PAGES = { "index.html": "<p>%NAME%</p>\n", "404.html": "<p>Not found</p>\n" };
const opened = [];

function sourcesWith(files) {
  const { directory, remove } = directoryWith({ ...Object.fromEntries(Object.entries({ ...PAGES, ...files }).map(([path, text]) => [`src/${path}`, text])) });
  opened.push(remove);
  const dist = join(directory, "dist");
  return { directory, dist, make: () => build(join(directory, "src"), dist, VALUES) };
}

const names = (directory) => readdirSync(directory, { recursive: true }).sort();

afterEach(() => opened.splice(0).forEach((remove) => remove()));

describe("the site as it is", () => {
  test("builds, and twice gives the same bytes", () => {
    const [first, second] = [builtSite(), builtSite()];
    opened.push(first.remove, second.remove);
    assert.deepEqual(names(first.dist), names(second.dist));
    for (const { path } of first.written) {
      assert.deepEqual(readFileSync(join(first.dist, path)), readFileSync(join(second.dist, path)), path);
    }
  });

  test("arrives within the first round trip: the start page with all that it needs is under 14 kB", () => {
    const { written, remove } = builtSite();
    opened.push(remove);
    const transferred = written.filter(({ path }) => path !== "404.html").reduce((sum, file) => sum + file.transferred, 0);
    assert.ok(transferred < 14_000, `${transferred} bytes`);
  });
});

describe("fingerprints", () => {
  const site = (color) => ({
    "index.html": '<link rel="stylesheet" href="/assets/a.css"><script type="module" src="/assets/deep/b.js"></script>\n',
    "assets/a.css": "p { background: url(/assets/c.svg); }\n",
    "assets/deep/b.js": 'import "/assets/c.js";\n',
    "assets/c.js": "export {};\n",
    "assets/c.svg": `<svg fill="${color}"/>\n`,
  });

  test("every reference is to a name that carries the content's print", () => {
    const { dist, make } = sourcesWith(site("red"));
    make();
    const page = readFileSync(join(dist, "index.html"), "utf8");
    const [, style] = /href="(\/assets\/a\.[0-9a-f]{12}\.css)"/.exec(page);
    const [, script] = /src="(\/assets\/deep\/b\.[0-9a-f]{12}\.js)"/.exec(page);
    assert.match(readFileSync(join(dist, style), "utf8"), /url\(\/assets\/c\.[0-9a-f]{12}\.svg\)/);
    assert.match(readFileSync(join(dist, script), "utf8"), /"\/assets\/c\.[0-9a-f]{12}\.js"/);
    assert.ok(!existsSync(join(dist, "assets/a.css")));
  });

  test("a change reaches the name of everything that refers to it, and of nothing else", () => {
    const [red, blue] = [sourcesWith(site("red")), sourcesWith(site("blue"))];
    const written = [red.make(), blue.make()].map((files) => new Set(files.map(({ path }) => path)));
    const changed = [...written[1]].filter((path) => !written[0].has(path)).map((path) => path.replace(/\.[0-9a-f]{12}/, ""));
    assert.deepEqual(changed.sort(), ["assets/a.css", "assets/c.svg"]);
  });
});

describe("what is wrong is found when the site is built", () => {
  const wrong = {
    "a reference to nothing": [{ "index.html": 'x\n<img src="/assets/no.png" alt="">' }, /src\/index\.html:2: \/assets\/no\.png does not exist/],
    "a circle": [{ "assets/a.js": 'import "/assets/b.js"', "assets/b.js": 'import "/assets/a.js"' }, /refers to itself/],
    "an unknown placeholder": [{ "index.html": "%PASSWORD%" }, /%PASSWORD% is none of %NAME%/],
    "an inline script": [{ "index.html": "<p>x</p>\n<script>alert(1)</script>" }, /index\.html:2: <script> is inline/],
    "an inline style": [{ "index.html": '<p style="color:red">x</p>' }, /inline style/],
    "a style element": [{ "404.html": "<style>p {}</style>" }, /404\.html:1: <style> is inline/],
    "an inline handler": [{ "index.html": '<button onclick="x()">x</button>' }, /onclick/],
    "a script from elsewhere": [{ "index.html": '<script src="//cdn.test/x.js"></script>' }, /from elsewhere/],
    "a style sheet from elsewhere": [{ "index.html": '<link rel="stylesheet" href="https://cdn.test/x.css">' }, /from elsewhere/],
    "a link that runs a script": [{ "index.html": '<a href=" JavaScript:x()">x</a>' }, /runs a script/],
    "a link that leads nowhere": [{ "index.html": '<a href="/about#us">x</a>' }, /leads to \/about, which/],
    "a base": [{ "index.html": '<base href="/x/">' }, /<base> is not allowed/],
  };
  for (const [what, [files, message]] of Object.entries(wrong)) {
    test(what, () => {
      const { directory, make } = sourcesWith(files);
      assert.throws(make, (error) => error instanceof BuildError && message.test(error.message));
      assert.ok(!existsSync(join(directory, "dist")));
    });
  }

  test("a missing page that every site needs", () => {
    const { directory, remove } = directoryWith({ "src/index.html": "x" });
    opened.push(remove);
    assert.throws(() => build(join(directory, "src"), join(directory, "dist"), VALUES), /src\/404\.html is missing/);
  });
});

test("a comment, and a link to a page without its ending, are nothing wrong", () => {
  const page = '<!-- <script>x</script> --><a href="/about?x=1">x</a><a href="/blog/">x</a><a href="https://example.com">x</a>\n';
  sourcesWith({ "index.html": page, "about.html": "x", "blog/index.html": "x" }).make();
});

test("a build that fails leaves the last one as it was, and one that works leaves nothing of it", () => {
  const good = sourcesWith({ "old.txt": "old" });
  good.make();
  const before = names(good.dist);
  assert.throws(() => build(directoryWithout404(), good.dist, VALUES), BuildError);
  assert.deepEqual(names(good.dist), before);
  const next = sourcesWith({ "new.txt": "new" });
  build(join(next.directory, "src"), good.dist, VALUES);
  assert.ok(names(good.dist).includes("new.txt") && !names(good.dist).includes("old.txt"));
});

function directoryWithout404() {
  const { directory, remove } = directoryWith({ "index.html": "x" });
  opened.push(remove);
  return directory;
}

test("a value is text wherever it stands", () => {
  const { directory, dist } = sourcesWith({ "index.html": '<p title="%NAME%">%NAME%</p>' });
  build(join(directory, "src"), dist, { ...VALUES, NAME: "\"><script>alert('%COMMIT%' & 1)</script>/assets/x" });
  const page = readFileSync(join(dist, "index.html"), "utf8");
  assert.ok(!page.includes("<script"));
  assert.equal(page.match(/&#60;script&#62;alert\(&#39;%COMMIT%&#39; &#38; 1\)/g).length, 2);
});

test("texts come in smaller forms as well, which hold the same", () => {
  const { dist, make } = sourcesWith({ "assets/a.css": "p { color: red; }\n".repeat(50), "assets/b.png": "p".repeat(500), "tiny.txt": "x" });
  make();
  const style = names(dist).find((name) => /a\.[0-9a-f]+\.css$/.test(name));
  const bytes = readFileSync(join(dist, style));
  assert.deepEqual(brotliDecompressSync(readFileSync(join(dist, `${style}.br`))), bytes);
  assert.deepEqual(gunzipSync(readFileSync(join(dist, `${style}.gz`))), bytes);
  assert.ok(!names(dist).some((name) => /(png|tiny\.txt)\.(br|gz)$/.test(name)));
});
