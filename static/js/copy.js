// `<button data-copy="text">` puts the text on the clipboard and says so.
const SHOWN = 1600;

async function put(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  // Without https there is no clipboard API; a selection still copies.
  const area = document.createElement("textarea");
  area.value = text;
  area.className = "visually-hidden";
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  event.preventDefault();
  await put(button.dataset.copy);
  button.dataset.copied = "";
  document.querySelector("[data-announce]").textContent = `Copied ${button.dataset.copy}`;
  setTimeout(() => { delete button.dataset.copied; }, SHOWN);
});
