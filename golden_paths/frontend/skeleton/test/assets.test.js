import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { greeting } from "../src/assets/greeting.js";
import { applyTheme, nextTheme, savedTheme, saveTheme } from "../src/assets/theme.js";

const storageWith = (found) => () => ({ getItem: () => found });
const forbidden = () => {
  throw new Error("SecurityError");
};

test("a name is greeted, and nobody is asked for theirs", () => {
  assert.equal(greeting("  Ada "), "Hello, Ada!");
  assert.equal(greeting("   "), "Who is there?");
});

describe("the theme", () => {
  test("goes round", () => {
    assert.deepEqual(["system", "light", "dark"].map(nextTheme), ["light", "dark", "system"]);
  });

  test("is what was saved, and the system's where that is nonsense or nothing", () => {
    assert.equal(savedTheme(storageWith("dark")), "dark");
    assert.equal(savedTheme(storageWith("purple")), "system");
    assert.equal(savedTheme(storageWith(null)), "system");
  });

  test("works in a browser that keeps nothing", () => {
    assert.equal(savedTheme(forbidden), "system");
    saveTheme(forbidden, "dark");
  });

  test("is on the page and on the button", () => {
    const [root, button] = [{ dataset: {} }, {}];
    applyTheme(root, button, "dark");
    assert.deepEqual([root.dataset.theme, button.textContent], ["dark", "Theme: dark"]);
    applyTheme(root, button, "system");
    assert.ok(!("theme" in root.dataset));
  });
});
