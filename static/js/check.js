// Checks a field when it is left, and says under it what is wrong.
function say(field, text) {
  const box = field.closest("[data-field]");
  if (!box) return;
  let line = box.querySelector("[data-complaint]");
  if (!line && text) {
    line = document.createElement("p");
    line.dataset.complaint = "";
    line.className = "field-error";
    line.id = `${field.id}-complaint`;
    box.append(line);
    field.setAttribute("aria-describedby", `${field.getAttribute("aria-describedby") || ""} ${line.id}`.trim());
  }
  if (line) line.textContent = text;
  if (text) field.setAttribute("aria-invalid", "true");
  else field.removeAttribute("aria-invalid");
}

function complaint(field) {
  if (field.validity.patternMismatch && field.title) return field.title;
  return field.validationMessage;
}

document.addEventListener("focusout", (event) => {
  const field = event.target;
  if (field.matches("input, textarea, select") && field.value) say(field, complaint(field));
});

document.addEventListener("input", (event) => {
  if (event.target.matches("[aria-invalid]") && event.target.validity.valid) say(event.target, "");
});
