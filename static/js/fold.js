// `<details data-open-for="field id" data-open-value="value">` is open while the field has the value.
document.addEventListener("change", (event) => {
  for (const fold of document.querySelectorAll(`[data-open-for="${CSS.escape(event.target.id)}"]`)) {
    fold.open = event.target.value === fold.dataset.openValue;
  }
});
