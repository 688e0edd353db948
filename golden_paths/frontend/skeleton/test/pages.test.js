// What a reader with a screen reader, a keyboard or poor sight needs, asked of every page.

import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";

import { tags } from "../build/html.js";
import { SOURCE } from "./support.js";

const pages = readdirSync(SOURCE, { recursive: true }).filter((name) => name.endsWith(".html"));

for (const name of pages) {
  describe(name, () => {
    const found = tags(readFileSync(join(SOURCE, name), "utf8"));
    const all = (...wanted) => found.filter((tag) => wanted.includes(tag.name));
    const ids = found.map(({ attributes }) => attributes.id).filter(Boolean);

    test("says its language, its title and how wide it is", () => {
      assert.match(all("html")[0].attributes.lang, /^[a-z]{2}/);
      assert.equal(all("title").length, 1);
      assert.notEqual(all("title")[0].text, "");
      const viewport = all("meta").find(({ attributes }) => attributes.name === "viewport").attributes.content;
      assert.ok(!/user-scalable|maximum-scale/.test(viewport), "a reader may always make it larger");
    });

    test("has one main part, to which the first link leads", () => {
      assert.equal(all("main").length, 1);
      assert.equal(all("a")[0].attributes.href, `#${all("main")[0].attributes.id}`);
    });

    test("has headings that leave no level out, and one at the top", () => {
      const levels = all("h1", "h2", "h3", "h4", "h5", "h6").map((tag) => Number(tag.name[1]));
      assert.deepEqual(levels.filter((level) => level === 1), [1]);
      levels.forEach((level, index) => assert.ok(level <= (levels[index - 1] ?? 0) + 1, `h${level}`));
    });

    test("uses an id once, and every reference finds one", () => {
      assert.equal(new Set(ids).size, ids.length);
      for (const { attributes } of found) {
        const fragment = attributes.href?.startsWith("#") ? attributes.href.slice(1) : null;
        for (const id of [fragment, attributes.for, attributes["aria-labelledby"], attributes["aria-describedby"]]) {
          assert.ok(!id || ids.includes(id), `there is no #${id}`);
        }
      }
    });

    test("names every field, button and picture", () => {
      const labelled = new Set(all("label").map(({ attributes }) => attributes.for));
      for (const { name: tag, attributes } of all("input", "select", "textarea")) {
        assert.ok(labelled.has(attributes.id) || attributes["aria-label"], `a <${tag}> without a label`);
      }
      for (const { attributes, text } of all("button")) {
        assert.ok(text || attributes["aria-label"], "a <button> without words");
        assert.ok(attributes.type, "a <button> without a type submits its form");
      }
      all("img").forEach(({ attributes }) => assert.ok("alt" in attributes, "an <img> without alt"));
    });
  });
}

describe("colours", () => {
  const css = readFileSync(join(SOURCE, "assets/site.css"), "utf8");
  const palette = (block) => Object.fromEntries([...block.matchAll(/--([a-z-]+):\s*(#[0-9a-f]{6});/g)].map((match) => match.slice(1)));
  const light = palette(css.slice(0, css.indexOf("@media")));
  const dark = palette(/\[data-theme="dark"\]\s*{[^}]*}/.exec(css)[0]);
  const system = palette(/prefers-color-scheme: dark[\s\S]*?}\s*}/.exec(css)[0]);

  // Relative luminance and contrast ratio: WCAG 2.2, "contrast ratio".
  const channel = (value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
  const luminance = (hex) =>
    [0.2126, 0.7152, 0.0722].reduce((sum, weight, i) => sum + weight * channel(parseInt(hex.slice(1 + 2 * i, 3 + 2 * i), 16) / 255), 0);
  const contrast = (one, other) => {
    const [darker, lighter] = [luminance(one), luminance(other)].sort((a, b) => a - b);
    return (lighter + 0.05) / (darker + 0.05);
  };

  test("the dark theme is the same whoever chose it", () => assert.deepEqual(system, dark));

  for (const [theme, colours] of Object.entries({ light, dark })) {
    for (const [text, ground, least] of [
      ["text", "page", 4.5], ["quiet", "page", 4.5], ["accent", "page", 4.5], ["text", "field", 4.5],
      ["on-accent", "accent", 4.5], ["line", "page", 3],
    ]) {
      test(`${text} on ${ground} can be read in the ${theme} theme`, () => {
        const ratio = contrast(colours[text], colours[ground]);
        assert.ok(ratio >= least, `${ratio.toFixed(2)} is less than ${least}`);
      });
    }
  }
});
