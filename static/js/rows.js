// `<button data-add-row="list id">` adds one more row from the list's template.
document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-add-row]");
  if (!button) return;
  const list = document.getElementById(button.dataset.addRow);
  const count = list.querySelector("[data-count]");
  const number = Number(count.value);
  const row = list.querySelector("template").innerHTML.replaceAll("__prefix__", String(number));
  count.value = number + 1;
  button.insertAdjacentHTML("beforebegin", row);
  button.previousElementSibling.querySelector("input:not([type=hidden])").focus();
  button.form?.dispatchEvent(new Event("input"));
});
