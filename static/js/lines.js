// `<button data-add-line="field id" data-line="text">` puts a line into a text field, once.
document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-add-line]");
  if (!button) return;
  const area = document.getElementById(button.dataset.addLine);
  const lines = area.value.split(/[\s,]+/).filter(Boolean);
  if (!lines.includes(button.dataset.line)) lines.push(button.dataset.line);
  area.value = lines.join("\n");
  area.focus();
  area.dispatchEvent(new Event("input", { bubbles: true }));
});
