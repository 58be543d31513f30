// Theme and project switches that act at once.
const YEAR = 31_536_000;

document.addEventListener("submit", (event) => {
  if (!event.target.matches("[data-theme-switch]")) return;
  event.preventDefault();
  const wish = event.submitter.value;
  document.cookie = `theme=${wish}; path=/; max-age=${YEAR}; samesite=lax`;
  document.documentElement.dataset.theme = wish;
  for (const button of event.target.querySelectorAll("button")) {
    button.setAttribute("aria-pressed", String(button === event.submitter));
  }
  document.dispatchEvent(new Event("themechange"));
});

document.addEventListener("change", (event) => {
  if (event.target.matches("[data-autosubmit]")) event.target.form.requestSubmit();
});
