// Wires the page up. The page is complete without it: everything here is an addition.

import { greeting } from "/assets/greeting.js";
import { applyTheme, nextTheme, savedTheme, saveTheme } from "/assets/theme.js";

const storage = () => window.localStorage;
const root = document.documentElement;
const button = document.getElementById("theme");

let theme = savedTheme(storage);
applyTheme(root, button, theme);
button.hidden = false;
button.addEventListener("click", () => {
  theme = nextTheme(theme);
  saveTheme(storage, theme);
  applyTheme(root, button, theme);
});

const section = document.getElementById("try");
if (section) {
  const form = document.getElementById("greeting");
  section.hidden = false;
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    // `textContent`, never `innerHTML`: what somebody typed is text.
    document.getElementById("answer").textContent = greeting(new FormData(form).get("who"));
  });
}
