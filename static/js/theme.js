// Loaded before the first paint, so that the theme is there before the page is.
const root = document.documentElement;
const dark = matchMedia("(prefers-color-scheme: dark)");

function apply() {
  const wish = root.dataset.theme || "auto";
  root.dataset.bsTheme = wish === "auto" ? (dark.matches ? "dark" : "light") : wish;
}

apply();
dark.addEventListener("change", apply);
document.addEventListener("themechange", apply);
