// The theme: the system's unless another was chosen here. Loaded before the page is drawn, so that nothing flashes.
(() => {
  const root = document.documentElement;
  root.classList.add("scripted");
  const system = () => (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
  const chosen = localStorage.getItem("slipway.theme");
  if (chosen === "dark" || chosen === "light") root.dataset.theme = chosen;
  const say = () => {
    for (const button of document.querySelectorAll("[data-theme-toggle]")) {
      button.hidden = false;
      button.querySelector("span").textContent = (root.dataset.theme || system()) === "dark" ? "Light theme" : "Dark theme";
    }
  };
  document.addEventListener("click", (event) => {
    if (!event.target.closest("[data-theme-toggle]")) return;
    const next = (root.dataset.theme || system()) === "dark" ? "light" : "dark";
    if (next === system()) {
      delete root.dataset.theme;
      localStorage.removeItem("slipway.theme");
    } else {
      root.dataset.theme = next;
      localStorage.setItem("slipway.theme", next);
    }
    say();
  });
  document.addEventListener("DOMContentLoaded", say);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", say);
})();
