// Light, dark, or as the reader's system has it. Their choice is kept in this browser, where it lets us.

export const THEMES = ["system", "light", "dark"];
const KEY = "theme";

export const nextTheme = (theme) => THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];

export function savedTheme(storage) {
  try {
    const found = storage().getItem(KEY);
    return THEMES.includes(found) ? found : "system";
  } catch {
    return "system"; // a browser may forbid storage altogether
  }
}

export function saveTheme(storage, theme) {
  try {
    storage().setItem(KEY, theme);
  } catch {
    // the choice holds until the page is left
  }
}

export function applyTheme(root, button, theme) {
  if (theme === "system") {
    delete root.dataset.theme;
  } else {
    root.dataset.theme = theme;
  }
  button.textContent = `Theme: ${theme}`;
}
