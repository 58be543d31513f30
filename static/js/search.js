// The search window: Ctrl-K or / opens it, arrows move through what was found.
const dialog = document.querySelector("dialog[data-search]");

function show(event) {
  if (!dialog) return;
  event.preventDefault();
  if (!dialog.open) dialog.showModal();
  dialog.querySelector("input").select();
}

function typing(target) {
  return target.matches("input, textarea, select, [contenteditable]");
}

document.addEventListener("keydown", (event) => {
  const hotkey = event.key.toLowerCase() === "k" && (event.ctrlKey || event.metaKey);
  if (hotkey || (event.key === "/" && !typing(event.target))) show(event);
});

document.addEventListener("click", (event) => {
  if (event.target.closest("[data-open-search]")) show(event);
  else if (event.target === dialog) dialog.close();
});

dialog?.addEventListener("keydown", (event) => {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (!step) return;
  event.preventDefault();
  const stops = [dialog.querySelector("input"), ...dialog.querySelectorAll("[data-found]")];
  const next = stops.indexOf(document.activeElement) + step;
  stops[(next + stops.length) % stops.length].focus();
});
